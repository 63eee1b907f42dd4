//! Which data key each file gets.

use std::collections::{BTreeMap, BTreeSet};

use super::Present;
use crate::inject::name::{self, DATA_KEY_LENGTH, is_data_key};

/// The key under which Konduktor's client keeps a whole folder: no file gets it.
pub const ARCHIVE: &str = "payload.zip";

/// Hex digits of the hash behind a key that is made from a path.
const HASH: usize = 10;

/// A key for each of these paths, which are sorted and all different: the one that the file had, else its own name, else
/// one made from the whole path.
pub(super) fn assign<'p>(
    paths: impl Iterator<Item = &'p str> + Clone,
    present: &Present<'_>,
) -> Vec<String> {
    let mut before = BTreeMap::new();
    for (key, path) in &present.before {
        before.entry(*path).or_insert(*key);
    }
    let mut taken: BTreeSet<String> = [ARCHIVE].map(str::to_owned).into();
    taken.extend(present.taken.iter().map(|key| (*key).to_owned()));
    let kept = |path| {
        let key = before.get(path)?;
        (is_data_key(key) && !taken.contains(*key)).then(|| (*key).to_owned())
    };
    let mut keys: Vec<Option<String>> = paths.clone().map(kept).collect();
    taken.extend(present.before.keys().map(|key| (*key).to_owned()));
    for (key, path) in keys.iter_mut().zip(paths.clone()) {
        let own = path.rsplit('/').next().unwrap_or(path);
        if key.is_none() && is_data_key(own) && taken.insert(own.to_owned()) {
            *key = Some(own.to_owned());
        }
    }
    // Last, when it is known which files are called like such a key.
    let keys = keys.into_iter().zip(paths);
    keys.map(|(key, path)| key.unwrap_or_else(|| free(path, &mut taken)))
        .collect()
}

fn free(path: &str, taken: &mut BTreeSet<String>) -> String {
    let mut attempt = 0;
    loop {
        let key = derived(path, attempt);
        if taken.insert(key.clone()) {
            return key;
        }
        attempt += 1;
    }
}

/// The path as far as a key can hold it, and a hash of all of it. Both ends stay within what [`is_data_key`] allows: no
/// path starts with `..`.
fn derived(path: &str, attempt: u64) -> String {
    let known = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') {
            c
        } else {
            '_'
        }
    };
    let head: String = path
        .chars()
        .take(DATA_KEY_LENGTH - HASH - 1)
        .map(known)
        .collect();
    let hash = match attempt {
        0 => name::hash(path, HASH),
        _ => name::hash(&format!("{path}\0{attempt}"), HASH),
    };
    format!("{head}-{hash}")
}
