//! Writing JSON where most of it is plain text.
//!
//! `serde_json` looks at each byte of a text alone, for one that needs an escape; here many are looked at together, which
//! makes writing a patch several times cheaper. All else is as `serde_json` does it, and its errors are used.
//! <https://www.rfc-editor.org/rfc/rfc8259#section-7>

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple,
    SerializeTupleStruct, Serializer,
};
use serde_json::Error;

use super::special::{each_special, is_plain};

/// Appends a value.
pub(crate) fn append(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    value.serialize(Writer(out))
}

fn append_text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    append_inner(out, text.as_bytes());
    out.push(b'"');
}

/// Appends what stands in a text between the quotation marks.
pub(crate) fn append_inner(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
        return;
    }
    let mut written = 0;
    each_special(text, |place| {
        let piece = text.get(written..=place).unwrap_or_default();
        if let Some((special, plain)) = piece.split_last() {
            out.extend_from_slice(plain);
            append_escaped(out, *special);
            written = place + 1;
        }
    });
    out.extend_from_slice(text.get(written..).unwrap_or_default());
}

fn append_escaped(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |number: u8| DIGITS.get(usize::from(number)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

struct Writer<'o>(&'o mut Vec<u8>);

/// A text that comes in parts, as they are.
struct Parts<'o>(&'o mut Vec<u8>);

impl fmt::Write for Parts<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0.extend_from_slice(part.as_bytes());
        Ok(())
    }
}

/// What is no text.
macro_rules! as_serde_json_does {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            serde_json::to_writer(self.0, &value)
        })*
    };
}

impl<'o> Serializer for Writer<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = List<'o>;
    type SerializeTuple = List<'o>;
    type SerializeTupleStruct = List<'o>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Members<'o>;
    type SerializeStruct = Members<'o>;
    type SerializeStructVariant = Impossible<(), Error>;

    as_serde_json_does! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_bytes: &[u8],
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.0.extend_from_slice(word);
        Ok(())
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Error> {
        append_text(self.0, text);
        Ok(())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.0.push(b'"');
        let start = self.0.len();
        write!(Parts(self.0), "{value}").map_err(Error::custom)?;
        if !self.0.get(start..).is_some_and(is_plain) {
            let text = self.0.split_off(start);
            append_inner(self.0, &text);
        }
        self.0.push(b'"');
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut members = self.serialize_map(Some(1))?;
        members.serialize_entry(variant, value)?;
        SerializeMap::end(members)
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<List<'o>, Error> {
        self.0.push(b'[');
        Ok(List {
            out: self.0,
            first: true,
        })
    }

    fn serialize_tuple(self, length: usize) -> Result<List<'o>, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<List<'o>, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(Error::custom(format_args!(
            "{name} has no place in a patch"
        )))
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Members<'o>, Error> {
        self.0.push(b'{');
        Ok(Members {
            out: self.0,
            first: true,
        })
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Members<'o>, Error> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(Error::custom(format_args!(
            "{name} has no place in a patch"
        )))
    }
}

/// A list that is being written.
struct List<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl SerializeSeq for List<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        value.serialize(Writer(self.out))
    }

    #[inline]
    fn end(self) -> Result<(), Error> {
        self.out.push(b']');
        Ok(())
    }
}

impl SerializeTuple for List<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        SerializeSeq::end(self)
    }
}

impl SerializeTupleStruct for List<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), Error> {
        SerializeSeq::end(self)
    }
}

/// An object that is being written.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        let start = self.out.len();
        key.serialize(Writer(self.out))?;
        // Nothing that a patch is made of has other keys.
        match self.out.get(start) {
            Some(b'"') => Ok(()),
            _ => Err(Error::custom("a key must be a text")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
        value.serialize(Writer(self.out))
    }

    #[inline]
    fn end(self) -> Result<(), Error> {
        self.out.push(b'}');
        Ok(())
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = Error;

    // Where the name is known, all of it becomes a few moves.
    #[expect(clippy::inline_always, reason = "half of what a patch is, is names")]
    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let first = std::mem::take(&mut self.first);
        let begin: &[u8] = if first { b"\"" } else { b",\"" };
        self.out.extend_from_slice(begin);
        // The name of a field is a name of Rust's, and nothing in one needs an escape.
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Writer(self.out))
    }

    fn end(self) -> Result<(), Error> {
        SerializeMap::end(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(value: &impl Serialize) -> String {
        let mut out = Vec::new();
        append(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_is_written_as_serde_json_does_wherever_it_stands() {
        for character in (0..0x300).filter_map(char::from_u32) {
            for before in 0..10 {
                let text = format!("{}{character}abcdefghi", "x".repeat(before));
                assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn what_is_no_text_is_written_as_serde_json_does() {
        let value =
            json!({"a": [1, -2, 0.5, null, true, false, [], {}], "\"": {"b\n": "c"}, "": u64::MAX});
        assert_eq!(written(&value), value.to_string());
        let options: (Option<u8>, Option<&str>, char, ()) = (None, Some("x"), '"', ());
        assert_eq!(written(&options), serde_json::to_string(&options).unwrap());
    }

    #[test]
    fn a_text_that_comes_in_parts_is_one() {
        struct Shown;
        impl Serialize for Shown {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("a{}\"b{}", 1, "\n"))
            }
        }
        assert_eq!(written(&[Shown]), serde_json::to_string(&[Shown]).unwrap());
    }

    #[test]
    fn keys_are_texts() {
        let map = std::collections::BTreeMap::from([(1, 2)]);
        assert!(append(&mut Vec::new(), &map).is_err());
    }

    proptest! {
        #[test]
        fn texts(text in any::<String>()) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
            prop_assert_eq!(written(&[&text, &text]), Value::from(vec![text.clone(), text]).to_string());
        }
    }
}
