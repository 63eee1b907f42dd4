//! The folder in a zip archive, which somebody else made and which may mean no good.
//!
//! The archive has to be exactly that: entries one after the other, their directory, and its end. What leaves room for two
//! opinions on what is in it is refused, and so is what is no ordinary file. The directory is checked by its bytes
//! before the zip reader sees any of it; then every entry is unpacked, whether it is kept or not, and
//! measured while that is done. Nothing that an archive says of itself is believed.
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>

mod directory;

use std::collections::HashSet;
use std::fmt;
use std::io::{Cursor, Read};

use thiserror::Error;
use zeroize::Zeroizing;
use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::{ZipArchive, ZipReadOptions};

use self::directory::Listed;
use super::value::Value;
use super::{File, MAX_SECRET_SIZE};
use crate::inject::layout::{self, LayoutError};

/// The most entries, folders included. All of them are named in every pod.
pub const MAX_ENTRIES: usize = 1000;
/// The most bytes that all files have together. So much is unpacked to see what it is, though no Secret holds it.
pub const MAX_UNPACKED: u64 = 16 * 1024 * 1024;
/// How many times its packed size a file may have. Text seldom has twenty times as much.
pub const MAX_RATIO: u64 = 200;
/// Smaller files may have any ratio.
const RATIO_FROM: u64 = 1024 * 1024;

/// Bits of the mode that say what a file is, those of a folder and of an ordinary file, and those that let it be run.
const TYPE: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const ORDINARY: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const EXECUTE: u32 = 0o111;

/// General purpose flags.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const DESCRIPTOR: u16 = 1 << 3;
const PATCHED: u16 = 1 << 5;
const UTF8: u16 = 1 << 11;

/// Methods of compression.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// How long what stands behind a file's data may be: checksum and two sizes of 4 or 8 bytes, maybe with a signature.
const DESCRIPTORS: [u64; 4] = [12, 16, 20, 24];

/// How much of a name is told.
const TOLD: usize = 100;

/// What an archive holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Unpacked {
    /// Its files, in its own order.
    Files(Vec<File<Value>>),
    /// More than a Secret can hold, and nothing else against it.
    Large {
        /// Bytes of all files.
        total: u64,
    },
}

/// Why an archive is refused. Names of entries are told, and nothing of what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArchiveError {
    /// Neither an archive nor one in base64.
    #[error("it is no zip archive")]
    NoArchive,
    /// The end is missing.
    #[error("it is cut off: the end of its directory is missing")]
    CutOff,
    /// Something that is no part of it.
    #[error("something stands before it, behind it or between its parts")]
    Surplus,
    /// A zip64 archive, or one that says so.
    #[error("it says to be a zip64 archive, which nothing in a Secret is large enough for")]
    Zip64,
    /// One of several.
    #[error("it is one part of several")]
    Part,
    /// What it says of itself cannot be.
    #[error("its directory cannot be read")]
    Directory,
    /// Too many entries.
    #[error("it has {0} entries; {MAX_ENTRIES} are the most")]
    Entries(usize),
    /// Too much in it.
    #[error("its files have more than {MAX_UNPACKED} bytes together")]
    Bomb,
    /// Something about one of its entries.
    #[error("its entry {name:?} {problem}")]
    Entry {
        /// The name, or as much of it as a person reads.
        name: String,
        /// What it is.
        problem: Problem,
    },
}

