//! Reading JSON where most of it is short plain texts, and most of those are skipped.
//!
//! `serde_json` is asked wherever this does not get through, and tells what is wrong with a body. So nothing may be read
//! here otherwise than there; nothing is accepted, be it skipped, that is no JSON, but for what stands in
//! [managed fields](super::managed_fields).
//! <https://www.rfc-editor.org/rfc/rfc8259>

use std::fmt;

use memchr::memchr;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::managed_fields;
use super::special::special;

/// How deep lists and objects stand in each other at most: as `serde_json` has it where it does not skip.
const DEPTH: u32 = 127;

/// Reads as far as `seed` does; what follows is not looked at.
pub(crate) fn beginning<'de, S: DeserializeSeed<'de>>(
    text: &'de str,
    seed: S,
) -> Result<S::Value, Unread> {
    seed.deserialize(&mut Reader::of(text))
}

/// Reads a text that is JSON and nothing else.
pub(crate) fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Unread> {
    let mut reader = Reader::of(text);
    let value = T::deserialize(&mut reader)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(Unread),
    }
}

/// It is something else, or nothing that is read here.
#[derive(Debug)]
pub(crate) struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not read")
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl From<serde_json::Error> for Unread {
    fn from(_: serde_json::Error) -> Self {
        Self
    }
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u32,
}

impl<'de> Reader<'de> {
    fn of(text: &'de str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Takes a byte, spaces before it skipped.
    fn expect(&mut self, byte: u8) -> Result<(), Unread> {
        if self.peek() != Some(byte) {
            return Err(Unread);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Unread> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(Unread);
        }
        self.at += word.len();
        Ok(())
    }

    /// A text that begins here; `None` if it has escapes, and then it is still ahead.
    #[inline]
    fn plain_text(&mut self) -> Result<Option<&'de str>, Unread> {
        let rest = self.text.get(self.at + 1..).ok_or(Unread)?;
        let place = special(rest.as_bytes()).ok_or(Unread)?;
        if rest.as_bytes().get(place) != Some(&b'"') {
            return Ok(None);
        }
        self.at += place + 2;
        Ok(rest.get(..place))
    }

    /// The same with its quotation marks, where it has escapes. Those are not looked at.
    #[cold]
    fn escaped_text(&mut self) -> Result<&'de str, Unread> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        loop {
            at += bytes.get(at..).and_then(special).ok_or(Unread)?;
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                _ => return Err(Unread),
            }
        }
        self.at = at + 1;
        self.text.get(start..self.at).ok_or(Unread)
    }

    #[inline]
    fn skip_text(&mut self) -> Result<(), Unread> {
        let rest = self.text.as_bytes().get(self.at + 1..).ok_or(Unread)?;
        let place = special(rest).ok_or(Unread)?;
        if rest.get(place) == Some(&b'"') {
            self.at += place + 2;
            return Ok(());
        }
        self.skip_escaped_text()
    }

    #[cold]
    fn skip_escaped_text(&mut self) -> Result<(), Unread> {
        serde_json::from_str::<IgnoredAny>(self.escaped_text()?)?;
        Ok(())
    }

    /// All that may belong to a number.
    fn raw_number(&mut self) -> &'de str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_other = |byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(is_other);
        let number = length.map_or(rest, |length| rest.get(..length).unwrap_or_default());
        self.at += number.len();
        number
    }

    fn skip_number(&mut self) -> Result<(), Unread> {
        let number = self.raw_number();
        let plain = number.bytes().all(|byte| byte.is_ascii_digit())
            && (number.len() == 1 || !number.starts_with('0'));
        if !plain {
            serde_json::from_str::<IgnoredAny>(number)?;
        }
        Ok(())
    }

    fn skip_key(&mut self) -> Result<(), Unread> {
        if self.peek() != Some(b'"') {
            return Err(Unread);
        }
        self.skip_text()?;
        self.expect(b':')
    }

    /// Skips a value, without a call for each that stands in another.
    fn skip(&mut self) -> Result<(), Unread> {
        // A bit for each that is open, behind a first one: set for an object.
        let mut open = 1_u128;
        loop {
            match self.peek().ok_or(Unread)? {
                b'{' => {
                    self.at += 1;
                    if self.peek() != Some(b'}') {
                        self.skip_key()?;
                        open = deeper(open, 1)?;
                        continue;
                    }
                    self.at += 1;
                }
                b'[' => {
                    self.at += 1;
                    if self.peek() != Some(b']') {
                        open = deeper(open, 0)?;
                        continue;
                    }
                    self.at += 1;
                }
                b'"' => self.skip_text()?,
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                b'-' | b'0'..=b'9' => self.skip_number()?,
                _ => return Err(Unread),
            }
            while open != 1 {
                let object = open & 1 == 1;
                match (self.peek(), object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => self.at += 1,
                    _ => return Err(Unread),
                }
                open >>= 1;
            }
            if open == 1 {
                return Ok(());
            }
        }
    }

    fn nested<T>(
        &mut self,
        end: u8,
        read: impl FnOnce(&mut Self) -> Result<T, Unread>,
    ) -> Result<T, Unread> {
        if self.depth == DEPTH {
            return Err(Unread);
        }
        self.at += 1;
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        self.expect(end)?;
        Ok(value)
    }
}

