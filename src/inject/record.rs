//! The record: the pod's own account of what it got.

use serde::Serialize;

use super::annotations as names;
use super::pod::Metadata;
use super::reference::Source;
use crate::json::write::append;

/// The most that all annotations of an object may take together, keys and values, in bytes.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/>
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// What an entry takes, mostly.
const ROOM: usize = 160;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    secret: &'a str,
    name: &'a str,
    kind: &'static str,
    scope: &'static str,
    resource_version: &'a str,
}

/// What there is room for in a pod's annotations.
pub(super) struct Record {
    /// The JSON list; `None` where not even an empty one fits.
    pub(super) list: Option<String>,
    /// How many secrets the list has no room for.
    pub(super) omitted: usize,
    /// Whether the owner fits.
    pub(super) owner_fits: bool,
}

/// Writes the record. It never makes the annotations larger than the API server takes: a pod with thousands of secrets
/// is worth more than its complete record.
pub(super) fn write(
    secrets: &[Source<'_>],
    metadata: &Metadata<'_>,
    owner: Option<&str>,
) -> Record {
    let there = |key: &str| {
        let value = metadata.annotations.get(key);
        value.map_or(0, |value| key.len() + value.len())
    };
    let others = metadata
        .annotations
        .bytes
        .saturating_sub(there(names::INJECTED));
    let with_owner = owner.map_or(others, |owner| {
        others.saturating_sub(there(names::OWNER)) + names::OWNER.len() + owner.len()
    });
    let owner_fits = with_owner <= ANNOTATIONS_LIMIT;
    let taken = if owner_fits { with_owner } else { others };
    let room = ANNOTATIONS_LIMIT.saturating_sub(taken + names::INJECTED.len());
    let (list, omitted) = list(secrets, room);
    Record {
        list: Some(list).filter(|list| list.len() <= room),
        omitted,
        owner_fits,
    }
}

fn list(secrets: &[Source<'_>], room: usize) -> (String, usize) {
    let mut json = Vec::with_capacity(ROOM * secrets.len());
    json.push(b'[');
    let mut omitted = 0;
    for secret in secrets {
        let entry = Entry {
            secret: secret.object(),
            name: secret.name(),
            kind: secret.kind(),
            scope: secret.scope(),
            resource_version: secret.resource_version(),
        };
        let before = json.len();
        if before > 1 {
            json.push(b',');
        }
        // Plain strings cannot fail to serialize; if they did, the secret would be counted as omitted.
        let written = omitted == 0 && append(&mut json, &entry).is_ok();
        if !written || json.len() + "]".len() > room {
            json.truncate(before);
            omitted += 1;
        }
    }
    json.push(b']');
    (String::from_utf8(json).unwrap_or_default(), omitted)
}
