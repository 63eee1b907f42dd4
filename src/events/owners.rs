//! From a pod's controller upward to the object that a person made.

use std::mem;
use std::time::Duration;

use kube::Client;

use crate::recent::Recent;
use crate::referents::{Obstacle, Reference, Referents};

/// How many references are followed, also where they lead in a circle. From the Job of a pod to its `JobSet` it is one, and
/// few tools build more than one level upon that.
const DEPTH: usize = 5;
/// How long an answer counts.
const ANSWER_AGE: Duration = Duration::from_mins(1);
/// The most answers that are kept.
const ANSWERS: usize = 1000;

/// Reads objects, of which only the metadata comes, and remembers what is above them.
pub(super) struct Owners {
    objects: Referents,
    above: Recent<(String, Reference), Above>,
}

/// The controller of an object, if it has one.
type Above = Result<Option<Reference>, Obstacle>;

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
            objects: Referents::new(client),
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
        let namespaced = self.objects.is_namespaced(&at).await.unwrap_or(true);
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

    async fn read(&self, namespace: &str, reference: &Reference) -> Above {
        let object = self.objects.read(namespace, reference).await?;
        let owners = object.metadata.owner_references.unwrap_or_default();
        Ok(Reference::of_controller(owners))
    }
}
