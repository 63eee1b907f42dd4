//! What there is to compare with: servers of the same protocols, versions and settings that decide nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use keyporter::server::tls::{self, CertificateResolver};
use keyporter::server::{self, Limits};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a server does with a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Floor {
    /// It takes the bytes and gives others: what TLS and HTTP cost alone.
    Bare,
    /// It reads the review into the types of k8s-openapi, as webhooks do that are written with kube-rs.
    Typed,
}

/// Serves until it is killed.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// What it does
    #[arg(value_enum)]
    floor: Floor,
    /// Where it listens
    listen: SocketAddr,
    /// A folder with tls.crt and tls.key
    certificates: PathBuf,
    /// A file with what it answers
    answer: PathBuf,
}

impl Serve {
    /// Serves.
    pub fn run(self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            // On a thread of the runtime: that of `block_on` is another, and changing between them costs.
            tokio::spawn(self.serve()).await.expect("no panic");
        });
    }

    async fn serve(self) {
        let credentials = tls::load(&self.certificates).expect("a certificate");
        let config = tls::server_config(Arc::new(CertificateResolver::new(credentials)), None);
        let acceptor = TlsAcceptor::from(config.expect("TLS"));
        let answer = Bytes::from(fs::read(&self.answer).expect("an answer"));
        let listener = TcpListener::bind(self.listen).await.expect("an address");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(connection(
                stream,
                acceptor.clone(),
                self.floor,
                answer.clone(),
            ));
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, floor: Floor, answer: Bytes) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            if floor == Floor::Typed {
                std::hint::black_box(typed(&body));
            }
            let response = Response::new(Full::new(answer));
            let (mut head, body) = response.into_parts();
            head.headers
                .insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
            Ok::<_, hyper::Error>(Response::from_parts(head, body))
        }
    });
    let http = server::http(&Limits::default());
    let _ended = http.serve_connection(TokioIo::new(stream), service).await;
}

#[derive(Deserialize)]
struct Review<T> {
    request: Requested<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "to be read is all that is asked of it")]
struct Requested<T> {
    uid: String,
    namespace: Option<String>,
    user_info: k8s_openapi::api::authentication::v1::UserInfo,
    object: T,
}

/// What is not a pod fails at its kind, early.
fn typed(body: &[u8]) -> usize {
    match serde_json::from_slice::<Review<Pod>>(body) {
        Ok(review) => review
            .request
            .object
            .spec
            .map_or(0, |spec| spec.containers.len()),
        Err(_) => serde_json::from_slice::<Review<Deployment>>(body).map_or(0, |review| {
            review
                .request
                .object
                .metadata
                .name
                .map_or(0, |name| name.len())
        }),
    }
}
