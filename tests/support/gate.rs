//! A gate between a `keyporter` and its API server: it counts what passes, lets watches run late, and can keep lists of
//! Secrets of a namespace from passing.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, channel::mpsc, stream};
use http_body_util::BodyExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use kube::Client;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use super::Result;

/// What becomes of lists of Secrets of a namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// They pass.
    Pass,
    /// They are answered with 403.
    Forbid,
    /// They are not answered.
    Hold,
}

/// A running gate; dropping it closes its port.
pub(crate) struct Gate {
    state: Arc<Keeper>,
    kubeconfig: PathBuf,
    task: JoinHandle<()>,
}

struct Keeper {
    client: Client,
    late: Duration,
    lists: Mutex<Lists>,
    passed: Mutex<Vec<String>>,
}

impl Gate {
    /// Opens one through which calls reach the API server as those of `client`. Whatever a watch of Secrets tells comes
    /// `late`.
    pub(crate) async fn open(client: Client, folder: &Path, late: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Keeper {
            client,
            late,
            lists: Mutex::new(Lists::Pass),
            passed: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&state));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    // How a client leaves its connection does not concern a test.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let kubeconfig = folder.join(format!("gate-{port}"));
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "gate", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "users": [{"name": "gate", "user": {}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "gate"}}],
            "current-context": "gate",
        });
        fs::write(&kubeconfig, serde_json::to_vec(&config)?)?;
        Ok(Self {
            state,
            kubeconfig,
            task,
        })
    }

    /// The way through it.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What becomes of lists from now on.
    pub(crate) fn set(&self, lists: Lists) {
        *lock(&self.state.lists) = lists;
    }

    /// The requests since this was asked last, as `GET /path?query`.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state.passed))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(State(state): State<Arc<Keeper>>, request: Request) -> Response {
    let uri = request.uri().clone();
    lock(&state.passed).push(format!("{} {uri}", request.method()));
    let is_watch = uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let of_secrets = uri.path().ends_with("/secrets");
    if of_secrets && uri.path().contains("/namespaces/") && request.method() == "GET" && !is_watch {
        let lists = *lock(&state.lists);
        match lists {
            Lists::Pass => {}
            Lists::Hold => std::future::pending().await,
            Lists::Forbid => {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                    "reason": "Forbidden", "message": "secrets is forbidden: the gate says so",
                });
                return answered(StatusCode::FORBIDDEN, &status);
            }
        }
    }
    match forward(&state.client, request).await {
        Ok(answer) if is_watch && of_secrets => delayed(answer, state.late),
        Ok(answer) => answer,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn forward(client: &Client, request: Request) -> Result<Response> {
    let (mut head, body) = request.into_parts();
    without_hops(&mut head.headers);
    head.headers.remove(header::HOST);
    let body = body.collect().await?.to_bytes().to_vec();
    let request = axum::http::Request::from_parts(head, kube::client::Body::from(body));
    let (mut head, body) = client.send(request).await?.into_parts();
    without_hops(&mut head.headers);
    Ok(Response::from_parts(head, Body::new(body)))
}

/// Each connection has its own.
fn without_hops(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
}

/// What comes at once is late at once: a queue does not grow.
fn delayed(answer: Response, late: Duration) -> Response {
    let (head, body) = answer.into_parts();
    let (sender, receiver) = mpsc::unbounded();
    tokio::spawn(async move {
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            if sender
                .unbounded_send((Instant::now() + late, chunk))
                .is_err()
            {
                return;
            }
        }
    });
    let chunks = stream::unfold(receiver, |mut receiver| async {
        let (due, chunk) = receiver.next().await?;
        tokio::time::sleep_until(due).await;
        Some((chunk, receiver))
    });
    Response::from_parts(head, Body::from_stream(chunks))
}

fn answered(code: StatusCode, status: &serde_json::Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (code, json, status.to_string()).into_response()
}
