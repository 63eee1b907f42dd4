//! Reading one document as kubectl reads it.

use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::localizer::ExternalMessageSource;
use serde_saphyr::options::{DuplicateKeyPolicy, Options};
use serde_saphyr::{Budget, Error};
use thiserror::Error as ThisError;

use super::split::Document;

/// How many nodes a document may have: a list of all secrets of a large cluster, with the record of their fields'
/// owners, has millions.
const NODES: usize = 20_000_000;
/// How many bytes of text the scalars of a document may have together.
const SCALAR_BYTES: usize = 1 << 30;
/// How many nodes may come from aliases. Small, so that a few lines cannot grow into gigabytes.
const ALIASED_NODES: usize = 100_000;

/// Where floating point numbers are whole numbers without a gap: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A document that cannot be read.
///
/// It says where and why, and quotes nothing of the text: a value may stand right there.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{file}: document {document}, line {line}, column {column}: {reason}")]
pub struct DocumentError {
    /// The file as the caller calls it.
    pub file: String,
    /// The number of the document in the file, from 1.
    pub document: usize,
    /// The line in the file, from 1.
    pub line: usize,
    /// The column in that line in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

impl Document<'_> {
    /// Reads the document with kubectl's habits: `0400` is octal, `yes` and `off` are booleans, `1e3` is a whole number,
    /// merge keys and aliases are resolved. The order of keys is kept.
    ///
    /// Two differences: a key that stands twice is an error (kubectl takes the last), and an unquoted *key* `on` or `y`
    /// stays text (kubectl turns it into `true`).
    pub fn value(&self, file: &str) -> Result<Value, DocumentError> {
        let mut value = self.read(file)?;
        whole_numbers(&mut value);
        Ok(value)
    }

    /// Reads the document into a type, without a copy of what that type skips.
    pub fn read<T: DeserializeOwned>(&self, file: &str) -> Result<T, DocumentError> {
        if self.is_json
            && let Ok(value) = serde_json::from_str(self.text)
        {
            return Ok(value);
        }
        serde_saphyr::from_str_with_options(self.text, options())
            .map_err(|error| self.error(file, &error))
    }

    fn error(&self, file: &str, error: &Error) -> DocumentError {
        let place = error.location();
        let number = |part: Option<u64>| part.and_then(|part| usize::try_from(part).ok());
        let line = number(place.map(|place| place.line())).unwrap_or(0).max(1);
        let column = number(place.map(|place| place.column()))
            .unwrap_or(0)
            .max(1);
        DocumentError {
            file: file.to_owned(),
            document: self.number,
            line: self.lines_before + line,
            column: column + if line == 1 { self.columns_before } else { 0 },
            reason: reason(error),
        }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: budget(),
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_NODES },
        duplicate_keys: DuplicateKeyPolicy::Error,
        emit_comments: false,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

fn budget() -> Option<Budget> {
    serde_saphyr::budget! {
        max_events: 2 * NODES,
        max_nodes: NODES,
        max_total_scalar_bytes: SCALAR_BYTES,
    }
}

/// Go writes floating point numbers that are whole as whole numbers, and the API server refuses `1000.0` where it wants
/// an integer.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(entries) => entries.values_mut().for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = number.as_f64().and_then(whole) {
                *number = whole;
            }
        }
        _ => {}
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "below 2^53 nothing is cut off"
)]
fn whole(number: f64) -> Option<Number> {
    (number.fract() == 0.0 && number.abs() < EXACT).then(|| Number::from(number as i64))
}

