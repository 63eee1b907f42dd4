//! A reference in whose place nothing can be put.

use std::fmt;

use super::{Malformed, Unresolved};

/// The longest text of a reference that a sentence quotes, in characters.
const QUOTED: usize = 100;

/// A reference that is refused, where it stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// The reference as it stands there.
    pub reference: String,
    /// Where.
    pub place: String,
    /// Why, with the way out.
    pub why: String,
    /// Whether it is written wrong, so that no secret that comes later can mend it.
    pub malformed: bool,
}

impl Refused {
    pub(super) fn malformed(reference: &str, place: String, why: Malformed) -> Self {
        Self {
            malformed: true,
            ..Self::new(reference, place, &why)
        }
    }

    pub(super) fn unresolved(reference: &str, place: String, why: &Unresolved) -> Self {
        Self::new(reference, place, why)
    }

    fn new(reference: &str, place: String, why: &impl fmt::Display) -> Self {
        Self {
            reference: reference.chars().take(QUOTED).collect(),
            place,
            why: why.to_string(),
            malformed: false,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reference,
            place,
            why,
            ..
        } = self;
        write!(f, "{reference:?} ({place}): {why}")
    }
}
