//! Decoding Secrets into a type without values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use thiserror::Error;

pub(super) use self::heads::{NamespaceHead, SecretHead};
use self::lenient::{Lenient, Shape};
use crate::inject::annotations as names;
use crate::inject::secret::{Description, Key};

mod heads;
mod lenient;

/// The labels that rules read, of Secrets and of Namespaces.
const LABELS: [&str; 9] = [
    names::KIND,
    names::NAME,
    names::SCOPE,
    names::OWNER_ID,
    names::KONDUKTOR_MARK,
    names::KONDUKTOR_NAME,
    names::KONDUKTOR_KIND,
    names::KONDUKTOR_OWNER,
    names::DOMAIN,
];

/// The annotations that rules read. Others are skipped unseen: `kubectl.kubernetes.io/last-applied-configuration`
/// repeats the values.
const ANNOTATIONS: [&str; 4] = [
    names::OWNER,
    names::LAYOUT,
    names::EXECUTABLE,
    names::INJECTION,
];

/// A Secret as watches and files give it, without its values: of `data` and `stringData` there are the key names and the
/// lengths of the values.
///
/// Decoding succeeds for an object of any shape. What cannot be a Secret is kept as its [`Flaw`]: one odd object must
/// not make the list that holds it unreadable, and a client that meets an unreadable answer likes to log all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WatchedSecret {
    /// Name, namespace, resource version, and those labels and annotations that keyporter reads.
    metadata: ObjectMeta,
    /// `metadata.creationTimestamp` as it stands there.
    created: String,
    /// Sorted by name.
    keys: Vec<Key>,
    flaw: Option<Flaw>,
}

/// Why an object cannot be a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A field that has to be a map is something else.
    #[error("{0} is not a map")]
    NotAMap(&'static str),
    /// A label or annotation of keyporter is not text.
    #[error("{0} is not text; put it in quotes")]
    NotText(&'static str),
    /// A value is not text. Its key is not named: in a file with a mistake it may be a part of a value.
    #[error("value {number} of {field} is not text; put it in quotes")]
    ValueNotText {
        /// `data` or `stringData`.
        field: &'static str,
        /// Which one of the field's values, from 1.
        number: usize,
    },
    /// No name, or one that is not text.
    #[error("metadata.name is missing or not text")]
    NoName,
}

impl WatchedSecret {
    /// What keeps the object from being a Secret.
    #[must_use]
    pub fn flaw(&self) -> Option<Flaw> {
        let unnamed = self.object().is_empty().then_some(Flaw::NoName);
        self.flaw.or(unnamed)
    }

    /// `metadata.namespace`; empty where it is missing.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// `metadata.name`; empty where it is missing.
    #[must_use]
    pub fn object(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// `metadata.resourceVersion`; empty where it is missing.
    pub(super) fn resource_version(&self) -> &str {
        let version = self.metadata.resource_version.as_deref();
        version.unwrap_or_default()
    }
}

impl From<WatchedSecret> for Description {
    fn from(secret: WatchedSecret) -> Self {
        let pairs = |map: Option<BTreeMap<_, _>>| map.unwrap_or_default().into_iter().collect();
        let metadata = secret.metadata;
        Self {
            namespace: metadata.namespace.unwrap_or_default(),
            object: metadata.name.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            created: secret.created,
            labels: pairs(metadata.labels),
            annotations: pairs(metadata.annotations),
            keys: secret.keys,
        }
    }
}

impl Resource for WatchedSecret {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Secret".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "secrets".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de> Deserialize<'de> for WatchedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(|object| object.secret)
    }
}

/// An object of any kind in a file: as much of it as there is, were it a Secret.
#[derive(Default)]
pub(super) struct Object {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) secret: WatchedSecret,
    /// The objects in it, were it a list.
    pub(super) items: Vec<Object>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient(ObjectShape))
    }
}

struct ObjectShape;

impl<'de> Shape<'de> for ObjectShape {
    type Output = Object;

    fn other(self) -> Object {
        Object::default()
    }

