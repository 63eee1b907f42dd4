//! The archive of a Secret becomes its files, as keys beside it.
//!
//! Konduktor's client sends one key, `payload.zip`. It stays, as the scripts of its pods unpack it. The keys that are added
//! are listed in the annotation `keyporter.dev/expanded`; all others are the user's and are never touched, and a file whose
//! name is taken gets another key.
//!
//! | the archive | keys of a former one | what happens |
//! |---|---|---|
//! | is new or changed | stay if the file is still there, go otherwise | its files come in, or it is refused |
//! | is what it was, with files | | nothing, unless the user wrote a value of their own under a file's key |
//! | is what it was, without files | | as if it were new, but it is never refused |
//! | is gone | go | |

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use thiserror::Error;
use zeroize::Zeroizing;

use super::archive::{ArchiveError, Unpacked, unpack};
use super::change::Change;
use super::contents::{Contents, Hidden};
use super::{
    ARCHIVE, File, Folder, FolderError, MAX_SECRET_SIZE, Present, TooLarge, Value, check_size,
};
use crate::inject::annotations as names;
use crate::inject::layout::{Layout, LayoutError};
use crate::inject::secret::Key;

/// How much all annotations have together, in bytes, less room for the owner.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/>
const ANNOTATIONS_SIZE: usize = 252 * 1024;

/// What starts an archive.
const MAGIC: &[u8] = b"PK";

/// What becomes of a Secret with an archive.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing: all is as it should be.
    Settled,
    /// It has no archive, nor had one.
    NoArchive,
    /// So many files come out of it, or came.
    Expanded {
        /// How many.
        files: usize,
        /// The patch; empty where all of them are there.
        patch: Vec<Change>,
    },
    /// The archive stays alone.
    Packed {
        /// Why.
        why: Packed,
        /// The patch takes away what came from a former one.
        patch: Vec<Change>,
    },
    /// The archive is refused.
    Refused(Refused),
}

/// Why a new archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Not a value of a Secret.
    #[error("it is not base64")]
    NotBase64,
    /// An archive that may mean no good.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Files that cannot lie in one Secret.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Why an archive stays packed though nothing is wrong with the request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Packed {
    /// Its files alone are too large.
    #[error(
        "payload.zip stays packed: its files have {0} bytes, more than the {MAX_SECRET_SIZE} that a Secret can hold"
    )]
    Larger(u64),
    /// With its files the Secret is too large.
    #[error("payload.zip stays packed: with its files, {0}")]
    TooLarge(TooLarge),
    /// Its files and other keys cannot lie in one folder, or the annotation says nonsense.
    #[error("payload.zip stays packed: beside the other keys, {0}")]
    Layout(LayoutError),
    /// The layout does not fit into the annotations.
    #[error(
        "payload.zip stays packed: the names of its files are longer than annotations can hold"
    )]
    Names,
    /// Nothing in it, as of a folder with files that the client leaves out.
    #[error("payload.zip stays packed: {}", FolderError::Empty)]
    Empty,
    /// It was refused if it were new.
    #[error("payload.zip stays packed: {0}")]
    Refused(Refused),
}

/// Decides about a Secret that is made (`old` is `None`) or changed.
#[must_use]
pub fn expand(new: &Contents<'_>, old: Option<&Contents<'_>>) -> Outcome {
    let former = Former::of(new, old);
    let Some(payload) = new.value(ARCHIVE) else {
        if former.keys.is_empty() {
            return Outcome::NoArchive;
        }
        let patch = former.cleared(new);
        return Outcome::Expanded { files: 0, patch };
    };
    let unchanged = old.is_some_and(|old| old.value(ARCHIVE) == Some(payload));
    if unchanged && marker(new).is_some() && former.overwritten.is_empty() {
        return Outcome::Settled;
    }
    let why = match unpacked(new, payload, &former) {
        Ok(outcome) => return outcome,
        Err(Stop::Refused(refused)) if !unchanged => return Outcome::Refused(refused),
        Err(Stop::Refused(refused)) => Packed::Refused(refused),
        Err(Stop::Packed(why)) => why,
    };
    let patch = former.cleared(new);
    Outcome::Packed { why, patch }
}

