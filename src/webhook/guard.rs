//! References to Secrets of other users: refused, unless the API server says that the user may act for those.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::Webhook;
use super::review::{self, Head};
use crate::access::User;
use crate::inject::guard::{self, Foreign};
use crate::inject::owner::{Owner, Rule};
use crate::inject::pod::Pod;
use crate::inject::{Denial, stamp};

/// The most users for whom one pod may need the right to act.
const OWNERS: usize = 8;

impl Webhook {
    /// Looks through a pod. A controller is nobody to ask about: what counts is what the pod's owner may.
    pub(super) async fn guard_pod(
        &self,
        body: &[u8],
        head: &Head<'_>,
        pod: &Pod<'_>,
        owner: Owner<'_>,
    ) -> Option<Denial> {
        let references = self.foreign(head, pod, owner.name)?;
        let user = match (owner.rule, owner.name) {
            (Rule::Requester, _) => review::user(body),
            (_, Some(name)) => User {
                username: name.to_owned(),
                ..User::default()
            },
            (_, None) => return Some(Denial::ForeignSecrets { references }),
        };
        self.denied(&user, references).await
    }

    /// Looks through the pod templates that a person's request makes or changes: the author of a workload would not see
    /// that its pods are denied. What a trusted controller makes comes from templates that were looked at.
    pub(super) async fn guard_workload(
        &self,
        body: &[u8],
        head: &Head<'_>,
        new: &Value,
        old: Option<&Value>,
    ) -> Option<Denial> {
        let requester = head.requester.as_str();
        if self.settings.trusts(requester) {
            return None;
        }
        let templates = stamp::changed(new, old);
        let pods = templates
            .iter()
            .filter_map(|template| Pod::deserialize(template.value).ok());
        let references: Vec<_> = pods
            .filter_map(|pod| self.foreign(head, &pod, Some(requester)))
            .flatten()
            .collect();
        if references.is_empty() {
            return None;
        }
        self.denied(&review::user(body), references).await
    }

    fn foreign(&self, head: &Head<'_>, pod: &Pod<'_>, owner: Option<&str>) -> Option<Vec<Foreign>> {
        let namespace = head.namespace.as_str();
        if self.settings.excluded_namespaces.contains(namespace) {
            return None;
        }
        let owner_of = |object: &str| {
            self.catalog
                .owner_of(namespace, object)
                .map(|owner| owner.as_ref().to_owned())
        };
        Some(guard::foreign(&pod.spec, owner, owner_of)).filter(|references| !references.is_empty())
    }

    /// The denial for what is left when everything that the user may do is taken away. Each owner is asked for once,
    /// and no pod is worth more than a few questions.
    async fn denied(&self, user: &User, mut references: Vec<Foreign>) -> Option<Denial> {
        let owners: BTreeSet<_> = references
            .iter()
            .map(|reference| reference.owner.clone())
            .collect();
        if owners.len() > OWNERS {
            return Some(Denial::ForeignSecrets { references });
        }
        for owner in owners {
            match self.access.may_impersonate(user, &owner).await {
                Ok(true) => references.retain(|reference| reference.owner != owner),
                Ok(false) => return Some(Denial::ForeignSecrets { references }),
                Err(error) => {
                    warn!(
                        user = user.username,
                        owner, "a right cannot be asked for: {error}"
                    );
                    let why = error.to_string();
                    return Some(Denial::ImpersonationUnknown { references, why });
                }
            }
        }
        None
    }
}
