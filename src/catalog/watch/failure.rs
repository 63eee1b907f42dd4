//! Why a watch fails, in a few words.

use std::error::Error as _;

use kube::core::Status;
use kube::runtime::watcher;

use crate::catalog::index::Source;

/// How much of an error's text goes into a log, in characters: a proxy may answer with a page of HTML.
const DETAIL: usize = 300;

/// What sort of failure it was: a closed list, fit for metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The API server refuses (403).
    Forbidden,
    /// The API server does not know who asks (401).
    Unauthorized,
    /// The watch fell behind what the API server remembers (410).
    Expired,
    /// The API server answers with another error.
    Server,
    /// There is no connection, or it broke.
    Connection,
    /// The answer is not what the API server sends.
    Unreadable,
}

/// What a watch is of, as roles call it.
pub(super) const fn resource(source: Source) -> &'static str {
    match source {
        Source::Namespaces => "namespaces",
        Source::OurLabel | Source::KonduktorLabel | Source::Stores | Source::Files => "secrets",
    }
}

impl Failure {
    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Expired => "expired",
            Self::Server => "server",
            Self::Connection => "connection",
            Self::Unreadable => "unreadable",
        }
    }

    /// The way out, for the watch of a resource.
    pub(super) fn advice(self, resource: &str) -> String {
        match self {
            Self::Forbidden => format!(
                "keyporter may not read {resource}; its service account needs a ClusterRole with the verbs list and watch on {resource}"
            ),
            Self::Unauthorized => {
                "the API server does not accept keyporter's credentials; check its service account \
                 token or kubeconfig"
                    .to_owned()
            }
            Self::Expired => {
                format!("the watch of {resource} fell behind and lists them anew")
            }
            Self::Server => {
                format!("the API server failed; the watch of {resource} is tried again")
            }
            Self::Connection => {
                format!("no connection to the API server; the watch of {resource} is tried again")
            }
            Self::Unreadable => {
                "the API server's answer cannot be read; check what stands between it and keyporter"
                    .to_owned()
            }
        }
    }

    pub(super) fn of(error: &watcher::Error) -> Self {
        match cause(error) {
            Cause::Status(status) => match status.code {
                401 => Self::Unauthorized,
                403 => Self::Forbidden,
                410 => Self::Expired,
                _ => Self::Server,
            },
            Cause::Client(kube::Error::Auth(_)) => Self::Unauthorized,
            Cause::Client(
                kube::Error::SerdeError(_)
                | kube::Error::FromUtf8(_)
                | kube::Error::LinesCodecMaxLineLengthExceeded,
            )
            | Cause::None => Self::Unreadable,
            Cause::Client(_) => Self::Connection,
        }
    }
}

/// The error's own words, where they cannot hold a part of a list of secrets.
pub(super) fn detail(error: &watcher::Error) -> String {
    let text = match (Failure::of(error), cause(error)) {
        (Failure::Unreadable, _) | (_, Cause::None) => return String::new(),
        (_, Cause::Status(status)) => status.message.clone(),
        (_, Cause::Client(error)) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                let words = error.to_string();
                if !text.contains(&words) {
                    text = format!("{text}: {words}");
                }
                source = error.source();
            }
            text
        }
    };
    text.chars().take(DETAIL).collect()
}

enum Cause<'a> {
    Status(&'a Status),
    Client(&'a kube::Error),
    None,
}

fn cause(error: &watcher::Error) -> Cause<'_> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => Cause::Status(status),
            other => Cause::Client(other),
        },
        watcher::Error::WatchError(status) => Cause::Status(status),
        watcher::Error::NoResourceVersion => Cause::None,
    }
}