/// Why no files come out of an archive.
enum Stop {
    Refused(Refused),
    Packed(Packed),
}

impl<R: Into<Refused>> From<R> for Stop {
    fn from(refused: R) -> Self {
        Self::Refused(refused.into())
    }
}

fn unpacked(new: &Contents<'_>, payload: &str, former: &Former<'_>) -> Result<Outcome, Stop> {
    let archive = decode(payload)?;
    // As much as there can be: what of the former files is the user's now is only known when the new ones are.
    let others = new
        .values()
        .filter(|(key, _)| !former.keys.contains_key(*key));
    let others: Vec<_> = sizes(others).collect();
    let taken: u64 = others.iter().map(|(_, size)| size).sum();
    match unpack(&archive, MAX_SECRET_SIZE.saturating_sub(taken))? {
        Unpacked::Files(files) if files.is_empty() => Err(Stop::Packed(Packed::Empty)),
        Unpacked::Files(files) => former.replaced(new, files),
        Unpacked::Large { total } => Err(Stop::Packed(too_large(others, total))),
    }
}

/// The archive in a value. Konduktor's client sends it as it is; in base64 once more it would be the same folder.
fn decode(base64: &str) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let decode = |text: &[u8]| BASE64.decode(text).ok().map(Zeroizing::new);
    let bytes = decode(base64.as_bytes()).ok_or(Refused::NotBase64)?;
    if bytes.starts_with(MAGIC) {
        return Ok(bytes);
    }
    let mut text = bytes.clone();
    text.retain(|byte| !byte.is_ascii_whitespace());
    let inner = decode(&text).filter(|inner| inner.starts_with(MAGIC));
    Ok(inner.unwrap_or(bytes))
}

/// The files are too large for the room that the other values leave.
fn too_large(others: Vec<(&str, u64)>, total: u64) -> Packed {
    if total > MAX_SECRET_SIZE {
        return Packed::Larger(total);
    }
    let all = others.into_iter().chain([("its files", total)]);
    check_size(all).map_or_else(Packed::TooLarge, |_| Packed::Larger(total))
}

/// The keys that came from a former archive.
struct Former<'c> {
    /// With the paths of their files.
    keys: BTreeMap<String, String>,
    /// Those that hold something else than before the request, with what they hold.
    overwritten: BTreeMap<String, &'c str>,
}

impl<'c> Former<'c> {
    /// The list is that of the Secret as it comes; where that lost it, the one before.
    fn of(new: &'c Contents<'_>, old: Option<&'c Contents<'_>>) -> Self {
        let from = [Some(new), old]
            .into_iter()
            .flatten()
            .find_map(|from| Some((from, marker(from)?)));
        let Some((from, keys)) = from else {
            return Self {
                keys: BTreeMap::new(),
                overwritten: BTreeMap::new(),
            };
        };
        let annotations = from.annotations();
        let mut paths: BTreeMap<String, String> =
            json(annotations.and_then(|all| all.layout.as_ref())).unwrap_or_default();
        let path = |key: String| (key.clone(), paths.remove(&key).unwrap_or(key));
        let keys: BTreeMap<_, _> = keys
            .into_iter()
            .filter(|key| key != ARCHIVE)
            .map(path)
            .collect();
        let overwritten = keys.keys().filter_map(|key| {
            let (value, before) = (new.value(key)?, old?.value(key)?);
            (value != before).then(|| (key.clone(), value))
        });
        Self {
            overwritten: overwritten.collect(),
            keys: keys.clone(),
        }
    }

    /// Those that are still files: what the user wrote over is the user's, unless it is what the file holds.
    fn without(&self, files: &[File<Value>]) -> BTreeMap<&str, &str> {
        let holds = |path: &str, value: &str| {
            let mut files = files.iter().filter(|file| file.path == path);
            files.any(|file| encoded(file).as_str() == value)
        };
        let keys = self.keys.iter().filter(|(key, path)| {
            let overwritten = self.overwritten.get(*key);
            overwritten.is_none_or(|value| holds(path, value))
        });
        keys.map(|(key, path)| (key.as_str(), path.as_str()))
            .collect()
    }

