//! IOMETE's lists of secrets, `envSecrets` and `sparkConfSecrets`, exactly as its API takes them.
//! <https://iomete.com/resources/user-guide/secrets#api-migration-guide>
//!
//! ```json
//! [{"key": "DB_PASSWORD", "secretObject": {"key": "db_password", "source": {"type": "KUBERNETES", "id": "finance"}}}]
//! ```
//!
//! | member of an entry | |
//! |---|---|
//! | `key` | the variable, or the Spark configuration key |
//! | `secretObject`, `storageSecret` | the secret: its `key`, and the `type` and `id` of its `source` |
//! | `secretKey` | the older form: a key, or `${secrets.KEY}`. It counts only where there is no object |
//!
//! | `type` | `id` |
//! |---|---|
//! | `KUBERNETES` | the domain, whose store it is; null or none: the global store |
//! | `VAULT` | the Vault configuration |
//!
//! Members that are null are as good as absent, and the `name` of a source or secret is for people. Any other member is
//! refused: a list that says more than is understood may mean something else.
//!
//! Texts are borrowed from the annotation. One that is written with JSON escapes is refused: no name here needs any.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use super::Stored;
use crate::inject::annotations as names;
use crate::inject::name::is_data_key;
use crate::inject::name::is_label;
use crate::inject::quote;
use crate::inject::variable::{self, Refusal};

/// Names of variables that begin so are keyporter's own.
const OWN_VARIABLES: &str = "KEYPORTER_";
/// The longest name of a Kubernetes object, in bytes.
const OBJECT_NAME: usize = 253;
/// The longest text that a sentence quotes, in characters.
const QUOTED: usize = 100;

/// Which list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `envSecrets`.
    Variables,
    /// `sparkConfSecrets`.
    Configuration,
}

impl List {
    /// The annotation that holds it.
    #[must_use]
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::Variables => names::ENV_SECRETS,
            Self::Configuration => names::SPARK_CONF_SECRETS,
        }
    }
}

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// Which one it is, from 1.
    pub number: usize,
    /// The variable or configuration key.
    pub key: &'a str,
    /// The secret.
    pub secret: Object<'a>,
}

/// The secret of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// A key of the store of one domain, or of the global store.
    Kubernetes {
        /// The key.
        key: &'a str,
        /// The domain; `None`: the global store.
        domain: Option<&'a str>,
    },
    /// A key of a Vault configuration.
    Vault {
        /// The configuration.
        id: &'a str,
    },
    /// The older form.
    Older(Stored<'a>),
}

/// Something in a list that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake<'a> {
    /// In which entry, from 1; `None`: the list as a whole.
    pub number: Option<usize>,
    /// The entry's key, if it can be read.
    pub key: Option<Cow<'a, str>>,
    /// What it is.
    pub why: Misread,
}

/// Why a list or an entry cannot be understood. Values are not quoted: the older form held secrets themselves.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misread {
    /// No JSON.
    #[error("not JSON (line {line}, column {column})")]
    NotJson {
        /// Where it ends to be.
        line: usize,
        /// Where it ends to be.
        column: usize,
    },
    /// Another JSON value.
    #[error(
        "not a list such as [{{\"key\": NAME, \"secretObject\": {{\"key\": KEY, \"source\": {{\"type\": \"KUBERNETES\", \"id\": DOMAIN}}}}}}]"
    )]
    NotAList,
    /// Something else where an object has to be.
    #[error("{0} is not an object")]
    NotAnObject(&'static str),
    /// Something else where text has to be.
    #[error("{0} is not text")]
    NotText(&'static str),
    /// Text with JSON escapes.
    #[error("{0} has an escaped character; write it without")]
    Escaped(&'static str),
    /// A member that has to be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A member that is not known.
    #[error("the member {member:?} of {of} is not known; take it out")]
    Unknown {
        /// The member.
        member: String,
        /// Of what.
        of: &'static str,
    },
    /// One member twice.
    #[error("{0} has a member twice")]
    Twice(&'static str),
    /// Two objects.
    #[error("secretObject and storageSecret stand beside each other; keep one")]
    TwoObjects,
    /// No object and no key.
    #[error("secretObject is missing")]
    NoSecret,
    /// Another type of source.
    #[error("the source type {0:?} is not known; it is KUBERNETES or VAULT")]
    Type(String),
    /// Nothing that a store can have.
    #[error(
        "{0} is no key of a store; a key has 1 to 253 characters a-z, A-Z, 0-9, -, _ and ., and does not start with \"..\""
    )]
    Key(&'static str),
    /// Nothing that can be the end of an object's name.
    #[error(
        "the source id is no domain; a domain has a-z, 0-9, - and ., with a letter or digit at both ends"
    )]
    Domain,
    /// Nothing that can be an id.
    #[error("the source id is none of a Vault configuration")]
    VaultId,
    /// No name of a variable.
    #[error("bad variable name; a name has letters, digits and _, and no digit first")]
    Variable,
    /// A variable that no secret sets.
    #[error("no secret may set this variable: it changes how programs load, or is keyporter's own")]
    RefusedVariable,
    /// No configuration key.
    #[error("bad configuration key; a key has letters, digits and . - _ / :")]
    Configuration,
    /// Two entries for one.
    #[error("another entry has the same key")]
    KeyTwice,
}

