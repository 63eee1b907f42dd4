//! One secret of the catalog, usable or not.

use std::sync::Arc;

use crate::inject::secret::{Broken, Scope, Secret};

/// A secret as rules read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Usable(Arc<Secret>),
    Broken(Arc<Broken>),
}

impl Item {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Usable(secret) => &secret.namespace,
            Self::Broken(broken) => &broken.namespace,
        }
    }

    pub(super) fn object(&self) -> &str {
        match self {
            Self::Usable(secret) => &secret.object,
            Self::Broken(broken) => &broken.object,
        }
    }

    pub(super) fn resource_version(&self) -> &str {
        match self {
            Self::Usable(secret) => &secret.resource_version,
            Self::Broken(broken) => &broken.resource_version,
        }
    }

    /// Whose shelf it stands on.
    pub(super) fn place(&self) -> Place<'_> {
        match self {
            Self::Usable(secret) => match (secret.scope, &secret.owner) {
                (Scope::Project, _) => Place::Project,
                (Scope::User, Some(owner)) => Place::User(owner),
                (Scope::User, None) => Place::Nowhere,
            },
            Self::Broken(broken) if broken.project => Place::Project,
            Self::Broken(broken) => match &broken.owner {
                Some(owner) => Place::User(owner),
                None => Place::Nowhere,
            },
        }
    }
}

/// Whose a secret is.
pub(super) enum Place<'a> {
    Project,
    User(&'a str),
    Nowhere,
}

/// Whether these are the very same secret in memory, or both nothing.
pub(super) fn same(one: Option<&Item>, other: Option<&Item>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(Item::Usable(one)), Some(Item::Usable(other))) => Arc::ptr_eq(one, other),
        (Some(Item::Broken(one)), Some(Item::Broken(other))) => Arc::ptr_eq(one, other),
        _ => false,
    }
}
