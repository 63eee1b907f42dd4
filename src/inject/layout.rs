//! The annotations for layout and executables: which file each data key becomes.
//!
//! Keys of a Secret are flat (`[-._a-zA-Z0-9]+`), a folder of files is not. The layout maps a key to the relative path
//! at which its file is to lie; the kubelet makes the folders (`items` of a Secret volume). Files that may be run are listed.
//! <https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/>

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::secret::Key;

/// The longest file name and the longest path that Linux takes, in bytes (`NAME_MAX`, `PATH_MAX`), less room for the
/// mount path.
const COMPONENT_LENGTH: usize = 255;
const PATH_LENGTH: usize = 2048;

/// For every key of the secret the path of its file, sorted by key. All paths are valid together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Box<[Item]>);

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The data key.
    pub key: Box<str>,
    /// Its path relative to the mount.
    pub path: Box<str>,
    /// Whether it may be run.
    pub executable: bool,
}

/// Why a layout cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// Not a JSON object of strings.
    #[error("not a JSON map from data key to path, such as {{\"key\": \"folder/file\"}}")]
    NotAMap,
    /// Not a JSON list of strings.
    #[error(
        "the annotation keyporter.dev/executable is not a JSON list of data keys, such as [\"key\"]"
    )]
    NotAList,
    /// The map names a key twice.
    #[error("the key {0:?} stands there twice")]
    KeyTwice(String),
    /// A path starts with `/`.
    #[error("the path {0:?} is absolute; paths are relative to the secret's folder")]
    Absolute(String),
    /// A path leaves the folder or uses names that the kubelet keeps for itself.
    #[error("the path {0:?} has a part that starts with \"..\"")]
    Parent(String),
    /// A path with an empty or `.` part, or an empty path.
    #[error("the path {0:?} has an empty part or a part \".\"")]
    EmptyPart(String),
    /// A path with a NUL byte or too long for a file system.
    #[error("the path {0:?} cannot be a file path")]
    Unusable(String),
    /// Two keys at one path.
    #[error("two files lie at the path {0:?}")]
    PathTwice(String),
    /// One key's file would be a folder of another's.
    #[error("the path {inner:?} lies below {outer:?}, which is a file")]
    BelowFile {
        /// The file.
        outer: String,
        /// The path below it.
        inner: String,
    },
}

impl Layout {
    /// Reads the JSON of the annotations for a Secret with these keys. Entries for keys that the Secret does not have are
    /// checked, then left out: a key that was removed must not make the rest unusable.
    pub fn read(
        layout: Option<&str>,
        executable: Option<&str>,
        keys: &[Key],
    ) -> Result<Self, LayoutError> {
        let Entries(entries) = match layout {
            Some(json) => serde_json::from_str(json).map_err(|_| LayoutError::NotAMap)?,
            None => Entries(vec![]),
        };
        let executable: HashSet<String> = match executable {
            Some(json) => serde_json::from_str(json).map_err(|_| LayoutError::NotAList)?,
            None => HashSet::new(),
        };
        let mut paths = HashMap::with_capacity(entries.len());
        for (key, path) in &entries {
            check_path(path)?;
            if paths.insert(key.as_str(), path.as_str()).is_some() {
                return Err(LayoutError::KeyTwice(key.clone()));
            }
        }
        let items = keys.iter().map(|key| Item {
            path: paths.get(&*key.name).copied().unwrap_or(&key.name).into(),
            executable: executable.contains(&*key.name),
            key: key.name.clone(),
        });
        let layout = Self(items.collect());
        check_together(layout.0.iter().map(|item| &*item.path).collect())?;
        Ok(layout)
    }

    /// The files, sorted by key.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.0
    }
}

/// No path twice, no file below a file. In the order of their components a path is followed at once by what lies
/// below it.
pub(crate) fn check_together(mut paths: Vec<&str>) -> Result<(), LayoutError> {
    paths.sort_unstable_by(|a, b| a.split('/').cmp(b.split('/')));
    for (outer, inner) in paths.iter().zip(paths.iter().skip(1)) {
        if outer == inner {
            return Err(LayoutError::PathTwice((*outer).to_owned()));
        }
        if inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(LayoutError::BelowFile {
                outer: (*outer).to_owned(),
                inner: (*inner).to_owned(),
            });
        }
    }
    Ok(())
}

