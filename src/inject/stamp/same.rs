//! Whether an update changes what the pods do.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::inject::annotations as names;
use crate::inject::object::Kind;
use crate::inject::template::{self, Template};

/// Members of custom resources that say how many pods there are, and whether, but not what they do: autoscalers and
/// queues write them.
const SCALING: [&str; 7] = [
    "completions",
    "maxReplicas",
    "minReplicas",
    "parallelism",
    "replicas",
    "scaleStrategy",
    "suspend",
];

/// Templates by their place.
pub(super) fn by_pointer<'t, 'a>(templates: &'t [Template<'a>]) -> HashMap<&'t str, &'a Value> {
    let place = |template: &'t Template<'a>| (template.pointer.as_str(), template.value);
    templates.iter().map(place).collect()
}

/// The pod templates that a request makes or changes.
#[must_use]
pub fn changed<'a>(new: &'a Value, old: Option<&'a Value>) -> Vec<Template<'a>> {
    let old = old.map(template::find).unwrap_or_default();
    let old = by_pointer(&old);
    let mut templates = template::find(new);
    templates.retain(|template| !is_same(template, &old));
    templates
}

/// Whether an update may have pods do something else. Of Kubernetes' own kinds the pod templates alone say what pods do;
/// of others anything may, such as the entrypoint of a `RayJob`.
pub(super) fn decides_otherwise(
    kind: Kind<'_>,
    (old, old_templates): (&Value, &[Template<'_>]),
    (new, templates): (&Value, &[Template<'_>]),
) -> bool {
    if old_templates.len() != templates.len() {
        return true;
    }
    let before = by_pointer(old_templates);
    if !templates.iter().all(|template| is_same(template, &before)) {
        return true;
    }
    !kind.is_kubernetes() && deciding(old, old_templates, "") != deciding(new, templates, "")
}

/// What of a custom resource decides what its pods do, beside its pod templates.
fn deciding(value: &Value, templates: &[Template<'_>], pointer: &str) -> Value {
    if templates.iter().any(|template| template.pointer == pointer) {
        return Value::Null;
    }
    match value {
        Value::Object(members) => {
            let decides = |name: &str| match pointer {
                "" => !["apiVersion", "kind", "metadata", "status"].contains(&name),
                _ => !SCALING.contains(&name),
            };
            let members = members.iter().filter(|(name, _)| decides(name));
            let members = members.map(|(name, value)| {
                let pointer = crate::inject::patch::member(pointer, name);
                (name.clone(), deciding(value, templates, &pointer))
            });
            // Absent and null mean the same.
            let members = members.filter(|(_, value)| !value.is_null());
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(entries) => {
            let entries = entries
                .iter()
                .enumerate()
                .map(|(index, value)| deciding(value, templates, &format!("{pointer}/{index}")));
            entries.collect()
        }
        other => other.clone(),
    }
}

/// Whether a template stood at its place before, the same but for keyporter's own annotations: server-side apply and
/// `replace` drop those, and dropping them changes nothing of what the pods do.
fn is_same(template: &Template<'_>, old: &HashMap<&str, &Value>) -> bool {
    let before = old.get(template.pointer.as_str());
    before.is_some_and(|before| without_ours(before) == without_ours(template.value))
}

fn without_ours(template: &Value) -> Value {
    let mut template = template.clone();
    let Some(members) = template.as_object_mut() else {
        return template;
    };
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.retain(|name, _| {
                !name.starts_with(names::PREFIX) || names::WISHES.contains(&name.as_str())
            });
        }
        remove_empty(metadata, "annotations");
        remove_empty(metadata, "creationTimestamp");
    }
    remove_empty(members, "metadata");
    template
}

/// Absent, null and empty mean the same.
fn remove_empty(object: &mut Map<String, Value>, name: &str) {
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    if object.get(name).is_some_and(empty) {
        object.remove(name);
    }
}
