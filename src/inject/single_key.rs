//! One secret of kind `git-ssh` for each owner: git in a pod takes one key, so of two one would lie there unused, and
//! which one would be a guess.
//!
//! This helps a person and protects nothing: labels that change later, and two requests at the same time, still bring a
//! second one. Of several the selection takes the newest and warns.

use std::sync::Arc;

use super::Denial;
use super::identity::Identity;
use super::marks::Marks;
use super::secret::{Kind, Secret};
use super::select::Shelf;

/// Whose the new Secret is, if it is a user's of kind `git-ssh`: the name that is written there, which policies have
/// checked, else the requester; or whom Konduktor's label tells, where that is believed.
#[must_use]
pub fn owner_of_new<'a>(
    requester: &'a str,
    new: &'a Marks<'_>,
    identity: Identity,
) -> Option<&'a str> {
    let concerned = new.kind() == Some(Kind::GitSsh.as_str()) && !new.is_projects();
    let labelled = || identity.secret_owner(new.konduktor_owner());
    concerned.then(|| labelled().or(new.owner()).unwrap_or(requester))
}

/// Refuses a new git-ssh secret beside the one that its owner has on this shelf.
///
/// Broken ones do not count: no pod gets them, so nothing is ambiguous, and a person may have to make the right one
/// before the wrong one goes. Nor does one of the same object name: if it is still there, the API server says so itself;
/// if not, it was deleted just now, and the catalog has not heard of it yet.
#[must_use]
pub fn second(object: &str, shelf: &Shelf) -> Option<Denial> {
    let another = |secret: &&Arc<Secret>| secret.kind == Kind::GitSsh && *secret.object != *object;
    let first = shelf.secrets.iter().find(another)?;
    Some(Denial::SecondGitSsh {
        name: first.name.to_string(),
        object: format!("{}/{}", first.namespace, first.object),
    })
}
