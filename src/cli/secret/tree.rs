//! Folders on this machine.

use std::path::Path;

use thiserror::Error;

use super::value::Value;
use crate::folder::File;

/// All files of a folder.
pub(super) struct Tree {
    pub(super) files: Vec<File<Value>>,
    pub(super) warnings: Vec<String>,
}

/// Why a folder cannot be kept as it is.
#[derive(Debug, Error)]
pub(super) enum TreeError {
    #[error("{0}")]
    Not(String),
}

pub(super) fn read(folder: &Path) -> Result<Tree, TreeError> {
    Err(TreeError::Not(folder.display().to_string()))
}