/// Why an entry is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The name is not UTF-8, or not marked so.
    NotUtf8,
    /// The name has a backslash: on Windows it is a path.
    Backslash,
    /// The name starts with a drive letter.
    Drive,
    /// The path starts with `/`.
    Absolute,
    /// The path has a part that starts with `..`.
    Parent,
    /// The path has an empty part or `.`.
    EmptyPart,
    /// A name that is too long for a file, or has a NUL.
    Unusable,
    /// Another entry has the name.
    Twice,
    /// It is encrypted.
    Encrypted,
    /// It is packed otherwise.
    Method,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket, or a folder called like a file or the other way round.
    Special,
    /// A folder with content.
    Content,
    /// It shares bytes with another entry or with the directory.
    Overlap,
    /// What stands before it contradicts the directory.
    Contradiction,
    /// It unpacks to far more than it is.
    Ratio,
    /// It has fewer bytes than it says.
    Size,
    /// It cannot be unpacked, is not what it was, or has more bytes than it says.
    Damaged,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "has a name that is not UTF-8 or not marked so",
            Self::Backslash => "has a backslash in its name",
            Self::Drive => "has a drive letter in its name",
            Self::Absolute => "has an absolute path",
            Self::Parent => "has a path with a part that starts with \"..\"",
            Self::EmptyPart => "has a path with an empty part or a part \".\"",
            Self::Unusable => "has a name that no file can have",
            Self::Twice => "is there twice",
            Self::Encrypted => "is encrypted",
            Self::Method => "is packed by another method than deflate",
            Self::Link => "is a symbolic link",
            Self::Special => "is no ordinary file",
            Self::Content => "is a folder that has content",
            Self::Overlap => "shares bytes with another part of the archive",
            Self::Contradiction => "has a header that contradicts the directory",
            Self::Ratio => "unpacks to more than 200 times its size",
            Self::Size => "is smaller than the directory says",
            Self::Damaged => "is damaged or larger than the directory says",
        })
    }
}

/// Reads an archive. `keep` is how many bytes of files are of use: with more, only their size is given.
pub fn unpack(bytes: &[u8], keep: u64) -> Result<Unpacked, ArchiveError> {
    let (entries, directory_start) = directory::read(bytes)?;
    let mut names = HashSet::new();
    for entry in &entries {
        check(entry)?;
        if !names.insert(entry.name.strip_suffix(b"/").unwrap_or(entry.name)) {
            return Err(entry.is(Problem::Twice));
        }
    }
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let mut archive =
        ZipArchive::with_config(config, Cursor::new(bytes)).map_err(|_| ArchiveError::Directory)?;
    if archive.len() != entries.len() {
        return Err(ArchiveError::Directory);
    }
    let mut contents = Contents {
        total: 0,
        keep: keep.min(MAX_SECRET_SIZE),
        files: vec![],
    };
    let mut places = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let options = ZipReadOptions::new().enforce_header_consistency(true);
        let mut file = archive
            .by_index_with_options(index, options)
            .map_err(|_| entry.is(Problem::Contradiction))?;
        // That both readers speak of the same entry.
        if file.name_raw() != entry.name || file.central_header_start() != entry.at {
            return Err(entry.is(Problem::Contradiction));
        }
        let start = file.header_start();
        let data = file
            .data_start()
            .ok_or_else(|| entry.is(Problem::Contradiction))?;
        places.push((start, data.saturating_add(file.compressed_size()), entry));
        contents.take(entry, &mut file)?;
    }
    check_places(places, directory_start)?;
    Ok(contents.unpacked())
}

/// What the directory says of an entry by itself.
fn check(entry: &Listed<'_>) -> Result<(), ArchiveError> {
    let name = entry.text().ok_or_else(|| entry.is(Problem::NotUtf8))?;
    let mut chars = name.chars();
    if name.contains('\\') {
        return Err(entry.is(Problem::Backslash));
    }
    if chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.next() == Some(':') {
        return Err(entry.is(Problem::Drive));
    }
    let folder = name.ends_with('/');
    layout::check_path(name.strip_suffix('/').unwrap_or(name)).map_err(|error| {
        entry.is(match error {
            LayoutError::Absolute(_) => Problem::Absolute,
            LayoutError::Parent(_) => Problem::Parent,
            LayoutError::EmptyPart(_) => Problem::EmptyPart,
            _ => Problem::Unusable,
        })
    })?;
    if entry.flags & ENCRYPTED != 0 {
        return Err(entry.is(Problem::Encrypted));
    }
    if entry.flags & PATCHED != 0 || ![STORED, DEFLATED].contains(&entry.method) {
        return Err(entry.is(Problem::Method));
    }
    // Also where the archive says that it comes from a system without modes: Python on Windows writes them all the same.
    match entry.mode & TYPE {
        0 => Ok(()),
        FOLDER if folder => Ok(()),
        ORDINARY if !folder => Ok(()),
        LINK => Err(entry.is(Problem::Link)),
        _ => Err(entry.is(Problem::Special)),
    }
}

