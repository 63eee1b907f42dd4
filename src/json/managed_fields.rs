//! Reviews without `managedFields`: nobody here reads them, and to skip them as JSON is half of what reading a review costs.
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#managedfields>

use std::borrow::Cow;

use memchr::memmem::Finder;
use memchr::{memchr_iter, memchr2};

/// The name with what stands behind it, as the API server writes it. Inside of a JSON text this cannot stand, as a quotation
/// mark there has a backslash before it.
pub(super) const KEY: &[u8] = b"\"managedFields\":";

/// The body with an empty list in each place of `managedFields`. Where that is not plain to see, they stay.
pub(crate) fn left_out(body: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Vec::new();
    let mut rest = body;
    let finder = Finder::new(KEY);
    let mut from = 0;
    while let Some(place) = rest.get(from..).and_then(|rest| finder.find(rest)) {
        let list = from + place + KEY.len();
        let is_key = from + place > 0 && matches!(rest.get(from + place - 1), Some(b',' | b'{'));
        let end = rest.get(list..).filter(|_| is_key).and_then(end_of_list);
        let split = end.and_then(|end| Some((rest.get(..list)?, rest.get(list + end..)?)));
        let Some((before, after)) = split else {
            from = list;
            continue;
        };
        if kept.is_empty() {
            kept.reserve(body.len());
        }
        kept.extend_from_slice(before);
        kept.extend_from_slice(b"[]");
        rest = after;
        from = 0;
    }
    if kept.is_empty() {
        return Cow::Borrowed(body);
    }
    kept.extend_from_slice(rest);
    Cow::Owned(kept)
}

/// How long the list is that begins here, if it has no bracket in it, not even in a text. So no part of a body is looked
/// through twice, however many places there are.
pub(super) fn end_of_list(list: &[u8]) -> Option<usize> {
    let entries = list.strip_prefix(b"[")?;
    let bracket = memchr2(b'[', b']', entries)?;
    let (before, after) = entries.split_at_checked(bracket)?;
    (after.first() == Some(&b']') && !ends_in_text(before)).then_some(bracket + 2)
}

/// Whether JSON that begins outside of a text ends inside of one: it does after an odd number of quotation marks, without
/// those that a backslash takes away.
fn ends_in_text(json: &[u8]) -> bool {
    let marks = memchr_iter(b'"', json).count();
    let backslashes = memchr_iter(b'\\', json).count();
    // Where each backslash has a mark behind it, none has another backslash.
    let escaped = if backslashes == 0 || backslashes == marks_behind_backslashes(json) {
        backslashes
    } else {
        escaped_marks(json)
    };
    (marks - escaped) % 2 == 1
}

/// Counted in small numbers, which the compiler does for many places at once.
fn marks_behind_backslashes(json: &[u8]) -> usize {
    let seconds = json.get(1..).unwrap_or_default().chunks(255);
    let both = json.chunks(255).zip(seconds);
    both.map(|(ones, others)| {
        let both = ones.iter().zip(others);
        let found = both.map(|(one, other)| u8::from(*one == b'\\') & u8::from(*other == b'"'));
        usize::from(found.fold(0_u8, u8::wrapping_add))
    })
    .sum()
}

/// How many quotation marks have a backslash before them that is not itself behind one.
fn escaped_marks(json: &[u8]) -> usize {
    let mut after_backslash = false;
    let mut escaped = 0;
    for byte in json {
        match (after_backslash, byte) {
            (false, b'\\') => after_backslash = true,
            (true, b'"') => {
                escaped += 1;
                after_backslash = false;
            }
            _ => after_backslash = false,
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::plain(
        r#"{"managedFields":[{"a":{"f:b":{}}}],"c":1}"#,
        r#"{"managedFields":[],"c":1}"#
    )]
    #[case::twice(
        r#"{"a":{"managedFields":[1]},"managedFields":[2]}"#,
        r#"{"a":{"managedFields":[]},"managedFields":[]}"#
    )]
    #[case::empty(r#"{"managedFields":[]}"#, r#"{"managedFields":[]}"#)]
    #[case::escapes(
        r#"{"managedFields":["\"\\","\\\""],"a":"]"}"#,
        r#"{"managedFields":[],"a":"]"}"#
    )]
    fn lists_are_emptied(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(left_out(body.as_bytes()), expected.as_bytes());
    }

    #[rstest]
    #[case::no_list(r#"{"managedFields":null}"#)]
    #[case::a_text(r#"{"a":"\"managedFields\":[1]"}"#)]
    #[case::end_of_a_key(r#"{"a\"managedFields":[1]}"#)]
    #[case::lists_in_it(r#"{"managedFields":[[1]]}"#)]
    #[case::opening_bracket_in_a_text(r#"{"managedFields":["["]}"#)]
    #[case::closing_bracket_in_a_text(r#"{"managedFields":["]\"]\\"]}"#)]
    #[case::without_an_end(r#"{"managedFields":[1"#)]
    #[case::without_an_end_in_a_text(r#"{"managedFields":["]"#)]
    #[case::nothing_before(r#""managedFields":[1]"#)]
    #[case::spaces(r#"{"managedFields": [1]}"#)]
    #[case::empty("")]
    fn what_is_not_plain_to_see_stays(#[case] body: &str) {
        assert!(
            matches!(left_out(body.as_bytes()), Cow::Borrowed(same) if same == body.as_bytes())
        );
    }

    /// Each would take minutes if each place were looked through to its end.
    #[rstest]
    #[case::of_texts("\"managedFields\":[\"", "]")]
    #[case::of_lists("", "{\"managedFields\":[")]
    fn the_time_grows_with_the_length(#[case] beginning: &str, #[case] part: &str) {
        let body = format!("{{{beginning}{}", part.repeat(4 << 20));
        assert!(matches!(left_out(body.as_bytes()), Cow::Borrowed(_)));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = || {
            prop_oneof![
                Just("managedFields".to_owned()),
                "[a\\[\\]{}\"\\\\,:]{0,6}",
                Just("\"managedFields\":[".to_owned()),
            ]
        };
        let leaf = prop_oneof![
            text().prop_map(Value::from),
            Just(json!(1)),
            Just(Value::Null)
        ];
        leaf.prop_recursive(5, 60, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// Takes away what may have been left out.
    fn emptied(value: &mut Value) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    match value {
                        Value::Array(list) if key == "managedFields" => list.clear(),
                        value => emptied(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(emptied),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn nothing_else_is_touched(value in any_json()) {
            let body = value.to_string();
            let mut left: Value = serde_json::from_slice(&left_out(body.as_bytes())).unwrap();
            let mut expected = value;
            emptied(&mut left);
            emptied(&mut expected);
            prop_assert_eq!(left, expected);
        }
    }
}
