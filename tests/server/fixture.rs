//! A running server, and patience for it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::Version,
    routing::{get, post},
};
use keyporter::{
    certificates::{self, DEFAULT_HOSTS, DEFAULT_VALIDITY},
    metrics::Metrics,
    server::{
        Drained, Limits, Server,
        tls::{self, CertificateResolver},
    },
};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::https::Client;

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const AGES: Duration = Duration::from_mins(10);

/// A limit that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(500);

/// Limits that no test overruns by chance. They are longer than its patience, so that none passes because of one of them.
pub(crate) fn generous() -> Limits {
    Limits {
        handshake_timeout: AGES,
        header_read_timeout: AGES,
        idle_timeout: AGES,
        drain_timeout: AGES,
        ..Limits::default()
    }
}

/// A server that runs until it is stopped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Vec<u8>,
    pub(crate) metrics: Metrics,
    pub(crate) resolver: Arc<CertificateResolver>,
    pub(crate) slow: Slow,
    stop: oneshot::Sender<()>,
    drained: JoinHandle<Drained>,
    _directory: TempDir,
}

/// The handler of `/slow`: its requests wait until they are let go.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    pub(crate) fn let_go(&self, count: usize) {
        self.gate.add_permits(count);
    }

    pub(crate) async fn begun(&self, count: usize) {
        eventually(|| self.begun.load(Ordering::SeqCst) == count).await;
    }
}

impl Running {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(limits, None).await
    }

    pub(crate) async fn start_with(limits: Limits, client_ca: Option<&Path>) -> Self {
        let directory = certificate_folder();
        let authority = std::fs::read(directory.path().join("ca.crt")).unwrap();
        let resolver = Arc::new(CertificateResolver::new(
            tls::load(directory.path()).unwrap(),
        ));
        let config = tls::server_config(Arc::clone(&resolver), client_ca).unwrap();

        let metrics = Metrics::new();
        let server = Server::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap()
            .with_metrics(metrics.clone());
        let address = server.local_addr();
        let slow = Slow::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let drained = tokio::spawn(server.run(router(slow.clone()), config, limits, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            authority,
            metrics,
            resolver,
            slow,
            stop,
            drained,
            _directory: directory,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.authority)
    }

    /// Waits until the metrics page has the line.
    pub(crate) async fn metric(&self, line: &str) {
        let found = || self.metrics.encode().lines().any(|found| found == line);
        let found = timeout(PATIENCE, poll(found)).await;
        assert!(found.is_ok(), "no {line} in\n{}", self.metrics.encode());
    }

    /// Begins the shutdown.
    pub(crate) fn stop(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.drained
    }
}

pub(crate) fn certificate_folder() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let hosts = DEFAULT_HOSTS.map(|host| ServerName::try_from(host).unwrap());
    certificates::generate(directory.path(), &hosts, DEFAULT_VALIDITY).unwrap();
    directory
}

pub(crate) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it takes too long")
}

pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    patiently(poll(condition)).await;
}

async fn poll(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What answers at `/`.
pub(crate) fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

fn router(slow: Slow) -> Router {
    let slow_routes = Router::new()
        .route(
            "/version",
            get(|version: Version| async move { format!("{version:?}") }),
        )
        .route("/echo", post(|body: String| async move { body }))
        .route(
            "/slow",
            get(|State(slow): State<Slow>| async move {
                slow.begun.fetch_add(1, Ordering::SeqCst);
                slow.gate.acquire().await.unwrap().forget();
                "done"
            }),
        )
        .with_state(slow);
    hello().merge(slow_routes)
}
