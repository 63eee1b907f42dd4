//! Telling JSON from YAML that looks like it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Below this many keys, looking at each is quicker than a set.
const FEW: usize = 16;

/// Whether no key of a JSON text stands twice in one object; the rest is skipped.
pub(super) struct Unambiguous(pub(super) bool);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous(true))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous(true))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(true))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(true))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(true))
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous(true))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        let mut unambiguous = true;
        while let Some(Unambiguous(item)) = items.next_element()? {
            unambiguous &= item;
        }
        Ok(Unambiguous(unambiguous))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unambiguous, A::Error> {
        let mut unambiguous = true;
        let mut few: Vec<Cow<'de, str>> = Vec::new();
        let mut many = HashSet::new();
        while let Some(Key(key)) = entries.next_key()? {
            unambiguous &= !few.contains(&key);
            if few.len() < FEW {
                few.push(key);
            } else {
                unambiguous &= many.insert(key);
            }
            let Unambiguous(value) = entries.next_value()?;
            unambiguous &= value;
        }
        Ok(Unambiguous(unambiguous))
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        r#"{"a": {"a": [1, -1, 0.5, null, true, "x\n"]}, "b": [{"a": 1}, {"a": 1}]}"#,
        true
    )]
    #[case(r#"{"a": 1, "b": 2, "a": 3}"#, false)]
    #[case(r#"{"a": 1, "\u0061": 3}"#, false)]
    #[case(r#"[[{"a": {"b": 1, "b": 1}}]]"#, false)]
    fn no_key_stands_twice(#[case] text: &str, #[case] expected: bool) {
        let Unambiguous(found) = serde_json::from_str(text).unwrap();
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case(FEW - 1)]
    #[case(FEW)]
    #[case(FEW + 1)]
    #[case(100)]
    fn among_many_keys_neither(#[case] count: usize) {
        let unambiguous = |keys: &[usize]| {
            let entries: Vec<_> = keys.iter().map(|key| format!("\"{key}\": 0")).collect();
            let text = format!("{{{}}}", entries.join(","));
            let Unambiguous(found) = serde_json::from_str(&text).unwrap();
            found
        };
        let mut keys: Vec<_> = (0..count).collect();
        assert!(unambiguous(&keys));
        for twice in [0, count / 2, count - 1] {
            keys.push(twice);
            assert!(!unambiguous(&keys));
            keys.pop();
        }
    }
}
