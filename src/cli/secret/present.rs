//! A Secret as it is in the API server, without its values.

use std::{borrow::Cow, collections::BTreeMap};

use data_encoding::BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::value::Value;
use crate::{cli::cluster::RequestError, inject::annotations as names};

/// What of a Secret decides about a change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) version: String,
    labels: BTreeMap<String, String>,
    annotations: Annotations,
    pub(super) immutable: bool,
    pub(super) keys: BTreeMap<String, Held>,
}

/// A value that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) length: usize,
    /// Whether it is the one that is ours.
    pub(super) same: bool,
}

/// All others are skipped unseen: `kubectl.kubernetes.io/last-applied-configuration` repeats the values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Annotations {
    #[serde(rename = "keyporter.dev/layout")]
    pub(super) layout: Option<String>,
    #[serde(rename = "keyporter.dev/executable")]
    pub(super) executable: Option<String>,
    #[serde(rename = "keyporter.dev/injection")]
    pub(super) injection: Option<String>,
    #[serde(rename = "keyporter.dev/use-case")]
    pub(super) use_case: Option<String>,
    #[serde(rename = "keyporter.dev/sizes")]
    pub(super) sizes: Option<String>,
}

impl Present {
    /// What makes it one of keyporter's, and decides how it reaches a pod. Konduktor's label counts where ours is absent.
    pub(super) fn kind(&self) -> Option<&str> {
        let konduktors = || {
            let parent = self.label(names::KONDUKTOR_MARK);
            let kind = self.label(names::KONDUKTOR_KIND);
            kind.filter(|_| parent == Some(names::KONDUKTOR_PARENT))
        };
        self.label(names::KIND).or_else(konduktors)
    }

    /// What the user calls it, if a label says so.
    pub(super) fn name(&self) -> Option<&str> {
        if self.label(names::KIND).is_some() {
            self.label(names::NAME)
        } else {
            self.label(names::KONDUKTOR_NAME)
        }
    }

    /// Any other scope counts as the user's.
    pub(super) fn is_project(&self) -> bool {
        self.label(names::SCOPE) == Some("project")
    }

    pub(super) fn annotations(&self) -> &Annotations {
        &self.annotations
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

/// What the API server answered: with the values, and wiped when it is dropped.
pub(super) struct Answer(Zeroizing<Vec<u8>>);

impl Answer {
    pub(super) fn new(answer: Zeroizing<Vec<u8>>) -> Self {
        Self(answer)
    }

    /// The Secret without its values, each of which is compared with the one of its key that is ours.
    pub(super) fn compare(&self, ours: &BTreeMap<String, Value>) -> Result<Present, RequestError> {
        read(&self.0, ours).ok_or(RequestError::OddAnswer)
    }
}

/// Nothing of the values is kept.
fn read(answer: &[u8], ours: &BTreeMap<String, Value>) -> Option<Present> {
    #[derive(Deserialize)]
    struct Object<'a> {
        metadata: Metadata,
        #[serde(borrow, default)]
        data: Option<BTreeMap<Cow<'a, str>, Option<&'a str>>>,
        #[serde(default)]
        immutable: Option<bool>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
        #[serde(default)]
        labels: Option<BTreeMap<String, String>>,
        #[serde(default)]
        annotations: Option<Annotations>,
    }

    let object: Object<'_> = serde_json::from_slice(answer).ok()?;
    let mut keys = BTreeMap::new();
    for (key, encoded) in object.data.unwrap_or_default() {
        let encoded = encoded.unwrap_or_default();
        let value = BASE64.decode(encoded.as_bytes()).map(Zeroizing::new).ok()?;
        let same = ours.get(&*key).is_some_and(|ours| ours.bytes() == &**value);
        let length = value.len();
        keys.insert(key.into_owned(), Held { length, same });
    }
    Some(Present {
        version: object.metadata.resource_version,
        labels: object.metadata.labels.unwrap_or_default(),
        annotations: object.metadata.annotations.unwrap_or_default(),
        immutable: object.immutable == Some(true),
        keys,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_and_forgotten() {
        let answer = json!({
            "metadata": {
                "resourceVersion": "7",
                "labels": {"keyporter.dev/kind": "env", "keyporter.dev/name": "a"},
                "annotations": {
                    "keyporter.dev/use-case": "S3",
                    "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"A\":\"hunter2-canary\"}}",
                },
            },
            "data": {"A": "aHVudGVyMi1jYW5hcnk=", "B": "aHVudGVyMi1jYW5hcnk=", "C": null, "D": ""},
        });
        let ours = BTreeMap::from([
            ("A".to_owned(), Value::from("hunter2-canary")),
            ("B".to_owned(), Value::from("hunter2-canarz")),
            ("C".to_owned(), Value::from("")),
        ]);
        let present = read(answer.to_string().as_bytes(), &ours).unwrap();
        let held: Vec<_> = present
            .keys
            .iter()
            .map(|(key, held)| (&**key, held.length, held.same))
            .collect();
        assert_eq!(
            held,
            [
                ("A", 14, true),
                ("B", 14, false),
                ("C", 0, true),
                ("D", 0, false)
            ]
        );
        assert_eq!((present.kind(), present.name()), (Some("env"), Some("a")));
        assert_eq!(present.annotations().use_case.as_deref(), Some("S3"));
        let told = format!("{present:?}");
        assert!(
            !told.contains("hunter2") && !told.contains("aHVudGVy"),
            "{told}"
        );
    }

    #[test]
    fn konduktors_labels_count_where_ours_are_absent() {
        let labels = json!({"parent": "konduktor", "trainy.ai/secret-kind": "git-ssh", "trainy.ai/secret-basename": "git"});
        let answer = json!({"metadata": {"resourceVersion": "1", "labels": labels}});
        let present = read(answer.to_string().as_bytes(), &BTreeMap::new()).unwrap();
        assert_eq!(
            (present.kind(), present.name()),
            (Some("git-ssh"), Some("git"))
        );
        assert!(!present.is_project());
    }
}
