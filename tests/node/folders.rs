//! A folder of files, as it was and as a container finds it.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use data_encoding::BASE64;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness},
    pods::{self, File},
    project::{Project, Secret},
    support::Result,
};

/// Made by Konduktor's client from the folder that `make.py` beside it describes.
const ARCHIVE: &[u8] = include_bytes!("../fixtures/folders/payload.zip");

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
    vec![
        harness.trial("folders::every_file_comes_as_it_was", round_trip),
        harness.trial("folders::create_and_a_pod_make_the_same_folder", created),
        harness.trial("folders::konduktors_archive_comes_unpacked", konduktors),
    ]
}

/// By `keyporter secret create --from-directory`.
async fn created(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "folders-created").await?;
    let folder = tempfile::tempdir()?;
    let top = folder.path().join("a tree");
    for path in ODD {
        write(&top, path, path.as_bytes())?;
    }
    write(&top, "nothing", &[])?;
    for program in ["bin/run", "bin/deep/run"] {
        write(&top, program, b"#!/bin/sh\n")?;
        fs::set_permissions(top.join(program), Permissions::from_mode(0o755))?;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_keyporter"))
        .args(["secret", "create", "everything", "-n", &project.name])
        .arg("--from-directory")
        .arg(&top)
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig("alice", None)?)
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    project.wait_for(&["everything-2bd806c9"]).await?;

    let modes = |path: &str| if path.contains("bin/") { 0o755 } else { 0o644 };
    let expected = read(folder.path(), folder.path())?.into_iter();
    let expected = expected.map(|(path, content)| {
        let mode = modes(&path);
        (path, File { mode, content })
    });
    let found = found(&project, "everything").await?;
    assert_eq!(found, expected.collect());
    Ok(())
}

/// Made as Konduktor's client makes it, for which keyporter is not there.
async fn konduktors(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "folders-konduktors").await?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "models-0a1b2c3d",
            "labels": {
                "parent": "konduktor",
                "trainy.ai/secret-owner": "0a1b2c3d",
                "trainy.ai/secret-basename": "models",
                "trainy.ai/secret-kind": "default",
            },
        },
        "data": {"payload.zip": BASE64.encode(ARCHIVE)},
    });
    let made = project
        .kubectl
        .run_with_input(&["create", "-f", "-"], &secret.to_string())?;
    made.ok()?;
    project.wait_for(&["models-0a1b2c3d"]).await?;
    let mut found = found(&project, "models").await?;
    let archive = found.remove("payload.zip").map(|file| file.content);
    assert!(archive.as_deref() == Some(ARCHIVE), "not the archive");
    let paths: Vec<_> = found
        .iter()
        .map(|(path, file)| format!("{path} {:o}", file.mode))
        .collect();
    assert_eq!(
        paths,
        [
            "project/README 644",
            "project/aws/config 644",
            "project/bin/run.sh 755",
            "project/gcp/config 644",
            "project/notes/übung 1.txt 644",
        ]
    );
    Ok(())
}

/// The files of a secret in a pod of alice's, by their paths in its folder.
async fn found(project: &Project, secret: &str) -> Result<BTreeMap<String, File>> {
    let spec = pods::spec(&[pods::reporting()]);
    let report = project.run("reader", spec).await?.report("main").await?;
    let folder = format!("/konduktor/default-secrets/{secret}/");
    let files = report.files.into_iter();
    let files =
        files.filter_map(|(path, file)| Some((path.strip_prefix(&folder)?.to_owned(), file)));
    Ok(files.collect())
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
    let found = found(&project, "everything").await?.into_iter();
    let found: BTreeMap<_, _> = found.map(|(path, file)| (path, file.content)).collect();
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
