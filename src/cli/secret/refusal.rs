//! Why a secret does not become what a person wants.

use thiserror::Error;

use super::limits::LimitError;
use crate::{
    cli::cluster::RequestError,
    folder::FolderError,
    inject::{layout::LayoutError, secret::Kind},
};

/// One line, with the way out.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error(
        "Secret {0} is none of keyporter's, as it has no label keyporter.dev/kind; choose another name"
    )]
    NotKeyporters(String),
    #[error("Secret {0} is the project's; say --project, or choose another name")]
    Projects(String),
    #[error(
        "Secret {0} is a user's and not the project's; leave --project out, or choose another name"
    )]
    Users(String),
    #[error("Secret {object} is that of a secret called {name}; choose another name")]
    OtherName { object: String, name: String },
    #[error(
        "secret {name} is of kind {is}, and kinds do not change; say --kind {is} or `keyporter secret update {name}`, or \
         make it anew as kind {wanted} after `keyporter secret rm {name}`"
    )]
    Kind {
        name: String,
        is: String,
        wanted: Kind,
    },
    #[error("secret {0} is of kind {1:?}, which keyporter does not know")]
    UnknownKind(String, String),
    #[error(
        "secret {0} is immutable; delete it with `keyporter secret rm {0}` and create it again"
    )]
    Immutable(String),
    #[error("secret {0} has no key {1}")]
    NoSuchKey(String, String),
    #[error("the key {0} is given and removed at once; leave one out")]
    RemovedAndGiven(String),
    #[error("secret {0} would have no key left; `keyporter secret rm {0}` deletes it")]
    NothingLeft(String),
    #[error(
        "there is no secret {name} {whose} in namespace {namespace}; `keyporter secret create` makes one"
    )]
    NotThere {
        name: String,
        whose: &'static str,
        namespace: String,
    },
    #[error("secret {name} has other keys ({}); `keyporter secret update {name}` changes those", .keys.join(", "))]
    OtherKeys { name: String, keys: Vec<String> },
    #[error("{0}; or say --force")]
    InUse(String),
    #[error("others change secret {0} at the same time; try again")]
    Restless(String),
    #[error("{0}; or say --replace, and this key takes the place of that one")]
    SecondKey(String),
    #[error(
        "{sentence}; the role keyporter-author gives that right (deploy/examples/roles.yaml): ask an administrator of \
         the namespace for it"
    )]
    NoRight { sentence: String },
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Request(RequestError),
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            // The words of Kubernetes where no role gives the right; policies and webhooks have others.
            RequestError::Refused {
                code: 403,
                sentence,
            } if sentence.contains(" cannot ") && sentence.contains(" resource \"secrets\"") => {
                Self::NoRight { sentence }
            }
            other => Self::Request(other),
        }
    }
}
