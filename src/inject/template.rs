//! Pod templates in a workload, wherever they stand.
//!
//! A pod template is a member `template` whose `spec.containers` is a list, at any depth. That finds those of Kubernetes'
//! own workloads (`spec.template`, `spec.jobTemplate.spec.template`) and those of custom resources
//! (`spec.replicatedJobs[].template.spec.template` of a JobSet) without a table of kinds.

use serde_json::Value;

use super::patch::member;

/// A pod template in a document.
#[derive(Debug, Clone)]
pub struct Template<'a> {
    /// Its JSON Pointer (RFC 6901) from the document's root.
    pub pointer: String,
    /// The template.
    pub value: &'a Value,
}

/// Finds all pod templates, in the order of the document. A template inside a pod template is none: nobody makes pods
/// from it. Nor is one in the object's own metadata, where a patch of the annotations would meet one of the template.
#[must_use]
pub fn find(document: &Value) -> Vec<Template<'_>> {
    let mut found = Vec::new();
    for (name, value) in document.as_object().into_iter().flatten() {
        if name != "metadata" {
            walk_member(name, value, "", &mut found);
        }
    }
    found
}

/// The depth is bounded by the JSON reader, which takes 128 levels.
fn walk<'a>(value: &'a Value, pointer: &str, found: &mut Vec<Template<'a>>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                walk_member(name, value, pointer, found);
            }
        }
        Value::Array(entries) => {
            for (index, value) in entries.iter().enumerate() {
                walk(value, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn walk_member<'a>(name: &str, value: &'a Value, pointer: &str, found: &mut Vec<Template<'a>>) {
    let pointer = member(pointer, name);
    if name == "template" && is_pod_template(value) {
        found.push(Template { pointer, value });
    } else {
        walk(value, &pointer, found);
    }
}

fn is_pod_template(value: &Value) -> bool {
    let containers = value.pointer("/spec/containers");
    containers.is_some_and(Value::is_array) && can_be_annotated(value)
}

/// Whether an annotation can be added without replacing anything.
pub(super) fn can_be_annotated(object: &Value) -> bool {
    let is_map = |value: &Value| value.is_null() || value.is_object();
    let metadata = object.get("metadata");
    object.is_object()
        && metadata.is_none_or(is_map)
        && metadata
            .and_then(|metadata| metadata.get("annotations"))
            .is_none_or(is_map)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::deployment(json!({"spec": {"template": {"spec": {"containers": []}}}}), &["/spec/template"])]
    #[case::cron_job(
        json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}}),
        &["/spec/jobTemplate/spec/template"]
    )]
    #[case::job_set(
        json!({"spec": {"replicatedJobs": [
            {"template": {"spec": {"template": {"spec": {"containers": []}}}}},
            {"template": {"spec": {"template": {"spec": {"containers": []}}}}},
        ]}}),
        &["/spec/replicatedJobs/0/template/spec/template", "/spec/replicatedJobs/1/template/spec/template"]
    )]
    #[case::not_a_pod_template(json!({"spec": {"template": {"spec": {"containers": "x"}}}}), &[])]
    #[case::no_object(json!([{"template": {"spec": {"containers": []}}}]), &[])]
    #[case::odd_metadata(json!({"template": {"metadata": [], "spec": {"containers": []}}}), &[])]
    #[case::odd_annotations(json!({"template": {"metadata": {"annotations": "x"}, "spec": {"containers": []}}}), &[])]
    #[case::in_metadata(json!({"metadata": {"template": {"spec": {"containers": []}}}}), &[])]
    #[case::in_annotations(json!({"metadata": {"annotations": {"template": {"spec": {"containers": []}}}}}), &[])]
    #[case::in_other_metadata(
        json!({"spec": {"metadata": {"template": {"spec": {"containers": []}}}}}),
        &["/spec/metadata/template"]
    )]
    #[case::config_map(json!({"data": {"template": "x"}}), &[])]
    #[case::odd_names(json!({"a/b~c": {"template": {"spec": {"containers": []}}}}), &["/a~1b~0c/template"])]
    fn templates(#[case] document: Value, #[case] expected: &[&str]) {
        let found: Vec<_> = find(&document)
            .into_iter()
            .map(|template| template.pointer)
            .collect();
        assert_eq!(found, expected);
    }
}
