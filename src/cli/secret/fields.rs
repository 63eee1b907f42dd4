//! Who wrote which field of a Secret: so the names of its keys are known without the values.
//!
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#managed-fields>

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::inject::annotations::SIZES;

/// What one program wrote in one way.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The program, as it called itself.
    #[serde(default)]
    pub(super) manager: String,
    /// RFC 3339, UTC, whole seconds: text order is time order.
    #[serde(default)]
    pub(super) time: String,
    #[serde(default)]
    fields_v1: Fields,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Fields {
    #[serde(rename = "f:data", default)]
    data: Names,
    /// Where it was applied so.
    #[serde(rename = "f:stringData", default)]
    string_data: Names,
    #[serde(rename = "f:metadata", default)]
    metadata: MetadataFields,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct MetadataFields {
    #[serde(rename = "f:annotations", default)]
    annotations: Names,
}

/// Names of the members of a map, each after `f:`, and `.` for the map itself.
#[derive(Debug, Clone, Default)]
struct Names(BTreeSet<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = HashMap::<String, IgnoredAny>::deserialize(deserializer)?;
        Ok(Self(map.into_keys().collect()))
    }
}

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Key {
    pub(super) name: String,
    /// The length of its value in bytes, where that is certain.
    pub(super) size: Option<u64>,
}

/// All keys, sorted by name; `None` where nobody kept account. `sizes` is the annotation.
///
/// The annotation speaks only for values that were written with it: who changes one by other means becomes its manager.
pub(super) fn keys(entries: &[Entry], sizes: Option<&str>) -> Option<Vec<Key>> {
    if entries.is_empty() {
        return None;
    }
    let sizes: BTreeMap<String, u64> = sizes
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let with_sizes: BTreeSet<_> = entries
        .iter()
        .filter(|entry| entry.wrote_sizes())
        .flat_map(Entry::keys)
        .collect();
    let all: BTreeSet<_> = entries.iter().flat_map(Entry::keys).collect();
    let key = |name: &str| Key {
        name: name.to_owned(),
        size: sizes
            .get(name)
            .filter(|_| with_sizes.contains(name))
            .copied(),
    };
    Some(all.into_iter().map(key).collect())
}

/// The newest; of several in one second the last.
pub(super) fn last_change(entries: &[Entry]) -> Option<&Entry> {
    let dated = entries.iter().filter(|entry| !entry.time.is_empty());
    dated.max_by_key(|entry| &entry.time)
}

impl Entry {
    fn keys(&self) -> impl Iterator<Item = &str> {
        let Fields {
            data, string_data, ..
        } = &self.fields_v1;
        data.0
            .iter()
            .chain(&string_data.0)
            .filter_map(|name| name.strip_prefix("f:"))
    }

    fn wrote_sizes(&self) -> bool {
        let annotations = &self.fields_v1.metadata.annotations;
        annotations.0.contains(&format!("f:{SIZES}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entries(json: Value) -> Vec<Entry> {
        serde_json::from_value(json).unwrap()
    }

    /// As the API server writes them.
    fn entry(manager: &str, time: &str, sizes: bool, keys: &[&str]) -> Value {
        let mut data = serde_json::Map::from_iter([(".".to_owned(), json!({}))]);
        data.extend(keys.iter().map(|key| (format!("f:{key}"), json!({}))));
        let annotations = if sizes {
            json!({".": {}, "f:keyporter.dev/sizes": {}})
        } else {
            json!({".": {}, "f:a/b": {}})
        };
        json!({
            "manager": manager, "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": data, "f:metadata": {"f:annotations": annotations, "f:labels": {".": {}}}, "f:type": {}},
        })
    }

    fn told(entries: &[Entry], sizes: &str) -> String {
        let key = |key: Key| match key.size {
            Some(size) => format!("{}:{size}", key.name),
            None => key.name,
        };
        let keys = keys(entries, Some(sizes)).unwrap();
        keys.into_iter().map(key).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_of_all_managers_are_known() {
        let entries = entries(json!([
            entry("kubectl", "2026-01-01T00:00:00Z", false, &["b", ".dockercfg"]),
            entry("other", "2026-01-01T00:00:00Z", false, &["a", "b"]),
            {"manager": "applier", "operation": "Apply", "fieldsV1": {"f:stringData": {"f:c": {}}}},
            {"manager": "labeller", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}},
            {"manager": "nobody", "operation": "Update"},
        ]));
        assert_eq!(told(&entries, "{}"), ".dockercfg a b c");
    }

    #[test]
    fn without_account_nobody_knows() {
        assert_eq!(keys(&[], Some(r#"{"a": 1}"#)), None);
    }

    #[test]
    fn a_size_counts_for_who_wrote_it() {
        let sizes = r#"{"a": 12, "b": 3, "gone": 5}"#;
        let both = [
            entry("keyporter", "2026-01-01T00:00:00Z", true, &["a", "c"]),
            entry("kubectl-edit", "2026-01-02T00:00:00Z", false, &["b"]),
        ];
        assert_eq!(told(&entries(json!(both)), sizes), "a:12 b c");
        // Of nobody who wrote values with it, or not a map of sizes.
        let labeller = entry("x", "2026-01-02T00:00:00Z", true, &[]);
        assert_eq!(told(&entries(json!([both[1], labeller])), sizes), "b");
        for sizes in ["[]", "{", r#"{"a": -1}"#, r#"{"a": "12"}"#] {
            assert_eq!(told(&entries(json!([both[0]])), sizes), "a c");
        }
    }

    #[test]
    fn the_newest_entry_is_the_last_change() {
        let entries = entries(json!([
            entry("b", "2026-01-02T00:00:00Z", false, &[]),
            entry("a", "2026-01-01T00:00:00Z", false, &[]),
            {"manager": "undated"},
        ]));
        assert_eq!(last_change(&entries).unwrap().manager, "b");
        assert!(last_change(&entries[2..]).is_none());
    }
}
