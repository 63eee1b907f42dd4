//! What the pod of a trial has besides, for clusters where not every pod finds a node and an image.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Parts of a pod's spec. What is in them the API server checks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct PodSpec {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node_selector: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tolerations: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_pull_secrets: Vec<Value>,
    security_context: User,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_user: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_group: Option<i64>,
}

impl FromStr for PodSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| {
            format!(
                "{error}; it is JSON with nodeSelector, tolerations, imagePullSecrets, and runAsUser and runAsGroup in \
                 securityContext"
            )
        })
    }
}

impl PodSpec {
    /// Adds them to the pod.
    pub(super) fn add_to(&self, pod: &mut Value) {
        if let Ok(parts) = serde_json::to_value(self) {
            add(&mut pod["spec"], parts);
        }
    }
}

/// Of objects in objects likewise.
fn add(to: &mut Value, parts: Value) {
    match (to, parts) {
        (Value::Object(to), Value::Object(parts)) => {
            for (name, part) in parts {
                add(to.entry(name).or_insert(Value::Null), part);
            }
        }
        (to, part) => *to = part,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_come_to_what_is_there() {
        let spec: PodSpec = r#"{
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "imagePullSecrets": [{"name": "registry"}],
            "securityContext": {"runAsUser": 65532}
        }"#
        .parse()
        .unwrap();
        let mut pod =
            json!({"spec": {"securityContext": {"runAsNonRoot": true}, "containers": []}});
        spec.add_to(&mut pod);
        assert_eq!(
            pod,
            json!({"spec": {
                "nodeSelector": {"disk": "fast"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "imagePullSecrets": [{"name": "registry"}],
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532},
                "containers": [],
            }})
        );
    }

    #[test]
    fn nothing_changes_nothing() {
        let before = json!({"spec": {"securityContext": {"runAsNonRoot": true}}});
        let mut pod = before.clone();
        PodSpec::default().add_to(&mut pod);
        assert_eq!(pod, before);
    }

    #[test]
    fn other_parts_are_refused() {
        for text in [
            "",
            r#"{"hostNetwork": true}"#,
            r#"{"securityContext": {"runAsNonRoot": false}}"#,
        ] {
            let told = text.parse::<PodSpec>().unwrap_err();
            assert!(told.contains("nodeSelector, tolerations"), "{told}");
        }
    }
}
