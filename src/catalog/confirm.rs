//! Confirming that the catalogue has caught up with a namespace: a pod must not miss a secret that was written before it.
//!
//! # The race
//!
//! The catalogue follows watches, and a watch runs milliseconds behind. Somebody who writes a secret and creates a pod as
//! soon as that is answered may be faster. An AdmissionReview does not say how far the watch would have to be, and having
//! all Secrets pass the webhook would take values out of the API server.
//!
//! # How it is closed
//!
//! A *round* asks the API server for one list of the namespace's Secrets, metadata only, without a resource version: that
//! is a consistent read, which shows every write that was answered before it began
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>). Then it waits until the
//! catalogue shows every object of that list at this version or a newer one, and no longer those that the list has not; the
//! watches deliver both in milliseconds. The list is compared and thrown away: what pods get comes from the catalogue alone.
//!
//! One list tells of all three watches, that of keyporter's label, of Konduktor's and of stores. Nothing is kept for it but
//! the highest version that each watch has told of. Resource versions are compared as numbers, which Kubernetes warrants from
//! 1.35 on and which held on every version before.
//!
//! | who creates the pod | what happens |
//! |---|---|
//! | a trusted controller (nearly all pods) | no call; it waits for a round that happens to run for the namespace |
//! | anybody else, directly | it waits for a round that begins after it came |
//!
//! Whoever creates or changes the pod template of a workload begins a round and does not wait for it; the controller's
//! pods do, if they come before its end. A workload with references that seem to mean nothing waits, too.
//!
//! # What is guaranteed
//!
//! While no confirmation fails: a pod that is created directly gets every secret whose creation or change was answered before
//! the pod's review arrived, as it was then or later, and none whose deletion was answered before. A secret that was both made
//! and deleted in the last milliseconds may still show; it comes optionally, so the pod starts without it.
//!
//! The pods of a controller get the same for what was written before their workload, from the replica that admitted the
//! workload. Another replica knows of no round: there the watch has as long as the controller takes to make the pod. Secrets
//! written after the workload come as soon as the watch tells of them; nobody waits for those. So it is, too, with the label
//! of a Namespace that says its domain.
//!
//! # What it costs
//!
//! In each namespace one list at a time, whatever many pods come: all that arrive before a list begins share it. All
//! namespaces together have a few at a time. A list comes in pages and has a second, and so has a pod that waits: after that
//! it is admitted with what is known, its author is warned, and the failure is counted and logged.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::api::ListParams;
use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, warn};

use super::decode::SecretHead;
use super::index::Catalog;
use super::progress::{Listed, number};
use crate::metrics::Metrics;

/// How long a list may take, how long the watches may then take to tell the same, and how long a pod waits in all. The
/// webhook has five seconds, and other questions to ask.
const WITHIN: Duration = Duration::from_secs(1);
/// How many Secrets come in one answer to a list, without their values.
const PAGE: u32 = 500;
/// How many namespaces are listed at a time.
const LISTS: usize = 16;

/// Why a round did not confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unconfirmed {
    /// The API server did not list the Secrets in time.
    #[error("the API server does not list them in time")]
    Slow,
    /// The watches did not tell what the list shows in time.
    #[error("the API server's watch runs behind")]
    Behind,
    /// The API server refuses (401 or 403).
    #[error("keyporter may not list them")]
    Forbidden,
    /// The API server answers with another error or not at all, or with what cannot be read.
    #[error("the API server fails")]
    Failed,
}

impl Unconfirmed {
    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Behind => "behind",
            Self::Forbidden => "forbidden",
            Self::Failed => "failed",
        }
    }
}

/// Has rounds run. A handle: clones share them.
#[derive(Clone, Default)]
pub struct Confirmations(Option<Arc<Rounds>>);

impl fmt::Debug for Confirmations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut confirmations = f.debug_struct("Confirmations");
        confirmations.field("cluster", &self.0.is_some()).finish()
    }
}

impl Confirmations {
    /// Compares the catalogue with this cluster, whose watches fill it. [`Confirmations::default`] knows no cluster, and
    /// finds everything confirmed.
    #[must_use]
    pub fn new(client: Client, catalog: Catalog, metrics: Metrics) -> Self {
        Self(Some(Arc::new(Rounds {
            client,
            catalog,
            metrics,
            lists: Semaphore::new(LISTS),
            queues: Mutex::default(),
        })))
    }

    /// Returns when the catalogue shows all that was written in the namespace before this call.
    pub async fn confirm(&self, namespace: &str) -> Result<(), Unconfirmed> {
        match &self.0 {
            Some(rounds) => outcome(rounds.join(namespace)).await,
            None => Ok(()),
        }
    }

    /// Begins a round that nobody waits for. It is there for [`Self::settle`] when this returns.
    pub fn begin(&self, namespace: &str) {
        if let Some(rounds) = &self.0 {
            drop(rounds.join(namespace));
        }
    }

    /// Waits for the round that was begun last in the namespace. Where none runs this asks nobody.
    pub async fn settle(&self, namespace: &str) -> Result<(), Unconfirmed> {
        let round = self.0.as_ref().and_then(|rounds| rounds.last(namespace));
        match round {
            Some(round) => outcome(round).await,
            None => Ok(()),
        }
    }
}

