//! A folder of files, as it was and as a container finds it.

use std::{collections::BTreeMap, fs, path::Path};

use libtest_mimic::Trial;

use crate::{
    harness::{Cluster, Harness},
    pods,
    project::{Project, Secret},
    support::Result,
};

/// Names that are harder than they look.
const ODD: [&str; 11] = [
    ".env",
    ".git/.config",
    "-rf",
    "a/b/c/d/e/f/deep",
    "a/b/c/near",
    "back\\slash",
    "new\nline",
    "quotes '\"`$(id)$$",
    "with space/and another",
    "\u{fc}n\u{ef}code/\u{1f511}",
    "trailing.",
];

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("folders::every_file_comes_as_it_was", round_trip)]
}

async fn round_trip(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "folders-round-trip").await?;
    let folder = tempfile::tempdir()?;
    for path in ODD {
        write(folder.path(), path, path.as_bytes())?;
    }
    write(folder.path(), "nothing", &[])?;
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    write(folder.path(), "binary", &every_byte)?;
    let files = read(folder.path(), folder.path())?;

    let by_path = files
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_slice()));
    let secret = Secret::of_alice("default", "everything").with_files(by_path);
    project.make(&[secret]).await?;
    let ended = project
        .run("reader", pods::spec(&[pods::reporting()]))
        .await?;
    let report = ended.report("main").await?;
    let folder = "/konduktor/default-secrets/everything/";
    let found: BTreeMap<String, Vec<u8>> = report
        .files
        .into_iter()
        .filter_map(|(path, file)| Some((path.strip_prefix(folder)?.to_owned(), file.content)))
        .collect();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&files));
    assert!(found == files, "the content differs");
    Ok(())
}

fn write(folder: &Path, path: &str, content: &[u8]) -> Result<()> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, content)?)
}

/// Every file below `folder`, by its path from `root`.
fn read(root: &Path, folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(read(root, &path)?);
        } else {
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(files)
}
