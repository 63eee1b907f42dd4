//! Whose pod it is, as seen in what the pod gets.

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

fn stamped(owner: &str) -> Value {
    annotated(pod(json!({})), "keyporter.dev/owner", owner)
}

fn owner(outcome: &Outcome) -> &Value {
    outcome.at("/metadata/annotations/keyporter.dev~1owner")
}

#[test]
fn the_requester_is_written_on_a_pod() {
    let outcome = inject(&pod(json!({})), &shelves([user("env", "token", &["T"])]));
    assert_eq!(owner(&outcome), "alice");
}

#[rstest]
#[case("alice")]
#[case("system:serviceaccount:vision:ci")]
#[case("system:serviceaccount:vision:job-controller")]
fn what_a_non_controller_writes_never_counts(#[case] requester: &str) {
    let outcome = inject_as(
        requester,
        &stamped("bob"),
        &shelves([user("env", "token", &["T"])]),
    );
    assert_eq!(owner(&outcome), requester);
    outcome.warns(&["\"bob\"", "is not believed", requester]);
}

#[test]
fn a_controllers_pod_belongs_to_whom_its_template_names() {
    let outcome = inject_as(
        JOB_CONTROLLER,
        &stamped("alice"),
        &shelves([user("env", "token", &["T"])]),
    );
    assert_eq!(owner(&outcome), "alice");
    outcome.warns_nothing();
}

#[test]
fn a_controllers_pod_without_a_stamp_has_no_owner_and_gets_what_the_project_has() {
    let outcome = inject_as(
        JOB_CONTROLLER,
        &pod(json!({})),
        &shelves([project("env", "team", &["T"])]),
    );
    assert_eq!(outcome.env_from("containers", 0), ["team"]);
    assert_eq!(owner(&outcome), &Value::Null);
}
