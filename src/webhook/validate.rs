//! Reviews of Secrets that policies cannot decide, because they see nothing but the request: is it the owner's second
//! git-ssh secret, and do pods use the one that is to go?

use std::time::Instant;

use tracing::warn;

use super::admit::{Resource, denied, skipped};
use super::answer::{Answer, Audit};
use super::review::Head;
use super::review::secret::{self, Change, Reviewed};
use super::{Fault, Webhook};
use crate::causes::one_line;
use crate::inject::kubernetes::is_kubernetes_itself;
use crate::inject::marks::Marks;
use crate::inject::{Denial, Skip, single_key};

impl Webhook {
    /// Answers the review in a body.
    pub(super) async fn validate(&self, body: &[u8], started: Instant) -> Result<Vec<u8>, Fault> {
        let Reviewed { head, change } = secret::read(body.into())?;
        let answer = match (&change, self.left_alone(&head)) {
            (Change::Other | Change::Updated { .. }, _) => {
                return self.finish(&head, Resource::Other, skipped(Skip::NotConcerned), started);
            }
            (Change::Unreadable, _) => skipped(Skip::Unreadable),
            (Change::Created(_) | Change::Deleted(_), Some(skip)) => skipped(skip),
            (Change::Created(new), None) => self.created(&head, new),
            (Change::Deleted(old), None) => self.deleted(&head, old).await,
        };
        self.finish(&head, Resource::Secret, answer, started)
    }

    pub(super) fn left_alone(&self, head: &Head<'_>) -> Option<Skip> {
        if is_kubernetes_itself(head.requester.as_str()) {
            Some(Skip::KubernetesItself)
        } else if self
            .settings
            .excluded_namespaces
            .contains(head.namespace.as_str())
        {
            Some(Skip::ExcludedNamespace)
        } else {
            None
        }
    }

    fn created<'a>(&self, head: &'a Head<'_>, new: &'a Marks<'_>) -> Answer<'a> {
        let identity = self.settings.identity;
        let Some(owner) = single_key::owner_of_new(head.requester.as_str(), new, identity) else {
            return skipped(Skip::NotConcerned);
        };
        let shelves = self.catalog.shelves(head.namespace.as_str(), Some(owner));
        let denial = single_key::second(head.name.as_str(), shelves.visible().user);
        answered(denial, "first-git-ssh", Some(owner))
    }

    async fn deleted<'a>(&self, head: &'a Head<'_>, old: &'a Marks<'_>) -> Answer<'a> {
        if !old.is_keyporters() {
            return skipped(Skip::NotConcerned);
        }
        let owner = old.owner().filter(|_| !old.is_projects());
        if old.goes_by_force() {
            return answered(None, "forced", owner);
        }
        let (namespace, name) = (head.namespace.as_str(), head.name.as_str());
        let object = format!("{namespace}/{name}");
        let denial = match self.access.carriers(namespace, name).await {
            Ok(carriers) if carriers.is_empty() => None,
            Ok(carriers) => Some(Denial::SecretInUse {
                object,
                carriers: carriers.into_iter().collect(),
            }),
            Err(error) => {
                let why = error.to_string();
                let error = one_line(&error);
                warn!(
                    namespace,
                    error, "the pods that use a secret cannot be listed"
                );
                Some(Denial::UseUnknown { object, why })
            }
        };
        answered(denial, "not-in-use", owner)
    }
}

/// A denial, or that nothing speaks against it, for this reason.
fn answered<'a>(
    denial: Option<Denial>,
    reason: &'static str,
    owner: Option<&'a str>,
) -> Answer<'a> {
    let mut answer = match denial {
        Some(denial) => denied(&denial),
        None => Answer {
            audit: Audit {
                decision: "allow",
                reason,
                ..Audit::default()
            },
            ..Answer::default()
        },
    };
    answer.audit.owner = owner;
    answer
}
