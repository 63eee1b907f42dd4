//! A registry of images that answers nobody but alice.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use data_encoding::BASE64;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{enclosure::ADDRESS, images, support::Result};

/// Its one image.
pub(crate) const IMAGE: &str = "192.0.2.10:5000/private:1";

const HOST: &str = "192.0.2.10:5000";
const PORT: u16 = 5000;
const PASSWORD: &str = "made up";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry; dropping it ends it.
pub(crate) struct Registry {
    task: JoinHandle<()>,
}

/// Documents by their paths, each with its type.
type Documents = HashMap<String, (&'static str, Vec<u8>)>;

impl Registry {
    /// Starts it on the runtime that this is called on.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((ADDRESS, PORT)).await?;
        let router = Router::new()
            .fallback(get(answer))
            .with_state(Arc::new(documents()?));
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
        Ok(Self { task })
    }

    /// The content of a secret of type `kubernetes.io/dockerconfigjson`.
    pub(crate) fn credentials() -> Value {
        json!({"auths": {HOST: {"username": "alice", "password": PASSWORD}}})
    }

    /// Tells containerd that it speaks HTTP, in a folder of such files.
    pub(crate) fn configure(folder: &Path) -> Result<()> {
        let folder = folder.join(HOST);
        fs::create_dir_all(&folder)?;
        let server = format!("[host.\"http://{HOST}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
        Ok(fs::write(folder.join("hosts.toml"), server)?)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn documents() -> Result<Documents> {
    let [configuration, layer] = images::private()?;
    let named = |kind: &str, content: &[u8]| json!({"mediaType": kind, "digest": images::digest(content), "size": content.len()});
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": named("application/vnd.oci.image.config.v1+json", &configuration),
        "layers": [named("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let blob = |content: Vec<u8>| {
        let path = format!("/v2/private/blobs/{}", images::digest(&content));
        (path, ("application/octet-stream", content))
    };
    let by_digest = format!("/v2/private/manifests/{}", images::digest(&manifest));
    Ok(HashMap::from([
        blob(configuration),
        blob(layer),
        (by_digest, (MANIFEST, manifest.clone())),
        ("/v2/private/manifests/1".to_owned(), (MANIFEST, manifest)),
    ]))
}

async fn answer(State(documents): State<Arc<Documents>>, request: Request) -> Response {
    let credentials = BASE64.encode(format!("alice:{PASSWORD}").as_bytes());
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_none_or(|given| *given != format!("Basic {credentials}")) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"registry\"")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    match documents.get(request.uri().path()) {
        Some((kind, content)) => {
            let kind = [(header::CONTENT_TYPE, *kind)];
            (kind, content.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
