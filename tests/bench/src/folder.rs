//! A folder for the time of a measurement. Not of a crate: its features would have half of the product compiled again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// It is gone when this is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, empty and for this user alone.
    pub fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let name = format!("keyporter-bench-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Twice in a process: of the second the name is longer.
        let path = if path.exists() {
            path.with_extension("more")
        } else {
            path
        };
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}
