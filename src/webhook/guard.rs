//! References to Secrets of other users, and ways into their pods: refused, unless the API server says that the user may
//! act for those.

use std::collections::BTreeSet;

use serde_json::Value;
use tracing::warn;

use super::owner::OWNERS;
use super::review::{self, Head};
use super::{Webhook, brought};
use crate::access::User;
use crate::inject::carried::Carried;
use crate::inject::guard::{self, Foreign};
use crate::inject::identity::Identity;
use crate::inject::owner::{Owner, Rule};
use crate::inject::pod::Pod;
use crate::inject::template::{self, Template};
use crate::inject::{Denial, Request, stamp};

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
            (Rule::Requester | Rule::ActsFor | Rule::UserId | Rule::NoUserId, _) => {
                review::user(body)
            }
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
        request: Request<'_>,
        new: &Value,
        old: Option<&Value>,
    ) -> Option<Denial> {
        if request.trusted(&self.settings).is_some() {
            return None;
        }
        // Hardly any workload refers to such a Secret, and comparing templates takes a copy of each.
        if self
            .foreign_in(head, request, &template::find(new))
            .is_empty()
        {
            return None;
        }
        let references = self.foreign_in(head, request, &stamp::changed(new, old));
        if references.is_empty() {
            return None;
        }
        self.denied(&review::user(body), references).await
    }

    /// References of pod templates to Secrets that are not the requester's.
    fn foreign_in(
        &self,
        head: &Head<'_>,
        request: Request<'_>,
        templates: &[Template<'_>],
    ) -> Vec<Foreign> {
        templates
            .iter()
            .filter_map(|template| Pod::read(template.value).ok())
            .filter_map(|pod| self.foreign(head, &pod, request.person))
            .flatten()
            .collect()
    }

    /// Looks who enters a running pod. The review does not hold it, so the API server is asked for it.
    pub(super) async fn guard_entry(&self, body: &[u8], head: &Head<'_>) -> Option<Denial> {
        let all_are_one = self.settings.identity == Identity::Konduktor;
        if all_are_one || self.is_entrant(&review::user(body)) {
            return None;
        }
        let (namespace, name) = (head.namespace.as_str(), head.name.as_str());
        let pod = match self.access.pod(namespace, name).await {
            // Nobody enters a pod that is not there.
            Ok(pod) => pod?,
            Err(error) => {
                warn!(namespace, name, "a pod cannot be read: {error}");
                let why = error.to_string();
                return Some(Denial::EntryUnknown { why });
            }
        };
        match Pod::read(&pod) {
            Ok(pod) => self.guard_running(body, head, &pod).await,
            Err(_) => Some(Denial::ForeignPod),
        }
    }

    /// Looks at a running pod into which the requester wants to come: by a process, or by an ephemeral container, which
    /// may refer to Secrets of its own.
    pub(super) async fn guard_running(
        &self,
        body: &[u8],
        head: &Head<'_>,
        pod: &Pod<'_>,
    ) -> Option<Denial> {
        // To the API server all are one user there, and the review has no label of who it is.
        if self.settings.identity == Identity::Konduktor {
            return None;
        }
        let user = review::user(body);
        if self.is_entrant(&user)
            && let Some(brought) = brought::ephemeral(body)
        {
            // What the pod has is open to them; what they bring may be no way to others' secrets.
            let references = self.foreign(head, &brought, Some(head.requester.as_str()))?;
            return self.denied(&user, references).await;
        }
        let annotation = |name: &str| pod.metadata.as_ref()?.annotations.get(name);
        if let Some(carried) = Carried::read(annotation)
            && let Some(denial) = self.guard_carried(head, &user, carried).await
        {
            return Some(denial);
        }
        let references = self.foreign(head, pod, Some(head.requester.as_str()))?;
        self.denied(&user, references).await
    }

    /// Whether the operator lets the user into all pods.
    fn is_entrant(&self, user: &User) -> bool {
        self.settings.entrants.include(&user.username, &user.groups)
    }

    async fn guard_carried(
        &self,
        head: &Head<'_>,
        user: &User,
        carried: Carried,
    ) -> Option<Denial> {
        let Some(owner) = carried.owner else {
            return Some(Denial::ForeignPod);
        };
        if owner == head.requester.as_str() {
            return None;
        }
        match self.may_act_for(user, &owner).await {
            Ok(true) => None,
            Ok(false) => Some(Denial::ForeignPod),
            Err(why) => Some(Denial::EntryUnknown { why }),
        }
    }

    fn foreign(&self, head: &Head<'_>, pod: &Pod<'_>, owner: Option<&str>) -> Option<Vec<Foreign>> {
        let namespace = head.namespace.as_str();
        if self.settings.excluded_namespaces.contains(namespace) {
            return None;
        }
        let owner_of = |object: &str| {
            let owner = self.catalog.owner_of(namespace, object);
            let owner = owner.filter(|owner| self.is_guarded(head, owner));
            owner.map(|owner| owner.as_ref().to_owned())
        };
        Some(guard::foreign(&pod.spec, owner, owner_of)).filter(|references| !references.is_empty())
    }

    /// Where hashes tell owners apart, a Secret without one (Konduktor's keys for ssh) has a username for its owner: that of
    /// whom all people are to the API server. What a controller makes does not say which user that was, so only people's
    /// own pods and workloads are looked through for such Secrets.
    fn is_guarded(&self, head: &Head<'_>, owner: &str) -> bool {
        let identity = self.settings.identity;
        identity == Identity::Authenticated
            || identity.is_hash(owner)
            || owner != head.requester.as_str()
                && head.request(None).trusted(&self.settings).is_none()
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
            match self.may_act_for(user, &owner).await {
                Ok(true) => references.retain(|reference| reference.owner != owner),
                Ok(false) => return Some(Denial::ForeignSecrets { references }),
                Err(why) => return Some(Denial::ImpersonationUnknown { references, why }),
            }
        }
        None
    }
}
