//! Reviews that are answered.

use keyporter::inject::name::owner_id;
use serde_json::{Value, json};

use crate::fixture::{Running, patched, review};

const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";

fn pod() -> Value {
    json!({"metadata": {"generateName": "train-"}, "spec": {"containers": [{"name": "train"}]}})
}

fn objects(pod: &Value) -> Vec<&str> {
    let sources = pod["spec"]["containers"][0]["envFrom"].as_array().unwrap();
    sources
        .iter()
        .map(|source| source["secretRef"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn alices_pod_gets_her_secrets_and_the_projects() {
    let webhook = Running::start().await;
    let review = review("alice", "Pod", &pod());
    let response = webhook.review(&review).await;
    assert_eq!(response["allowed"], true);
    let audit = json!({
        "decision": "inject", "reason": "injected", "owner": "alice", "rule": "requester", "injected": "7",
    });
    assert_eq!(response["auditAnnotations"], audit);

    let pod = patched(&review, &response);
    assert_eq!(objects(&pod), ["tracking", "hugging-face-2bd806c9"]);
    assert_eq!(
        pod["metadata"]["annotations"]["keyporter.dev/owner"],
        "alice"
    );
    assert_eq!(pod["metadata"]["labels"]["keyporter.dev/injected"], "true");
    let record = pod["metadata"]["annotations"]["keyporter.dev/injected"]
        .as_str()
        .unwrap();
    let record: Vec<Value> = serde_json::from_str(record).unwrap();
    assert_eq!(record.len(), 7);
    assert!(owner_id("alice").starts_with("2bd806c9"));
}

#[tokio::test]
async fn bobs_pod_gets_the_projects_secrets_only() {
    let webhook = Running::start().await;
    let review = review("bob", "Pod", &pod());
    let pod = patched(&review, &webhook.review(&review).await);
    assert_eq!(objects(&pod), ["tracking"]);
    assert!(!pod.to_string().contains("2bd806c9"), "{pod}");
}

#[tokio::test]
async fn a_job_is_stamped_and_its_pods_are_its_creators() {
    let webhook = Running::start().await;
    let job = review(
        "alice",
        "Job",
        &json!({"metadata": {"name": "train"}, "spec": {"template": pod()}}),
    );
    let response = webhook.review(&job).await;
    assert_eq!(
        response["auditAnnotations"],
        json!({"decision": "stamp", "reason": "stamped", "owner": "alice"})
    );
    let template = patched(&job, &response)["spec"]["template"].clone();
    assert_eq!(
        template["metadata"]["annotations"]["keyporter.dev/owner"],
        "alice"
    );

    let mut pod = template;
    pod["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "7", "controller": true},
    ]);
    let hers = review(JOB_CONTROLLER, "Pod", &pod);
    let response = webhook.review(&hers).await;
    assert_eq!(response["auditAnnotations"]["rule"], "stamp");
    assert_eq!(
        objects(&patched(&hers, &response)),
        ["tracking", "hugging-face-2bd806c9"]
    );

    pod["metadata"]["ownerReferences"][0]["name"] = json!("another");
    let nobodys = review(JOB_CONTROLLER, "Pod", &pod);
    let response = webhook.review(&nobodys).await;
    assert_eq!(response["auditAnnotations"]["rule"], "unproven-stamp");
    assert_eq!(objects(&patched(&nobodys, &response)), ["tracking"]);
}

#[tokio::test]
async fn a_second_pass_changes_nothing() {
    let webhook = Running::start().await;
    let first = review("alice", "Pod", &pod());
    let injected = patched(&first, &webhook.review(&first).await);
    let response = webhook.review(&review("alice", "Pod", &injected)).await;
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_none());
    assert_eq!(response["auditAnnotations"]["reason"], "already-injected");
}

#[tokio::test]
async fn an_opted_out_pod_stays_as_it_is() {
    let webhook = Running::start().await;
    let mut pod = pod();
    pod["metadata"]["labels"] = json!({"keyporter.dev/inject": "disabled"});
    let response = webhook.review(&review("alice", "Pod", &pod)).await;
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_none());
    assert_eq!(response["auditAnnotations"]["reason"], "opted-out");
}

