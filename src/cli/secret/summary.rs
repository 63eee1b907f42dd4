//! A secret as lists show it: everything but the values.
//!
//! The JSON is an interface: `apiVersion: keyporter.dev/v1`, `kind: SecretSummaryList`, and in `items` these fields. What
//! is not there, or not known, is left out. Fields may be added, never renamed.

use serde::Serialize;

use super::{metadata::Metadata, uses::Uses};
use crate::inject::{
    layout::Layout,
    secret::{Broken, Secret},
};

/// All that a command lists.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SummaryList {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Summary>,
}

/// One secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) name: String,
    pub(super) namespace: String,
    /// The name of the Kubernetes object.
    pub(super) object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    pub(super) scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// Konduktor's hash of the workstation that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) konduktor_owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) use_case: Option<String>,
    pub(super) injection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<Vec<Key>>,
    /// Of all keys together, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_change: Option<Change>,
    pub(super) resource_version: String,
    pub(super) used_by: Vec<User>,
    /// Whether those are all: not where pods or workloads may not be listed.
    pub(super) used_by_complete: bool,
    /// What keeps it from every pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Problem>,
}

/// A key.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    pub(super) name: String,
    /// The length of its value in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// Where its file lies, below the folder of the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// Whether the file may be run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) executable: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Change {
    pub(super) time: String,
    /// The program, as it called itself.
    pub(super) by: String,
}

/// A workload, or a pod without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct User {
    pub(super) kind: String,
    pub(super) name: String,
    /// How many live pods carry the secret.
    pub(super) pods: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// A word of a closed list.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl SummaryList {
    pub(super) fn new(items: Vec<Summary>) -> Self {
        Self {
            api_version: "keyporter.dev/v1",
            kind: "SecretSummaryList",
            items,
        }
    }
}

impl Summary {
    pub(super) fn of(secret: &Metadata, uses: &Uses) -> Self {
        let read = secret.description().read();
        let problem = match &read {
            Some(Err(Broken { problem, .. })) => Some(Problem {
                reason: problem.as_str(),
                message: problem.to_string(),
            }),
            _ => None,
        };
        let keys = keys(secret, read.and_then(Result::ok).as_ref());
        let size = keys.as_ref().and_then(|keys| {
            let mut sizes = keys.iter().map(|key| key.size);
            sizes.try_fold(0_u64, |sum, size| Some(sum.saturating_add(size?)))
        });
        let (used_by, used_by_complete) = uses.of(secret);
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            name: secret.name().to_owned(),
            namespace: secret.namespace.clone(),
            object: secret.object.clone(),
            kind: text(secret.kind()),
            scope: secret.scope().to_owned(),
            owner: text(secret.owner().filter(|_| !secret.is_project())),
            konduktor_owner: text(secret.konduktor_owner()),
            use_case: text(secret.use_case()),
            injection: secret.injection().to_owned(),
            keys,
            size,
            created: secret.created.clone(),
            last_change: secret.last_change().map(|entry| Change {
                time: entry.time.clone(),
                by: entry.manager.clone(),
            }),
            resource_version: secret.resource_version.clone(),
            used_by,
            used_by_complete,
            problem,
        }
    }

    /// The names of the keys, or a dash.
    pub(super) fn key_names(&self) -> String {
        let keys = self.keys.iter().flatten();
        let names: Vec<_> = keys.map(|key| key.name.as_str()).collect();
        shortened(&names)
    }

    /// What is known of its size.
    pub(super) fn told_size(&self) -> String {
        match (self.size, &self.keys) {
            (Some(size), _) => told(size),
            (None, Some(keys)) if keys.iter().any(|key| key.size.is_some()) => {
                let known = keys.iter().filter_map(|key| key.size);
                format!(">={}", told(known.fold(0, u64::saturating_add)))
            }
            _ => String::new(),
        }
    }

    /// Who uses it; a question mark stands for those whom the caller may not list.
    pub(super) fn told_users(&self, all: bool) -> String {
        let names = self
            .used_by
            .iter()
            .map(|user| format!("{}/{}", user.kind, user.name));
        let mut names: Vec<_> = names.collect();
        if !self.used_by_complete {
            names.push("?".to_owned());
        }
        if all {
            names.join(", ")
        } else {
            shortened(&names)
        }
    }
}

