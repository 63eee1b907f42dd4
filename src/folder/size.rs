//! How much a Secret holds.

use std::fmt;

use thiserror::Error;

/// The most bytes that the values of a Secret have together (`MaxSecretSize` of the API server).
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size>
pub const MAX_SECRET_SIZE: u64 = 1_048_576;

/// How many keys are named.
const NAMED: usize = 10;

/// More than a Secret can hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{total} bytes are more than the {MAX_SECRET_SIZE} that a Secret can hold: {}",
    Named(.keys)
)]
pub struct TooLarge {
    /// All values together, in bytes.
    pub total: u64,
    /// The keys with the sizes of their values, the largest first.
    pub keys: Vec<(String, u64)>,
}

/// Adds up values as the API server does: their bytes, without keys and metadata. Gives the total.
pub fn check_size<'k>(keys: impl IntoIterator<Item = (&'k str, u64)>) -> Result<u64, TooLarge> {
    let mut keys: Vec<_> = keys.into_iter().collect();
    let total = keys
        .iter()
        .fold(0, |total: u64, (_, size)| total.saturating_add(*size));
    if total <= MAX_SECRET_SIZE {
        return Ok(total);
    }
    keys.sort_by(|(one, a), (other, b)| b.cmp(a).then(one.cmp(other)));
    let keys = keys
        .into_iter()
        .map(|(key, size)| (key.to_owned(), size))
        .collect();
    Err(TooLarge { total, keys })
}

/// The largest keys.
struct Named<'a>(&'a [(String, u64)]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, size)) in self.0.iter().take(NAMED).enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{key} {size}")?;
        }
        match self.0.len().checked_sub(NAMED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, ", and {more} more"),
        }
    }
}
