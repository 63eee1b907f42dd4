//! May somebody act for somebody else, and what is in a running pod? The API server is asked.
//!
//! Only where a review has something of another user in it, enters a pod, or deletes a secret: the admission of a pod
//! asks nothing.
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>

mod carriers;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

pub use carriers::live_pods;

/// How long an answer counts. A right that was taken away works on for as long.
const ANSWER_AGE: Duration = Duration::from_secs(10);
/// How long the API server may take: an admission waits for it, five seconds at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The most answers that are kept.
const ANSWERS: usize = 1000;

/// A user as the API server knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
pub struct User {
    /// The username.
    #[serde(default)]
    pub username: String,
    /// The uid, if the authenticator gave one.
    #[serde(default)]
    pub uid: Option<String>,
    /// The groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What else the authenticator said.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Why nobody knows.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The API server did not answer, or not in time.
    #[error("the API server does not answer")]
    Unanswered(#[source] Box<kube::Error>),
    /// The API server took too long.
    #[error("the API server does not answer in time")]
    Slow,
    /// The answer is not what the API server sends. Nothing of it is quoted.
    #[error("the API server's answer cannot be read")]
    Unreadable,
}

/// Asks, and remembers answers for a short time. A handle: clones share what they remember.
#[derive(Clone, Default)]
pub struct Access(Option<Arc<Asker>>);

struct Asker {
    client: Client,
    answers: Mutex<HashMap<(User, String), (Instant, bool)>>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("cluster", &self.0.is_some())
            .finish()
    }
}

impl Access {
    /// Asks this cluster. [`Access::default`] knows none: nobody may act for another there.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(Some(Arc::new(Asker {
            client,
            answers: Mutex::default(),
        })))
    }

    /// Whether `user` may `impersonate` the user called `name`.
    pub async fn may_impersonate(&self, user: &User, name: &str) -> Result<bool, AccessError> {
        let Some(asker) = &self.0 else {
            return Ok(false);
        };
        let key = (user.clone(), name.to_owned());
        if let Some(answer) = asker.remembered(&key) {
            return Ok(answer);
        }
        // Boxed, as no admission that asks nobody is to carry the room that a request takes.
        let question = Box::pin(asker.ask(user, name));
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, question).await;
        let answer = answer.map_err(|_| AccessError::Slow)??;
        asker.remember(key, answer);
        Ok(answer)
    }

    /// A running pod as JSON. Without a cluster there is none.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Value>, AccessError> {
        let Some(asker) = &self.0 else {
            return Ok(None);
        };
        let pods: Api<Pod> = Api::namespaced(asker.client.clone(), namespace);
        let pod = tokio::time::timeout(ANSWER_TIMEOUT, Box::pin(pods.get_opt(name))).await;
        let pod = pod.map_err(|_| AccessError::Slow)?;
        let pod = pod.map_err(|error| AccessError::Unanswered(Box::new(error)))?;
        let json = pod.map(serde_json::to_value).transpose();
        json.map_err(|error| AccessError::Unanswered(Box::new(kube::Error::SerdeError(error))))
    }
}

impl Asker {
    async fn ask(&self, user: &User, name: &str) -> Result<bool, AccessError> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.username.clone()),
                uid: user.uid.clone(),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()),
                resource_attributes: Some(impersonation(name)),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| AccessError::Unanswered(Box::new(error)))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    fn remembered(&self, key: &(User, String)) -> Option<bool> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .get(key)
            .filter(|(at, _)| at.elapsed() < ANSWER_AGE)
            .map(|(_, answer)| *answer)
    }

    fn remember(&self, key: (User, String), answer: bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS {
            answers.retain(|_, (at, _)| at.elapsed() < ANSWER_AGE);
        }
        if answers.len() < ANSWERS {
            answers.insert(key, (Instant::now(), answer));
        }
    }
}

/// The right to act for a user. A service account is one of its namespace.
/// <https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/>
fn impersonation(name: &str) -> ResourceAttributes {
    let account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let (resource, namespace, name) = match account {
        Some((namespace, name)) => ("serviceaccounts", Some(namespace.to_owned()), name),
        None => ("users", None, name),
    };
    ResourceAttributes {
        verb: Some("impersonate".to_owned()),
        resource: Some(resource.to_owned()),
        namespace,
        name: Some(name.to_owned()),
        ..ResourceAttributes::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_impersonated_in_its_namespace() {
        let attributes = impersonation("system:serviceaccount:vision:ci");
        assert_eq!(attributes.resource.as_deref(), Some("serviceaccounts"));
        assert_eq!(attributes.namespace.as_deref(), Some("vision"));
        assert_eq!(attributes.name.as_deref(), Some("ci"));
        assert_eq!(impersonation("alice").resource.as_deref(), Some("users"));
    }

    #[tokio::test]
    async fn without_a_cluster_nobody_may() {
        let answer = Access::default()
            .may_impersonate(&User::default(), "alice")
            .await;
        assert!(matches!(answer, Ok(false)));
    }
}
