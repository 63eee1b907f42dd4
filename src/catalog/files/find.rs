//! Which files paths stand for.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{LoadError, unreadable};

/// The files that the paths stand for, each once, in a fixed order.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let mut finder = Finder::default();
    for path in paths {
        if fs::metadata(path)
            .map_err(|source| unreadable(path, source))?
            .is_dir()
        {
            let before = finder.matching;
            finder.folder(path)?;
            if finder.matching == before {
                return Err(LoadError::EmptyFolder(path.clone()));
            }
        } else {
            finder.file(path);
        }
    }
    Ok(finder.files)
}

#[derive(Default)]
struct Finder {
    files: Vec<PathBuf>,
    /// Files that were found, also those found before.
    matching: usize,
    /// Where files and folders really are: links may lead to one several times, or in a circle.
    seen: HashSet<PathBuf>,
}

impl Finder {
    fn folder(&mut self, folder: &Path) -> Result<(), LoadError> {
        if !self.is_new(folder) {
            return Ok(());
        }
        for path in visible(folder)? {
            // A link to nothing is no file.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            if metadata.is_dir() {
                self.folder(&path)?;
            } else if metadata.is_file() && is_document(&path) {
                self.file(&path);
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &Path) {
        self.matching += 1;
        if self.is_new(file) {
            self.files.push(file.to_owned());
        }
    }

    /// A pipe has no real path; `--secrets <(decrypt file)` is one.
    fn is_new(&mut self, path: &Path) -> bool {
        let real = fs::canonicalize(path);
        self.seen.insert(real.unwrap_or_else(|_| path.to_owned()))
    }
}

/// What is in a folder and not hidden, sorted.
pub(super) fn visible(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| unreadable(folder, source);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_document(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}
