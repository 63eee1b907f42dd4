//! What a review brings into a running pod.

use std::collections::HashSet;

use serde::Deserialize;

use crate::inject::pod::{Container, Pod, Spec, Text};

/// The ephemeral containers that the pod did not have before, as a pod of nothing else. Those that it had cannot change.
pub(super) fn ephemeral(body: &[u8]) -> Option<Pod<'_>> {
    #[derive(Deserialize)]
    struct Review<'a> {
        #[serde(borrow)]
        request: Request<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request<'a> {
        #[serde(borrow)]
        object: Debugged<Container<'a>>,
        #[serde(borrow)]
        old_object: Debugged<Named<'a>>,
    }
    #[derive(Deserialize)]
    struct Debugged<C> {
        spec: Containers<C>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Containers<C> {
        #[serde(default = "Option::default")]
        ephemeral_containers: Option<Vec<C>>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }

    let Request { object, old_object } = serde_json::from_slice::<Review<'_>>(body).ok()?.request;
    let before = old_object.spec.ephemeral_containers.unwrap_or_default();
    let before: HashSet<_> = before.iter().map(|one| one.name.as_str()).collect();
    let mut brought = object.spec.ephemeral_containers.unwrap_or_default();
    brought.retain(|container| !before.contains(container.name.as_str()));
    Some(Pod {
        metadata: None,
        spec: Spec {
            ephemeral_containers: Some(brought),
            ..Spec::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn names(object: &Value, old: &Value) -> Option<Vec<String>> {
        let body = json!({"request": {"object": object, "oldObject": old}}).to_string();
        let containers = ephemeral(body.as_bytes())?.spec.ephemeral_containers?;
        Some(
            containers
                .iter()
                .map(|container| container.name.as_str().to_owned())
                .collect(),
        )
    }

    fn pod(ephemeral: &Value) -> Value {
        json!({"spec": {"containers": [{"name": "main"}], "ephemeralContainers": ephemeral}})
    }

    #[rstest]
    #[case::the_first(json!([{"name": "a"}]), Value::Null, &["a"])]
    #[case::another(json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "a"}]), &["b"])]
    #[case::none(json!([{"name": "a"}]), json!([{"name": "a"}]), &[])]
    #[case::empty(Value::Null, Value::Null, &[])]
    fn only_what_is_new(#[case] new: Value, #[case] old: Value, #[case] expected: &[&str]) {
        assert_eq!(names(&pod(&new), &pod(&old)).unwrap(), expected);
    }

    #[test]
    fn without_the_pod_as_it_was_nobody_can_tell() {
        assert_eq!(names(&pod(&json!([{"name": "a"}])), &Value::Null), None);
    }
}
