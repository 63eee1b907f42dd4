//! Any bytes as what a watch of Secrets sends: an event, a list, an object. No value survives decoding.

use keyporter::catalog::{Catalog, Source, WatchedSecret};
use keyporter::inject::secret::Description;
use kube::core::{ObjectList, WatchEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What stands in the place of all values. No name of a field has it in it, nor does anything that keyporter writes.
const VALUE: &str = "V4lueThatNobodyIsToSee";
/// Annotations that keyporter does not read may repeat the values.
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub(crate) fn run(bytes: &[u8]) {
    decode(bytes);
    let Ok(mut sent) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    hide(&mut sent);
    for told in decode(sent.to_string().as_bytes()) {
        assert!(!told.contains(VALUE), "{told}\n{sent}");
    }
}

/// Writes [`VALUE`] where the values are.
fn hide(sent: &mut Value) {
    match sent {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(members) => {
            for field in ["data", "stringData"] {
                if let Some(Value::Object(values)) = members.get_mut(field) {
                    values.values_mut().for_each(replace);
                } else if let Some(value) = members.get_mut(field) {
                    replace(value);
                }
            }
            if let Some(Value::Object(annotations)) = members.get_mut("annotations") {
                annotations.insert(COPY.to_owned(), VALUE.into());
            }
            let others = members
                .iter_mut()
                .filter(|(name, _)| !["data", "stringData"].contains(&name.as_str()));
            others.for_each(|(_, value)| hide(value));
        }
        _ => {}
    }
}

/// Every text in it, whatever it is.
fn replace(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(replace),
        Value::Object(members) => members.values_mut().for_each(replace),
        Value::String(text) => *text = format!("{VALUE}{}", text.len()),
        _ => {}
    }
}

/// All that can be told of it: what it is decoded into, and why it cannot be.
fn decode(bytes: &[u8]) -> Vec<String> {
    let mut told = Vec::new();
    let mut secrets: Vec<WatchedSecret> = Vec::new();
    if let Some(list) = read::<ObjectList<WatchedSecret>>(bytes, &mut told) {
        secrets.extend(list.items);
    }
    match read::<WatchEvent<WatchedSecret>>(bytes, &mut told) {
        Some(WatchEvent::Added(one) | WatchEvent::Modified(one) | WatchEvent::Deleted(one)) => {
            secrets.push(one);
        }
        Some(WatchEvent::Bookmark(_) | WatchEvent::Error(_)) | None => {}
    }
    secrets.extend(read::<WatchedSecret>(bytes, &mut told));
    let catalog = Catalog::new();
    for secret in &secrets {
        told.push(format!("{secret:?} {:?}", secret.flaw()));
        let description = Description::from(secret.clone());
        told.push(format!("{description:?} {:?}", description.clone().read()));
    }
    let places: Vec<_> = secrets
        .iter()
        .map(|secret| secret.namespace().to_owned())
        .collect();
    catalog.replace(Source::OurLabel, secrets);
    for namespace in places.iter().take(4) {
        told.push(format!("{:?}", catalog.shelves(namespace, Some("alice"))));
    }
    told
}

fn read<T: DeserializeOwned + std::fmt::Debug>(bytes: &[u8], told: &mut Vec<String>) -> Option<T> {
    match serde_json::from_slice(bytes) {
        Ok(read) => {
            told.push(format!("{read:?}"));
            Some(read)
        }
        Err(error) => {
            told.push(error.to_string());
            None
        }
    }
}
