//! A folder of files as a Secret holds it: flat data keys, and annotations that say which file each of them is.
//!
//! ```text
//!  files (path, executable, content)  ->  Folder  ->  data keys
//!                                                     keyporter.dev/layout, keyporter.dev/executable
//!  payload.zip  ->  archive  ->  files  ->  expand  ->  JSON Patch of a Secret
//! ```
//!
//! Pure: no file system and no cluster. Paths are names in UTF-8 with `/` between them, the folder's own name first; what
//! has other names is the caller's to refuse. What a file contains is carried along and never looked at.

pub mod archive;
mod change;
mod contents;
pub mod expand;
mod keys;
mod size;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::inject::layout::{self, LayoutError};

pub use change::Change;
pub use contents::Contents;
pub use keys::ARCHIVE;
pub use size::{MAX_SECRET_SIZE, TooLarge, check_size};
pub use value::Value;

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub struct File<C> {
    /// Its path, relative, with the name of the folder.
    pub path: String,
    /// Whether it may be run.
    pub executable: bool,
    /// What is in it, or where that is: never shown.
    pub content: C,
}

/// A file and the data key that holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry<C> {
    /// The data key.
    pub key: String,
    /// The file.
    pub file: File<C>,
}

/// Files that can lie in one Secret together.
#[derive(Clone, PartialEq, Eq)]
pub struct Folder<C>(Vec<Entry<C>>);

/// What is known of a Secret that the files come into. For a new one nothing is.
#[derive(Debug, Clone, Default)]
pub struct Present<'a> {
    /// Keys that hold something else.
    pub taken: BTreeSet<&'a str>,
    /// Keys that held files before, with their paths. A file keeps its key, and no key becomes that of another file:
    /// running pods take it for the one that it was.
    pub before: BTreeMap<&'a str, &'a str>,
}

/// Why files cannot lie in a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FolderError {
    /// No file at all. Secrets hold no empty folders.
    #[error("there is no file in it")]
    Empty,
    /// A path that no file of a pod can have, or two that exclude each other.
    #[error(transparent)]
    Path(#[from] LayoutError),
}

impl<C> Folder<C> {
    /// Gives every file a key. The same files get the same keys, in whatever order they come.
    pub fn new(mut files: Vec<File<C>>, present: &Present<'_>) -> Result<Self, FolderError> {
        if files.is_empty() {
            return Err(FolderError::Empty);
        }
        for file in &files {
            layout::check_path(&file.path)?;
        }
        layout::check_together(files.iter().map(|file| file.path.as_str()).collect())?;
        files.sort_by(|one, other| one.path.split('/').cmp(other.path.split('/')));
        let keys = keys::assign(files.iter().map(|file| file.path.as_str()), present);
        let entry = |(key, file)| Entry { key, file };
        Ok(Self(keys.into_iter().zip(files).map(entry).collect()))
    }

    /// The files in the order of their paths.
    #[must_use]
    pub fn entries(&self) -> &[Entry<C>] {
        &self.0
    }

    /// The same, with what is in them.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry<C>> {
        self.0
    }

    /// The paths of those keys whose files do not lie at the key's own name: what the annotation `keyporter.dev/layout`
    /// says as a JSON map.
    #[must_use]
    pub fn layout(&self) -> BTreeMap<&str, &str> {
        let entries = self
            .0
            .iter()
            .map(|Entry { key, file }| (key.as_str(), file.path.as_str()));
        entries.filter(|(key, path)| key != path).collect()
    }

    /// The keys of the files that may be run: what the annotation `keyporter.dev/executable` says as a JSON list.
    #[must_use]
    pub fn executables(&self) -> BTreeSet<&str> {
        let executable = self.0.iter().filter(|entry| entry.file.executable);
        executable.map(|entry| entry.key.as_str()).collect()
    }
}

impl<C> fmt::Debug for File<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .field("executable", &self.executable)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Entry<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, file } = self;
        f.debug_struct("Entry")
            .field("key", key)
            .field("file", file)
            .finish()
    }
}

impl<C> fmt::Debug for Folder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests;