fn keys(secret: &Metadata, usable: Option<&Secret>) -> Option<Vec<Key>> {
    let layout = usable.and_then(|secret| secret.layout.as_ref());
    let paths = layout.map(Layout::items).unwrap_or_default();
    let executables = secret.executables();
    let keys = secret.keys()?.into_iter().map(|key| {
        let item = paths.iter().find(|item| *item.key == *key.name);
        Key {
            path: item.map(|item| item.path.to_string()),
            executable: executables.contains(&key.name),
            name: key.name,
            size: key.size,
        }
    });
    Some(keys.collect())
}

/// As many as a line of a table has room for.
fn shortened<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// A number of bytes in the largest unit that there is a whole one of.
pub(super) fn told(bytes: u64) -> String {
    const UNITS: [(u64, &str); 2] = [(1 << 20, "Mi"), (1 << 10, "Ki")];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    match unit {
        None => format!("{bytes}B"),
        Some((unit, name)) => {
            let tenth = (bytes % unit) * 10 / unit;
            format!("{}.{tenth}{name}B", bytes / unit)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case(0, "0B")]
    #[case(1023, "1023B")]
    #[case(1024, "1.0KiB")]
    #[case(1_048_575, "1023.9KiB")]
    #[case(1_572_864, "1.5MiB")]
    #[case(u64::MAX, "17592186044415.9MiB")]
    fn sizes(#[case] bytes: u64, #[case] expected: &str) {
        assert_eq!(told(bytes), expected);
    }

    fn summary(metadata: &Value) -> Summary {
        let secret: Metadata = serde_json::from_value(metadata.clone()).unwrap();
        Summary::of(&secret, &Uses::default())
    }

    fn metadata(sizes: &str, keys: &Value) -> Value {
        json!({
            "namespace": "vision",
            "name": "datasets-2bd806c9",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"keyporter.dev/kind": "default", "keyporter.dev/name": "datasets", "app": "hunter2"},
            "annotations": {
                "keyporter.dev/owner": "alice",
                "keyporter.dev/use-case": "S3",
                "keyporter.dev/layout": "{\"run\": \"bin/run\"}",
                "keyporter.dev/sizes": sizes,
                "kubectl.kubernetes.io/last-applied-configuration": "hunter2",
            },
            "managedFields": [{
                "manager": "keyporter", "operation": "Update", "time": "2026-01-02T00:00:00Z",
                "fieldsV1": {"f:data": keys, "f:metadata": {"f:annotations": {"f:keyporter.dev/sizes": {}}}},
            }],
        })
    }

    #[test]
    fn the_interface() {
        let summary = summary(&metadata(
            r#"{"run": 2000, "a": 8}"#,
            &json!({"f:run": {}, "f:a": {}}),
        ));
        assert_eq!(summary.told_size(), "1.9KiB");
        let list = serde_json::to_value(SummaryList::new(vec![summary])).unwrap();
        assert!(!list.to_string().contains("hunter2"));
        assert_eq!(
            list,
            json!({
                "apiVersion": "keyporter.dev/v1",
                "kind": "SecretSummaryList",
                "items": [{
                    "name": "datasets",
                    "namespace": "vision",
                    "object": "datasets-2bd806c9",
                    "kind": "default",
                    "scope": "user",
                    "owner": "alice",
                    "useCase": "S3",
                    "injection": "automatic",
                    "keys": [{"name": "a", "size": 8, "path": "a"}, {"name": "run", "size": 2000, "path": "bin/run"}],
                    "size": 2008,
                    "created": "2026-01-01T00:00:00Z",
                    "lastChange": {"time": "2026-01-02T00:00:00Z", "by": "keyporter"},
                    "resourceVersion": "7",
                    "usedBy": [],
                    "usedByComplete": true,
                }],
            })
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut some = metadata(r#"{"a": 8}"#, &json!({"f:run": {}, "f:a": {}}));
        assert_eq!(summary(&some).told_size(), ">=8B");
        some["managedFields"] = json!([]);
        let unknown = summary(&some);
        assert_eq!(
            (unknown.told_size(), unknown.key_names()),
            (String::new(), String::new())
        );
        let json = serde_json::to_value(unknown).unwrap();
        for field in ["keys", "size", "lastChange", "problem"] {
            assert!(json.get(field).is_none(), "{field}");
        }
    }

    #[test]
    fn a_broken_one_says_what_is_wrong() {
        let mut broken = metadata("{}", &json!({}));
        broken["labels"]["keyporter.dev/kind"] = "magic".into();
        let problem = summary(&broken).problem.unwrap();
        assert_eq!(problem.reason, "unknown-kind");
        assert!(problem.message.contains("magic"));
    }
}