/// Reads a list. What is understood comes back beside what is not.
#[must_use]
pub fn read(list: List, text: &str) -> (Vec<Assignment<'_>>, Vec<Mistake<'_>>) {
    let whole = |why| {
        let mistake = Mistake {
            number: None,
            key: None,
            why,
        };
        (vec![], vec![mistake])
    };
    let entries = match serde_json::from_str(text) {
        Ok(Json::List(entries)) => entries,
        Ok(_) => return whole(Misread::NotAList),
        Err(error) => {
            return whole(Misread::NotJson {
                line: error.line(),
                column: error.column(),
            });
        }
    };
    let (mut assignments, mut mistakes) = (vec![], vec![]);
    let mut keys = HashSet::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let number = index + 1;
        let key = entry.key();
        let assignment = assignment(list, number, entry).and_then(|assignment| {
            let is_new = keys.insert(assignment.key);
            is_new.then_some(assignment).ok_or(Misread::KeyTwice)
        });
        match assignment {
            Ok(assignment) => assignments.push(assignment),
            Err(why) => mistakes.push(Mistake {
                number: Some(number),
                key,
                why,
            }),
        }
    }
    (assignments, mistakes)
}

fn assignment(list: List, number: usize, entry: Json<'_>) -> Result<Assignment<'_>, Misread> {
    let mut entry = Members::of("the entry", entry)?;
    let key = entry.text("key", "key")?.ok_or(Misread::Missing("key"))?;
    match list {
        List::Variables => check_variable(key)?,
        List::Configuration => check_configuration(key)?,
    }
    let secret_object = entry.take("secretObject");
    let storage_secret = entry.take("storageSecret");
    let secret_key = entry.text("secretKey", "secretKey")?;
    entry.finish(&["name"])?;
    let secret = match (secret_object, storage_secret) {
        (Some(_), Some(_)) => return Err(Misread::TwoObjects),
        (Some(secret), None) => object("secretObject", secret)?,
        (None, Some(secret)) => object("storageSecret", secret)?,
        (None, None) => older(secret_key.ok_or(Misread::NoSecret)?)?,
    };
    Ok(Assignment {
        number,
        key,
        secret,
    })
}

fn object<'a>(name: &'static str, secret: Json<'a>) -> Result<Object<'a>, Misread> {
    let mut secret = Members::of(name, secret)?;
    let key = secret.text("key", "the secret's key")?;
    let key = key.ok_or(Misread::Missing("the secret's key"))?;
    let source = secret.take("source").ok_or(Misread::Missing("source"))?;
    secret.finish(&["name"])?;
    let mut source = Members::of("source", source)?;
    let sort = source.text("type", "the source type")?;
    let sort = sort.ok_or(Misread::Missing("the source type"))?;
    let id = source.text("id", "the source id")?;
    source.finish(&["name"])?;
    match sort {
        "KUBERNETES" if !is_data_key(key) => Err(Misread::Key("the secret's key")),
        "KUBERNETES" if id.is_some_and(|id| !is_domain(id)) => Err(Misread::Domain),
        "KUBERNETES" => Ok(Object::Kubernetes { key, domain: id }),
        "VAULT" => {
            let id = id.ok_or(Misread::Missing("the source id"))?;
            let is_id = !id.is_empty()
                && id.len() <= OBJECT_NAME
                && !id.contains(|letter: char| letter.is_control() || letter.is_whitespace());
            is_id
                .then_some(Object::Vault { id })
                .ok_or(Misread::VaultId)
        }
        other => Err(Misread::Type(quoted(other))),
    }
}

/// `${secrets.KEY}`, or a plain key.
fn older(text: &str) -> Result<Object<'_>, Misread> {
    let plain = Stored {
        key: text,
        optional: false,
    };
    let stored = match Stored::at_head(text) {
        Some((stored, "")) => stored,
        _ if is_data_key(text) => plain,
        _ => return Err(Misread::Key("secretKey")),
    };
    Ok(Object::Older(stored))
}