/// What a text means that stands there with its quotation marks.
fn unescaped(text: &str) -> Result<String, Unread> {
    let mut rest = text.get(1..text.len() - 1).ok_or(Unread)?;
    let mut whole = String::with_capacity(rest.len());
    while let Some(place) = memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at_checked(place).ok_or(Unread)?;
        whole.push_str(plain);
        let (character, length) = match escape.as_bytes().get(1).ok_or(Unread)? {
            b'"' => ('"', 2),
            b'\\' => ('\\', 2),
            b'/' => ('/', 2),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => match escape.get(2..6).and_then(code_point) {
                Some(character) => (character, 6),
                // A half of a pair, or nothing.
                None => return Ok(serde_json::from_str(text)?),
            },
            _ => return Err(Unread),
        };
        whole.push(character);
        rest = escape.get(length..).ok_or(Unread)?;
    }
    whole.push_str(rest);
    Ok(whole)
}

fn code_point(digits: &str) -> Option<char> {
    // Signs are numbers to the library.
    let digits =
        Some(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

fn deeper(open: u128, bit: u128) -> Result<u128, Unread> {
    if open.leading_zeros() == 0 {
        return Err(Unread);
    }
    Ok(open << 1 | bit)
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Unread;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.peek().ok_or(Unread)? {
            b'"' => self.deserialize_str(visitor),
            b'{' => self.deserialize_map(visitor),
            b'[' => self.deserialize_seq(visitor),
            b'n' => {
                self.word("null")?;
                visitor.visit_unit()
            }
            b't' => {
                self.word("true")?;
                visitor.visit_bool(true)
            }
            b'f' => {
                self.word("false")?;
                visitor.visit_bool(false)
            }
            b'-' | b'0'..=b'9' => {
                let number: serde_json::Number = serde_json::from_str(self.raw_number())?;
                Ok(number.deserialize_any(visitor)?)
            }
            _ => Err(Unread),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if self.peek() != Some(b'"') {
            return Err(Unread);
        }
        match self.plain_text()? {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_string(unescaped(self.escaped_text()?)?),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        self.deserialize_str(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if self.peek() != Some(b'{') {
            return Err(Unread);
        }
        self.nested(b'}', |reader| visitor.visit_map(Entries::of(reader)))
    }

    /// What is derived takes a list, too: `serde_json` is asked about those.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if self.peek() != Some(b'[') {
            return Err(Unread);
        }
        self.nested(b']', |reader| visitor.visit_seq(Entries::of(reader)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if self.peek() == Some(b'n') {
            self.word("null")?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unread> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unread> {
        if self.peek() == Some(b'[')
            && let Some((before, list)) = self.text.as_bytes().split_at_checked(self.at)
            && before.ends_with(managed_fields::KEY)
            && let Some(end) = managed_fields::end_of_list(list)
        {
            self.at += end;
        } else {
            self.skip()?;
        }
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Unread> {
        Err(Unread)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

/// What stands in a list or an object.
struct Entries<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'r, 'de> Entries<'r, 'de> {
    fn of(reader: &'r mut Reader<'de>) -> Self {
        Self {
            reader,
            first: true,
        }
    }

    /// Goes to the next entry; what begins it, or nothing at the end.
    fn next(&mut self, end: u8) -> Result<Option<u8>, Unread> {
        match self.reader.peek().ok_or(Unread)? {
            byte if byte == end => return Ok(None),
            byte if std::mem::take(&mut self.first) => return Ok(Some(byte)),
            b',' => self.reader.at += 1,
            _ => return Err(Unread),
        }
        self.reader.peek().ok_or(Unread).map(Some)
    }
}

impl<'de> SeqAccess<'de> for Entries<'_, 'de> {
    type Error = Unread;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unread> {
        match self.next(b']')? {
            None => Ok(None),
            Some(_) => seed.deserialize(&mut *self.reader).map(Some),
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Unread;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unread> {
        match self.next(b'}')? {
            None => Ok(None),
            Some(b'"') => seed.deserialize(&mut *self.reader).map(Some),
            Some(_) => Err(Unread),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unread> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::Value;

    use super::*;
    use crate::inject::pod::{Pod, Text};

    /// What is read of a text by each, as far as it can be told apart.
    fn read<'de, T: Deserialize<'de> + fmt::Debug>(
        text: &'de str,
    ) -> (Option<String>, Option<String>) {
        let seen = |value: T| format!("{value:?}");
        (
            from_str(text).ok().map(seen),
            serde_json::from_str(text).ok().map(seen),
        )
    }

    /// That nothing is read here that `serde_json` reads otherwise, or not at all.
    fn check(text: &str) {
        let all = [
            read::<Value>(text),
            read::<IgnoredAny>(text),
            read::<Pod<'_>>(text),
            read::<Option<Vec<Text<'_>>>>(text),
            read::<BTreeMap<String, Option<bool>>>(text),
        ];
        for (ours, theirs) in all {
            assert!(ours.is_none() || ours == theirs, "{text}");
        }
    }

    #[rstest]
    #[case("7")]
    #[case("[0, 10, -1, 1.5, -0, 1e3, 12345678901234567890, 1E-2]")]
    #[case(r#"{"a": {"b": [1, {"c": null}, []], "": {}}, "d": true, "e": false}"#)]
    #[case(" { \"a\" :\t[ ] ,\r\n\"b\" : [ 1 , 2 ] } ")]
    #[case(
        r#"["é", "\u00e9", "a\"b\\", "\ud83d\ude00", "long enough for a word, and \n another", "\b\f\/\r\t\\\u001f\u00E9é"]"#
    )]
    fn json_is_read(#[case] text: &str) {
        let (ours, theirs) = read::<Value>(text);
        assert!(ours.is_some() && ours == theirs, "{ours:?} {theirs:?}");
        assert!(from_str::<IgnoredAny>(text).is_ok());
    }

    #[rstest]
    fn what_is_no_json_is_not_read(
        #[values(
            "",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{]",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1,2}"#,
            "{,}",
            "{1:1}",
            r#"{"a" 1}"#,
            "01",
            "-",
            "+1",
            "1.",
            "1e",
            "- 1",
            "1-1",
            "tru",
            "truefalse",
            "nul",
            "\"",
            r#""\""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""\uFFF""#,
            "\"a\nb\"",
            "1 1",
            "[] []",
            "\u{a0}1"
        )]
        text: &str,
    ) {
        assert!(from_str::<IgnoredAny>(text).is_err());
        assert!(from_str::<Value>(text).is_err());
        let nested = ["[", text, "]"].concat();
        let (ours, theirs) = read::<IgnoredAny>(&nested);
        assert_eq!(ours, theirs);
        let (ours, theirs) = read::<Value>(&nested);
        assert_eq!(ours, theirs);
    }

    #[rstest]
    fn half_of_a_pair_is_skipped_but_not_read(
        #[values(r#""\ud83d""#, r#""\ud83d\u0061""#, r#""\ude00\ud83d""#)] text: &str,
    ) {
        let (ours, theirs) = read::<IgnoredAny>(text);
        assert!(ours.is_some() && ours == theirs);
        assert_eq!(read::<Value>(text), (None, None));
    }

    #[test]
    fn a_text_is_borrowed_unless_it_has_escapes() {
        #[derive(serde::Deserialize)]
        struct Texts<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);
        let Texts(plain, escaped) = from_str(r#"["plain", "a\tb"]"#).unwrap();
        assert!(matches!(plain, Cow::Borrowed("plain")));
        assert!(matches!(escaped, Cow::Owned(text) if text == "a\tb"));
    }

    /// Neither does it call itself without end, nor does it read more than `serde_json`.
    #[rstest]
    #[case("[", "]")]
    #[case(r#"{"a":"#, "}")]
    fn depth_has_an_end(#[case] open: &str, #[case] close: &str) {
        for depth in [1, 126, 127, 128, 129, 200, 100_000] {
            let text = [&open.repeat(depth), "1", &close.repeat(depth)].concat();
            let readable = depth <= 127;
            assert_eq!(from_str::<IgnoredAny>(&text).is_ok(), readable, "{depth}");
            assert_eq!(from_str::<Value>(&text).is_ok(), readable, "{depth}");
            assert_eq!(serde_json::from_str::<Value>(&text).is_ok(), readable);
        }
    }

    fn any_text() -> impl Strategy<Value = String> {
        let names = ["metadata", "spec", "containers", "env", "name", "volumes"];
        prop_oneof![
            "[a-z]{0,12}",
            any::<String>(),
            prop::sample::select(names.to_vec()).prop_map(str::to_owned),
        ]
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any_text().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(6, 60, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any_text(), inner), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let (ours, theirs) = read::<Value>(&text);
                prop_assert!(ours.is_some());
                prop_assert_eq!(ours, theirs);
                check(&text);
            }
        }

        #[test]
        fn nearly_json(
            value in any_json(),
            place in any::<prop::sample::Index>(),
            other in r#"[\[\]{},:"\\0-9a-z. +-]{0,2}"#,
        ) {
            let mut text = value.to_string();
            let places: Vec<_> = text.char_indices().collect();
            let (place, character) = *place.get(&places);
            text.replace_range(place..place + character.len_utf8(), &other);
            check(&text);
        }

        #[test]
        fn hardly_json(text in r#"[\[\]{},:"\\0-9tfnule. +-]{0,20}"#) {
            check(&text);
        }
    }
}
