//! The owner of a user's secret, written into it when it is made.
//!
//! From Kubernetes 1.36 on, the policy of `deploy/helm/keyporter/policies/secret-owner-stamp.yaml` does it inside the API
//! server. Before, there are no such policies, and this does exactly the same.

use super::Skip;
use super::annotations as names;
use super::kubernetes::is_kubernetes_itself;
use super::marks::Marks;
use super::patch::Operation;

/// A request that creates or updates a Secret.
#[derive(Debug, Clone, Copy)]
pub struct SecretRequest<'a> {
    /// `request.userInfo.username`.
    pub requester: &'a str,
    /// `request.object`.
    pub new: &'a Marks<'a>,
    /// `request.oldObject`; `None` on create.
    pub old: Option<&'a Marks<'a>>,
}

/// A name to write into a Secret.
#[derive(Debug)]
pub struct OwnerStamp<'a> {
    /// Whose it is.
    pub owner: &'a str,
    /// The patch.
    pub patch: Vec<Operation<'a>>,
}

/// Whose name is to be written, or why none is.
pub fn stamp(request: SecretRequest<'_>) -> Result<OwnerStamp<'_>, Skip> {
    let SecretRequest {
        requester,
        new,
        old,
    } = request;
    if !new.is_keyporters() || new.is_projects() {
        return Err(Skip::NotConcerned);
    }
    // A name that somebody wrote stays, for the policy keyporter-secret-owner to judge.
    if new.owner().is_some() {
        return Err(Skip::AlreadyStamped);
    }
    let owner = match old {
        None => requester,
        // What a project secret has in its owner annotation was checked by nobody.
        Some(old) => old
            .owner()
            .filter(|_| !old.is_projects())
            .ok_or(Skip::NeverOwned)?,
    };
    if is_kubernetes_itself(requester) {
        return Err(Skip::KubernetesItself);
    }
    let entries = vec![(names::OWNER, owner.into())];
    let patch = Operation::annotations("/metadata", new.parents(), entries);
    Ok(OwnerStamp { owner, patch })
}