fn check_variable(name: &str) -> Result<(), Misread> {
    match variable::check(name) {
        Err(Refusal::Invalid) => Err(Misread::Variable),
        Err(Refusal::Dangerous) => Err(Misread::RefusedVariable),
        Ok(()) if name.starts_with(OWN_VARIABLES) => Err(Misread::RefusedVariable),
        Ok(()) => Ok(()),
    }
}

/// It stands in an argument before a `=`, where Kubernetes expands `$(`.
fn check_configuration(key: &str) -> Result<(), Misread> {
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/:".contains(&byte);
    let is_good = key.bytes().next().is_some_and(|byte| byte != b'-')
        && key.len() <= OBJECT_NAME
        && key.bytes().all(is_of_key);
    is_good.then_some(()).ok_or(Misread::Configuration)
}

fn is_domain(id: &str) -> bool {
    id.len() <= OBJECT_NAME && id.split('.').all(is_label)
}

fn quoted(text: &str) -> String {
    quote::head(text, QUOTED).to_owned()
}

/// A JSON value, as much of it as matters.
enum Json<'a> {
    Null,
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Map(Vec<(Cow<'a, str>, Json<'a>)>),
    Other,
}

impl<'a> Json<'a> {
    /// The key of an entry, as far as it can be read.
    fn key(&self) -> Option<Cow<'a, str>> {
        let Self::Map(members) = self else {
            return None;
        };
        let (_, key) = members.iter().find(|(name, _)| name == "key")?;
        match key {
            Self::Text(key) => Some(key.clone()),
            _ => None,
        }
    }
}