#[tokio::test]
async fn a_denial_carries_the_sentence_and_the_real_uid() {
    let webhook = Running::start().await;
    let mut pod = pod();
    pod["metadata"]["labels"] = json!({"keyporter.dev/inject": "false"});
    let response = webhook.review(&review("alice", "Pod", &pod)).await;
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("keyporter.dev/inject") && message.contains("\"disabled\""),
        "{message}"
    );
    assert!(message.ends_with(" [rule: invalid-opt-out]"), "{message}");
    assert_eq!(response["status"]["code"], 403);
}

/// Without a cluster nobody may act for another.
#[tokio::test]
async fn a_reference_to_anothers_secret_is_denied() {
    let webhook = Running::start().await;
    let mut pod = pod();
    pod["spec"]["imagePullSecrets"] = json!([{"name": "registry-2bd806c9"}]);
    let response = webhook.review(&review("bob", "Pod", &pod)).await;
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("\"registry-2bd806c9\" (imagePullSecrets)"),
        "{message}"
    );
    assert!(
        message.contains("of another user") && !message.contains("alice"),
        "{message}"
    );
    assert_eq!(
        webhook.review(&review("alice", "Pod", &pod)).await["allowed"],
        true
    );
}

#[tokio::test]
async fn warnings_reach_the_person() {
    let webhook = Running::start().await;
    let mut pod = pod();
    pod["spec"]["containers"][0]["env"] = json!([{"name": "AUTH_SECRET", "value": "mine"}]);
    let response = webhook.review(&review("alice", "Pod", &pod)).await;
    let warnings = response["warnings"].as_array().unwrap();
    let named = |warning: &Value| warning.as_str().unwrap().contains("AUTH_SECRET");
    assert!(warnings.iter().any(named), "{warnings:?}");
}

/// The API server's own validation says what is wrong with it.
#[tokio::test]
async fn a_pod_that_is_none_is_left_to_the_api_server() {
    let webhook = Running::start().await;
    let response = webhook
        .review(&review(
            "alice",
            "Pod",
            &json!({"spec": {"containers": "none"}}),
        ))
        .await;
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_none());
    assert_eq!(response["auditAnnotations"]["reason"], "unreadable");
}

/// Two objects of 3 MiB: the largest that an API server takes, in a review of an update.
#[tokio::test]
async fn a_review_of_two_large_objects_passes() {
    let webhook = Running::start().await;
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({"padding": "x".repeat(3 * 1024 * 1024)});
    let mut review = review("alice", "Pod", &pod);
    review["request"]["oldObject"] = pod;
    let response = webhook.review(&review).await;
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_some());
}

#[tokio::test]
async fn no_value_of_a_secret_is_in_any_answer() {
    let webhook = Running::start().await;
    let (_, answer) = webhook
        .post(review("alice", "Pod", &pod()).to_string())
        .await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let patch = serde_json::to_string(&crate::fixture::patch(&answer["response"])).unwrap();
    for value in [
        "hf_example_of_alice",
        "example-auth-secret",
        "mlflow.example.com",
        "EXAMPLEKEYID",
    ] {
        assert!(
            !answer.to_string().contains(value) && !patch.contains(value),
            "{value}"
        );
    }
}

#[tokio::test]
async fn admissions_are_counted() {
    let webhook = Running::start().await;
    webhook.review(&review("alice", "Pod", &pod())).await;
    let page = webhook.metrics.encode();
    for line in [
        r#"keyporter_admissions_total{resource="pods",decision="inject",reason="injected"} 1"#,
        r#"keyporter_injected_secrets_total{kind="env",scope="user"} 1"#,
    ] {
        assert!(
            page.lines().any(|there| there == line),
            "{line} is not in\n{page}"
        );
    }
}
