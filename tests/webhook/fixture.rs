//! A webhook with the secrets of the examples.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::http::StatusCode;
use keyporter::{
    access::Access,
    catalog::{Catalog, Source, confirm::Confirmations, files},
    certificates::{self, DEFAULT_VALIDITY},
    events::Events,
    inject::settings::Settings,
    metrics::Metrics,
    ownership::Ownership,
    server::{
        Limits, Server,
        tls::{self, CertificateResolver},
    },
    webhook::{self, Webhook},
};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::https::Client;

pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) metrics: Metrics,
    _stop: oneshot::Sender<()>,
    _folder: TempDir,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(true).await
    }

    pub(crate) async fn start_with(complete: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hosts = [ServerName::try_from("localhost").unwrap()];
        let made = certificates::ensure(folder.path(), &hosts, DEFAULT_VALIDITY).unwrap();
        let credentials = tls::load(folder.path()).unwrap();
        let tls =
            tls::server_config(Arc::new(CertificateResolver::new(credentials)), None).unwrap();

        let examples =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/secrets.yaml");
        let catalog = Catalog::default();
        catalog.replace(
            Source::Files,
            files::load(&[examples], "default").unwrap().secrets,
        );
        let metrics = Metrics::new();
        let webhook = Webhook {
            catalog,
            settings: Arc::new(Settings::default()),
            metrics: metrics.clone(),
            access: Access::default(),
            ownership: Ownership::standalone([7; 32]),
            events: Events::default(),
            confirmations: Confirmations::default(),
            complete: Arc::new(AtomicBool::new(complete)),
        };
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("https://localhost:{}/mutate", server.local_addr().port());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(
            server.run(webhook::router(webhook), tls, Limits::default(), async {
                let _gone = stopped.await;
            }),
        );
        let client = Client::new(std::fs::read(made.authority_certificate).unwrap());
        Self {
            url,
            client,
            metrics,
            _stop: stop,
            _folder: folder,
        }
    }

    /// Posts a body and gives the status and the text of the answer.
    pub(crate) async fn post(&self, body: impl Into<Vec<u8>>) -> (StatusCode, String) {
        self.post_to("mutate", body).await
    }

    /// The same to `mutate` or to `validate`.
    pub(crate) async fn post_to(
        &self,
        path: &str,
        body: impl Into<Vec<u8>>,
    ) -> (StatusCode, String) {
        let url = self.url.replace("mutate", path);
        let post = self.client.post(&url, "application/json", body.into());
        let (status, _, body) = tokio::time::timeout(Duration::from_mins(1), post)
            .await
            .unwrap()
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Posts a review and gives the response in the answer.
    pub(crate) async fn review(&self, review: &Value) -> Value {
        self.review_at("mutate", review).await
    }

    /// The same from `mutate` or from `validate`.
    pub(crate) async fn review_at(&self, path: &str, review: &Value) -> Value {
        let (status, body) = self.post_to(path, review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }
}

/// A review as the API server sends it.
pub(crate) fn review(requester: &str, kind: &str, object: &Value) -> Value {
    let group = match kind {
        "Pod" | "Secret" => "",
        "Job" | "CronJob" => "batch",
        _ => "apps",
    };
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": group, "version": "v1", "kind": kind},
            "namespace": "vision",
            "operation": "CREATE",
            "userInfo": {"username": requester, "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
        },
    })
}

/// The patch in a response.
pub(crate) fn patch(response: &Value) -> json_patch::Patch {
    assert_eq!(response["patchType"], "JSONPatch");
    let bytes = data_encoding::BASE64
        .decode(response["patch"].as_str().unwrap().as_bytes())
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The object of a review with the patch of its response.
pub(crate) fn patched(review: &Value, response: &Value) -> Value {
    let mut object = review["request"]["object"].clone();
    json_patch::patch(&mut object, &patch(response)).unwrap();
    object
}
