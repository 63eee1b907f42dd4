//! What proofs of stamps need of the world: keyporter's keys, the uids of namespaces, and the objects that trusted
//! controllers make others from.
//!
//! The rules are those of [`crate::inject::owner`] and [`crate::inject::stamp`]; here are only the facts.

mod keys;
mod namespaces;
mod workloads;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use thiserror::Error;

use crate::admin::Condition;
use crate::inject::object::Controller;
use crate::inject::owner;
use crate::inject::proof::{KEY_LENGTH, Key, Keys, Proofs};

pub use keys::{KEYS_SECRET, KeyError, Rotated, rotate};

use keys::KeyStore;
use namespaces::Namespaces;
use workloads::Workloads;

/// How long the API server may take: an admission waits for it, five seconds at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Where keyporter is usually installed.
pub const OWN_NAMESPACE: &str = "keyporter-system";

/// The facts. A handle: clones share what is known.
#[derive(Clone)]
pub struct Ownership(Source);

#[derive(Clone)]
enum Source {
    Cluster(Arc<Cluster>),
    Standalone(Arc<Keys>),
}

struct Cluster {
    keys: KeyStore,
    namespaces: Namespaces,
    workloads: Workloads,
}

/// Why nobody knows.
#[derive(Debug, Error)]
pub enum OwnershipError {
    /// The keys have not been read yet.
    #[error("keyporter has not read its keys yet")]
    NoKeys,
    /// The namespace is not known to the API server.
    #[error("namespace {0} is not known")]
    UnknownNamespace(String),
    /// The API server did not answer.
    #[error("the API server does not answer")]
    Unanswered(#[source] Box<kube::Error>),
    /// The API server did not answer, or not in time.
    #[error("the API server does not answer")]
    NoAnswer,
    /// The API server took too long.
    #[error("the API server does not answer in time")]
    Slow,
}

/// What proofs in one namespace are written and checked with.
#[derive(Debug, Clone)]
pub struct Ground {
    keys: Arc<Keys>,
    namespace: Arc<str>,
}

impl Ground {
    /// For the pure rules.
    #[must_use]
    pub fn proofs(&self) -> Proofs<'_> {
        Proofs {
            keys: &self.keys,
            namespace: &self.namespace,
        }
    }
}

impl Ownership {
    /// The facts of a cluster; keys are in this namespace. What it returns beside must be run.
    pub fn of_cluster(
        client: &Client,
        namespace: &str,
        condition: Condition,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let cluster = Arc::new(Cluster {
            keys: KeyStore::new(client.clone(), namespace),
            namespaces: Namespaces::new(client.clone()),
            workloads: Workloads::new(client.clone()),
        });
        let kept = Arc::clone(&cluster);
        let run = async move {
            futures::join!(kept.keys.keep(condition), kept.namespaces.watch());
        };
        (Self(Source::Cluster(cluster)), run)
    }

    /// Without a cluster: a key that nobody else ever had, and a namespace's name for its uid.
    #[must_use]
    pub fn standalone(key: [u8; KEY_LENGTH]) -> Self {
        Self(Source::Standalone(Arc::new(Keys::single(Key::new(key)))))
    }

    /// What proofs in this namespace are checked with. `newest` is the highest number of a key that a proof at hand was
    /// written with: another replica may know it already.
    pub async fn ground(
        &self,
        namespace: &str,
        newest: Option<u32>,
    ) -> Result<Ground, OwnershipError> {
        match &self.0 {
            Source::Standalone(keys) => Ok(Ground {
                keys: Arc::clone(keys),
                namespace: namespace.into(),
            }),
            Source::Cluster(cluster) => Ok(Ground {
                keys: cluster.keys.get(newest).await?,
                namespace: cluster.namespaces.id(namespace).await?,
            }),
        }
    }

    /// The owner of the object that a controller made something from; none where it has none, or is not there.
    pub async fn owner_of(
        &self,
        namespace: &str,
        controller: &Controller<'_>,
        ground: &Ground,
    ) -> Result<Option<String>, OwnershipError> {
        let Source::Cluster(cluster) = &self.0 else {
            return Ok(None);
        };
        let object = cluster.workloads.read(namespace, controller).await?;
        let owner = object
            .as_deref()
            .and_then(|object| owner::of_object(object, controller, ground.proofs()));
        Ok(owner.map(str::to_owned))
    }
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cluster = matches!(self.0, Source::Cluster(_));
        f.debug_struct("Ownership")
            .field("cluster", &cluster)
            .finish()
    }
}

/// An answer of the API server, or why there is none.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, OwnershipError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
    let answer = answer.map_err(|_| OwnershipError::Slow)?;
    answer.map_err(|error| OwnershipError::Unanswered(Box::new(error)))
}
