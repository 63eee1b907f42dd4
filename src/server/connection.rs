//! One connection, from the accepted socket to its end.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, warn};

use super::{
    Limits,
    activity::{Activity, Watched},
    drain::Slot,
    handshake::Failure,
    room::SILENCE,
    tls::Configuration,
};
use crate::metrics::Metrics;

/// How often an HTTP/2 peer is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection that is told to end for its silence may take to do so. An HTTP/2 peer has to learn of it
/// first: kube-apiserver sends a request elsewhere if a GOAWAY precedes it, and fails it if the connection breaks.
const LINGER: Duration = Duration::from_secs(2);

/// hyper panics below it.
const SMALLEST_BUFFER: u32 = 8192;

/// What all connections of a listener share.
pub(super) struct Service {
    app: TowerToHyperService<Router>,
    tls: Option<Configuration>,
    http: Builder<TokioExecutor>,
    limits: Limits,
    metrics: Metrics,
}

impl Service {
    pub(super) fn new(
        app: Router,
        tls: Option<Configuration>,
        limits: Limits,
        metrics: Metrics,
    ) -> Self {
        Self {
            app: TowerToHyperService::new(app),
            tls,
            http: http(&limits),
            limits,
            metrics,
        }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        let _open = self.metrics.connection_opened();
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "the connection ended before it began");
            return;
        }
        let Some(tls) = &self.tls else {
            return self.requests(stream, peer, slot).await;
        };
        if let Some((stream, slot)) = self.shake_hands(tls.acceptor(), stream, peer, slot).await {
            self.requests(stream, peer, slot).await;
        }
    }

    /// Nothing was asked on a connection in its handshake, so a drain ends it without loss.
    async fn shake_hands(
        &self,
        acceptor: TlsAcceptor,
        stream: TcpStream,
        peer: SocketAddr,
        mut slot: Slot,
    ) -> Option<(TlsStream<TcpStream>, Slot)> {
        let begun = Instant::now();
        let room = slot.room();
        let accepted = tokio::select! {
            biased;
            () = slot.draining() => return None,
            () = room.asked(|| begun.elapsed() >= SILENCE) => {
                debug!(%peer, "ended in its handshake, to make room for others");
                return None;
            }
            accepted = timeout(self.limits.handshake_timeout, acceptor.accept(stream)) => accepted,
        };
        let failure = match accepted {
            Ok(Ok(stream)) => return Some((stream, slot)),
            Ok(Err(error)) => {
                let failure = Failure::from_error(&error);
                if failure == Failure::Rejected {
                    warn!(
                        %peer, %error,
                        "the client does not trust the serving certificate: \
                         compare the webhook configuration's caBundle with the CA of tls.crt"
                    );
                }
                failure
            }
            Err(_) => Failure::Timeout,
        };
        debug!(%peer, cause = failure.as_str(), "TLS handshake failed");
        self.metrics.tls_handshake_failure(failure.as_str());
        None
    }

    async fn requests<S>(&self, stream: S, peer: SocketAddr, mut slot: Slot)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new(
            self.limits.header_read_timeout,
            self.limits.idle_timeout,
        ));
        let service = service_fn({
            let app = self.app.clone();
            let activity = Arc::clone(&activity);
            move |request: Request<Incoming>| {
                let running = activity.begin(request.version());
                let response = app.call(request);
                async move {
                    let response = response.await;
                    drop(running);
                    response
                }
            }
        });
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
        let mut connection = pin!(self.http.serve_connection(stream, service));

        let room = slot.room();
        let overdue = tokio::select! {
            // First the connection: what it reads decides whether it is overdue.
            biased;
            ended = connection.as_mut() => return log_end(peer, ended),
            expiry = activity.expired() => {
                debug!(%peer, ?expiry, "the connection is overdue");
                true
            }
            () = room.asked(|| activity.is_silent_for(SILENCE)) => {
                debug!(%peer, "the connection ends to make room for others");
                true
            }
            () = slot.draining() => false,
        };

        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            ended = connection.as_mut() => log_end(peer, ended),
            () = sleep(LINGER), if overdue => debug!(%peer, "the connection did not end when told to"),
            expiry = activity.expired(), if !overdue => {
                debug!(%peer, ?expiry, "the connection is overdue during the drain");
            }
            () = slot.cut_off() => debug!(%peer, "cut off at the end of the drain"),
        }
    }
}

/// How a listener speaks HTTP with these limits, but for those that it watches over itself.
#[must_use]
pub fn http(limits: &Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // `Activity` does it, see there.
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_size.max(SMALLEST_BUFFER) as usize);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(limits.max_header_size.max(SMALLEST_BUFFER));
    http
}

fn log_end(peer: SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    match ended {
        Ok(()) => debug!(%peer, "connection closed"),
        Err(error) => debug!(%peer, %error, "connection lost"),
    }
}
