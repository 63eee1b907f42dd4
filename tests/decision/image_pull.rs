//! Kind `image-pull`: `imagePullSecrets` of the pod.

use serde_json::{Value, json};

use crate::builders::*;

const KEY: &[&str] = &[".dockerconfigjson"];

#[test]
fn they_come_after_the_pods_own_and_the_users_before_the_projects() {
    // The kubelet tries them in this order.
    let shelves = shelves([
        project("image-pull", "team", KEY),
        user("image-pull", "mine-old", KEY).made(1),
        user("image-pull", "mine-new", KEY).made(2),
    ]);
    let pod = with_spec(
        pod(json!({})),
        json!({"imagePullSecrets": [{"name": "own"}]}),
    );
    let outcome = inject(&pod, &shelves);
    let expected =
        json!([{"name": "own"}, {"name": "mine-new"}, {"name": "mine-old"}, {"name": "team"}]);
    assert_eq!(outcome.at("/spec/imagePullSecrets"), &expected);
    outcome.warns_nothing();
}

#[test]
fn one_that_is_there_is_not_added_again() {
    let pod = with_spec(
        pod(json!({})),
        json!({"imagePullSecrets": [{"name": "mine"}]}),
    );
    let outcome = inject(&pod, &shelves([user("image-pull", "mine", KEY)]));
    assert_eq!(
        outcome.at("/spec/imagePullSecrets"),
        &json!([{"name": "mine"}])
    );
    assert_eq!(outcome.in_effect, ["mine"]);
}

#[test]
fn containers_get_nothing_of_it() {
    let outcome = inject(&pod(json!({})), &shelves([user("image-pull", "mine", KEY)]));
    assert_eq!(outcome.at("/spec/containers"), &json!([container("main")]));
    assert_eq!(outcome.at("/spec/volumes"), &Value::Null);
}

#[test]
fn a_pod_without_a_spec_gets_nothing() {
    let shelves = shelves([user("image-pull", "mine", KEY)]);
    for pod in [
        json!({}),
        json!({"spec": null}),
        json!({"spec": {}}),
        json!({"spec": {"containers": []}}),
    ] {
        assert_eq!(inject(&pod, &shelves).skip().as_str(), "nothing-placed");
    }
}
