//! Folders on this machine, as a pod shall find them.
//!
//! Links are followed where they lead to something in the same folder, and what they lead to is kept in their place; pods
//! have no links. What cannot be kept as it is refuses the folder, with its path: a secret that lacks a file is found out
//! about late.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use thiserror::Error;

use super::{limits::LimitError, value::Value};
use crate::folder::{self, check_size};

/// More than the annotations of a Secret can tell of. It ends a walk through what was meant by mistake, such as `/`.
const MOST_FILES: usize = 20_000;

/// All files of a folder.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: Vec<folder::File<Value>>,
    pub(super) warnings: Vec<String>,
}

/// Why a folder cannot be kept as it is.
#[derive(Debug, Error)]
pub(super) enum TreeError {
    #[error("cannot read {path:?}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0:?} is no folder; --from-file takes files")]
    NoFolder(PathBuf),
    #[error("there is no file in {0:?}")]
    Empty(PathBuf),
    #[error("{0:?} has no name to be kept")]
    NoName(PathBuf),
    #[error("{0:?} has a name that is not UTF-8, which no pod could be told; rename it")]
    Name(PathBuf),
    #[error("{0:?} is a {1}, which no Secret holds; leave it out")]
    Special(PathBuf, &'static str),
    #[error(
        "{link:?} is a link to {target:?}, which is not in the folder; put a copy in its place"
    )]
    Outside { link: PathBuf, target: PathBuf },
    #[error("{0:?} is a link to nothing; remove it")]
    Dangling(PathBuf),
    #[error("{0:?} is a link to a folder that it lies in itself; remove it")]
    Loop(PathBuf),
    #[error("{0:?} has more than {MOST_FILES} files; is that the folder you mean?")]
    TooMany(PathBuf),
    #[error("{0:?} was exchanged while it was read; try again")]
    Exchanged(PathBuf),
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Reads the folder with all that is in it. Its own name is the first part of every path.
pub(super) fn read(folder: &Path) -> Result<Tree, TreeError> {
    let unreadable = |source| TreeError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let root = fs::canonicalize(folder).map_err(unreadable)?;
    if !root.is_dir() {
        return Err(TreeError::NoFolder(folder.to_owned()));
    }
    // What it is called here, unless that is `.` or the like.
    let name = folder.file_name().or(root.file_name());
    let name = name.ok_or_else(|| TreeError::NoName(folder.to_owned()))?;
    let name = name
        .to_str()
        .ok_or_else(|| TreeError::Name(folder.to_owned()))?;
    let mut walk = Walk {
        root: &root,
        within: vec![],
        found: vec![],
        warnings: vec![],
    };
    walk.folder(folder, &root, name)?;
    if walk.found.is_empty() {
        return Err(TreeError::Empty(folder.to_owned()));
    }
    // Before anything is read that is too much anyway.
    check_size(walk.found.iter().map(|found| (&*found.path, found.length)))
        .map_err(LimitError::Size)?;
    let files = walk.found.into_iter().map(Found::read);
    Ok(Tree {
        files: files.collect::<Result<_, _>>()?,
        warnings: walk.warnings,
    })
}

struct Walk<'a> {
    root: &'a Path,
    /// The folders around the current place, without links.
    within: Vec<PathBuf>,
    found: Vec<Found>,
    warnings: Vec<String>,
}

/// A file that is not read yet.
struct Found {
    /// Where it is on this machine.
    file: PathBuf,
    /// Where a pod finds it.
    path: String,
    length: u64,
    executable: bool,
}

