//! The steps of an admission one by one, for who measures them (`tests/bench`). They are no interface: what they take and
//! give changes without notice.

use super::answer::{Answer, Audit};
use super::review::{self, Subject};
use crate::inject::patch::Operation;
use crate::inject::pod::Pod;

/// Reads the pod of a review that asks for its creation.
#[must_use]
pub fn read(body: &[u8]) -> Option<Pod<'_>> {
    let body = review::Body::from(body);
    if review::secret::is_of_secret(body) {
        return None;
    }
    match review::read(body).ok()?.subject {
        Subject::Pod(pod) => Some(pod),
        _ => None,
    }
}

/// Writes the answer with a patch.
#[must_use]
pub fn write<'a>(uid: &'a str, patch: Vec<Operation<'a>>) -> Option<Vec<u8>> {
    let audit = Audit {
        decision: "inject",
        reason: "injected",
        ..Audit::default()
    };
    let answer = Answer {
        uid,
        patch,
        audit,
        ..Answer::default()
    };
    answer.write().ok()
}
