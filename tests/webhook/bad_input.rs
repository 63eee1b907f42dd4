//! What is no review gets a status and one sentence.

use axum::http::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::fixture::{Running, review};

fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut review = review("alice", "Pod", &json!({"spec": {"containers": []}}));
    change(&mut review);
    review.to_string().into_bytes()
}

#[rstest]
#[case::empty(vec![], "is empty")]
#[case::no_json(b"hello".to_vec(), "is not JSON")]
#[case::truncated({ let mut body = changed(|_| {}); body.truncate(200); body }, "ends in the middle")]
#[case::not_utf8(b"{\"kind\": \"\xff\xfe\"}".to_vec(), "is not UTF-8")]
#[case::another_kind(b"{\"kind\": \"Pod\", \"apiVersion\": \"v1\"}".to_vec(), "not an AdmissionReview")]
#[case::another_version(changed(|review| review["apiVersion"] = "admission.k8s.io/v1beta1".into()), "only admission.k8s.io/v1")]
#[case::no_request(changed(|review| review["request"] = Value::Null), "has no request")]
#[case::no_uid(changed(|review| review["request"]["uid"] = "".into()), "no uid")]
#[case::no_user(changed(|review| review["request"]["userInfo"] = json!({})), "does not say who sent it")]
#[case::wrong_type(changed(|review| review["request"]["userInfo"] = 7.into()), "wrong type")]
#[tokio::test]
async fn bad_requests(
    #[case] body: Vec<u8>,
    #[case] sentence: &str,
    #[values("mutate", "validate")] path: &str,
) {
    let webhook = Running::start().await;
    let (status, text) = webhook.post_to(path, body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains(sentence), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        webhook
            .metrics
            .encode()
            .contains(r#"keyporter_refused_requests_total{status="400"} 1"#)
    );
}

#[rstest]
#[tokio::test]
async fn twenty_mebibytes_are_too_much(#[values("mutate", "validate")] path: &str) {
    let webhook = Running::start().await;
    let (status, text) = webhook.post_to(path, vec![b' '; 20 * 1024 * 1024]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.contains("larger than 16777216 bytes"), "{text}");
}

/// A word of a stranger comes back no longer than helps.
#[rstest]
#[case::long("x".repeat(100_000))]
#[case::of_escapes("\u{15}".repeat(60))]
#[tokio::test]
async fn long_words_are_cut(#[case] word: String) {
    let webhook = Running::start().await;
    let (_, text) = webhook.post(json!({"kind": word}).to_string()).await;
    assert!(text.len() < 300, "{text}");
}

#[tokio::test]
async fn elsewhere_and_otherwise() {
    let webhook = Running::start().await;
    let (status, _, _) = webhook.client.get(&webhook.url).await.unwrap();
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let (status, _, body) = webhook
        .client
        .get(&webhook.url.replace("/mutate", "/"))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(String::from_utf8_lossy(&body).contains("POST /mutate and POST /validate"));
}

/// Nobody can say that a pod gets nothing before all secrets are known: the failurePolicy decides.
#[rstest]
#[tokio::test]
async fn before_the_first_complete_list_there_is_no_answer(
    #[values("mutate", "validate")] path: &str,
) {
    let webhook = Running::start_with(false).await;
    let (status, text) = webhook.post_to(path, changed(|_| {})).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("not been read completely"), "{text}");
}
