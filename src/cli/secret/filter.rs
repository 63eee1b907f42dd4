//! Which secrets are asked for.

use clap::{Args, builder::PossibleValuesParser};

use super::metadata::Metadata;
use crate::inject::secret::Kind;

/// All that is given has to hold.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only with this text in the name, the use case or the name of a key, in capitals or not
    #[arg(value_name = "TEXT")]
    text: Option<String>,

    /// Only of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND", value_parser = kinds())]
    kinds: Vec<String>,

    /// Only of this name; `*` stands for any text, `?` for one character
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
}

impl Filter {
    pub(super) fn takes(&self, secret: &Metadata) -> bool {
        let of_kind = || {
            let kind = secret.kind().unwrap_or_default();
            self.kinds.is_empty() || self.kinds.iter().any(|one| one == kind)
        };
        let of_name = || {
            let pattern = self.name.as_deref();
            pattern.is_none_or(|pattern| matches(pattern.as_bytes(), secret.name().as_bytes()))
        };
        let with_text = || self.text.as_deref().is_none_or(|text| has(secret, text));
        of_kind() && of_name() && with_text()
    }
}

fn has(secret: &Metadata, text: &str) -> bool {
    let text = text.to_lowercase();
    let found = |place: &str| place.to_lowercase().contains(&text);
    found(secret.name())
        || secret.use_case().is_some_and(found)
        || secret.keys().iter().flatten().any(|key| found(&key.name))
}

/// Whether the whole name is as the pattern says. After a star that failed it is tried one character further on.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, name);
    let mut star = None;
    loop {
        match (rest, left) {
            ([b'*', after @ ..], _) => {
                star = Some((after, left));
                rest = after;
            }
            ([], []) => return true,
            ([wanted, after @ ..], [byte, others @ ..]) if *wanted == b'?' || wanted == byte => {
                (rest, left) = (after, others);
            }
            _ => match star {
                Some((after, [_, others @ ..])) => {
                    star = Some((after, others));
                    (rest, left) = (after, others);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("hugging-face", true)]
    #[case("hugging", false)]
    #[case("*", true)]
    #[case("hug*", true)]
    #[case("*face", true)]
    #[case("*g*a*", true)]
    #[case("hugging?face", true)]
    #[case("hugging-fac?", true)]
    #[case("hugging-face?", false)]
    #[case("*g-g*", false)]
    #[case("", false)]
    fn patterns(#[case] pattern: &str, #[case] expected: bool) {
        assert_eq!(matches(pattern.as_bytes(), b"hugging-face"), expected);
    }

    #[rstest]
    #[case::nothing(None, &[], None, true)]
    #[case::name(Some("HUGGING"), &[], None, true)]
    #[case::use_case(Some("llm"), &[], None, true)]
    #[case::key(Some("token"), &[], None, true)]
    #[case::object(Some("2bd806c9"), &[], None, false)]
    #[case::kind(None, &["auth", "env"], None, true)]
    #[case::other_kind(None, &["auth"], None, false)]
    #[case::all(Some("token"), &["env"], Some("hug*"), true)]
    #[case::not_all(Some("token"), &["env"], Some("face*"), false)]
    fn all_has_to_hold(
        #[case] text: Option<&str>,
        #[case] kinds: &[&str],
        #[case] name: Option<&str>,
        #[case] expected: bool,
    ) {
        let secret: Metadata = serde_json::from_value(json!({
            "namespace": "vision", "name": "hugging-face-2bd806c9", "resourceVersion": "1",
            "labels": {"keyporter.dev/kind": "env", "keyporter.dev/name": "hugging-face"},
            "annotations": {"keyporter.dev/use-case": "LLM"},
            "managedFields": [{"fieldsV1": {"f:data": {"f:HF_TOKEN": {}}}}],
        }))
        .unwrap();
        let filter = Filter {
            text: text.map(str::to_owned),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            name: name.map(str::to_owned),
        };
        assert_eq!(filter.takes(&secret), expected);
    }
}
