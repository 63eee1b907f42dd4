//! References in workloads: what their author is told of the pods to come.

use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{Running, patched, review};

const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";

fn template(value: &str) -> Value {
    let env = json!([{"name": "TOKEN", "value": value}]);
    json!({"spec": {"containers": [{"name": "train", "env": env}]}})
}

fn job(value: &str) -> Value {
    json!({"metadata": {"name": "train"}, "spec": {"template": template(value)}})
}

fn told(response: &Value) -> Vec<&str> {
    let warnings = response["warnings"].as_array().into_iter().flatten();
    warnings.map(|warning| warning.as_str().unwrap()).collect()
}

#[rstest]
#[case::hers("secret:hugging-face")]
#[case::of_the_project("secret:tracking/HF_TOKEN")]
#[case::optional("secret:none?")]
#[case::text("secret: of life")]
#[tokio::test]
async fn a_workload_whose_references_mean_something_is_stamped(#[case] value: &str) {
    let webhook = Running::start().await;
    let response = webhook.review(&review("alice", "Job", &job(value))).await;
    assert_eq!(response["auditAnnotations"]["decision"], "stamp");
    assert_eq!(told(&response), Vec::<&str>::new());
}

#[tokio::test]
async fn what_a_later_secret_can_mend_is_a_warning() {
    let webhook = Running::start().await;
    let review = review("alice", "Job", &job("secret:none"));
    let response = webhook.review(&review).await;
    assert_eq!(response["auditAnnotations"]["decision"], "stamp");
    assert_eq!(
        told(&response),
        [
            "keyporter: pods of this workload will be refused: \"secret:none\" (env TOKEN of container \"train\"): neither the \
          owner nor the project has a secret of that name"
        ]
    );
    let template = &patched(&review, &response)["spec"]["template"];
    assert_eq!(
        template["spec"],
        job("secret:none")["spec"]["template"]["spec"]
    );
}

/// The owner of the pods is who makes the workload, and nobody else's secrets count.
#[tokio::test]
async fn the_secrets_of_another_are_none() {
    let webhook = Running::start().await;
    let response = webhook
        .review(&review("bob", "Job", &job("secret:hugging-face")))
        .await;
    assert_eq!(told(&response).len(), 1, "{response}");
    let nobodys = webhook
        .review(&review("bob", "Job", &job("secret:none")))
        .await;
    let replaced = told(&response)[0].replace("hugging-face", "none");
    assert_eq!(told(&nobodys), [replaced]);
}

#[tokio::test]
async fn a_malformed_reference_denies_the_workload() {
    let webhook = Running::start().await;
    let response = webhook
        .review(&review("alice", "Job", &job("secret:HF_TOKEN")))
        .await;
    assert_eq!(response["allowed"], false);
    assert_eq!(
        response["auditAnnotations"]["reason"],
        "unresolved-references"
    );
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("\"secret:HF_TOKEN\" (env TOKEN of container \"train\"): bad name"),
        "{message}"
    );

    let response = webhook
        .review(&review("alice", "Pod", &template("secret:HF_TOKEN")))
        .await;
    assert_eq!(response["status"]["message"], message);
}

/// Another webhook may ask for a second pass: what stands there now is the owner's own.
#[rstest]
#[case::hers("secret:hugging-face")]
#[case::optional("secret:none?")]
#[tokio::test]
async fn a_second_pass_changes_nothing(#[case] value: &str) {
    let webhook = Running::start().await;
    let first = review("alice", "Pod", &template(value));
    let response = webhook.review(&first).await;
    let audit = json!({
        "decision": "inject", "reason": "injected", "owner": "alice", "rule": "requester", "injected": "7",
    });
    assert_eq!(response["auditAnnotations"], audit);
    let pod = patched(&first, &response);
    let second = webhook.review(&review("alice", "Pod", &pod)).await;
    assert_eq!(second["allowed"], true, "{second}");
    assert!(second.get("patch").is_none(), "{second}");
    assert_eq!(second["auditAnnotations"]["injected"], "7");
}

/// Whoever scales it is not to blame, and neither is a controller.
#[rstest]
#[case::scaled("alice", "secret:HF_TOKEN", "secret:HF_TOKEN", true, 0)]
#[case::scaled_without_the_secret("alice", "secret:none", "secret:none", true, 0)]
#[case::changed("alice", "x", "secret:HF_TOKEN", false, 0)]
#[case::changed_without_the_secret("alice", "x", "secret:none", true, 1)]
#[case::by_a_controller(JOB_CONTROLLER, "x", "secret:HF_TOKEN", true, 0)]
#[tokio::test]
async fn updates(
    #[case] requester: &str,
    #[case] before: &str,
    #[case] after: &str,
    #[case] allowed: bool,
    #[case] warnings: usize,
) {
    let webhook = Running::start().await;
    let mut new = job(after);
    new["spec"]["parallelism"] = json!(3);
    let mut review = review(requester, "Job", &new);
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = job(before);
    let response = webhook.review(&review).await;
    assert_eq!(response["allowed"], allowed, "{response}");
    assert_eq!(told(&response).len(), warnings, "{response}");
}

#[rstest]
#[case::opted_out(json!({"labels": {"keyporter.dev/inject": "disabled"}}), json!({}))]
#[case::of_windows(json!({}), json!({"os": {"name": "windows"}}))]
#[tokio::test]
async fn what_is_left_alone_may_say_anything(#[case] metadata: Value, #[case] spec: Value) {
    let webhook = Running::start().await;
    let mut job = job("secret:HF_TOKEN");
    let template = &mut job["spec"]["template"];
    template["metadata"] = metadata;
    let members = spec.as_object().unwrap().clone();
    template["spec"].as_object_mut().unwrap().extend(members);
    let response = webhook.review(&review("alice", "Job", &job)).await;
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(told(&response), Vec::<&str>::new());
}
