//! The objects that controllers make others from, as far as their metadata goes. Only objects of kinds that the operator
//! named are read, and only where a template does not say whose it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, discovery};
use serde_json::Value;
use tracing::warn;

use super::{OwnershipError, in_time};
use crate::inject::object::{Controller, is_path_part};

/// How long an answer counts. Pods of one object come in swarms.
const ANSWER_AGE: Duration = Duration::from_secs(5);
/// The most answers, and the most kinds, that are kept.
const ANSWERS: usize = 1000;

pub(super) struct Workloads {
    client: Client,
    /// By `apiVersion` and kind.
    kinds: Mutex<HashMap<(String, String), ApiResource>>,
    /// By namespace and uid.
    answers: Mutex<HashMap<(String, String), Answer>>,
}

#[derive(Clone)]
struct Answer {
    at: Instant,
    object: Option<Arc<Value>>,
}

impl Answer {
    fn counts(&self) -> bool {
        self.at.elapsed() < ANSWER_AGE
    }
}

impl Workloads {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            kinds: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// The object, its metadata alone; none where it is not there, or keyporter may not read its kind.
    pub(super) async fn read(
        &self,
        namespace: &str,
        controller: &Controller<'_>,
    ) -> Result<Option<Arc<Value>>, OwnershipError> {
        let version = controller.api_version.rsplit('/').next();
        if !is_path_part(controller.name) || !version.is_some_and(is_path_part) {
            return Ok(None);
        }
        let key = (namespace.to_owned(), controller.uid.to_owned());
        if let Some(answer) = self.remembered(&key) {
            return Ok(answer.object);
        }
        let object = match in_time(self.ask(namespace, controller)).await {
            Ok(answer) => answer.map(Arc::new),
            Err(OwnershipError::Unanswered(error)) if is_final(&error) => {
                let Controller { kind, name, .. } = controller;
                warn!(
                    namespace,
                    kind = kind.kind,
                    group = kind.group,
                    name,
                    "the owner of what a controller made from it is not known: {error}"
                );
                None
            }
            Err(error) => return Err(error),
        };
        self.remember(key, object.clone());
        Ok(object)
    }

    async fn ask(
        &self,
        namespace: &str,
        controller: &Controller<'_>,
    ) -> Result<Option<Value>, kube::Error> {
        let resource = self.resource(controller).await?;
        let objects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let object = objects.get_metadata_opt(controller.name).await?;
        let json = object.map(serde_json::to_value).transpose();
        json.map_err(kube::Error::SerdeError)
    }

    async fn resource(&self, controller: &Controller<'_>) -> Result<ApiResource, kube::Error> {
        let key = (
            controller.api_version.to_owned(),
            controller.kind.kind.to_owned(),
        );
        if let Some(resource) = lock(&self.kinds).get(&key) {
            return Ok(resource.clone());
        }
        let (_, version) = key.0.rsplit_once('/').unwrap_or(("", &key.0));
        let kind = GroupVersionKind::gvk(controller.kind.group, version, controller.kind.kind);
        let (resource, _) = discovery::pinned_kind(&self.client, &kind).await?;
        let mut kinds = lock(&self.kinds);
        if kinds.len() < ANSWERS {
            kinds.insert(key, resource.clone());
        }
        Ok(resource)
    }

    fn remembered(&self, key: &(String, String)) -> Option<Answer> {
        let answers = lock(&self.answers);
        let answer = answers.get(key)?;
        answer.counts().then(|| answer.clone())
    }

    fn remember(&self, key: (String, String), object: Option<Arc<Value>>) {
        let mut answers = lock(&self.answers);
        if answers.len() >= ANSWERS {
            answers.retain(|_, answer| answer.counts());
        }
        if answers.len() < ANSWERS {
            let at = Instant::now();
            answers.insert(key, Answer { at, object });
        }
    }
}

/// Whether asking again is of no use: a kind that is not there, or that keyporter may not read.
fn is_final(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 401 | 403 | 404),
        kube::Error::Discovery(_) => true,
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