    fn map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object::default();
        let (mut data, mut string_data) = (Entries::default(), Entries::default());
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "apiVersion" => object.api_version = text(&mut map)?.unwrap_or_default(),
                "kind" => object.kind = text(&mut map)?.unwrap_or_default(),
                "metadata" => map.next_value_seed(Lenient(Metadata(&mut object.secret)))?,
                "data" => data = map.next_value_seed(Lenient(Values::DATA))?,
                "stringData" => string_data = map.next_value_seed(Lenient(Values::STRING_DATA))?,
                "items" => object.items = map.next_value_seed(Lenient(Items))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let secret = &mut object.secret;
        secret.flaw = secret.flaw.or(data.flaw).or(string_data.flaw);
        // The API server lets stringData win.
        data.lengths.append(&mut string_data.lengths);
        let key = |(name, length)| Key { name, length };
        secret.keys = data.lengths.into_iter().map(key).collect();
        Ok(object)
    }
}

struct Items;

impl<'de> Shape<'de> for Items {
    type Output = Vec<Object>;

    fn other(self) -> Vec<Object> {
        Vec::new()
    }

    fn seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Object>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

struct Metadata<'a>(&'a mut WatchedSecret);

impl<'de> Shape<'de> for Metadata<'_> {
    type Output = ();

    fn other(self) {
        self.0.flaw = Some(Flaw::NotAMap("metadata"));
    }

    fn null(self) {}

    fn map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let secret = self.0;
        let metadata = &mut secret.metadata;
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "name" => metadata.name = text(&mut map)?,
                "namespace" => metadata.namespace = text(&mut map)?,
                "resourceVersion" => metadata.resource_version = text(&mut map)?,
                "creationTimestamp" => secret.created = text(&mut map)?.unwrap_or_default(),
                "labels" => {
                    let kept = Kept::labels(&mut secret.flaw);
                    metadata.labels = map.next_value_seed(Lenient(kept))?;
                }
                "annotations" => {
                    let kept = Kept::annotations(&mut secret.flaw);
                    metadata.annotations = map.next_value_seed(Lenient(kept))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Those labels or annotations that keyporter reads.
struct Kept<'a> {
    field: &'static str,
    names: &'static [&'static str],
    flaw: &'a mut Option<Flaw>,
}

impl<'a> Kept<'a> {
    fn labels(flaw: &'a mut Option<Flaw>) -> Self {
        Self {
            field: "metadata.labels",
            names: &LABELS,
            flaw,
        }
    }

    fn annotations(flaw: &'a mut Option<Flaw>) -> Self {
        Self {
            field: "metadata.annotations",
            names: &ANNOTATIONS,
            flaw,
        }
    }
}

impl<'de> Shape<'de> for Kept<'_> {
    type Output = Option<BTreeMap<String, String>>;

    fn other(self) -> Self::Output {
        *self.flaw = Some(Flaw::NotAMap(self.field));
        None
    }

    fn null(self) -> Self::Output {
        None
    }

    fn map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Output, A::Error> {
        let mut kept = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(name) = self.names.iter().find(|name| **name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match text(&mut map)? {
                Some(value) => drop(kept.insert(key, value)),
                None => *self.flaw = Some(Flaw::NotText(name)),
            }
        }
        Ok(Some(kept))
    }
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    map.next_value_seed(Lenient(Text))
}

/// Text; `None` for anything else.
struct Text;

impl Shape<'_> for Text {
    type Output = Option<String>;

    fn other(self) -> Option<String> {
        None
    }

    fn text(self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

/// The keys of `data` or `stringData`, with the lengths of their values in bytes.
#[derive(Default)]
struct Entries {
    lengths: BTreeMap<Box<str>, u64>,
    flaw: Option<Flaw>,
}

#[derive(Clone, Copy)]
struct Values {
    field: &'static str,
    length: fn(&str) -> usize,
}

impl Values {
    const DATA: Self = Self {
        field: "data",
        length: decoded_length,
    };
    const STRING_DATA: Self = Self {
        field: "stringData",
        length: str::len,
    };
}

impl<'de> Shape<'de> for Values {
    type Output = Entries;

    fn other(self) -> Entries {
        Entries {
            flaw: Some(Flaw::NotAMap(self.field)),
            ..Entries::default()
        }
    }

    fn null(self) -> Entries {
        Entries::default()
    }

    fn map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        let mut number = 0;
        while let Some(key) = map.next_key::<String>()? {
            number += 1;
            let length = map.next_value_seed(Lenient(Length(self.length)))?;
            if length.is_none() {
                entries.flaw = Some(Flaw::ValueNotText {
                    field: self.field,
                    number,
                });
            }
            entries.lengths.insert(key.into(), length.unwrap_or(0));
        }
        Ok(entries)
    }
}

