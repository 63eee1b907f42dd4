//! What is in keyporter's image, and that it is what `deploy/Dockerfile` says.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::Path,
};

use libtest_mimic::Trial;
use serde_json::Value;
use tar::Archive;

use crate::{
    harness::{Cluster, Harness},
    image::{SCRIPT, archive, build_again},
    images,
    support::Result,
};

const DOCKERFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/Dockerfile");
/// What a registry keeps and a node pulls. The program alone has some 26 MB.
const LARGEST: usize = 30_000_000;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "image::is_one_static_program_for_a_user_without_rights",
            content,
        ),
        harness.trial("image::is_the_same_each_time", the_same_each_time),
        harness.trial(
            "image::is_built_by_the_commands_of_the_dockerfile",
            commands,
        ),
    ]
}

async fn content(_: &Cluster) -> Result<()> {
    let image = Image::read(&archive()?)?;
    assert_eq!(image.configuration["config"]["User"], "65532:65532");
    assert_eq!(image.configuration["config"]["Entrypoint"][0], "/keyporter");
    let size: usize = image.layers.iter().map(Vec::len).sum();
    eprintln!("the image has {size} bytes");
    assert!(size < LARGEST, "{size} bytes");

    let files = image.files()?;
    let names: Vec<&String> = files.keys().collect();
    assert_eq!(names, ["keyporter"]);
    let (mode, program) = &files["keyporter"];
    assert_eq!(*mode, 0o555);
    assert!(!asks_for_an_interpreter(program)?, "it is not static");
    Ok(())
}

async fn the_same_each_time(_: &Cluster) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("again.tar");
    build_again(&path)?;
    let [first, second] = [Image::read(&archive()?)?, Image::read(&path)?];
    // It names the layers by their digests, and is itself what the image's identifier is the digest of.
    assert_eq!(first.configuration, second.configuration);
    assert_eq!(first.digest, second.digest);
    eprintln!("the image is {}", first.digest);
    Ok(())
}

/// What the script cannot take over from the Dockerfile by running it.
async fn commands(_: &Cluster) -> Result<()> {
    let [script, dockerfile] = [fs::read_to_string(SCRIPT)?, fs::read_to_string(DOCKERFILE)?];
    let dockerfile = dockerfile
        .replace("$CARGO_HOME", "$cargo")
        .replace("$PWD", "$root");
    let script = script.split_whitespace().collect::<Vec<_>>().join(" ");
    for start in ["RUSTFLAGS=", "cargo build "] {
        let line = dockerfile
            .lines()
            .find_map(|line| line.find(start).and_then(|at| line.get(at..)));
        let line = line.ok_or("the Dockerfile builds nothing")?;
        let command = line.trim_end_matches(['\\', ' ']);
        assert!(script.contains(command), "{SCRIPT} has no {command}");
    }
    Ok(())
}

/// An image as `docker save` writes it.
struct Image {
    digest: String,
    configuration: Value,
    layers: Vec<Vec<u8>>,
}

impl Image {
    fn read(archive: &Path) -> Result<Self> {
        let mut files = unpack(File::open(archive)?)?;
        let mut take = |name: &Value| -> Result<Vec<u8>> {
            let name = name.as_str().unwrap_or_default();
            let (_, content) = files
                .remove(name)
                .ok_or_else(|| format!("the archive has no {name}"))?;
            Ok(content)
        };
        let manifest: Value = serde_json::from_slice(&take(&"manifest.json".into())?)?;
        let configuration = take(&manifest[0]["Config"])?;
        let layers = manifest[0]["Layers"].as_array().cloned();
        Ok(Self {
            digest: images::digest(&configuration),
            configuration: serde_json::from_slice(&configuration)?,
            layers: layers.iter().flatten().map(take).collect::<Result<_>>()?,
        })
    }

    /// All files of all layers.
    fn files(&self) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
        let mut all = BTreeMap::new();
        for layer in &self.layers {
            all.append(&mut unpack(&**layer)?);
        }
        Ok(all)
    }
}

/// The files of an archive by their paths, each with its mode.
fn unpack(archive: impl Read) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
    let mut files = BTreeMap::new();
    for entry in Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            // Below the bits that tell what sort of file it is.
            let mode = entry.header().mode()? & 0o7777;
            files.insert(path, (mode, content));
        }
    }
    Ok(files)
}

/// Whether a program of 64 bits has the program header `PT_INTERP`, which names its dynamic loader (elf(5)).
fn asks_for_an_interpreter(program: &[u8]) -> Result<bool> {
    const INTERPRETER: u32 = 3;
    assert_eq!(program[..6], *b"\x7fELF\x02\x01", "no ELF of 64 bits");
    let number = |at: usize| u16::from_le_bytes([program[at], program[at + 1]]);
    let table = u64::from_le_bytes(program[32..40].try_into()?);
    let [size, count] = [number(54), number(56)].map(usize::from);
    let table = usize::try_from(table)?;
    for header in program[table..].chunks(size).take(count) {
        if u32::from_le_bytes(header[..4].try_into()?) == INTERPRETER {
            return Ok(true);
        }
    }
    Ok(false)
}
