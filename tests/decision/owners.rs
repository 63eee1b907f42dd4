//! Whose pod it is, as seen in what the pod gets.

use keyporter::inject::settings::Settings;
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

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
#[case("System:serviceaccount:kube-system:job-controller")]
#[case("system:serviceaccount:kube-system:job-controller ")]
#[case("ALICE")]
fn nobody_names_another(#[case] requester: &str) {
    let shelves = shelves([user("env", "token", &["T"])]);
    // Not even with a proof that was written for a Job.
    for stamped in [
        annotated(pod(json!({})), "keyporter.dev/owner", "bob"),
        of_job(pod(json!({})), "bob"),
    ] {
        let denial = inject_with(
            requester,
            NAMESPACE,
            &stamped,
            &shelves,
            &Settings::default(),
        );
        assert_eq!(denial.unwrap_err().as_str(), "foreign-stamp");
    }
}

#[test]
fn ones_own_name_may_stand_there() {
    let stamped = annotated(pod(json!({})), "keyporter.dev/owner", "alice");
    let outcome = inject(&stamped, &shelves([user("env", "token", &["T"])]));
    assert_eq!(outcome.env_from("containers", 0), ["token"]);
    outcome.warns_nothing();
}

#[test]
fn a_controllers_pod_belongs_to_whom_its_template_names() {
    let outcome = inject_as(
        JOB_CONTROLLER,
        &of_job(pod(json!({})), "alice"),
        &shelves([user("env", "token", &["T"])]),
    );
    assert_eq!(owner(&outcome), "alice");
    outcome.warns_nothing();
}

/// A name that is not proved gives what the project has.
#[rstest]
#[case::no_stamp("/metadata/annotations", json!({}))]
#[case::no_proof("/metadata/annotations", json!({"keyporter.dev/owner": "alice"}))]
#[case::no_name("/metadata/annotations/keyporter.dev~1owner", json!(""))]
#[case::another_name("/metadata/annotations/keyporter.dev~1owner", json!("bob"))]
#[case::a_name_in_another_case("/metadata/annotations/keyporter.dev~1owner", json!("Alice"))]
#[case::a_name_that_looks_alike("/metadata/annotations/keyporter.dev~1owner", json!("\u{430}lice"))]
#[case::a_name_with_a_space("/metadata/annotations/keyporter.dev~1owner", json!("alice "))]
#[case::a_made_up_proof("/metadata/annotations/keyporter.dev~1owner-proof", json!("v1.1.AAAA"))]
#[case::another_job("/metadata/ownerReferences/0/name", json!("other"))]
#[case::another_kind("/metadata/ownerReferences/0/kind", json!("CronJob"))]
#[case::another_group("/metadata/ownerReferences/0/apiVersion", json!("example.com/v1"))]
#[case::the_core_group("/metadata/ownerReferences/0/apiVersion", json!("v1"))]
#[case::not_its_controller("/metadata/ownerReferences/0/controller", json!(false))]
#[case::no_owner_reference("/metadata/ownerReferences", json!([]))]
fn what_is_not_proved_is_nobodys(#[case] pointer: &str, #[case] value: Value) {
    let mut pod = of_job(pod(json!({})), "alice");
    *pod.pointer_mut(pointer).expect("a place") = value;
    // What is read for the owner is the project's alone: the catalogue is asked for nobody's secrets.
    let outcome = inject_as(
        JOB_CONTROLLER,
        &pod,
        &shelves([project("env", "team", &["T"])]),
    );
    assert_eq!(outcome.env_from("containers", 0), ["team"]);
    assert_eq!(outcome.owner, None);
}

#[test]
fn a_controller_is_trusted_with_its_own_kind_alone() {
    let pod = of_job(pod(json!({})), "alice");
    let shelves = shelves([project("env", "team", &["T"])]);
    for controller in [
        "statefulset-controller",
        "replicaset-controller",
        "cronjob-controller",
    ] {
        let controller = format!("system:serviceaccount:kube-system:{controller}");
        assert_eq!(
            inject_as(&controller, &pod, &shelves).owner,
            None,
            "{controller}"
        );
    }
    for controller in [JOB_CONTROLLER, "system:kube-controller-manager"] {
        let owner = inject_as(controller, &pod, &shelves).owner;
        assert_eq!(owner.as_deref(), Some("alice"), "{controller}");
    }
}

/// A ReplicaSet's template has the proof of what rolled it out.
#[rstest]
#[case::of_the_deployment("train-6d4f8b7c9d", "6d4f8b7c9d", Some("alice"))]
#[case::of_another("other-6d4f8b7c9d", "6d4f8b7c9d", None)]
#[case::without_the_hash("train-6d4f8b7c9d", "", None)]
#[case::with_another_hash("train-6d4f8b7c9d", "c9d", None)]
#[case::made_by_hand("train", "", None)]
fn a_pod_of_a_deployment(
    #[case] replica_set: &str,
    #[case] hash: &str,
    #[case] expected: Option<&str>,
) {
    let deployment = of_workload("apps/v1", "Deployment", pod(json!({})), "alice");
    let mut pod = labelled(deployment, "pod-template-hash", hash);
    pod["metadata"]["ownerReferences"][0]["kind"] = json!("ReplicaSet");
    pod["metadata"]["ownerReferences"][0]["name"] = json!(replica_set);
    let shelves = shelves([project("env", "team", &["T"])]);
    let outcome = inject_as(
        "system:serviceaccount:kube-system:replicaset-controller",
        &pod,
        &shelves,
    );
    assert_eq!(outcome.owner.as_deref(), expected);
}