/// The members of an object that nobody has looked at yet.
struct Members<'a> {
    of: &'static str,
    members: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Members<'a> {
    fn of(of: &'static str, json: Json<'a>) -> Result<Self, Misread> {
        let Json::Map(mut members) = json else {
            return Err(Misread::NotAnObject(of));
        };
        let mut names = HashSet::new();
        if !members.iter().all(|(name, _)| names.insert(name.clone())) {
            return Err(Misread::Twice(of));
        }
        members.retain(|(_, value)| !matches!(value, Json::Null));
        Ok(Self { of, members })
    }

    fn take(&mut self, name: &str) -> Option<Json<'a>> {
        let index = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.swap_remove(index).1)
    }

    fn text(&mut self, name: &str, what: &'static str) -> Result<Option<&'a str>, Misread> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(Cow::Borrowed(text))) => Ok(Some(text)),
            Some(Json::Text(Cow::Owned(_))) => Err(Misread::Escaped(what)),
            Some(_) => Err(Misread::NotText(what)),
        }
    }

    /// Looks whether nothing is left but these.
    fn finish(self, harmless: &[&str]) -> Result<(), Misread> {
        let mut left = self.members.iter().map(|(name, _)| name.as_ref());
        match left.find(|name| !harmless.contains(name)) {
            None => Ok(()),
            Some(member) => Err(Misread::Unknown {
                member: quoted(member),
                of: self.of,
            }),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Json::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = seq.next_element()? {
            list.push(entry);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Json::Text(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(Json::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const CANARY: &str = "hunter2 canary";

    fn one(list: List, text: &str) -> Result<Assignment<'_>, Vec<String>> {
        let (assignments, mistakes) = read(list, text);
        match (assignments.as_slice(), mistakes.is_empty()) {
            ([assignment], true) => Ok(*assignment),
            _ => Err(mistakes
                .iter()
                .map(|mistake| mistake.why.to_string())
                .collect()),
        }
    }

    #[rstest]
    #[case::of_a_domain(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "KUBERNETES", "id": "finance"}}}]"#,
        Object::Kubernetes { key: "a", domain: Some("finance") },
    )]
    #[case::global(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "KUBERNETES", "id": null}}}]"#,
        Object::Kubernetes { key: "a", domain: None },
    )]
    #[case::global_without_id(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "KUBERNETES"}}}]"#,
        Object::Kubernetes { key: "a", domain: None },
    )]
    #[case::vault(
        r#"[{"key": "A", "secretObject": {"key": "a b/c", "source": {"type": "VAULT", "id": "vault-config-id"}}}]"#,
        Object::Vault { id: "vault-config-id" },
    )]
    #[case::storage_secret(
        r#"[{"storageSecret": {"source": {"id": "finance", "type": "KUBERNETES"}, "key": "a"}, "key": "A"}]"#,
        Object::Kubernetes { key: "a", domain: Some("finance") },
    )]
    #[case::the_object_comes_first(
        r#"[{"key": "A", "secretKey": "a plain value", "storageSecret": {"key": "a", "source": {"type": "KUBERNETES", "id": "d"}}}]"#,
        Object::Kubernetes { key: "a", domain: Some("d") },
    )]
    #[case::older_text(r#"[{"key": "A", "secretKey": "${secrets.a}"}]"#, Object::Older(Stored { key: "a", optional: false }))]
    #[case::older_optional(r#"[{"key": "A", "secretKey": "${secrets.a?}"}]"#, Object::Older(Stored { key: "a", optional: true }))]
    #[case::older_plain(r#"[{"key": "A", "secretKey": "a"}]"#, Object::Older(Stored { key: "a", optional: false }))]
    #[case::nulls_and_names(
        r#"[{"key": "A", "name": "x", "secretKey": null, "storageSecret": null, "odd": null,
             "secretObject": {"key": "a", "name": "\u0041", "source": {"type": "KUBERNETES", "id": "d", "name": 7}}}]"#,
        Object::Kubernetes { key: "a", domain: Some("d") },
    )]
    fn entries(#[case] text: &str, #[case] secret: Object<'_>) {
        let expected = Assignment {
            number: 1,
            key: "A",
            secret,
        };
        assert_eq!(one(List::Variables, text), Ok(expected));
        assert_eq!(one(List::Configuration, text), Ok(expected));
    }

    #[rstest]
    #[case::text("CANARY", "not JSON (line 1, column 1)")]
    #[case::empty("", "not JSON (line 1, column 0)")]
    #[case::cut(r#"[{"key": "CANARY"#, "not JSON (line 1, column ")]
    #[case::two_values("[] []", "not JSON (line 1, column 4)")]
    #[case::a_map(r#"{"A": "CANARY"}"#, "not a list such as [{")]
    #[case::a_text(r#"["CANARY"]"#, "the entry is not an object")]
    #[case::no_key(r#"[{"secretKey": "CANARY"}]"#, "key is missing")]
    #[case::a_number(r#"[{"key": 5}]"#, "key is not text")]
    #[case::escaped(
        r#"[{"key": "\u0041", "secretKey": "a"}]"#,
        "key has an escaped character; write it without"
    )]
    #[case::nothing(r#"[{"key": "A"}]"#, "secretObject is missing")]
    #[case::both(
        r#"[{"key": "A", "secretObject": {}, "storageSecret": {}}]"#,
        "secretObject and storageSecret stand beside each other; keep one"
    )]
    #[case::unknown(
        r#"[{"key": "A", "value": "CANARY", "secretKey": "a"}]"#,
        "the member \"value\" of the entry is not known; take it out"
    )]
    #[case::unknown_of_source(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "KUBERNETES", "id": "d", "scope": "CANARY"}}}]"#,
        "the member \"scope\" of source is not known; take it out",
    )]
    #[case::twice(
        r#"[{"key": "A", "key": "B", "secretKey": "a"}]"#,
        "the entry has a member twice"
    )]
    #[case::no_source(r#"[{"key": "A", "secretObject": {"key": "a"}}]"#, "source is missing")]
    #[case::source_text(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": "CANARY"}}]"#,
        "source is not an object"
    )]
    #[case::no_type(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"id": "d"}}}]"#,
        "the source type is missing"
    )]
    #[case::other_type(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "vault", "id": "d"}}}]"#,
        "the source type \"vault\" is not known; it is KUBERNETES or VAULT"
    )]
    #[case::no_vault(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "VAULT"}}}]"#,
        "the source id is missing"
    )]
    #[case::odd_vault(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "VAULT", "id": "a b"}}}]"#,
        "the source id is none of a Vault configuration"
    )]
    #[case::domain(
        r#"[{"key": "A", "secretObject": {"key": "a", "source": {"type": "KUBERNETES", "id": "../x"}}}]"#,
        "the source id is no domain; a domain has a-z, 0-9, - and ., with a letter or digit at both ends",
    )]
    #[case::secret_key(
        r#"[{"key": "A", "secretKey": "CANARY"}]"#,
        "secretKey is no key of a store; "
    )]
    #[case::key_twice(
        r#"[{"key": "A", "secretKey": "a"}, {"key": "A", "secretKey": "b"}]"#,
        "another entry has the same key"
    )]
    fn mistakes(#[case] text: &str, #[case] expected: &str) {
        let text = text.replace("CANARY", CANARY);
        for list in [List::Variables, List::Configuration] {
            let told = one(list, &text).unwrap_err();
            let [told] = told.as_slice() else {
                panic!("{told:?}")
            };
            assert!(told.starts_with(expected), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[rstest]
    #[case::digit(List::Variables, "9A", "bad variable name")]
    #[case::dash(List::Variables, "spark.a", "bad variable name")]
    #[case::nothing(List::Variables, "", "bad variable name")]
    #[case::path(List::Variables, "PATH", "no secret may set this variable")]
    #[case::own(List::Variables, "KEYPORTER_REF_1", "no secret may set this variable")]
    #[case::equals(List::Configuration, "a=b", "bad configuration key")]
    #[case::expanded(List::Configuration, "$(A)", "bad configuration key")]
    #[case::option(List::Configuration, "-a", "bad configuration key")]
    #[case::none(List::Configuration, "", "bad configuration key")]
    fn bad_keys(#[case] list: List, #[case] key: &str, #[case] expected: &str) {
        let text = format!(r#"[{{"key": "{key}", "secretKey": "a"}}]"#);
        let told = one(list, &text).unwrap_err();
        assert!(told.first().unwrap().starts_with(expected), "{told:?}");
    }

    #[test]
    fn every_entry_is_told_by_its_number() {
        let text = r#"[7, {"key": "A", "secretKey": "a"}, {"key": "9", "secretKey": "a"}]"#;
        let (assignments, mistakes) = read(List::Variables, text);
        assert_eq!(assignments.first().map(|one| one.number), Some(2));
        let told: Vec<_> = mistakes
            .iter()
            .map(|mistake| (mistake.number, mistake.key.as_deref()))
            .collect();
        assert_eq!(told, [(Some(1), None), (Some(3), Some("9"))]);
    }

    #[test]
    fn what_is_nested_without_end_is_not_json() {
        for text in ["[".repeat(100_000), r#"{"a":"#.repeat(100_000)] {
            let (_, mistakes) = read(List::Variables, &text);
            assert!(matches!(
                mistakes.as_slice(),
                [Mistake {
                    why: Misread::NotJson { .. },
                    ..
                }]
            ));
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let name = || {
            prop::sample::select(vec![
                "key",
                "secretObject",
                "storageSecret",
                "secretKey",
                "source",
                "type",
                "id",
                "name",
                "odd",
            ])
        };
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
            prop::sample::select(vec!["A", "KUBERNETES", "VAULT", "finance", "${secrets.a}"])
                .prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((name(), inner), 0..5).prop_map(|members| {
                    let members = members.into_iter();
                    let members = members.map(|(name, value)| (name.to_owned(), value));
                    serde_json::Value::Object(members.collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,80}") {
            let _ = read(List::Variables, &text);
            let _ = read(List::Configuration, &text);
        }

        /// Nothing is lost: an entry is understood or told of.
        #[test]
        fn any_json_is_read(json in json()) {
            let text = json.to_string();
            for list in [List::Variables, List::Configuration] {
                let (assignments, mistakes) = read(list, &text);
                let Some(entries) = json.as_array() else {
                    prop_assert_eq!((assignments.len(), mistakes.len()), (0, 1));
                    continue;
                };
                let mut numbers: Vec<_> = assignments.iter().map(|one| Some(one.number)).collect();
                numbers.extend(mistakes.iter().map(|mistake| mistake.number));
                numbers.sort_unstable();
                let all: Vec<_> = (1..=entries.len()).map(Some).collect();
                prop_assert_eq!(numbers, all);
            }
        }
    }
}
