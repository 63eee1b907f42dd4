//! From a pod's controller upward to the object that a person made.

use std::mem;
use std::time::Duration;

use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};
use kube::{Api, Client, ResourceExt};

use super::TIMEOUT;
use super::recent::Recent;
use super::reference::Reference;

/// How many references are followed, also where they lead in a circle. From the Job of a pod to its `JobSet` it is one, and
/// few tools build more than one level upon that.
const DEPTH: usize = 5;
/// How long an answer counts.
const ANSWER_AGE: Duration = Duration::from_mins(1);
/// The most answers that are kept.
const ANSWERS: usize = 1000;

/// Reads objects, of which only the metadata comes, and remembers what is above them.
pub(super) struct Owners {
    client: Client,
    kinds: Recent<GroupVersionKind, Kind>,
    above: Recent<(String, Reference), Above>,
}

/// The controller of an object, if it has one.
type Above = Result<Option<Reference>, Obstacle>;

/// Why nobody knows what is above an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
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

/// An object on which something is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) reference: Reference,
    /// `None` for an object of the whole cluster.
    pub(super) namespace: Option<String>,
}

impl Owners {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            kinds: Recent::new(ANSWER_AGE, ANSWERS),
            above: Recent::new(ANSWER_AGE, ANSWERS),
        }
    }

    /// The highest owner that is known, from the controller of a pod in `namespace`. One that may not be read is known by
    /// the reference to it; one that is not there leaves the object below it.
    pub(super) async fn topmost(&mut self, namespace: &str, controller: Reference) -> Subject {
        let mut below = None;
        let mut at = controller;
        for _ in 0..DEPTH {
            match self.above(namespace, &at).await {
                Ok(Some(owner)) => below = Some(mem::replace(&mut at, owner)),
                Err(Obstacle::Absent) => {
                    at = below.unwrap_or(at);
                    break;
                }
                Ok(None) | Err(Obstacle::Refused | Obstacle::Unanswered) => break,
            }
        }
        let kind = self.kind(&at).await;
        let namespaced = kind.map_or(true, |kind| kind.namespaced);
        Subject {
            reference: at,
            namespace: namespaced.then(|| namespace.to_owned()),
        }
    }

    async fn above(&mut self, namespace: &str, reference: &Reference) -> Above {
        let key = (namespace.to_owned(), reference.clone());
        if let Some(above) = self.above.get(&key) {
            return above.clone();
        }
        let above = self.read(namespace, reference).await;
        if above != Err(Obstacle::Unanswered) {
            self.above.insert(key, above.clone());
        }
        above
    }

    async fn read(&mut self, namespace: &str, reference: &Reference) -> Above {
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
        if object.uid().as_ref() != Some(&reference.uid) {
            return Err(Obstacle::Absent);
        }
        let owners = object.metadata.owner_references.unwrap_or_default();
        Ok(Reference::of_controller(owners))
    }

    async fn kind(&mut self, reference: &Reference) -> Result<Kind, Obstacle> {
        let Reference {
            group,
            version,
            kind,
            ..
        } = reference;
        let key = GroupVersionKind::gvk(group, version, kind);
        if let Some(kind) = self.kinds.get(&key) {
            return Ok(kind.clone());
        }
        let (resource, capabilities) = answer(pinned_kind(&self.client, &key)).await?;
        let kind = Kind {
            resource,
            namespaced: capabilities.scope == Scope::Namespaced,
        };
        self.kinds.insert(key, kind.clone());
        Ok(kind)
    }
}

async fn answer<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T, Obstacle> {
    let answer = tokio::time::timeout(TIMEOUT, question).await;
    answer
        .map_err(|_| Obstacle::Unanswered)?
        .map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => Obstacle::Absent,
            kube::Error::Api(_) => Obstacle::Refused,
            kube::Error::Discovery(_) => Obstacle::Absent,
            _ => Obstacle::Unanswered,
        })
}