/// The rules of the API server for `items[].path`, and those of the file system below it.
pub(crate) fn check_path(path: &str) -> Result<(), LayoutError> {
    if path.starts_with('/') {
        return Err(LayoutError::Absolute(path.to_owned()));
    }
    if path.len() > PATH_LENGTH || path.contains('\0') {
        return Err(LayoutError::Unusable(path.to_owned()));
    }
    for part in path.split('/') {
        if part.starts_with("..") {
            return Err(LayoutError::Parent(path.to_owned()));
        }
        if part.is_empty() || part == "." {
            return Err(LayoutError::EmptyPart(path.to_owned()));
        }
        if part.len() > COMPONENT_LENGTH {
            return Err(LayoutError::Unusable(path.to_owned()));
        }
    }
    Ok(())
}

/// The entries in the order of the text, so that a key that stands there twice is seen.
struct Entries(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from data key to path")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn keys(names: &[&str]) -> Vec<Key> {
        names
            .iter()
            .map(|name| Key {
                name: (*name).into(),
                length: 1,
            })
            .collect()
    }

    #[test]
    fn keys_without_an_entry_lie_at_their_own_name() {
        let layout =
            Layout::read(Some(r#"{"b": "sub/deep/b.txt"}"#), None, &keys(&["a", "b"])).unwrap();
        let paths: Vec<_> = layout
            .items()
            .iter()
            .map(|item| (&*item.key, &*item.path))
            .collect();
        assert_eq!(paths, [("a", "a"), ("b", "sub/deep/b.txt")]);
    }

    #[test]
    fn an_entry_for_a_key_that_is_gone_is_left_out() {
        let layout =
            Layout::read(Some(r#"{"gone": "x"}"#), Some(r#"["gone"]"#), &keys(&["a"])).unwrap();
        assert_eq!(layout.items().len(), 1);
        assert!(!layout.items()[0].executable);
    }

    #[test]
    fn executables_need_no_path_of_their_own() {
        let layout = Layout::read(None, Some(r#"["b", "b"]"#), &keys(&["a", "b"])).unwrap();
        let items: Vec<_> = layout
            .items()
            .iter()
            .map(|item| (&*item.path, item.executable))
            .collect();
        assert_eq!(items, [("a", false), ("b", true)]);
    }

    #[rstest]
    #[case("{}")]
    #[case("")]
    #[case("\"a\"")]
    #[case("[1]")]
    fn bad_executables(#[case] json: &str) {
        let read = Layout::read(None, Some(json), &keys(&["a"]));
        assert_eq!(read, Err(LayoutError::NotAList));
    }

    #[rstest]
    #[case("[]", LayoutError::NotAMap)]
    #[case("{\"a\": 1}", LayoutError::NotAMap)]
    #[case("", LayoutError::NotAMap)]
    #[case(r#"{"a": "x", "a": "y"}"#, LayoutError::KeyTwice("a".into()))]
    #[case(r#"{"a": "/etc/passwd"}"#, LayoutError::Absolute("/etc/passwd".into()))]
    #[case(r#"{"a": "../x"}"#, LayoutError::Parent("../x".into()))]
    #[case(r#"{"a": "x/../y"}"#, LayoutError::Parent("x/../y".into()))]
    #[case(r#"{"a": "..data"}"#, LayoutError::Parent("..data".into()))]
    #[case(r#"{"a": ""}"#, LayoutError::EmptyPart(String::new()))]
    #[case(r#"{"a": "x//y"}"#, LayoutError::EmptyPart("x//y".into()))]
    #[case(r#"{"a": "x/"}"#, LayoutError::EmptyPart("x/".into()))]
    #[case(r#"{"a": "./x"}"#, LayoutError::EmptyPart("./x".into()))]
    #[case(r#"{"a": "x\u0000"}"#, LayoutError::Unusable("x\0".into()))]
    #[case(r#"{"a": "x", "b": "x"}"#, LayoutError::PathTwice("x".into()))]
    #[case(r#"{"a": "b"}"#, LayoutError::PathTwice("b".into()))]
    #[case(r#"{"a": "b/c"}"#, LayoutError::BelowFile { outer: "b".into(), inner: "b/c".into() })]
    #[case(r#"{"a": "x", "b": "x/y", "c": "x-"}"#, LayoutError::BelowFile { outer: "x".into(), inner: "x/y".into() })]
    fn bad_layouts(#[case] json: &str, #[case] expected: LayoutError) {
        assert_eq!(
            Layout::read(Some(json), None, &keys(&["a", "b", "c"])),
            Err(expected)
        );
    }

    #[test]
    fn a_part_that_is_too_long_is_refused() {
        let json = format!(r#"{{"a": "{}"}}"#, "x".repeat(256));
        assert!(matches!(
            Layout::read(Some(&json), None, &keys(&["a"])),
            Err(LayoutError::Unusable(_))
        ));
    }
}