/// The length of a value, all that is taken of it.
struct Length(fn(&str) -> usize);

impl Shape<'_> for Length {
    type Output = Option<u64>;

    fn other(self) -> Option<u64> {
        None
    }

    /// The API server reads null as an empty value.
    fn null(self) -> Option<u64> {
        Some(0)
    }

    fn text(self, text: &str) -> Option<u64> {
        u64::try_from((self.0)(text)).ok()
    }
}

/// How many bytes a base64 text stands for. Line breaks do not count.
/// <https://www.rfc-editor.org/rfc/rfc4648#section-4>
fn decoded_length(base64: &str) -> usize {
    let digits = base64
        .bytes()
        .filter(|byte| !matches!(byte, b'\r' | b'\n' | b'='));
    digits.count() * 3 / 4
}

#[cfg(test)]
mod tests {
    use kube::api::{ObjectList, WatchEvent};
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::documents::Documents;

    const CANARY: &str = "hunter2-canary";
    /// `printf hunter2-canary | base64`
    const ENCODED: &str = "aHVudGVyMi1jYW5hcnk=";

    fn from_yaml(text: &str) -> WatchedSecret {
        let documents = Documents::split(text);
        documents.iter().next().unwrap().read("file").unwrap()
    }

    fn keys(secret: &WatchedSecret) -> Vec<(&str, u64)> {
        let keys = secret.keys.iter();
        keys.map(|key| (&*key.name, key.length)).collect()
    }

