//! What is left of a trial: nothing, if that can be.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1;
use kube::{Client, Resource, api::DeleteParams, core::Request};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::objects::pods;
use crate::cli::cluster::{RequestError, ask};

/// How long a pod may take to go.
const POD_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// What a trial has made so far.
pub(super) struct Made {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// With it everything goes.
    pub(super) whole_namespace: bool,
    pub(super) pods: BTreeSet<String>,
    pub(super) secrets: Vec<String>,
}

impl Made {
    pub(super) fn new(client: Client, namespace: String, whole_namespace: bool) -> Self {
        Self {
            client,
            namespace,
            whole_namespace,
            pods: BTreeSet::new(),
            secrets: vec![],
        }
    }

    /// Takes it away; says on standard error what stays, and how it goes.
    pub(super) async fn remove(&mut self) {
        if self.whole_namespace {
            let namespaces = Request::new(v1::Namespace::url_path(&(), None));
            let gone = self.delete(&namespaces, &self.namespace).await;
            self.tell(gone, "namespace", &self.namespace);
            return;
        }
        // Secrets that a live pod carries stay.
        for name in &self.pods {
            let gone = self.remove_pod(name).await;
            self.tell(gone, "pod", name);
        }
        let secrets = Request::new(v1::Secret::url_path(&(), Some(&self.namespace)));
        for name in &self.secrets {
            let gone = self.delete(&secrets, name).await;
            self.tell(gone, "secret", name);
        }
    }

    /// Takes one pod away, and waits for that.
    pub(super) async fn remove_pod(&self, name: &str) -> Result<(), RequestError> {
        let deadline = Instant::now() + POD_WITHIN;
        let pods = pods(&self.namespace);
        self.delete(&pods, name).await?;
        loop {
            match ask::<Value>(
                &self.client,
                pods.get(name, &kube::api::GetParams::default()),
            )
            .await
            {
                Err(error) if error.code() == Some(404) => return Ok(()),
                Ok(_) if Instant::now() < deadline => sleep(PAUSE).await,
                Ok(_) => return Err(RequestError::Unreached("it does not go".to_owned())),
                Err(error) => return Err(error),
            }
        }
    }

    async fn delete(&self, requests: &Request, name: &str) -> Result<(), RequestError> {
        let request = requests.delete(name, &DeleteParams::default());
        match ask::<Value>(&self.client, request).await {
            Err(error) if error.code() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }

    fn tell(&self, gone: Result<(), RequestError>, what: &str, name: &str) {
        if let Err(error) = gone {
            let place = match what {
                "namespace" => String::new(),
                _ => format!(" -n {}", self.namespace),
            };
            eprintln!(
                "warning: the {what} {name} stays: {error}; `kubectl delete {what} {name}{place}` takes it away"
            );
        }
    }
}
