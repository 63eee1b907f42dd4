//! The objects that owner references name, as far as their metadata goes: read from the API server, whatever their kind.

mod reference;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use kube::{Api, Client, ResourceExt};

use crate::recent::Recent;
pub use reference::Reference;

/// How long the API server may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long it counts what a kind is.
const KIND_AGE: Duration = Duration::from_mins(1);
/// The most kinds that are kept.
const KINDS: usize = 1000;

/// Reads objects.
pub(crate) struct Referents {
    client: Client,
    kinds: Mutex<Recent<GroupVersionKind, Kind>>,
}

/// Why an object is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It is not there: neither under this name with this uid, nor as a kind.
    Absent,
    /// It may not be read.
    Refused,
    /// The API server does not answer.
    Unanswered,
}

#[derive(Debug, Clone)]
struct Kind {
    resource: ApiResource,
    namespaced: bool,
}

impl Referents {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            kinds: Mutex::new(Recent::new(KIND_AGE, KINDS)),
        }
    }

    /// The object that something in this namespace refers to. One of the same name that was made since is another.
    pub(crate) async fn read(
        &self,
        namespace: &str,
        reference: &Reference,
    ) -> Result<PartialObjectMeta<DynamicObject>, Obstacle> {
        let Kind {
            resource,
            namespaced,
        } = self.kind(reference).await?;
        let client = self.client.clone();
        let api: Api<DynamicObject> = if namespaced {
            Api::namespaced_with(client, namespace, &resource)
        } else {
            Api::all_with(client, &resource)
        };
        let object = answer(api.get_metadata(&reference.name)).await?;
        if object.uid().as_ref() == Some(&reference.uid) {
            Ok(object)
        } else {
            Err(Obstacle::Absent)
        }
    }

    /// Whether objects of this kind are in namespaces.
    pub(crate) async fn is_namespaced(&self, reference: &Reference) -> Result<bool, Obstacle> {
        self.kind(reference).await.map(|kind| kind.namespaced)
    }

    async fn kind(&self, reference: &Reference) -> Result<Kind, Obstacle> {
        let Reference {
            group,
            version,
            kind,
            ..
        } = reference;
        let key = GroupVersionKind::gvk(group, version, kind);
        if let Some(kind) = self.kinds().get(&key) {
            return Ok(kind.clone());
        }
        let (resource, capabilities) = answer(pinned_kind(&self.client, &key)).await?;
        let kind = Kind {
            resource,
            namespaced: capabilities.scope == Scope::Namespaced,
        };
        self.kinds().insert(key, kind.clone());
        Ok(kind)
    }

    fn kinds(&self) -> MutexGuard<'_, Recent<GroupVersionKind, Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T, Obstacle> {
    let answer = tokio::time::timeout(TIMEOUT, question).await;
    answer
        .map_err(|_| Obstacle::Unanswered)?
        .map_err(|error| match error {
            kube::Error::Api(status) => match status.code {
                404 => Obstacle::Absent,
                401 | 403 => Obstacle::Refused,
                _ => Obstacle::Unanswered,
            },
            kube::Error::Discovery(_) => Obstacle::Absent,
            _ => Obstacle::Unanswered,
        })
}