    /// The patch that leaves nothing of them.
    fn cleared(&self, new: &Contents<'_>) -> Vec<Change> {
        let gone = self.without(&[]);
        match Draft::of(new, self) {
            Ok(draft) => draft.patch(new, &gone, None),
            // What the user wrote there stays as it is.
            Err(_) => {
                let there = gone.keys().filter(|key| new.value(key).is_some());
                let list = marker(new).map(|_| Change::no_annotation(names::EXPANDED));
                there.map(|key| Change::no_value(key)).chain(list).collect()
            }
        }
    }

    /// The new files in their place.
    fn replaced(&self, new: &Contents<'_>, files: Vec<File<Value>>) -> Result<Outcome, Stop> {
        let before = self.without(&files);
        let others = new.values().filter(|(key, _)| !before.contains_key(key));
        let others: Vec<_> = others.collect();
        let present = Present {
            taken: others.iter().map(|(key, _)| *key).collect(),
            before: before.clone(),
        };
        let folder = Folder::new(files, &present)?;
        let entries = folder.entries();
        let mut draft = Draft::of(new, self).map_err(Stop::layout)?;
        let own = |(key, path): (&str, &str)| (key.to_owned(), path.to_owned());
        draft.layout.extend(folder.layout().into_iter().map(own));
        let executables = folder.executables().into_iter().map(str::to_owned);
        draft.executable.extend(executables);
        draft.expanded = entries.iter().map(|entry| entry.key.clone()).collect();

        let files = entries.iter().map(|entry| {
            let length = entry.file.content.as_bytes().len();
            (
                entry.key.as_str(),
                u64::try_from(length).unwrap_or(u64::MAX),
            )
        });
        let sizes: Vec<_> = sizes(others.iter().copied()).chain(files).collect();
        check_size(sizes.iter().copied()).map_err(|error| Stop::Packed(Packed::TooLarge(error)))?;
        draft.check(&sizes).map_err(Stop::layout)?;
        if draft.length(new) > ANNOTATIONS_SIZE {
            return Err(Stop::Packed(Packed::Names));
        }
        Ok(Outcome::Expanded {
            files: entries.len(),
            patch: draft.patch(new, &before, Some(&folder)),
        })
    }
}

impl Stop {
    fn layout(error: LayoutError) -> Self {
        Self::Packed(Packed::Layout(error))
    }
}

/// The annotations as they are to be.
struct Draft {
    layout: BTreeMap<String, String>,
    executable: BTreeSet<String>,
    expanded: BTreeSet<String>,
}

impl Draft {
    /// What they say of the user's own keys.
    fn of(new: &Contents<'_>, former: &Former<'_>) -> Result<Self, LayoutError> {
        let annotations = new.annotations();
        let layout = annotations.and_then(|all| all.layout.as_ref());
        let executable = annotations.and_then(|all| all.executable.as_ref());
        let mut draft = Self {
            layout: match layout {
                Some(text) => json(Some(text)).ok_or(LayoutError::NotAMap)?,
                None => BTreeMap::new(),
            },
            executable: match executable {
                Some(text) => json(Some(text)).ok_or(LayoutError::NotAList)?,
                None => BTreeSet::new(),
            },
            expanded: BTreeSet::new(),
        };
        draft.layout.retain(|key, _| !former.keys.contains_key(key));
        draft
            .executable
            .retain(|key| !former.keys.contains_key(key));
        Ok(draft)
    }

    /// Whether a pod can have these files together.
    fn check(&self, sizes: &[(&str, u64)]) -> Result<(), LayoutError> {
        let keys = sizes.iter().map(|(name, length)| Key {
            name: (*name).into(),
            length: *length,
        });
        let (layout, executable, _) = self.texts();
        let keys: Vec<_> = keys.collect();
        Layout::read(layout.as_deref(), executable.as_deref(), &keys).map(drop)
    }