impl Walk<'_> {
    /// `real` is the same folder without links, and `path` what pods call it.
    fn folder(&mut self, folder: &Path, real: &Path, path: &str) -> Result<(), TreeError> {
        let unreadable = |source| TreeError::Unreadable {
            path: folder.to_owned(),
            source,
        };
        let mut names = vec![];
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            names.push(entry.map_err(unreadable)?.file_name());
        }
        names.sort();
        if names.is_empty() {
            let warning = format!(
                "\"{}\" is empty; Secrets hold no empty folders, and pods will not have it",
                folder.display()
            );
            self.warnings.push(warning);
        }
        self.within.push(real.to_owned());
        for name in names {
            let here = folder.join(&name);
            let Some(name) = name.to_str() else {
                return Err(TreeError::Name(here));
            };
            self.entry(here, format!("{path}/{name}"))?;
        }
        self.within.pop();
        Ok(())
    }

    fn entry(&mut self, here: PathBuf, path: String) -> Result<(), TreeError> {
        let unreadable = |source| TreeError::Unreadable {
            path: here.clone(),
            source,
        };
        let mut metadata = fs::symlink_metadata(&here).map_err(unreadable)?;
        if metadata.is_symlink() {
            metadata = self.followed(&here)?;
        }
        if metadata.is_dir() {
            let real = fs::canonicalize(&here).map_err(unreadable)?;
            if self.within.contains(&real) {
                return Err(TreeError::Loop(here));
            }
            return self.folder(&here, &real, &path);
        }
        if let Some(sort) = special(&metadata) {
            return Err(TreeError::Special(here, sort));
        }
        if self.found.len() == MOST_FILES {
            return Err(TreeError::TooMany(self.root.to_owned()));
        }
        self.found.push(Found {
            length: metadata.len(),
            executable: metadata.mode() & 0o100 != 0,
            file: here,
            path,
        });
        Ok(())
    }

    /// What a link leads to, if that is in the folder too.
    fn followed(&self, link: &Path) -> Result<Metadata, TreeError> {
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => TreeError::Dangling(link.to_owned()),
            _ => TreeError::Unreadable {
                path: link.to_owned(),
                source,
            },
        };
        let target = fs::canonicalize(link).map_err(unreadable)?;
        if !target.starts_with(self.root) {
            return Err(TreeError::Outside {
                link: link.to_owned(),
                target,
            });
        }
        fs::metadata(&target).map_err(unreadable)
    }
}

impl Found {
    fn read(self) -> Result<folder::File<Value>, TreeError> {
        let unreadable = |source| TreeError::Unreadable {
            path: self.file.clone(),
            source,
        };
        let file = open(&self.file).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(TreeError::Exchanged(self.file));
        }
        let content = Value::read(file).map_err(unreadable)?;
        let content = content.ok_or_else(|| LimitError::File {
            path: self.file.display().to_string(),
        })?;
        Ok(folder::File {
            path: self.path,
            executable: self.executable,
            content,
        })
    }
}

/// What became a pipe since it was looked at keeps nobody waiting.
fn open(path: &Path) -> io::Result<File> {
    let without_waiting = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .custom_flags(without_waiting)
        .open(path)
}

