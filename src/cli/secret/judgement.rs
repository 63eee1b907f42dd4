//! Whether a Secret may get an owner.

use crate::{
    cli::{cluster::RequestError, secret::metadata::Metadata},
    inject::name::owner_id,
};

/// Why a Secret does not get this owner.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "keyporter has nothing to do with it: it has neither the label keyporter.dev/kind nor parent=konduktor"
    )]
    NotKeyporters,
    #[error("its label keyporter.dev/scope makes it a project secret, which needs no owner")]
    Project,
    #[error(
        "it belongs to {0:?}, and the owner of a secret cannot change; create it again as the user who shall own it"
    )]
    Owned(String),
    #[error("{0}, and adopt it then, if it is theirs")]
    OwnerId(WrongOwnerId),
    #[error("others change it at the same time; try again")]
    Restless,
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// The label says that it is another's, and the catalog goes by both.
#[derive(Debug, thiserror::Error)]
#[error(
    "keyporter ignores it, because its label keyporter.dev/owner-id is not that of {owner:?}; remove the label with \
     `kubectl label secret {object} -n {namespace} keyporter.dev/owner-id-`"
)]
pub(super) struct WrongOwnerId {
    owner: String,
    namespace: String,
    object: String,
}

/// Whether it is the owner's already, so that there is nothing to do.
pub(super) fn is_owned(secret: &Metadata, owner: &str) -> Result<bool, Refusal> {
    if !secret.is_keyporters() {
        return Err(Refusal::NotKeyporters);
    }
    if secret.is_project() {
        return Err(Refusal::Project);
    }
    match secret.owner() {
        Some(other) if other != owner => Err(Refusal::Owned(other.to_owned())),
        Some(_) => Ok(true),
        // It may well be the label that is right, and the name cannot be taken back.
        None => match wrong_owner_id(secret, owner) {
            Some(wrong) => Err(Refusal::OwnerId(wrong)),
            None => Ok(false),
        },
    }
}

/// What is wrong with the label. Without one, nothing is.
pub(super) fn wrong_owner_id(secret: &Metadata, owner: &str) -> Option<WrongOwnerId> {
    let label = secret.owner_id()?;
    (label != owner_id(owner)).then(|| WrongOwnerId {
        owner: owner.to_owned(),
        namespace: secret.namespace.clone(),
        object: secret.object.clone(),
    })
}
