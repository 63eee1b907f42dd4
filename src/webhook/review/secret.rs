//! Reading an AdmissionReview of a Secret: its marks alone. The values in it are skipped and never held, but those of a
//! folder that is to be unpacked.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{BadReview, Body, Head, Kind, Request, Review, Subject, checked, why};
use crate::folder::Contents;
use crate::inject::marks::Marks;
use crate::inject::pod::Text;
use crate::json;

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
    Updated {
        new: Marks<'a>,
        old: Marks<'a>,
    },
    Deleted(Marks<'a>),
    /// It is about no Secret, or does nothing of these to one.
    Other,
    /// An object that is no Secret, whatever its kind says.
    Unreadable,
}

/// Reads a body.
pub(in crate::webhook) fn read(body: Body<'_>) -> Result<Reviewed<'_>, BadReview> {
    if let Ok(review) = body.read::<Review<'_, Marks<'_>, Marks<'_>>>() {
        let mut request = checked(review)?;
        let (new, old) = (request.object.take(), request.old_object.take());
        let change = if request.kind.is_secret() && request.sub_resource.is_none() {
            change(request.operation.as_str(), new, old)
        } else {
            Change::Other
        };
        return Ok(reviewed(request, change));
    }
    let review = body.read::<Review<'_, IgnoredAny, IgnoredAny>>();
    let review = review.map_err(|error| why(body.bytes, &error))?;
    let request = checked(review)?;
    let change = if request.kind.is_secret() {
        Change::Unreadable
    } else {
        Change::Other
    };
    Ok(reviewed(request, change))
}

/// Reads the Secret of a body with its values, and what it was before; `None` where that is no Secret.
pub(in crate::webhook) fn contents(body: Body<'_>) -> Option<(Contents<'_>, Option<Contents<'_>>)> {
    let review: Review<'_, Contents<'_>, Contents<'_>> = body.read().ok()?;
    let request = review.request?;
    let old = request
        .old_object
        .filter(|_| request.operation == *"UPDATE");
    Some((request.object?, old))
}

fn change<'a>(operation: &str, new: Option<Marks<'a>>, old: Option<Marks<'a>>) -> Change<'a> {
    match (operation, new, old) {
        ("CREATE", Some(new), _) => Change::Created(new),
        ("UPDATE", Some(new), Some(old)) => Change::Updated { new, old },
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

/// Whether a body is a review of a Secret, and so not to be read as anything else. This reads as far as to the kind,
/// which the API server writes before the object.
pub(in crate::webhook) fn is_of_secret(body: Body<'_>) -> bool {
    let mut found = None;
    // Both end with an error by design: the rest is left unread.
    if let Some(text) = body.text {
        let _unread = json::read::beginning(text, Peek::at(&mut found));
    }
    if found.is_none() {
        let mut reader = serde_json::Deserializer::from_slice(body.bytes);
        let _unread = reader.deserialize_map(Peek::at(&mut found));
    }
    found.unwrap_or_default()
}

/// Looks for the member `request`, and in it for `kind`.
struct Peek<'f> {
    member: &'static str,
    found: &'f mut Option<bool>,
}

impl<'f> Peek<'f> {
    /// Looks in a review, and puts there what it finds.
    fn at(found: &'f mut Option<bool>) -> Self {
        Self {
            member: "request",
            found,
        }
    }
}

impl<'de> Visitor<'de> for Peek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AdmissionReview")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key != *self.member {
                map.next_value::<IgnoredAny>()?;
            } else if self.member == "request" {
                return map.next_value_seed(Peek {
                    member: "kind",
                    ..self
                });
            } else {
                *self.found = Some(map.next_value::<Kind<'de>>()?.is_secret());
                return Ok(());
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Peek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_secret(r#"{"kind": "AdmissionReview", "request": {"uid": "7", "kind": {"group": "", "kind": "Secret"}, "object": {}}}"#, true)]
    #[case::an_object_before(r#"{"request": {"object": {"kind": {"kind": "Pod"}}, "kind": {"kind": "Secret"}}, "kind": "x"}"#, true)]
    #[case::cut_off_after_the_kind(
        r#"{"request": {"kind": {"group": "", "kind": "Secret"}, "obj"#,
        true
    )]
    #[case::a_pod(
        r#"{"request": {"kind": {"group": "", "kind": "Pod"}, "object": {"kind": "Secret"}}}"#,
        false
    )]
    #[case::of_another_group(r#"{"request": {"kind": {"group": "x", "kind": "Secret"}}}"#, false)]
    #[case::in_no_request(r#"{"kind": {"group": "", "kind": "Secret"}}"#, false)]
    #[case::no_kind(r#"{"request": {"object": {}}}"#, false)]
    #[case::no_object(r#"["request", {"kind": "Secret"}]"#, false)]
    #[case::wrong_type(r#"{"request": {"kind": "Secret"}}"#, false)]
    #[case::empty("", false)]
    fn secrets_are_known_by_their_kind(#[case] body: &str, #[case] expected: bool) {
        assert_eq!(is_of_secret(body.into()), expected);
    }

    #[test]
    fn a_secret_stays_one_behind_what_is_deeper_than_it_is_read() {
        let deep = ["[".repeat(1000), "]".repeat(1000)].concat();
        let body = format!(r#"{{"request": {{"a": {deep}, "kind": {{"kind": "Secret"}}}}}}"#);
        assert!(is_of_secret(body.as_str().into()));
    }
}
