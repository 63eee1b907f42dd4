//! Reviews of Secrets with a folder that Konduktor's client packed.

use data_encoding::BASE64;
use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{Running, patched, review};

/// Made by Python: see `make.py` beside it.
const PAYLOAD: &[u8] = include_bytes!("../fixtures/folders/payload.zip");
/// `printf hunter2-canary | base64`
const VALUE: &str = "aHVudGVyMi1jYW5hcnk=";

/// As the client sends it.
fn folder(payload: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "data-bc65ee65",
            "labels": {
                "parent": "konduktor",
                "trainy.ai/secret-owner": "bc65ee65",
                "trainy.ai/secret-basename": "data",
                "trainy.ai/secret-kind": "default",
            },
        },
        "type": "Opaque",
        "data": {"payload.zip": payload},
    })
}

fn update(old: &Value, new: &Value) -> Value {
    let mut review = review("alice", "Secret", new);
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = old.clone();
    review
}

/// As it is stored after this review, and what was said of it.
async fn stored(webhook: &Running, review: &Value) -> (Value, Value) {
    let response = webhook.review(review).await;
    assert_eq!(response["allowed"], true, "{response}");
    let stored = if response.get("patch").is_some() {
        patched(review, &response)
    } else {
        review["request"]["object"].clone()
    };
    (stored, response)
}

#[tokio::test]
async fn a_new_folder_gets_an_owner_and_its_files() {
    let webhook = Running::start().await;
    let payload = BASE64.encode(PAYLOAD);
    let review = review("alice", "Secret", &folder(&payload));
    let (stored, response) = stored(&webhook, &review).await;
    assert_eq!(
        response["auditAnnotations"],
        json!({"decision": "expand", "reason": "expanded", "owner": "alice", "files": "5"})
    );
    assert!(response.get("warnings").is_none());
    let annotations = &stored["metadata"]["annotations"];
    assert_eq!(annotations["keyporter.dev/owner"], "alice");
    assert_eq!(annotations["keyporter.dev/executable"], r#"["run.sh"]"#);
    let layout = annotations["keyporter.dev/layout"].as_str().unwrap();
    let layout: Value = serde_json::from_str(layout).unwrap();
    assert_eq!(layout["run.sh"], "project/bin/run.sh");
    assert_eq!(layout.as_object().unwrap().len(), 5);
    let data = stored["data"].as_object().unwrap();
    assert_eq!(data.len(), 6);
    assert_eq!(data["payload.zip"], payload);
    assert_eq!(data["README"], BASE64.encode(b"hello\n"));
    let line =
        r#"keyporter_admissions_total{resource="secrets",decision="expand",reason="expanded"} 1"#;
    assert!(webhook.metrics.encode().contains(line));

    let again = crate::fixture::review("alice", "Secret", &stored);
    let response = webhook.review(&again).await;
    assert!(response.get("patch").is_none(), "{response}");
    assert_eq!(response["auditAnnotations"]["reason"], "already-expanded");
}

#[tokio::test]
async fn a_change_of_something_else_leaves_the_files_alone() {
    let webhook = Running::start().await;
    let new = review("alice", "Secret", &folder(&BASE64.encode(PAYLOAD)));
    let (old, _) = stored(&webhook, &new).await;
    let mut new = old.clone();
    new["data"]["own"] = VALUE.into();
    let (stored, response) = stored(&webhook, &update(&old, &new)).await;
    assert_eq!(stored, new);
    let audit = json!({"decision": "skip", "reason": "already-expanded"});
    assert_eq!(response["auditAnnotations"], audit);
}

fn kind(label: &str, kind: &str) -> Value {
    let mut secret = folder(&BASE64.encode(PAYLOAD));
    secret["metadata"]["labels"][label] = kind.into();
    secret["metadata"]["annotations"] = json!({"keyporter.dev/owner": "alice"});
    secret
}

fn ours() -> Value {
    let mut secret = kind("parent", "helm");
    secret["metadata"]["labels"]["keyporter.dev/kind"] = "default".into();
    secret
}

/// Whoever registers too much keeps what there is.
#[rstest]
#[case::no_konduktors(kind("parent", "helm"), "vision", "alice")]
#[case::our_own_of_files(ours(), "vision", "alice")]
#[case::of_another_kind(kind("trainy.ai/secret-kind", "env"), "vision", "alice")]
#[case::of_another_kind_of_ours(kind("keyporter.dev/kind", "env"), "vision", "alice")]
#[case::in_a_system_namespace(kind("app", "x"), "kube-system", "alice")]
#[case::by_kubernetes(kind("app", "x"), "vision", "system:kube-controller-manager")]
#[tokio::test]
async fn others_are_left_alone(
    #[case] secret: Value,
    #[case] namespace: &str,
    #[case] requester: &str,
) {
    let webhook = Running::start().await;
    let mut review = review(requester, "Secret", &secret);
    review["request"]["namespace"] = namespace.into();
    let response = webhook.review(&review).await;
    assert_eq!(response["allowed"], true);
    assert!(response.get("patch").is_none(), "{response}");
}

#[tokio::test]
async fn a_bad_archive_is_denied_with_the_reason() {
    let webhook = Running::start().await;
    let mut cut = PAYLOAD.to_vec();
    cut.truncate(500);
    let mut linked = PAYLOAD.to_vec();
    // The mode of an entry in the directory.
    let at = linked
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    linked[at + 41] = 0o240;
    for (payload, expected) in [
        (
            BASE64.encode(&cut),
            "payload.zip is not taken: it is cut off",
        ),
        (
            VALUE.to_owned(),
            "payload.zip is not taken: it is no zip archive",
        ),
        (
            BASE64.encode(&linked),
            "its entry \"project/README\" is a symbolic link",
        ),
    ] {
        let response = webhook
            .review(&review("alice", "Secret", &folder(&payload)))
            .await;
        assert_eq!(response["allowed"], false);
        let message = response["status"]["message"].as_str().unwrap();
        assert!(
            message.contains(expected) && message.ends_with("[rule: bad-archive]"),
            "{message}"
        );
        assert!(!response.to_string().contains("hunter2"));
    }
    let line =
        r#"keyporter_admissions_total{resource="secrets",decision="deny",reason="bad-archive"} 3"#;
    assert!(webhook.metrics.encode().contains(line));
}

/// Two Secrets as large as can be in one review, with annotations as long as can be.
#[tokio::test]
async fn the_largest_secrets_are_read() {
    let webhook = Running::start().await;
    let rest = 1_048_576 - PAYLOAD.len() - 67;
    let mut new = folder(&BASE64.encode(PAYLOAD));
    new["data"]["own"] = BASE64.encode(&vec![7; rest]).into();
    new["metadata"]["annotations"] = json!({"note": "x".repeat(200_000)});
    let mut old = new.clone();
    old["data"]["payload.zip"] = VALUE.into();
    let review = update(&old, &new);
    let (stored, response) = stored(&webhook, &review).await;
    assert_eq!(
        response["auditAnnotations"]["files"], "5",
        "{}",
        response["warnings"]
    );
    assert_eq!(stored["data"].as_object().unwrap().len(), 7);

    new["data"]["own"] = BASE64.encode(&vec![7; rest + 1]).into();
    let response = webhook.review(&update(&old, &new)).await;
    let warnings = response["warnings"].to_string();
    assert!(
        warnings.contains("keyporter: payload.zip stays packed: with its files, 1048577 bytes"),
        "{warnings}"
    );
    assert_eq!(response["auditAnnotations"]["reason"], "stays-packed");
}
