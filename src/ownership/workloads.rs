//! The objects that controllers make others from. Only objects of kinds that the operator named are read, and only where a
//! template does not say whose it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tracing::warn;

use super::OwnershipError;
use crate::inject::object::Controller;
use crate::recent::Recent;
use crate::referents::{Obstacle, Reference, Referents};

/// How long an answer counts. Pods of one object come in swarms.
const ANSWER_AGE: Duration = Duration::from_secs(5);
/// The most answers that are kept.
const ANSWERS: usize = 1000;

pub(super) struct Workloads {
    objects: Referents,
    answers: Mutex<Answers>,
}

/// By namespace and reference.
type Answers = Recent<(String, Reference), Option<Arc<Value>>>;

impl Workloads {
    pub(super) fn new(client: Client) -> Self {
        Self {
            objects: Referents::new(client),
            answers: Mutex::new(Recent::new(ANSWER_AGE, ANSWERS)),
        }
    }

    /// The object, its metadata alone; none where it is not there, or keyporter may not read its kind.
    pub(super) async fn read(
        &self,
        namespace: &str,
        controller: &Controller<'_>,
    ) -> Result<Option<Arc<Value>>, OwnershipError> {
        let Controller {
            api_version,
            kind,
            name,
            uid,
        } = controller;
        let Some(reference) = Reference::new(api_version, kind.kind, name, uid) else {
            return Ok(None);
        };
        let key = (namespace.to_owned(), reference);
        if let Some(answer) = self.answers().get(&key) {
            return Ok(answer.clone());
        }
        let answer = match Box::pin(self.objects.read(namespace, &key.1)).await {
            // What cannot be written as JSON was not read from it.
            Ok(object) => serde_json::to_value(object).ok().map(Arc::new),
            Err(Obstacle::Absent) => None,
            Err(Obstacle::Refused) => {
                warn!(
                    namespace,
                    kind = kind.kind,
                    group = kind.group,
                    name,
                    "keyporter may not get this object, and so does not know whose it is"
                );
                None
            }
            Err(Obstacle::Unanswered) => return Err(OwnershipError::NoAnswer),
        };
        self.answers().insert(key, answer.clone());
        Ok(answer)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
