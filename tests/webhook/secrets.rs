//! Reviews of Secrets. The examples have one git-ssh secret of alice's in the namespace `vision`: `git-2bd806c9`.

use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{Running, patched, review};

const VALUE: &str = "hunter2-canary";

/// A Secret with a value in all the places where values are.
fn secret(name: &str, labels: &Value, annotations: &Value) -> Value {
    let applied = json!({"stringData": {"gitkey": VALUE}}).to_string();
    let mut secret = json!({
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "data": {"gitkey": VALUE},
        "stringData": {"other": VALUE},
    });
    secret["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        applied.into();
    secret
}

fn git(name: &str, annotations: &Value) -> Value {
    secret(name, &json!({"keyporter.dev/kind": "git-ssh"}), annotations)
}

fn deletion(requester: &str, secret: &Value) -> Value {
    let mut review = review(requester, "Secret", &Value::Null);
    review["request"]["operation"] = json!("DELETE");
    review["request"]["oldObject"] = secret.clone();
    review
}

async fn validate(webhook: &Running, review: &Value) -> Value {
    let response = webhook.review_at("validate", review).await;
    assert!(response.get("patch").is_none());
    assert!(!response.to_string().contains(VALUE), "{response}");
    response
}

#[tokio::test]
async fn a_second_git_ssh_secret_is_denied_and_the_first_is_named() {
    let webhook = Running::start().await;
    let konduktors = json!({"parent": "konduktor", "trainy.ai/secret-kind": "git-ssh"});
    for (requester, second) in [
        ("alice", git("another", &json!({}))),
        ("alice", secret("another", &konduktors, &json!({}))),
        (
            "carol",
            git("another", &json!({"keyporter.dev/owner": "alice"})),
        ),
    ] {
        let response = validate(&webhook, &review(requester, "Secret", &second)).await;
        assert_eq!(response["allowed"], false);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(
            message.contains("\"git\" (secret vision/git-2bd806c9)"),
            "{message}"
        );
        let audit = json!({"decision": "deny", "reason": "second-git-ssh", "owner": "alice"});
        assert_eq!(response["auditAnnotations"], audit);
    }
    let line = r#"keyporter_admissions_total{resource="secrets",decision="deny",reason="second-git-ssh"} 3"#;
    assert!(webhook.metrics.encode().contains(line));
}

#[rstest]
#[case::anothers("bob", git("another", &json!({})), "first-git-ssh")]
#[case::for_another("alice", git("another", &json!({"keyporter.dev/owner": "bob"})), "first-git-ssh")]
#[case::the_same_object("alice", git("git-2bd806c9", &json!({})), "first-git-ssh")]
#[case::another_kind("alice", secret("s", &json!({"keyporter.dev/kind": "env"}), &json!({})), "not-concerned")]
#[case::ordinary("alice", secret("s", &json!({}), &json!({})), "not-concerned")]
#[case::kubernetes("system:kube-controller-manager", git("s", &json!({"keyporter.dev/owner": "alice"})), "kubernetes-itself")]
#[case::unreadable("alice", json!({"metadata": VALUE}), "unreadable")]
#[tokio::test]
async fn creations_that_pass(#[case] requester: &str, #[case] secret: Value, #[case] reason: &str) {
    let webhook = Running::start().await;
    let response = validate(&webhook, &review(requester, "Secret", &secret)).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(response["auditAnnotations"]["reason"], reason);
}

/// Without a cluster there are no pods.
#[rstest]
#[case::not_in_use("alice", git("git-2bd806c9", &json!({"keyporter.dev/owner": "alice"})), "not-in-use")]
#[case::forced("alice", git("s", &json!({"keyporter.dev/force-delete": "true"})), "forced")]
#[case::ordinary("alice", secret("s", &json!({}), &json!({})), "not-concerned")]
#[case::of_a_namespace("system:serviceaccount:kube-system:namespace-controller", git("s", &json!({})), "kubernetes-itself")]
#[tokio::test]
async fn deletions_that_pass(#[case] requester: &str, #[case] secret: Value, #[case] reason: &str) {
    let webhook = Running::start().await;
    let response = validate(&webhook, &deletion(requester, &secret)).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(response["auditAnnotations"]["reason"], reason);
}

#[tokio::test]
async fn system_namespaces_are_left_alone() {
    let webhook = Running::start().await;
    let mut review = review("alice", "Secret", &git("another", &json!({})));
    review["request"]["namespace"] = json!("kube-system");
    let response = validate(&webhook, &review).await;
    assert_eq!(response["auditAnnotations"]["reason"], "excluded-namespace");
}

/// Whoever registers too much gets no errors.
#[tokio::test]
async fn what_is_no_creation_or_deletion_of_a_secret_passes() {
    let webhook = Running::start().await;
    let mut update = review("alice", "Secret", &git("another", &json!({})));
    update["request"]["operation"] = json!("UPDATE");
    update["request"]["oldObject"] = update["request"]["object"].clone();
    let pod = review("alice", "Pod", &json!({"spec": {"containers": []}}));
    let odd = review("alice", "Job", &json!([1]));
    for review in [update, pod, odd] {
        let response = validate(&webhook, &review).await;
        assert_eq!(response["allowed"], true);
        assert_eq!(response["auditAnnotations"]["reason"], "not-concerned");
    }
}

#[tokio::test]
async fn mutate_writes_the_owner_into_a_new_secret() {
    let webhook = Running::start().await;
    let review = review(
        "alice",
        "Secret",
        &git("another", &json!({"example.com/note": "x"})),
    );
    let response = webhook.review(&review).await;
    let audit = json!({"decision": "stamp", "reason": "stamped", "owner": "alice"});
    assert_eq!(response["auditAnnotations"], audit);
    assert!(!response.to_string().contains(VALUE), "{response}");
    let mut expected = review["request"]["object"].clone();
    expected["metadata"]["annotations"]["keyporter.dev/owner"] = json!("alice");
    assert_eq!(patched(&review, &response), expected);
    let line =
        r#"keyporter_admissions_total{resource="secrets",decision="stamp",reason="stamped"} 1"#;
    assert!(webhook.metrics.encode().contains(line));
}

#[tokio::test]
async fn mutate_keeps_the_owner_of_a_secret_that_changes() {
    let webhook = Running::start().await;
    let mut update = review("dora", "Secret", &git("s", &json!({})));
    update["request"]["operation"] = json!("UPDATE");
    update["request"]["oldObject"] = git("s", &json!({"keyporter.dev/owner": "alice"}));
    let response = webhook.review(&update).await;
    let owner = &patched(&update, &response)["metadata"]["annotations"]["keyporter.dev/owner"];
    assert_eq!(owner, "alice");
}

#[rstest]
#[case::ordinary(review("alice", "Secret", &secret("s", &json!({}), &json!({}))), "not-concerned")]
#[case::deleted(deletion("alice", &git("s", &json!({}))), "not-concerned")]
#[case::named(review("alice", "Secret", &git("s", &json!({"keyporter.dev/owner": "bob"}))), "already-stamped")]
#[case::unreadable(review("alice", "Secret", &json!({"metadata": {"labels": VALUE}})), "unreadable")]
#[tokio::test]
async fn mutate_leaves_other_secrets_alone(#[case] review: Value, #[case] reason: &str) {
    let webhook = Running::start().await;
    let response = webhook.review(&review).await;
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_none());
    assert_eq!(response["auditAnnotations"]["reason"], reason);
}
