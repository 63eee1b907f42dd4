//! Any bytes as the body of a review: no panic, and always an answer that the API server can use.
//!
//! The bytes go through the webhook's own router. What comes back is an AdmissionReview, or a status of 4xx with one
//! sentence. A patch applies to the object, and the object that it makes gets none.

use std::sync::{Arc, LazyLock, atomic::AtomicBool};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use keyporter::access::Access;
use keyporter::catalog::confirm::Confirmations;
use keyporter::catalog::{Catalog, Source, WatchedSecret};
use keyporter::documents::Documents;
use keyporter::events::Events;
use keyporter::inject::settings::Settings;
use keyporter::metrics::Metrics;
use keyporter::ownership::Ownership;
use keyporter::webhook::{self, Webhook};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
});

static WEBHOOK: LazyLock<TowerToHyperService<axum::Router>> = LazyLock::new(|| {
    let catalog = Catalog::default();
    let secrets = [
        include_str!("../../../deploy/examples/secrets.yaml"),
        include_str!("secrets.yaml"),
    ];
    let read = |text| -> Vec<WatchedSecret> {
        let documents = Documents::split(text);
        let secrets = documents
            .iter()
            .map(|document| document.read("secrets.yaml"));
        secrets.collect::<Result<_, _>>().expect("Secrets")
    };
    let secrets: Vec<_> = secrets.into_iter().flat_map(read).collect();
    catalog.replace(Source::Files, secrets);
    TowerToHyperService::new(webhook::router(Webhook {
        catalog,
        settings: Arc::new(Settings::default()),
        metrics: Metrics::new(),
        access: Access::default(),
        confirmations: Confirmations::default(),
        ownership: Ownership::standalone([7; 32]),
        events: Events::default(),
        complete: Arc::new(AtomicBool::new(true)),
    }))
});

/// Whether the bytes are a review, of which keyporter reads more than the head.
pub(crate) fn run(bytes: &[u8]) -> bool {
    let sent = serde_json::from_slice::<Value>(bytes).ok();
    answer("/validate", bytes.to_vec(), sent.as_ref());
    let Some(response) = answer("/mutate", bytes.to_vec(), sent.as_ref()) else {
        return false;
    };
    if let (true, Some(review)) = (response.get("patch").is_some(), sent) {
        patched(review);
    }
    true
}

fn patched(mut review: Value) {
    // As the API server would send it: no member twice.
    let Some(response) = answer_to(&review) else {
        return;
    };
    let Some(patch) = patch(&response) else {
        return;
    };
    let secret = review["request"]["kind"]["kind"] == "Secret";
    for operation in patch.iter() {
        let adds = matches!(operation, json_patch::PatchOperation::Add(_));
        assert!(adds || secret, "it does more than add: {operation}");
    }
    let object = &mut review["request"]["object"];
    if let Err(error) = json_patch::patch(object, &patch) {
        panic!("the patch does not apply: {error}\n{patch}\n{object}");
    }
    let second = answer_to(&review).expect("still a review");
    assert_eq!(second["allowed"], true, "{second}\n{review}");
    assert!(
        second.get("patch").is_none(),
        "{}\n{review}",
        self::patch(&second).expect("a patch")
    );
}

fn answer_to(review: &Value) -> Option<Value> {
    answer("/mutate", review.to_string().into_bytes(), Some(review))
}

/// The response in the answer; `None` where the body is refused as no review. `sent`: the body, if it is JSON.
fn answer(path: &str, body: Vec<u8>, sent: Option<&Value>) -> Option<Value> {
    let text = str::from_utf8(&body).unwrap_or_default();
    let one_uid = text.matches("\"uid\"").count() == 1 && !text.contains('\\');
    // What stands in managed fields is passed over.
    let readable = serde_json::from_slice::<IgnoredAny>(&body).is_ok()
        || body.windows(13).any(|name| name == b"managedFields");
    let request = Request::post(path)
        .body(Body::from(body))
        .expect("a request");
    let (status, answer) = RUNTIME.block_on(async {
        let Ok(response) = WEBHOOK.call(request).await;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a whole answer");
        (status, body.to_bytes())
    });
    let text = str::from_utf8(&answer).expect("UTF-8");
    if status != StatusCode::OK {
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(
            text.ends_with('\n') && text.lines().count() == 1 && text.len() < 400,
            "{text}"
        );
        return None;
    }
    assert!(readable, "what is no JSON is answered: {text}");
    let answer: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(answer["kind"], "AdmissionReview");
    let response = &answer["response"];
    // Of two members with one name the readers of JSON may see either.
    if let Some(sent) = sent {
        assert!(response["uid"].is_string());
        if one_uid {
            assert_eq!(response["uid"], sent["request"]["uid"]);
        }
    }
    let refused = response["allowed"] == json!(false);
    assert!(refused || response["allowed"] == json!(true), "{answer}");
    assert_eq!(
        refused,
        response["status"]["message"].is_string(),
        "{answer}"
    );
    assert!(!refused || response.get("patch").is_none(), "{answer}");
    assert_eq!(
        response.get("patch").is_some(),
        response["patchType"] == "JSONPatch"
    );
    Some(response.clone())
}

fn patch(response: &Value) -> Option<json_patch::Patch> {
    let patch = response["patch"].as_str()?;
    let patch = data_encoding::BASE64
        .decode(patch.as_bytes())
        .expect("base64");
    Some(serde_json::from_slice(&patch).expect("a JSON Patch"))
}