type Outcome = Result<(), Unconfirmed>;
/// Where the outcome of a round is told.
type Round = watch::Sender<Option<Outcome>>;
type Waiting = watch::Receiver<Option<Outcome>>;

async fn outcome(mut round: Waiting) -> Outcome {
    let ended = timeout(WITHIN, round.wait_for(Option::is_some)).await;
    let ended = ended.map_err(|_| Unconfirmed::Slow)?;
    let told = ended.map_or(None, |outcome| *outcome);
    told.unwrap_or(Err(Unconfirmed::Failed))
}

struct Rounds {
    client: Client,
    catalog: Catalog,
    metrics: Metrics,
    lists: Semaphore,
    /// The namespaces in which a round runs.
    queues: Mutex<HashMap<Box<str>, Queue>>,
}

/// The rounds of a namespace.
struct Queue {
    /// The one that runs.
    current: Waiting,
    /// The one that is to follow it, for all who came since that began.
    next: Option<Round>,
}

impl Rounds {
    /// A round that begins after this call.
    fn join(self: &Arc<Self>, namespace: &str) -> Waiting {
        let mut queues = self.queues();
        if let Some(queue) = queues.get_mut(namespace) {
            let next = queue.next.get_or_insert_with(|| watch::channel(None).0);
            return next.subscribe();
        }
        let (round, current) = watch::channel(None);
        let queue = Queue {
            current: current.clone(),
            next: Some(round),
        };
        queues.insert(namespace.into(), queue);
        drop(queues);
        tokio::spawn(Arc::clone(self).run(namespace.into()));
        current
    }

    fn last(&self, namespace: &str) -> Option<Waiting> {
        let queues = self.queues();
        let queue = queues.get(namespace)?;
        let next = queue.next.as_ref().map(Round::subscribe);
        Some(next.unwrap_or_else(|| queue.current.clone()))
    }

    /// Runs one round after the other, as long as somebody wants one.
    async fn run(self: Arc<Self>, namespace: Box<str>) {
        while let Some(round) = self.take(&namespace) {
            let (rounds, of) = (Arc::clone(&self), namespace.clone());
            // A task of its own: should it panic, the others go on.
            let outcome = tokio::spawn(async move { rounds.round(&of).await }).await;
            round.send_replace(Some(outcome.unwrap_or(Err(Unconfirmed::Failed))));
        }
    }

    /// Takes the round that is next. Who comes from now on is part of another.
    fn take(&self, namespace: &str) -> Option<Round> {
        let mut queues = self.queues();
        let queue = queues.get_mut(namespace)?;
        let Some(round) = queue.next.take() else {
            queues.remove(namespace);
            return None;
        };
        queue.current = round.subscribe();
        Some(round)
    }

    async fn round(&self, namespace: &str) -> Outcome {
        let begin = Instant::now();
        let outcome = self.compare(namespace).await;
        let word = outcome.map_or_else(Unconfirmed::as_str, |()| "confirmed");
        self.metrics.confirmation(word, begin.elapsed());
        outcome
    }

    async fn compare(&self, namespace: &str) -> Outcome {
        let listed = timeout(WITHIN, self.list(namespace)).await;
        let listed = listed.unwrap_or(Err((Unconfirmed::Slow, String::new())));
        let told = match listed {
            Ok(listed) => {
                let told = timeout(WITHIN, self.catalog.shows(listed)).await;
                told.map_err(|_| (Unconfirmed::Behind, String::new()))
            }
            Err(failure) => Err(failure),
        };
        told.map_err(|(why, detail)| {
            warn!(
                namespace,
                failure = why.as_str(),
                error = detail,
                "it is not confirmed that all secrets are known: {why}; new pods get those that are"
            );
            why
        })
    }

    async fn list(&self, namespace: &str) -> Result<Listed, (Unconfirmed, String)> {
        let _turn = self.lists.acquire().await;
        let secrets = Api::<SecretHead>::namespaced(self.client.clone(), namespace);
        let mut parameters = ListParams::default().limit(PAGE);
        let mut listed: Option<Listed> = None;
        loop {
            // kube logs the whole of an answer that it cannot read.
            let page = secrets.list(&parameters);
            let page = page.with_subscriber(Dispatch::none()).await;
            let page = page.map_err(|error| failure(&error))?;
            let version = number(
                page.metadata
                    .resource_version
                    .as_deref()
                    .unwrap_or_default(),
            );
            // Without a number nothing can be compared.
            if version == 0 {
                return Err((Unconfirmed::Failed, "no resource version".to_owned()));
            }
            let listed = listed.get_or_insert_with(|| Listed::new(namespace, version));
            for head in &page.items {
                listed.add(head, &self.catalog);
            }
            parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if parameters.continue_token.is_none() {
                break;
            }
        }
        let unanswered = || (Unconfirmed::Failed, String::new());
        listed.map(Listed::complete).ok_or_else(unanswered)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Box<str>, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What sort of failure it is, and the error's own words where they hold nothing of a Secret.
fn failure(error: &kube::Error) -> (Unconfirmed, String) {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            (Unconfirmed::Forbidden, status.message.clone())
        }
        kube::Error::Api(status) => (Unconfirmed::Failed, status.message.clone()),
        kube::Error::SerdeError(_) => (Unconfirmed::Failed, "unreadable".to_owned()),
        other => (Unconfirmed::Failed, other.to_string()),
    }
}

#[cfg(test)]
mod tests;
