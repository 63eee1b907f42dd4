//! The record: the pod's own account of what it got.

use serde::Serialize;

use super::annotations as names;
use super::pod::Metadata;
use super::secret::Secret;

/// The most that all annotations of an object may take together, keys and values, in bytes.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/>
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    secret: &'a str,
    name: &'a str,
    kind: &'static str,
    scope: &'static str,
    resource_version: &'a str,
}

/// The JSON list, and how many secrets it had no room for. It never makes the annotations larger than the API server
/// takes: a pod with thousands of secrets is worth more than its complete record.
pub(super) fn write<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    metadata: &Metadata<'_>,
    owner: Option<&str>,
) -> (String, usize) {
    let replaced = |key| {
        metadata
            .annotations
            .get(key)
            .map_or(0, |value| key.len() + value.len())
    };
    let others = metadata
        .annotations
        .bytes
        .saturating_sub(replaced(names::INJECTED) + replaced(names::OWNER));
    let ours = names::INJECTED.len() + names::OWNER.len() + owner.map_or(0, str::len);
    let room = ANNOTATIONS_LIMIT.saturating_sub(others + ours);
    let mut json = String::from("[");
    let mut omitted = 0;
    for secret in secrets {
        let entry = Entry {
            secret: &secret.object,
            name: &secret.name,
            kind: secret.kind.as_str(),
            scope: secret.scope.as_str(),
            resource_version: &secret.resource_version,
        };
        // Plain strings cannot fail to serialize; if they did, the secret would be counted as omitted.
        let text = serde_json::to_string(&entry).unwrap_or_default();
        if omitted > 0 || text.is_empty() || json.len() + text.len() + ",]".len() > room {
            omitted += 1;
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&text);
    }
    json.push(']');
    (json, omitted)
}