fn special(metadata: &Metadata) -> Option<&'static str> {
    let sort = metadata.file_type();
    if sort.is_file() {
        None
    } else if sort.is_fifo() {
        Some("pipe")
    } else if sort.is_socket() {
        Some("socket")
    } else {
        Some("device")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, symlink},
            net::UnixListener,
        },
    };

    use tempfile::TempDir;

    use super::*;

    /// A folder `top` with some files.
    fn top(files: &[&str]) -> (TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let top = parent.path().join("top");
        fs::create_dir(&top).unwrap();
        for file in files {
            let path = top.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        (parent, top)
    }

    fn paths(tree: &Tree) -> Vec<(&str, bool)> {
        tree.files
            .iter()
            .map(|file| (&*file.path, file.executable))
            .collect()
    }

    #[test]
    fn all_that_is_in_it_with_its_own_name() {
        let (_parent, top) = top(&["config", "sso/cache/token", "bin/run", ".hidden"]);
        fs::set_permissions(top.join("bin/run"), PermissionsExt::from_mode(0o755)).unwrap();
        let tree = read(&top).unwrap();
        let expected = [
            ("top/.hidden", false),
            ("top/bin/run", true),
            ("top/config", false),
            ("top/sso/cache/token", false),
        ];
        assert_eq!(paths(&tree), expected);
        assert_eq!(tree.files[3].content.text(), Some("sso/cache/token"));
        assert_eq!(tree.warnings, Vec::<String>::new());
        for same in [
            top.join("."),
            top.join("bin/.."),
            PathBuf::from(format!("{}/", top.display())),
        ] {
            assert_eq!(paths(&read(&same).unwrap()), expected, "{same:?}");
        }
    }

    #[test]
    fn links_within_are_what_they_lead_to() {
        let (_parent, top) = top(&["a", "folder/b"]);
        symlink("a", top.join("link")).unwrap();
        symlink("../a", top.join("folder/up")).unwrap();
        symlink(top.join("folder"), top.join("other")).unwrap();
        let tree = read(&top).unwrap();
        let paths: Vec<_> = paths(&tree).into_iter().map(|(path, _)| path).collect();
        let expected = [
            "top/a",
            "top/folder/b",
            "top/folder/up",
            "top/link",
            "top/other/b",
            "top/other/up",
        ];
        assert_eq!(paths, expected);
        assert_eq!(tree.files[3].content.text(), Some("a"));
    }

    #[test]
    fn empty_folders_are_told_of() {
        let (_parent, top) = top(&["a"]);
        fs::create_dir_all(top.join("x/empty")).unwrap();
        let tree = read(&top).unwrap();
        assert!(
            tree.warnings[0].contains("x/empty\" is empty") && tree.warnings.len() == 1,
            "{tree:?}"
        );
    }

    #[test]
    fn what_cannot_be_kept_refuses_the_folder() {
        type Make = fn(&Path);
        let cases: [(&str, Make, &str); 8] = [
            (
                "outside",
                |top| symlink("/etc/hostname", top.join("odd")).unwrap(),
                "which is not in the folder",
            ),
            (
                "sibling",
                |top| {
                    // A name that begins as the folder's does.
                    fs::write(top.with_file_name("top-secret"), "x").unwrap();
                    symlink("../top-secret", top.join("odd")).unwrap();
                },
                "which is not in the folder",
            ),
            (
                "dangling",
                |top| symlink("absent", top.join("odd")).unwrap(),
                "is a link to nothing",
            ),
            (
                "itself",
                |top| symlink("odd", top.join("odd")).unwrap(),
                "cannot read",
            ),
            (
                "loop",
                |top| symlink(".", top.join("odd")).unwrap(),
                "that it lies in itself",
            ),
            (
                "socket",
                |top| drop(UnixListener::bind(top.join("odd")).unwrap()),
                "is a socket",
            ),
            (
                "name",
                |top| fs::write(top.join(OsStr::from_bytes(b"odd\xff")), "x").unwrap(),
                "not UTF-8",
            ),
            (
                "size",
                |top| {
                    let file = File::create(top.join("odd")).unwrap();
                    file.set_len(2 << 20).unwrap();
                },
                "top/odd 2097152",
            ),
        ];
        for (name, make, sentence) in cases {
            let (_parent, top) = top(&["a"]);
            make(&top);
            let error = read(&top).unwrap_err().to_string();
            assert!(
                error.contains(sentence) && error.contains("odd"),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let (_parent, top) = top(&["a"]);
        let pipe = top.join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        let error = read(&top).unwrap_err().to_string();
        assert!(error.contains("pipe\" is a pipe"), "{error}");
        // Nor one that takes the place of a file.
        let found = Found {
            file: pipe,
            path: "top/pipe".to_owned(),
            length: 1,
            executable: false,
        };
        assert!(matches!(found.read(), Err(TreeError::Exchanged(_))));
    }

    #[test]
    fn what_is_no_folder() {
        let (_parent, top) = top(&["a"]);
        assert!(matches!(read(&top.join("a")), Err(TreeError::NoFolder(_))));
        assert!(matches!(
            read(&top.join("absent")),
            Err(TreeError::Unreadable { .. })
        ));
        assert!(matches!(read(Path::new("/")), Err(TreeError::NoName(_))));
    }
}
