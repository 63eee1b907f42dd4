//! Writing YAML that kubectl reads as it was meant.

use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_saphyr::DoubleQuoted;

/// The value as YAML, with a newline at the end.
///
/// Text that a reader of YAML 1.1 (kubectl) could take for something else is quoted, text of several lines is written
/// as a block. Long lines are not folded: a diff shows what changed.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    match serde_saphyr::to_string_with_options(&Written(value), options) {
        Ok(text) => text,
        // JSON is YAML.
        Err(_) => format!("{value}\n"),
    }
}

/// A value in the form that go-yaml can read.
struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Written)),
            Value::Object(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, Written(value))))
            }
            // go-yaml takes the tab for indentation of the block.
            Value::String(text) if text.trim_start_matches([' ', '\n']).starts_with('\t') => {
                DoubleQuoted(text).serialize(serializer)
            }
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::super::Documents;
    use super::*;

    fn read_back(text: &str) -> Value {
        let documents = Documents::split(text);
        assert_eq!(documents.len(), 1, "{text}");
        let document = documents.iter().next().unwrap();
        document
            .value("written")
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[rstest]
    #[case("yes")]
    #[case("on")]
    #[case("y")]
    #[case("N")]
    #[case("True")]
    #[case("0400")]
    #[case("08")]
    #[case("0o17")]
    #[case("1e3")]
    #[case("1_000")]
    #[case("1__0")]
    #[case("0x1f")]
    #[case("+12")]
    #[case(".5")]
    #[case("5.")]
    #[case(".inf")]
    #[case(".NaN")]
    #[case("12:30:00")]
    #[case("190:20:30.15")]
    #[case("~")]
    #[case("null")]
    #[case("NULL")]
    #[case("")]
    #[case(" ")]
    #[case("2001-01-01")]
    #[case("2001-12-14t21:59:43.10-05:00")]
    #[case("- x")]
    #[case("-")]
    #[case("---")]
    #[case("--- x")]
    #[case("...")]
    #[case("<<")]
    #[case("=")]
    #[case("? x")]
    #[case("a: b")]
    #[case("a:")]
    #[case(":a")]
    #[case("a #b")]
    #[case("#a")]
    #[case("[a]")]
    #[case("{{ a }}")]
    #[case("!x")]
    #[case("&x")]
    #[case("*x")]
    #[case("%x")]
    #[case("@x")]
    #[case("`x`")]
    #[case("'x'")]
    #[case("\"x\"")]
    #[case("it's")]
    #[case("\\")]
    #[case("trailing ")]
    #[case(" leading")]
    #[case("tab\there")]
    #[case("\ttab")]
    #[case("two\nlines")]
    #[case("two\nlines\n")]
    #[case("two\nlines\n\n\n")]
    #[case("\n")]
    #[case("\n\n")]
    #[case("\nx")]
    #[case("\tx\ny\n")]
    #[case("  x\ny\n")]
    #[case("x  \n  y\n")]
    #[case("x\n \n")]
    #[case("x\n\t\n")]
    #[case("# x\ny\n")]
    #[case("---\nx\n")]
    #[case("a\r\nb\r\n")]
    #[case("\u{0}\u{7}\u{1b}\u{7f}\u{85}\u{a0}\u{2028}\u{feff}\u{fffe}")]
    #[case("ä\u{1f600}\u{10ffff}")]
    fn text_comes_back_as_text(#[case] text: &str) {
        let value = json!({"value": text, "list": [text, [text], {"a": text}], "map": {text: {text: text}}, "end": text});
        let written = to_yaml(&value);
        assert!(written.ends_with('\n'));
        assert_eq!(read_back(&written), value, "{written}");
    }

    #[rstest]
    #[case(json!(null), "null\n")]
    #[case(json!({}), "{}\n")]
    #[case(json!([]), "[]\n")]
    #[case(json!({"a": [], "b": {}, "c": [[1, 2], {"d": 1.5}], "e": true, "f": -1}), "a: []\nb: {}\nc:\n- - 1\n  - 2\n- d: 1.5\ne: true\nf: -1\n")]
    #[case(json!({"args": ["sh", "-c", "a\nb\n"]}), "args:\n- sh\n- -c\n- |\n  a\n  b\n")]
    fn looks(#[case] value: Value, #[case] expected: &str) {
        assert_eq!(to_yaml(&value), expected);
        assert_eq!(read_back(&to_yaml(&value)), value);
    }

    /// go-yaml: "found a tab character where an indentation space is expected".
    #[test]
    fn a_block_never_begins_with_a_tab() {
        assert_eq!(to_yaml(&json!({"a": "\n\tb\n"})), "a: \"\\n\\tb\\n\"\n");
    }

    #[test]
    fn long_lines_stay_whole() {
        let text = "word ".repeat(100);
        assert_eq!(to_yaml(&json!({"a": text.trim_end()})).lines().count(), 1);
    }

    fn tricky() -> impl Strategy<Value = String> {
        prop_oneof![
            "[-+0-9_.:exobaf]{1,8}",
            "[ \t\n#:,'\"|>a-]{0,8}",
            "[a-zA-Z~<=]{1,5}",
            any::<String>(),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1000..1000i32).prop_map(|n| Value::from(f64::from(n) + 0.5)),
            tricky().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((tricky(), inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_value_comes_back(value in values()) {
            let written = to_yaml(&value);
            prop_assert_eq!(read_back(&written), value, "{}", written);
        }
    }
}