/// The reason in words that hold nothing of the text.
fn reason(error: &Error) -> String {
    let words = match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => return reason(error),
        Error::ExternalMessage { source, msg, .. } => match &**source {
            ExternalMessageSource::Parser(scan) if is_fixed(scan.kind()) => return msg.clone(),
            _ => "not valid YAML; a character that may not stand here",
        },
        Error::Unexpected { expected, .. } => return format!("expected {expected}"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            return format!("expected {expected}");
        }
        Error::InvalidScalar { .. } | Error::InvalidBinaryBase64 { .. } => {
            "the value is not what its tag says"
        }
        Error::DuplicateMappingKey { .. } => "the same key stands twice in this map; remove one",
        Error::Eof { .. } => "the document ends too early",
        Error::UnknownAnchor { .. } => "alias without an anchor of that name before it",
        Error::NonFiniteFloat { .. } => {
            "a number without end or too large; put it in quotes if it is text"
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => "<< needs a map or a list of maps",
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "too large, too deep, or aliases that grow too much"
        }
        _ => "cannot be read as YAML",
    };
    words.to_owned()
}

/// Whether the parser's message is a fixed sentence.
fn is_fixed(kind: &ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::Custom(_)
            | ErrorKind::InputIo { .. }
            | ErrorKind::InputDecoding { .. }
            | ErrorKind::UnexpectedCharacter { .. }
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::Documents;
    use super::*;

    fn read(text: &str) -> Result<Value, DocumentError> {
        let documents = Documents::split(text);
        let last = documents.iter().last().expect("a document");
        last.value("file.yaml")
    }

    /// What `sigs.k8s.io/yaml` (kubectl's reader) makes of the same texts.
    #[rstest]
    #[case::octal("0400", json!(256))]
    #[case::negative_octal("-0400", json!(-256))]
    #[case::not_octal("08", json!(8))]
    #[case::new_octal("0o17", json!(15))]
    #[case::hexadecimal("0x1f", json!(31))]
    #[case::binary("0b11", json!(3))]
    #[case::underscore("1_000", json!(1000))]
    #[case::exponent("1e3", json!(1000))]
    #[case::whole("1.0", json!(1))]
    #[case::fraction("1.50", json!(1.5))]
    #[case::plus("+12", json!(12))]
    #[case::point(".5", json!(0.5))]
    #[case::yes("yes", json!(true))]
    #[case::y("y", json!(true))]
    #[case::on("On", json!(true))]
    #[case::off("off", json!(false))]
    #[case::no("NO", json!(false))]
    #[case::tilde("~", json!(null))]
    #[case::nothing("", json!(null))]
    #[case::null("null", json!(null))]
    #[case::date("2001-01-01", json!("2001-01-01"))]
    #[case::time("12:30:00", json!("12:30:00"))]
    #[case::quoted_octal("'0400'", json!("0400"))]
    #[case::quoted_yes("\"yes\"", json!("yes"))]
    #[case::forced("!!str 0400", json!("0400"))]
    #[case::literal("|\n  a\n   b\n", json!("a\n b\n"))]
    #[case::folded(">-\n  a\n  b\n", json!("a b"))]
    #[case::flow("{b: [1, two], a: {}}", json!({"b": [1, "two"], "a": {}}))]
    fn scalars(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(
            read(&format!("a: {text}")).unwrap(),
            json!({ "a": expected })
        );
    }

    #[rstest]
    #[case::merge("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", json!({"x": {"a": 1, "b": 2}, "y": {"b": 3, "a": 1}}))]
    #[case::alias("x: &x [1]\ny: *x\n", json!({"x": [1], "y": [1]}))]
    #[case::json("{\n\t\"a\": \"\\ud83d\\ude00\\/\",\n\t\"b\": [1.5, null]\n}\n", json!({"a": "😀/", "b": [1.5, null]}))]
    #[case::crlf("a: 1\r\nb: |\r\n  x\r\n  y\r\n", json!({"a": 1, "b": "x\ny\n"}))]
    #[case::byte_order_mark("\u{feff}a: 1\n", json!({"a": 1}))]
    #[case::directive("%YAML 1.1\n---\na: 1\n", json!({"a": 1}))]
    #[case::numeric_key("1: a\n", json!({"1": "a"}))]
    fn documents(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn the_order_of_keys_is_the_authors() {
        let value = read("b: 1\na: 2\nc: 3\n").unwrap();
        assert_eq!(value.to_string(), r#"{"b":1,"a":2,"c":3}"#);
    }

    const CANARY: &str = "hunter2-canary";

    /// Every kind of mistake right beside, or within, a value.
    #[rstest]
    #[case::duplicate_key("a: 1\nCANARY: 1\nCANARY: 2\n", (3, 1))]
    #[case::map_in_value("a: CANARY: c\n", (1, 18))]
    #[case::open_quote("a: \"CANARY\n", (1, 4))]
    #[case::bad_escape("a: \"CANARY\\q\"\n", (1, 4))]
    #[case::bad_indentation("a: |\n    CANARY\n  CANARY\nb: 1\n", (3, 3))]
    #[case::unknown_alias("a: *CANARY\n", (1, 4))]
    #[case::unclosed_map("a: {b: CANARY\n", (1, 4))]
    #[case::wrong_bracket("a: {b: CANARY]\n", (1, 4))]
    #[case::reserved("a: @CANARY\n", (1, 4))]
    #[case::reserved_tick("a: `CANARY\n", (1, 4))]
    #[case::tab("a:\n\t- CANARY\n", (2, 2))]
    #[case::map_as_key("{{ CANARY }}\n", (1, 2))]
    #[case::list_as_key("? [CANARY]\n: b\n", (1, 3))]
    #[case::endless("a: CANARY\nb: .inf\n", (2, 4))]
    #[case::too_large_a_number("a: 1e400 # CANARY\n", (1, 4))]
    #[case::bad_tag("a: !!int CANARY\n", (1, 10))]
    #[case::bad_binary("a: !!binary CANARY\n", (1, 13))]
    #[case::unknown_handle("a: !CANARY!x y\n", (1, 4))]
    #[case::merge_of_text("a: {<<: CANARY}\n", (1, 9))]
    #[case::control_character("a: \"CANARY\u{1}\"\n", (1, 19))]
    #[case::bad_json("{\"a\": \"CANARY\" \"b\": 1}\n", (1, 24))]
    fn errors_say_where_and_quote_nothing(#[case] text: &str, #[case] place: (usize, usize)) {
        let text = text.replace("CANARY", CANARY);
        let error = read(&text).unwrap_err();
        assert_eq!((error.line, error.column), place, "{error}");
        let told = format!("{error} {error:?}");
        assert!(
            !told.contains("hunter2") && !told.contains("1e400"),
            "{told}"
        );

        let later = format!("%YAML 1.2\n---\nx: 1\n---\n# c\n{text}");
        let error = read(&later).unwrap_err();
        assert_eq!((error.line, error.column), (place.0 + 5, place.1));
        assert!(error.to_string().starts_with(&format!(
            "file.yaml: document 2, line {}, column {}: ",
            place.0 + 5,
            place.1
        )));
    }

    #[test]
    fn the_column_counts_what_stands_before_the_document_in_its_line() {
        let error = read("x: 1\n--- {a: 1, a: 2}\n").unwrap_err();
        assert_eq!((error.document, error.line, error.column), (2, 2, 12));
        assert_eq!(
            error.reason,
            "the same key stands twice in this map; remove one"
        );
    }

    #[test]
    fn aliases_cannot_grow_without_bounds() {
        let level = |level: u32| match level.checked_sub(1) {
            None => "a0: &a0 [x]\n".to_owned(),
            Some(before) => {
                let before = vec![format!("*a{before}"); 10].join(", ");
                format!("a{level}: &a{level} [{before}]\n")
            }
        };
        let text: String = (0..12).map(level).collect();
        let error = read(&text).unwrap_err();
        assert_eq!(
            error.reason,
            "too large, too deep, or aliases that grow too much"
        );
    }

    #[test]
    fn nesting_has_an_end() {
        let text = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(read(&text).is_err());
    }
}
