//! The directory of an archive, by its bytes: that it is all there, lies where its end says, and is all that there is.

use super::{ArchiveError, MAX_ENTRIES};

/// What an archive's parts start with.
const FILE: [u8; 4] = *b"PK\x03\x04";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const ZIP64_LOCATOR: [u8; 4] = *b"PK\x06\x07";

/// Lengths of those parts without what varies.
const ENTRY_LENGTH: usize = 46;
const END_LENGTH: usize = 22;
const ZIP64_LOCATOR_LENGTH: usize = 20;

/// The extra field with the sizes of zip64.
const ZIP64_FIELD: u16 = 1;

/// An entry as the directory has it.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    /// Where it stands.
    pub(super) at: u64,
    pub(super) flags: u16,
    pub(super) method: u16,
    /// What a Unix system would know of the file, or 0.
    pub(super) mode: u32,
    pub(super) name: &'a [u8],
}

/// Gives the entries, and where the directory starts.
pub(super) fn read(bytes: &[u8]) -> Result<(Vec<Listed<'_>>, u64), ArchiveError> {
    let end = end(bytes)?;
    // Two numbers of disks, and how many entries are on this one.
    if number(bytes, end + 4, 4) != Some(0)
        || number(bytes, end + 8, 2) != number(bytes, end + 10, 2)
    {
        return Err(ArchiveError::Part);
    }
    let field = |at, length| number(bytes, at, length).ok_or(ArchiveError::CutOff);
    let count = field(end + 10, 2)?;
    let (size, start) = (field(end + 12, 4)?, field(end + 16, 4)?);
    let locator = end.checked_sub(ZIP64_LOCATOR_LENGTH);
    if locator.is_some_and(|at| starts_with(bytes, at, ZIP64_LOCATOR))
        || count == usize::from(u16::MAX)
        || [size, start].contains(&0xffff_ffff)
    {
        return Err(ArchiveError::Zip64);
    }
    if count > MAX_ENTRIES {
        return Err(ArchiveError::Entries(count));
    }
    if start.checked_add(size) != Some(end) {
        return Err(ArchiveError::Surplus);
    }
    let mut entries = Vec::with_capacity(count);
    let mut at = start;
    for _ in 0..count {
        let (entry, next) = entry(bytes, at)
            .filter(|(_, next)| *next <= end)
            .ok_or(ArchiveError::Directory)?;
        if entry.is_zip64(bytes, at) {
            return Err(ArchiveError::Zip64);
        }
        entries.push(entry);
        at = next;
    }
    if at != end {
        return Err(ArchiveError::Directory);
    }
    let start = u64::try_from(start).map_err(|_| ArchiveError::Directory)?;
    Ok((entries, start))
}

/// Where the last part is. A comment behind it could hold another.
fn end(bytes: &[u8]) -> Result<usize, ArchiveError> {
    let end = bytes.len().checked_sub(END_LENGTH);
    if let Some(end) =
        end.filter(|end| starts_with(bytes, *end, END) && number(bytes, end + 20, 2) == Some(0))
    {
        let empty = end == 0;
        return if empty || starts_with(bytes, 0, FILE) {
            Ok(end)
        } else {
            Err(ArchiveError::Surplus)
        };
    }
    let somewhere = bytes.windows(END.len()).any(|window| window == END);
    Err(match (starts_with(bytes, 0, FILE), somewhere) {
        (true, false) => ArchiveError::CutOff,
        (_, true) => ArchiveError::Surplus,
        (false, false) => ArchiveError::NoArchive,
    })
}

/// The entry at a place, and where the next one is.
fn entry(bytes: &[u8], at: usize) -> Option<(Listed<'_>, usize)> {
    if !starts_with(bytes, at, ENTRY) {
        return None;
    }
    let short = |offset| number(bytes, at + offset, 2);
    let name_start = at + ENTRY_LENGTH;
    let name_end = name_start + short(28)?;
    let next = name_end + short(30)? + short(32)?;
    let entry = Listed {
        at: u64::try_from(at).ok()?,
        flags: u16::try_from(short(8)?).ok()?,
        method: u16::try_from(short(10)?).ok()?,
        mode: u32::try_from(short(40)?).ok()?,
        name: bytes.get(name_start..name_end)?,
    };
    Some((entry, next))
}

impl Listed<'_> {
    /// Whether sizes or place are said to stand elsewhere, or do.
    fn is_zip64(&self, bytes: &[u8], at: usize) -> bool {
        let elsewhere = |offset| number(bytes, at + offset, 4) == Some(0xffff_ffff);
        if [20, 24, 42].into_iter().any(elsewhere) {
            return true;
        }
        let mut field = at + ENTRY_LENGTH + self.name.len();
        let end = field + number(bytes, at + 30, 2).unwrap_or(0);
        while let (true, Some(length)) = (field + 4 <= end, number(bytes, field + 2, 2)) {
            if number(bytes, field, 2) == Some(usize::from(ZIP64_FIELD)) {
                return true;
            }
            field += 4 + length;
        }
        false
    }
}

fn starts_with(bytes: &[u8], at: usize, part: [u8; 4]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(&part))
}

/// A number of 2 or 4 bytes, the least significant first.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let digits = bytes.get(at..at.checked_add(length)?)?;
    Some(
        digits
            .iter()
            .rev()
            .fold(0, |number, digit| (number << 8) | usize::from(*digit)),
    )
}
