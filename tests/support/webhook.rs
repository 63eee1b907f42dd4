//! A second mutating webhook: records what it is asked, can append a container to pods, and can take its time.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use kube::Client;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use super::{Result, authority::Authority, objects, wait_for};

/// The name of the container that [`Behaviour::AddContainer`] appends.
pub(crate) const EXTRA: &str = "extra";

/// What the webhook does to pods.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Nothing.
    Record,
    /// Appends a container called [`EXTRA`], as injectors of sidecars do.
    AddContainer,
}

/// A running webhook; dropping it closes its port.
pub(crate) struct Webhook {
    state: Arc<Recorder>,
    port: u16,
    certificate: String,
    task: JoinHandle<()>,
}

struct Recorder {
    behaviour: Behaviour,
    requests: Mutex<Vec<Value>>,
    hold: AtomicBool,
    release: Notify,
}

impl Webhook {
    /// Starts it on a free port of loopback, with a certificate that `authority` signs.
    pub(crate) async fn start(authority: &Authority, behaviour: Behaviour) -> Result<Self> {
        let tls = TlsAcceptor::from(Arc::new(server_config(authority)?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Recorder {
            behaviour,
            requests: Mutex::default(),
            hold: AtomicBool::new(false),
            release: Notify::new(),
        });
        let router = Router::new()
            .route("/mutate", post(answer))
            .with_state(Arc::clone(&state));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, router) = (tls.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else {
                        return;
                    };
                    let service = TowerToHyperService::new(router);
                    // How a client leaves its connection does not concern a test.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self {
            state,
            port,
            certificate: authority.certificate(),
            task,
        })
    }

    /// Has the API server ask it about every new pod of `namespace`, and returns when it does.
    ///
    /// Webhooks are called in the order of the configurations' names.
    pub(crate) async fn register(&self, admin: &Client, name: &str, namespace: &str) -> Result<()> {
        let probe = objects::pod(namespace, "probe");
        self.register_for(admin, name, &["CREATE"], "pods", probe)
            .await
    }

    /// The same for Secrets, new and changed.
    pub(crate) async fn register_for_secrets(
        &self,
        admin: &Client,
        name: &str,
        namespace: &str,
    ) -> Result<()> {
        let probe = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": namespace, "name": "probe"},
        });
        self.register_for(admin, name, &["CREATE", "UPDATE"], "secrets", probe)
            .await
    }

    async fn register_for(
        &self,
        admin: &Client,
        name: &str,
        operations: &[&str],
        resource: &str,
        probe: Value,
    ) -> Result<()> {
        let namespace = &probe["metadata"]["namespace"];
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": format!("{name}.test.keyporter.dev"),
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{}/mutate", self.port),
                    "caBundle": objects::ca_bundle(&self.certificate),
                },
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "operations": operations,
                }],
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "sideEffects": "None",
                "timeoutSeconds": 30,
                "admissionReviewVersions": ["v1"],
            }],
        });
        objects::create(admin, configuration).await?;
        wait_for(
            "the API server to ask the second webhook",
            Duration::from_secs(20),
            async || {
                objects::dry_run(admin, probe.clone()).await?;
                Ok((!self.requests().is_empty()).then_some(()))
            },
        )
        .await?;
        self.state
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        Ok(())
    }

    /// Leaves the next request without an answer until [`Self::release`]; those after it are answered.
    pub(crate) fn hold_next(&self) {
        self.state.hold.store(true, Ordering::SeqCst);
    }

    /// Answers the request that waits.
    pub(crate) fn release(&self) {
        self.state.release.notify_one();
    }

    /// The `request` of every AdmissionReview so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.state
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(recorder): State<Arc<Recorder>>,
    body: Bytes,
) -> std::result::Result<Vec<u8>, StatusCode> {
    let review: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let request = review
        .get("request")
        .cloned()
        .ok_or(StatusCode::BAD_REQUEST)?;
    let mut response = json!({"uid": request.get("uid"), "allowed": true});
    if recorder.behaviour == Behaviour::AddContainer && !has_extra(&request) {
        let add = json!([{
            "op": "add",
            "path": "/spec/containers/-",
            "value": {"name": EXTRA, "image": "registry.invalid/extra:1"},
        }]);
        let add = serde_json::to_vec(&add).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        if let Some(response) = response.as_object_mut() {
            response.insert("patchType".to_owned(), json!("JSONPatch"));
            response.insert("patch".to_owned(), json!(k8s_openapi::ByteString(add)));
        }
    }
    recorder
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    if recorder.hold.swap(false, Ordering::SeqCst) {
        recorder.release.notified().await;
    }
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    });
    serde_json::to_vec(&review).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn has_extra(request: &Value) -> bool {
    request
        .pointer("/object/spec/containers")
        .and_then(Value::as_array)
        .is_some_and(|containers| {
            containers
                .iter()
                .any(|container| container.get("name") == Some(&json!(EXTRA)))
        })
}

fn server_config(authority: &Authority) -> Result<ServerConfig> {
    let credentials = authority.server(&["127.0.0.1"])?;
    let certificate = CertificateDer::from_pem_slice(credentials.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes())?;
    Ok(ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?)
}
