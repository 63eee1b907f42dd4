//! The administration port: what Kubernetes and Prometheus ask, over plain HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 as long as the process can answer at all |
//! | `/readyz` | 200 when every condition of [`Readiness`] holds, else 503; the body lists them |
//! | `/metrics` | the [`Metrics`] in the text format of OpenMetrics |
//!
//! Nothing here is secret, and nothing can be changed; the network policy decides who may read it.

use std::time::Duration;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};

use crate::{
    metrics::{self, Metrics},
    server::Limits,
};

pub use self::readiness::{Condition, Readiness};

mod readiness;

/// The router of the administration port, to be served by [`Server::run_plain`](crate::server::Server::run_plain)
/// with [`limits`].
pub fn router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(page).with_state(metrics))
        .fallback(elsewhere)
}

/// Limits for a port that probes and scrapers use: few connections, and nothing worth a long drain.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        max_connections: 100,
        drain_timeout: Duration::from_secs(1),
        ..Limits::default()
    }
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let (ready, report) = readiness.report();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, report)
}

async fn page(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode())
}

async fn elsewhere() -> impl IntoResponse {
    (
        StatusCode::NOT_FOUND,
        "there are /livez, /readyz and /metrics here\n",
    )
}
