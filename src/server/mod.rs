//! The HTTPS listener: it binds, limits, serves and drains; what is served is somebody else's.
//!
//! A connection goes through these hands:
//!
//! ```text
//! accept ── slot ── handshake ── connection ── router
//!   │        │          │            │
//!   │        │          │            └ activity: cuts who is slow or silent
//!   │        │          └ tls: the certificate that counts at this moment; reload: when files change
//!   │        └ drain: how many there are, and when they shall end; room: which end where there are too many
//!   └ backs off when the process is out of file descriptors
//! ```
//!
//! Absent on purpose: a timeout for handling a request. Only the handler knows how much of a request it has read,
//! and can answer in words; the Kubernetes API server gives up on a webhook by itself after `timeoutSeconds`.

use std::{
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
};

use axum::Router;
use tokio::net::TcpListener;
use tracing::info;

use self::{
    connection::Service,
    drain::{Connections, Slot},
    tls::Configuration,
};
use crate::metrics::Metrics;

pub use self::{connection::http, drain::Drained, limits::Limits};

mod accept;
mod activity;
mod connection;
mod drain;
mod handshake;
mod limits;
pub mod reload;
mod room;
pub mod tls;

/// A bound listener that serves nobody yet.
///
/// Binding is a step of its own so that an address in use is reported before anything else starts.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use keyporter::server::{Limits, Server};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind("127.0.0.1:0".parse()?).await?;
/// println!("listening on {}", server.local_addr());
///
/// let app = Router::new().route("/", get(|| async { "hello" }));
/// let stop = async {}; // in a program: a signal
/// let drained = server.run_plain(app, Limits::default(), stop).await;
/// assert_eq!(drained.cut_off, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Metrics,
}

impl Server {
    /// Binds to `address`; with port 0 the system chooses a port, which [`local_addr`](Self::local_addr) tells.
    ///
    /// From here on clients can connect: they wait in the accept queue until [`run`](Self::run).
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| BindError::new(address, source))?;
        let address = listener
            .local_addr()
            .map_err(|source| BindError::new(address, source))?;
        Ok(Self {
            listener,
            address,
            metrics: Metrics::new(),
        })
    }

    /// Counts connections and failed handshakes in `metrics`; without this they are counted nowhere.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The address that is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `app` over TLS with HTTP/2 and HTTP/1.1 until `shutdown` completes, then drains.
    ///
    /// Draining means: accept nothing more, let every request that runs finish, close each connection after its last
    /// one (HTTP/2 peers get a GOAWAY), and cut off what is left after [`Limits::drain_timeout`]. A rollout loses no
    /// request if `shutdown` completes a few seconds after readiness was withdrawn: Kubernetes takes the address out
    /// of the Service at the same time as it sends SIGTERM, not before
    /// (<https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination>).
    ///
    /// Dropping the future closes every connection at once.
    pub async fn run(
        self,
        app: Router,
        tls: impl Into<Configuration>,
        limits: Limits,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        self.serve(app, Some(tls.into()), limits, pin!(shutdown))
            .await
    }

    /// Like [`run`](Self::run), without TLS: for the administration port.
    pub async fn run_plain(
        self,
        app: Router,
        limits: Limits,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        self.serve(app, None, limits, pin!(shutdown)).await
    }

    async fn serve(
        self,
        app: Router,
        tls: Option<Configuration>,
        limits: Limits,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Drained {
        let Self {
            listener,
            address,
            metrics,
        } = self;
        let connections = Connections::new(limits.max_connections);
        let drain_timeout = limits.drain_timeout;
        let service = Arc::new(Service::new(app, tls, limits, metrics));

        info!(%address, "listening");
        loop {
            let (stream, peer, slot) = tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                accepted = next(&listener, &connections) => accepted,
            };
            tokio::spawn(Arc::clone(&service).serve(stream, peer, slot));
        }

        drop(listener);
        info!(%address, "draining");
        connections.drain(drain_timeout).await
    }
}

/// Takes the slot first: a connection that is not accepted waits in the system's queue and costs nothing.
async fn next(
    listener: &TcpListener,
    connections: &Connections,
) -> (tokio::net::TcpStream, SocketAddr, Slot) {
    let slot = connections.slot().await;
    let (stream, peer) = accept::accept(listener, connections.room()).await;
    (stream, peer, slot)
}

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}, because another process does: stop it or choose another port"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Ports below 1024 need a privilege on most systems.
    #[error(
        "cannot listen on {address}: choose a port above 1023, or grant the capability NET_BIND_SERVICE"
    )]
    NotPermitted {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address belongs to no interface of this machine, or the system refused for another reason.
    #[error("cannot listen on {address}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address, source },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address, source },
            _ => Self::Other { address, source },
        }
    }
}
