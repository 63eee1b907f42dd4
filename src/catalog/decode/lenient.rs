//! Reading JSON or YAML without ever failing on its shape, and without ever quoting it.
//!
//! serde's own answer to an unexpected shape is an error that quotes the value it found.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroize;

/// What to make of a value of each shape. A reader has the shapes that it knows, and one answer to all others.
pub(super) trait Shape<'de>: Sized {
    /// What is read.
    type Output;

    /// A shape that the reader does not know.
    fn other(self) -> Self::Output;

    fn null(self) -> Self::Output {
        self.other()
    }

    fn text(self, _text: &str) -> Self::Output {
        self.other()
    }

    fn map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Output, A::Error> {
        skip_map(map)?;
        Ok(self.other())
    }

    fn seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Output, A::Error> {
        skip_seq(seq)?;
        Ok(self.other())
    }
}

/// A [`Shape`] as serde wants it.
pub(super) struct Lenient<S>(pub(super) S);

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for Lenient<S> {
    type Value = S::Output;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Output, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for Lenient<S> {
    type Value = S::Output;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<S::Output, E> {
        Ok(self.0.text(text))
    }

    /// Text that had escapes or several lines comes in a copy.
    fn visit_string<E>(self, mut text: String) -> Result<S::Output, E> {
        let output = self.0.text(&text);
        text.zeroize();
        Ok(output)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<S::Output, A::Error> {
        self.0.map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<S::Output, A::Error> {
        self.0.seq(seq)
    }

    fn visit_unit<E>(self) -> Result<S::Output, E> {
        Ok(self.0.null())
    }

    fn visit_none<E>(self) -> Result<S::Output, E> {
        Ok(self.0.null())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Output, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<S::Output, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<S::Output, E> {
        Ok(self.0.other())
    }

    fn visit_i64<E>(self, _: i64) -> Result<S::Output, E> {
        Ok(self.0.other())
    }

    fn visit_i128<E>(self, _: i128) -> Result<S::Output, E> {
        Ok(self.0.other())
    }

    fn visit_u64<E>(self, _: u64) -> Result<S::Output, E> {
        Ok(self.0.other())
    }

    fn visit_u128<E>(self, _: u128) -> Result<S::Output, E> {
        Ok(self.0.other())
    }

    fn visit_f64<E>(self, _: f64) -> Result<S::Output, E> {
        Ok(self.0.other())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<S::Output, E> {
        Ok(self.0.other())
    }
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}
