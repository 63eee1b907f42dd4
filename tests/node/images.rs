//! Container images, made of programs of this machine: nothing is pulled from anywhere.
//!
//! They are one archive of the sort that `docker save` writes, which shares layers between images.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::{command::run, requirements, support::Result};

/// busybox alone: neither git nor ssh.
pub(crate) const BARE: &str = "keyporter.test/bare:1";
/// The same under the name that a manifest's `image: busybox` means.
const BUSYBOX: &str = "docker.io/library/busybox:latest";
/// git and ssh, and the shell and tools of Debian.
pub(crate) const GIT: &str = "keyporter.test/git:1";
/// git and ssh, and the shell and tools of busybox, as in Alpine's images.
pub(crate) const GIT_BUSYBOX: &str = "keyporter.test/git-busybox:1";
/// What holds the namespaces of a pod.
pub(crate) const PAUSE: &str = "keyporter.test/pause:1";
/// A user of the images who is not root.
pub(crate) const USER: u32 = 1000;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n";
const SEARCH_PATH: &str = "PATH=/usr/bin:/bin";
/// Of Debian's tools those that a script or a `GIT_SSH_COMMAND` calls.
const TOOLS: [&str; 12] = [
    "base64", "cat", "cut", "env", "id", "ls", "mktemp", "rm", "sleep", "stat", "tar", "touch",
];

/// Writes all images to `archive`.
pub(crate) fn write(archive: &Path) -> Result<()> {
    let layers = [
        bare()?,
        programs(&[("git", "usr/bin/git"), ("ssh", "usr/bin/ssh")])?,
        shell()?,
    ];
    let [bare, git, shell] = &layers;
    let mut images = Archive {
        tar: Builder::new(File::create(archive)?),
        manifest: Vec::new(),
    };
    for layer in &layers {
        add_file(&mut images.tar, &layer.file(), 0o644, &layer.bytes)?;
    }
    images.add(PAUSE, &["sleep", "2147483647"], &[bare])?;
    images.add(BARE, &["sh"], &[bare])?;
    images.add(BUSYBOX, &["sh"], &[bare])?;
    images.add(GIT_BUSYBOX, &["sh"], &[bare, git])?;
    images.add(GIT, &["sh"], &[bare, git, shell])?;
    images.finish()
}

/// An image with busybox as a registry keeps it: its configuration and its one layer.
pub(crate) fn private() -> Result<[Vec<u8>; 2]> {
    let layer = bare()?;
    // Unlike any of the others: an image that was once pulled with credentials is nobody else's, whatever its name.
    Ok([configuration(&["echo", "pulled"], &[&layer])?, layer.bytes])
}

fn configuration(command: &[&str], layers: &[&Layer]) -> Result<Vec<u8>> {
    let digests: Vec<String> = layers.iter().map(|layer| digest(&layer.bytes)).collect();
    let configuration = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Cmd": command, "Env": [SEARCH_PATH]},
        "rootfs": {"type": "layers", "diff_ids": digests},
    });
    Ok(serde_json::to_vec(&configuration)?)
}

struct Archive {
    tar: Builder<File>,
    manifest: Vec<serde_json::Value>,
}

impl Archive {
    fn add(&mut self, name: &str, command: &[&str], layers: &[&Layer]) -> Result<()> {
        let config = configuration(command, layers)?;
        let file = format!("{}.json", hex(&config));
        add_file(&mut self.tar, &file, 0o644, &config)?;
        let layers: Vec<String> = layers.iter().map(|layer| layer.file()).collect();
        self.manifest
            .push(json!({"Config": file, "RepoTags": [name], "Layers": layers}));
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let manifest = serde_json::to_vec(&self.manifest)?;
        add_file(&mut self.tar, "manifest.json", 0o644, &manifest)?;
        self.tar.into_inner()?;
        Ok(())
    }
}

struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    fn new(tar: Builder<Vec<u8>>) -> Result<Self> {
        let bytes = tar.into_inner()?;
        Ok(Self { bytes })
    }

    fn file(&self) -> String {
        format!("{}/layer.tar", hex(&self.bytes))
    }
}

fn bare() -> Result<Layer> {
    let mut tar = Builder::new(Vec::new());
    for (folder, mode, owner) in [
        ("bin/", 0o755, 0),
        ("etc/", 0o755, 0),
        ("home/", 0o755, 0),
        ("home/user/", 0o700, USER),
        ("root/", 0o700, 0),
        ("tmp/", 0o1777, 0),
    ] {
        let mut header = header(EntryType::Directory, mode);
        header.set_uid(owner.into());
        header.set_gid(owner.into());
        tar.append_data(&mut header, folder, &[][..])?;
    }
    add_file(&mut tar, "etc/passwd", 0o644, PASSWD.as_bytes())?;
    let busybox = find("busybox")?;
    add_file(&mut tar, "bin/busybox", 0o755, &fs::read(&busybox)?)?;
    let applets = run(&busybox.to_string_lossy(), &["--list"])?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let mut header = header(EntryType::Symlink, 0o777);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    Layer::new(tar)
}

fn shell() -> Result<Layer> {
    let mut files = vec![("sh", "bin/sh".to_owned())];
    files.extend(TOOLS.map(|tool| (tool, format!("usr/bin/{tool}"))));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, path)| (*name, path.as_str()))
        .collect();
    programs(&files)
}

/// Programs of this machine by name, each with its place in the image, and the libraries that they load.
fn programs(programs: &[(&str, &str)]) -> Result<Layer> {
    let mut tar = Builder::new(Vec::new());
    let mut libraries = BTreeSet::new();
    for (name, path) in programs {
        let program = find(name)?;
        add_file(&mut tar, path, 0o755, &fs::read(&program)?)?;
        libraries.extend(libraries_of(&program)?);
    }
    for library in libraries {
        let path = library.trim_start_matches('/');
        add_file(&mut tar, path, 0o755, &fs::read(&library)?)?;
    }
    Layer::new(tar)
}

/// The paths in lines such as `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f0f)`.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let lines = run("ldd", &[&program.to_string_lossy()])?;
    Ok(lines
        .lines()
        .filter_map(|line| {
            line.split_whitespace()
                .find(|word| word.starts_with('/'))
                .map(ToOwned::to_owned)
        })
        .collect())
}

/// The path of a program of this machine.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    let found = requirements::folders()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    found.ok_or_else(|| format!("{program} is missing").into())
}

fn add_file<W: std::io::Write>(
    tar: &mut Builder<W>,
    path: &str,
    mode: u32,
    content: &[u8],
) -> Result<()> {
    let mut header = header(EntryType::Regular, mode);
    header.set_size(u64::try_from(content.len())?);
    tar.append_data(&mut header, path, content)?;
    Ok(())
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header
}

/// By what manifests name `content`.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(content))
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// As images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