/// That every byte before the directory belongs to one entry.
fn check_places(
    mut places: Vec<(u64, u64, &Listed<'_>)>,
    directory_start: u64,
) -> Result<(), ArchiveError> {
    places.sort_unstable_by_key(|(start, end, _)| (*start, *end));
    let first = places.first().map_or(directory_start, |(start, ..)| *start);
    if first != 0 {
        return Err(ArchiveError::Surplus);
    }
    let starts = places.iter().skip(1).map(|(start, ..)| *start);
    let starts: Vec<u64> = starts.chain([directory_start]).collect();
    for ((_, end, entry), next) in places.iter().zip(starts) {
        let gap = next
            .checked_sub(*end)
            .ok_or_else(|| entry.is(Problem::Overlap))?;
        let descriptor = entry.flags & DESCRIPTOR != 0 && DESCRIPTORS.contains(&gap);
        if gap != 0 && !descriptor {
            return Err(ArchiveError::Surplus);
        }
    }
    Ok(())
}

/// What has been unpacked so far.
struct Contents {
    total: u64,
    keep: u64,
    files: Vec<File<Value>>,
}

impl Contents {
    fn take<R: Read>(
        &mut self,
        entry: &Listed<'_>,
        file: &mut ZipFile<'_, R>,
    ) -> Result<(), ArchiveError> {
        let (packed, size) = (file.compressed_size(), file.size());
        if entry.name.ends_with(b"/") {
            return if size == 0 {
                Ok(())
            } else {
                Err(entry.is(Problem::Content))
            };
        }
        if size > RATIO_FROM && size / MAX_RATIO > packed {
            return Err(entry.is(Problem::Ratio));
        }
        self.total = self.total.saturating_add(size);
        if self.total > MAX_UNPACKED {
            return Err(ArchiveError::Bomb);
        }
        let kept = self.total <= self.keep;
        if !kept {
            self.files.clear();
        }
        let content = read(file, size, kept).map_err(|problem| entry.is(problem))?;
        if let (true, Some(path)) = (kept, entry.text()) {
            self.files.push(File {
                path: path.to_owned(),
                executable: entry.mode & EXECUTE != 0,
                content: content.into(),
            });
        }
        Ok(())
    }

    fn unpacked(self) -> Unpacked {
        if self.total <= self.keep {
            Unpacked::Files(self.files)
        } else {
            Unpacked::Large { total: self.total }
        }
    }
}

/// Unpacks a file, which has to have just this size. Its checksum is checked at its end.
fn read(file: &mut impl Read, size: u64, keep: bool) -> Result<Zeroizing<Vec<u8>>, Problem> {
    // Room for all of it at once: what a growing vector leaves behind is not zeroed.
    let room = if keep {
        usize::try_from(size).unwrap_or(0)
    } else {
        0
    };
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    let mut part = Zeroizing::new([0; 8192]);
    let mut count: u64 = 0;
    loop {
        let length = file
            .read(part.as_mut_slice())
            .map_err(|_| Problem::Damaged)?;
        let read = part.get(..length).ok_or(Problem::Damaged)?;
        if read.is_empty() {
            break;
        }
        count = count.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if count > size {
            return Err(Problem::Size);
        }
        if keep {
            content.extend_from_slice(read);
        }
    }
    if count == size {
        Ok(content)
    } else {
        Err(Problem::Size)
    }
}

impl Listed<'_> {
    /// The name; `None` where nobody can say what it is. Without the mark, other readers take it for another text.
    fn text(&self) -> Option<&str> {
        let marked = self.flags & UTF8 != 0 || self.name.is_ascii();
        std::str::from_utf8(self.name).ok().filter(|_| marked)
    }

    fn is(&self, problem: Problem) -> ArchiveError {
        let name = String::from_utf8_lossy(self.name);
        let name = if name.chars().count() <= TOLD {
            name.into_owned()
        } else {
            name.chars().take(TOLD - 1).chain(['…']).collect()
        };
        ArchiveError::Entry { name, problem }
    }
}

#[cfg(test)]
mod tests;