    fn full() -> serde_json::Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "token-1",
                "namespace": "team",
                "uid": CANARY,
                "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"keyporter.dev/kind": "env", "keyporter.dev/name": "token", "app": CANARY},
                "annotations": {
                    "keyporter.dev/owner": "alice",
                    "kubectl.kubernetes.io/last-applied-configuration":
                        format!("{{\"stringData\":{{\"a\":\"{CANARY}\"}},\"data\":{{\"b\":\"{ENCODED}\"}}}}"),
                },
                "managedFields": [{"fieldsV1": {"f:data": {CANARY: {}}}}],
            },
            "data": {"b": ENCODED, "a": "", "line\"feed": format!("{ENCODED}\n")},
            "stringData": {"b": "x", "c": format!("{CANARY}\n\"")},
            "type": CANARY,
            "immutable": true,
            "unknown": {"deep": [CANARY, ENCODED]},
        })
    }

    #[test]
    fn what_rules_read_is_kept_and_no_value_is() {
        let json = full().to_string();
        let yaml = crate::documents::to_yaml(&full());
        let secrets: [WatchedSecret; 3] = [
            serde_json::from_str(&json).unwrap(),
            serde_json::from_value(full()).unwrap(),
            from_yaml(&yaml),
        ];
        for secret in secrets {
            assert_eq!((secret.namespace(), secret.object()), ("team", "token-1"));
            assert_eq!(secret.flaw(), None);
            assert_eq!(
                keys(&secret),
                [("a", 0), ("b", 1), ("c", 16), ("line\"feed", 14)]
            );
            let told = format!("{secret:?}");
            assert!(
                !told.contains("hunter2") && !told.contains(ENCODED),
                "{told}"
            );

            let description = Description::from(secret);
            let told = format!("{description:?}");
            assert!(
                !told.contains("hunter2") && !told.contains(ENCODED),
                "{told}"
            );
            assert_eq!(description.created, "2026-01-01T00:00:00Z");
            assert_eq!(description.resource_version, "7");
            assert_eq!(
                description.annotations,
                [("keyporter.dev/owner".into(), "alice".into())]
            );
            assert_eq!(description.labels.len(), 2);
            let read = description.read().unwrap().unwrap();
            assert_eq!(
                (&*read.name, read.owner.as_deref()),
                ("token", Some("alice"))
            );
        }
    }

    #[rstest]
    #[case::empty("", 0)]
    #[case::one("YQ==", 1)]
    #[case::two("YWI=", 2)]
    #[case::three("YWJj", 3)]
    #[case::four("YWJjZA==", 4)]
    #[case::lines("YWJj\r\nZA==\n", 4)]
    fn lengths(#[case] base64: &str, #[case] bytes: usize) {
        assert_eq!(decoded_length(base64), bytes);
    }

    #[rstest]
    #[case::no_data(json!({"metadata": {"name": "n"}}), None)]
    #[case::null_data(json!({"metadata": {"name": "n", "labels": null}, "data": null}), None)]
    #[case::null_value(json!({"metadata": {"name": "n"}, "data": {"a": null}}), None)]
    #[case::unread_label(json!({"metadata": {"name": "n", "labels": {"app": 5}}}), None)]
    #[case::number(json!({"metadata": {"name": "n"}, "data": {"a": 4711}}), Some(Flaw::ValueNotText { field: "data", number: 1 }))]
    #[case::second(json!({"metadata": {"name": "n"}, "stringData": {"a": "", "b": [4711]}}), Some(Flaw::ValueNotText { field: "stringData", number: 2 }))]
    #[case::boolean(json!({"metadata": {"name": "n"}, "stringData": {"a": true}}), Some(Flaw::ValueNotText { field: "stringData", number: 1 }))]
    #[case::map(json!({"metadata": {"name": "n"}, "data": {"a": {"4711": 1.5}}}), Some(Flaw::ValueNotText { field: "data", number: 1 }))]
    #[case::list(json!({"metadata": {"name": "n"}, "data": ["4711"]}), Some(Flaw::NotAMap("data")))]
    #[case::text(json!({"metadata": {"name": "n"}, "stringData": "4711"}), Some(Flaw::NotAMap("stringData")))]
    #[case::label(json!({"metadata": {"name": "n", "labels": {"keyporter.dev/name": 4711}}}), Some(Flaw::NotText("keyporter.dev/name")))]
    #[case::labels(json!({"metadata": {"name": "n", "labels": [4711]}}), Some(Flaw::NotAMap("metadata.labels")))]
    #[case::metadata(json!({"metadata": "4711"}), Some(Flaw::NotAMap("metadata")))]
    #[case::name(json!({"metadata": {"name": 4711}}), Some(Flaw::NoName))]
    #[case::nothing(json!({}), Some(Flaw::NoName))]
    #[case::no_object(json!([4711]), Some(Flaw::NoName))]
    fn odd_shapes_are_flaws_and_not_quoted(
        #[case] object: serde_json::Value,
        #[case] flaw: Option<Flaw>,
    ) {
        for secret in [
            serde_json::from_value::<WatchedSecret>(object.clone()).unwrap(),
            from_yaml(&object.to_string()),
        ] {
            assert_eq!(secret.flaw(), flaw);
            let told = format!(
                "{secret:?} {}",
                flaw.map(|flaw| flaw.to_string()).unwrap_or_default()
            );
            assert!(!told.contains("4711"), "{told}");
        }
    }

    #[test]
    fn a_list_and_a_watch_of_kube_decode() {
        let list: ObjectList<WatchedSecret> = serde_json::from_value(json!({
            "kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "9", "continue": "x"},
            "items": [full(), {"metadata": 5, "data": [1]}],
        }))
        .unwrap();
        assert_eq!(list.items.len(), 2);
        let line = json!({"type": "MODIFIED", "object": full()}).to_string();
        let event: WatchEvent<WatchedSecret> = serde_json::from_str(&line).unwrap();
        assert!(matches!(event, WatchEvent::Modified(secret) if secret.object() == "token-1"));
        assert_eq!(WatchedSecret::url_path(&(), None), "/api/v1/secrets");
    }
}
