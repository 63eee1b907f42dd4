//! Writing files that are whole at every moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    process,
};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Anybody: mode 0644.
    All,
    /// The owner: mode 0600.
    Owner,
}

/// Writes `content` under a temporary name beside `path` and renames it, so that a reader sees the old file or the new
/// one, and a key is never there with a wider mode.
pub(super) fn replace(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", process::id()));
    let temporary = path.with_file_name(name);

    // Process ids repeat, in containers at once: what lies there is the remainder of a run that was killed.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let result = write(&temporary, content, readers).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to tell.
        let _second = fs::remove_file(&temporary);
    }
    result
}

fn write(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = create(path, readers)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(unix)]
fn create(path: &Path, readers: Readers) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    let mode = match readers {
        Readers::All => 0o644,
        Readers::Owner => 0o600,
    };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _: Readers) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
