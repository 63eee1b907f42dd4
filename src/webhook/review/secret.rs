//! Reading an AdmissionReview of a Secret: its marks alone. The values in it are skipped and never held.

use serde::de::IgnoredAny;

use super::{BadReview, Head, Request, Review, Subject, checked, why};
use crate::inject::marks::Marks;

/// A review that can be answered.
#[derive(Debug)]
pub(in crate::webhook) struct Reviewed<'a> {
    /// On creation and deletion with the name of the object where the request has none: it may be generated, or one of
    /// a collection.
    pub(in crate::webhook) head: Head<'a>,
    pub(in crate::webhook) change: Change<'a>,
}

/// What becomes of a Secret.
#[derive(Debug)]
pub(in crate::webhook) enum Change<'a> {
    Created(Marks<'a>),
    Deleted(Marks<'a>),
    /// It is about no Secret, or does nothing of these to one.
    Other,
    /// An object that is no Secret, whatever its kind says.
    Unreadable,
}

/// Reads a body.
pub(in crate::webhook) fn read(body: &[u8]) -> Result<Reviewed<'_>, BadReview> {
    if let Ok(review) = serde_json::from_slice::<Review<'_, Marks<'_>, Marks<'_>>>(body) {
        let mut request = checked(review)?;
        let (new, old) = (request.object.take(), request.old_object.take());
        let change = if request.kind.is_secret() && request.sub_resource.is_none() {
            change(request.operation.as_str(), new, old)
        } else {
            Change::Other
        };
        return Ok(reviewed(request, change));
    }
    let review = serde_json::from_slice::<Review<'_, IgnoredAny, IgnoredAny>>(body)
        .map_err(|error| why(body, &error))?;
    let request = checked(review)?;
    let change = if request.kind.is_secret() {
        Change::Unreadable
    } else {
        Change::Other
    };
    Ok(reviewed(request, change))
}

fn change<'a>(operation: &str, new: Option<Marks<'a>>, old: Option<Marks<'a>>) -> Change<'a> {
    match (operation, new, old) {
        ("CREATE", Some(new), _) => Change::Created(new),
        ("DELETE", _, Some(old)) => Change::Deleted(old),
        _ => Change::Other,
    }
}

fn reviewed<'a, New, Old>(request: Request<'a, New, Old>, change: Change<'a>) -> Reviewed<'a> {
    let mut head = request.reviewed(Subject::Other).head;
    if let Change::Created(marks) | Change::Deleted(marks) = &change
        && head.name.as_str().is_empty()
        && let Some(name) = marks.name()
    {
        head.name = name.clone();
    }
    Reviewed { head, change }
}
