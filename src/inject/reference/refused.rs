//! A reference in whose place nothing can be put.

use std::fmt;

use super::iomete::{List, Mistake};
use super::{Malformed, Unresolved};
use crate::inject::quote;

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

    /// An entry of one of IOMETE's lists, or the list as a whole.
    pub(in crate::inject) fn misread(list: List, mistake: &Mistake<'_>) -> Self {
        let key = mistake.key.as_deref();
        let place = mistake.number.map_or_else(
            || "annotation of the pod".to_owned(),
            |number| entry(list, number),
        );
        Self {
            malformed: true,
            ..Self::new(key.unwrap_or(list.annotation()), place, &mistake.why)
        }
    }

    /// Options for Spark that have no place.
    pub(super) fn homeless(reference: &str, place: String, why: &str) -> Self {
        Self {
            malformed: true,
            ..Self::new(reference, place, &why)
        }
    }

    pub(in crate::inject) fn unresolved(reference: &str, place: String, why: &Unresolved) -> Self {
        Self::new(reference, place, why)
    }

    fn new(reference: &str, place: String, why: &impl fmt::Display) -> Self {
        Self {
            reference: quote::head(reference, QUOTED).to_owned(),
            place,
            why: why.to_string(),
            malformed: false,
        }
    }
}

/// Where an entry of one of IOMETE's lists stands.
pub(in crate::inject) fn entry(list: List, number: usize) -> String {
    format!("entry {number} of {}", list.annotation())
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
