//! The webhook: `POST /mutate` and `POST /validate` take an AdmissionReview and answer it.
//!
//! The handlers only translate: a body becomes a review, [`crate::inject`] decides, the decision becomes an answer.
//! The admission of a pod that a trusted controller creates makes no call, unless the pod has something of another user in
//! it; for one that somebody creates directly the catalogue is [confirmed](crate::catalog::confirm) to have caught up. Bodies
//! are never logged, and of a Secret only marks in its metadata are read, unless it holds a folder that [`crate::folder`]
//! unpacks.
//!
//! | answer | when |
//! |---|---|
//! | 200, `allowed: true` | a skip (no patch), an injection or a stamp (patch) |
//! | 200, `allowed: false` | a refusal of policy, with the sentence for the author |
//! | 400, 408, 413 | what came is no AdmissionReview, came too slowly, is too large |
//! | 500 | a fault of ours: the `failurePolicy` decides |

mod admit;
mod answer;
mod brought;
mod caught_up;
mod guard;
mod owner;
mod report;
mod review;
mod secret;
#[doc(hidden)]
pub mod steps;
mod validate;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use thiserror::Error;
use tracing::{error, warn};

use crate::access::Access;
use crate::catalog::Catalog;
use crate::catalog::confirm::Confirmations;
use crate::causes::one_line;
use crate::events::Events;
use crate::inject::settings::Settings;
use crate::metrics::Metrics;
use crate::ownership::{Ownership, OwnershipError};
use review::BadReview;

/// The largest body, in bytes. The API server takes objects of 3 MiB, and a review of an update carries two of them.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// How much of a body that is too large is read and dropped: a client that is still sending when the connection breaks
/// never sees why.
const DISCARD_LIMIT: usize = 64 * 1024 * 1024;
/// How long a body may take to arrive. No webhook is waited for longer than 30 seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the handler needs.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// What is known of secrets.
    pub catalog: Catalog,
    /// What the operator set.
    pub settings: Arc<Settings>,
    /// What is counted.
    pub metrics: Metrics,
    /// Who is asked whether somebody may act for another.
    pub access: Access,
    /// What proves whose a workload is.
    pub ownership: Ownership,
    /// Where the authors of workloads read what becomes of the pods.
    pub events: Events,
    /// Who makes sure that the catalogue shows what was just written.
    pub confirmations: Confirmations,
    /// Whether the catalogue has been read completely once. Before that, nobody can say that a pod gets nothing.
    pub complete: Arc<AtomicBool>,
}

/// The webhook's routes.
pub fn router(webhook: Webhook) -> Router {
    Router::new()
        .route("/mutate", post(mutate))
        .route("/validate", post(validate))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "not found: admission reviews go to POST /mutate and POST /validate\n",
            )
        })
        .with_state(Arc::new(webhook))
}

/// Why a review was not answered.
#[derive(Debug, Error)]
enum Fault {
    #[error(transparent)]
    BadReview(#[from] BadReview),
    #[error("the body is larger than {BODY_LIMIT} bytes")]
    TooLarge,
    #[error("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the body did not arrive whole")]
    Interrupted,
    #[error("the list of secrets has not been read completely yet; try again in a moment")]
    NotReady,
    #[error("whose pods these are cannot be proved now; try again")]
    Ownership(#[from] OwnershipError),
    #[error("the answer could not be written")]
    Answer(#[from] serde_json::Error),
    #[error("a defect of keyporter; its log has the place")]
    Panicked,
}

impl Fault {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadReview(_) | Self::Interrupted => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotReady | Self::Ownership(_) | Self::Answer(_) | Self::Panicked => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

async fn mutate(State(webhook): State<Arc<Webhook>>, body: Body) -> Response {
    let answer = async |body: Bytes| webhook.admit(&body, Instant::now()).await;
    respond(&webhook, body, answer).await
}

async fn validate(State(webhook): State<Arc<Webhook>>, body: Body) -> Response {
    let answer = async |body: Bytes| webhook.validate(&body, Instant::now()).await;
    respond(&webhook, body, answer).await
}

async fn respond(
    webhook: &Webhook,
    body: Body,
    answer: impl AsyncFnOnce(Bytes) -> Result<Vec<u8>, Fault>,
) -> Response {
    let answer = async {
        let body = complete(webhook, body).await?;
        answer(body).await
    };
    // Nothing that a panic leaves half done is looked at again: what is shared is swapped as a whole, or behind a lock.
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    match answer.unwrap_or(Err(Fault::Panicked)) {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(fault) => {
            let status = fault.status();
            webhook.metrics.refused_request(status.as_u16());
            if status.is_server_error() {
                error!(
                    status = status.as_u16(),
                    "a review was not answered: {}",
                    one_line(&fault)
                );
            } else {
                warn!(status = status.as_u16(), "a request was refused: {fault}");
            }
            fault.into_response()
        }
    }
}

/// The whole body, once the secrets are known without which it cannot be answered.
async fn complete(webhook: &Webhook, body: Body) -> Result<Bytes, Fault> {
    let body = whole(body).await?;
    if !webhook.complete.load(Ordering::Acquire) {
        return Err(Fault::NotReady);
    }
    Ok(body)
}

async fn whole(body: Body) -> Result<Bytes, Fault> {
    let read = tokio::time::timeout(BODY_TIMEOUT, read(body)).await;
    read.unwrap_or(Err(Fault::TooSlow))
}

async fn read(mut body: Body) -> Result<Bytes, Fault> {
    match Limited::new(&mut body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(body).await;
            Err(Fault::TooLarge)
        }
        Err(_) => Err(Fault::Interrupted),
    }
}

async fn discard(mut body: Body) {
    let mut left = DISCARD_LIMIT;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(length) else {
            return;
        };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    use futures::{StreamExt, stream};
    use rstest::rstest;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered() {
        let webhook = Webhook {
            catalog: Catalog::default(),
            settings: Arc::default(),
            metrics: Metrics::new(),
            access: Access::default(),
            ownership: Ownership::standalone([7; 32]),
            events: Events::default(),
            confirmations: Confirmations::default(),
            complete: Arc::new(AtomicBool::new(true)),
        };
        let answer = async |_| panic!("of a test");
        let response = respond(&webhook, Body::from("{}"), answer).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "a defect of keyporter; its log has the place\n");
    }

    /// As many as the client sends, so that it sees the answer; but not without end.
    #[rstest]
    #[case(20, 20)]
    #[case(1000, 82)]
    #[tokio::test]
    async fn what_is_too_large_is_read_all_the_same(#[case] sent: usize, #[case] taken: usize) {
        let mebibyte = Bytes::from(vec![b' '; 1024 * 1024]);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let chunks = stream::iter(0..sent).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(mebibyte.clone())
        });
        let outcome = whole(Body::from_stream(chunks)).await;
        assert!(matches!(outcome, Err(Fault::TooLarge)), "{outcome:?}");
        assert_eq!(count.load(Ordering::Relaxed), taken);
    }
}