    /// How long all annotations are then.
    fn length(&self, new: &Contents<'_>) -> usize {
        let others = new.annotations().map_or(0, |all| all.others);
        let (layout, executable, expanded) = self.texts();
        let ours = [
            (names::LAYOUT, layout),
            (names::EXECUTABLE, executable),
            (names::EXPANDED, expanded),
        ];
        let lengths = ours
            .iter()
            .map(|(name, text)| text.as_ref().map_or(0, |text| name.len() + text.len()));
        lengths.sum::<usize>() + others
    }

    /// The annotations; `None` where there is nothing to say.
    fn texts(&self) -> (Option<String>, Option<String>, Option<String>) {
        let text = |empty: bool, value: serde_json::Value| (!empty).then(|| value.to_string());
        (
            text(
                self.layout.is_empty(),
                self.layout.clone().into_iter().collect(),
            ),
            text(
                self.executable.is_empty(),
                self.executable.iter().cloned().collect(),
            ),
            text(
                self.expanded.is_empty(),
                self.expanded.iter().cloned().collect(),
            ),
        )
    }

    /// What makes the Secret so. `before` are the keys that came from a former archive.
    fn patch(
        &self,
        new: &Contents<'_>,
        before: &BTreeMap<&str, &str>,
        folder: Option<&Folder<Value>>,
    ) -> Vec<Change> {
        let stale = before
            .keys()
            .filter(|key| !self.expanded.contains(**key) && new.value(key).is_some());
        let mut patch: Vec<_> = stale.map(|key| Change::no_value(key)).collect();
        for entry in folder.iter().flat_map(|folder| folder.entries()) {
            let base64 = encoded(&entry.file);
            if new.value(&entry.key) != Some(base64.as_str()) {
                patch.push(Change::value(&entry.key, base64));
            }
        }
        let annotations = new.annotations();
        let (layout, executable, expanded) = self.texts();
        let there = |field: fn(&super::contents::Annotations<'_>) -> Option<String>| {
            annotations.and_then(field)
        };
        let texts = [
            (
                names::LAYOUT,
                layout,
                there(|all| text(all.layout.as_ref())),
            ),
            (
                names::EXECUTABLE,
                executable,
                there(|all| text(all.executable.as_ref())),
            ),
            (
                names::EXPANDED,
                expanded,
                there(|all| text(all.expanded.as_ref())),
            ),
        ];
        if annotations.is_none() && texts.iter().any(|(_, wanted, _)| wanted.is_some()) {
            patch.push(Change::annotations());
        }
        for (name, wanted, there) in texts {
            match (wanted, there) {
                (Some(wanted), there) if there.as_ref() != Some(&wanted) => {
                    patch.push(Change::annotation(name, wanted));
                }
                (None, Some(_)) => patch.push(Change::no_annotation(name)),
                _ => {}
            }
        }
        patch
    }
}

/// The keys that the annotation lists; `None` without it, or with one that nobody can read.
fn marker(contents: &Contents<'_>) -> Option<BTreeSet<String>> {
    json(contents.annotations()?.expanded.as_ref())
}

fn json<T: serde::de::DeserializeOwned>(text: Option<&Hidden<'_>>) -> Option<T> {
    serde_json::from_str(text?.as_str()).ok()
}

fn text(text: Option<&Hidden<'_>>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}

fn encoded(file: &File<Value>) -> Zeroizing<String> {
    Zeroizing::new(BASE64.encode(file.content.as_bytes()))
}

fn sizes<'v>(
    values: impl Iterator<Item = (&'v str, &'v str)>,
) -> impl Iterator<Item = (&'v str, u64)> {
    values.map(|(key, value)| (key, decoded_length(value)))
}

/// How many bytes a value has.
fn decoded_length(base64: &str) -> u64 {
    let digits = base64.trim_end_matches('=').len();
    u64::try_from(digits * 3 / 4).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
