//! An opted-in namespace in which alice and bob work, and what their pods must get there.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{Api, Client, ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    harness::Cluster,
    support::{Result, objects, wait_for},
};

/// The name of the project's own secret.
pub(crate) const SHARED: &str = "shared";
/// The name that alice and bob both chose for a secret of theirs.
const TOKEN: &str = "token";
/// The people of a project.
pub(crate) const OWNERS: [&str; 2] = ["alice", "bob"];

/// A namespace with the label `keyporter.dev/inject=enabled`, served by the shared keyporter.
pub(crate) struct Project {
    /// The namespace.
    pub(crate) name: String,
    /// May do everything.
    pub(crate) admin: Client,
    alice: Client,
    bob: Client,
}

impl Project {
    /// Makes the namespace, the rights and the secrets, and returns when the webhook knows them.
    pub(crate) async fn new(cluster: &Cluster, name: &str) -> Result<Self> {
        cluster.keyporter().await?;
        Self::with_labels(cluster, name, json!({"keyporter.dev/inject": "enabled"})).await
    }

    /// The same with all `labels` of the namespace given, for a keyporter of a trial's own.
    pub(crate) async fn with_labels(cluster: &Cluster, name: &str, labels: Value) -> Result<Self> {
        let project = Self::without_webhook(cluster, name, labels).await?;
        for owner in OWNERS {
            project.wait_until_injected(owner).await?;
        }
        Ok(project)
    }

    /// The same without waiting for a webhook, which may never come.
    pub(crate) async fn without_webhook(
        cluster: &Cluster,
        name: &str,
        labels: Value,
    ) -> Result<Self> {
        let admin = cluster.admin();
        objects::create_namespace(&admin, name, labels, cluster.has_controllers()).await?;
        let project = Self {
            name: name.to_owned(),
            admin,
            alice: cluster.client("alice").await?,
            bob: cluster.client("bob").await?,
        };
        objects::create(&project.admin, project_secret(name, SHARED)).await?;
        for owner in OWNERS {
            objects::allow_edit(&project.admin, name, owner).await?;
            objects::create(project.client(owner), user_secret(name, owner, TOKEN)).await?;
        }
        Ok(project)
    }

    /// The client of one of [`OWNERS`].
    pub(crate) fn client(&self, owner: &str) -> &Client {
        if owner == "alice" {
            &self.alice
        } else {
            &self.bob
        }
    }

    /// A pod with one container, in this namespace.
    pub(crate) fn pod(&self, name: &str) -> Value {
        objects::pod(&self.name, name)
    }

    /// What every container of a pod of `owner` must have, weakest first.
    fn expected(owner: &str) -> Vec<(String, Option<bool>)> {
        vec![
            (SHARED.to_owned(), Some(true)),
            (user_object(owner, TOKEN), Some(true)),
        ]
    }

    /// Deletes the pods of a workload; returns the one that its controller makes then.
    pub(crate) async fn new_pod(&self, app: &str) -> Result<Pod> {
        let selector = format!("app={app}");
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.name);
        objects::wait_for_pod(&self.admin, &self.name, &selector).await?;
        let before = objects::pods(&self.admin, &self.name, &selector).await?;
        for pod in &before {
            let now = DeleteParams::default().grace_period(0);
            // A rollout may have been faster.
            let _ = pods.delete(&pod.name_any(), &now).await;
        }
        let is_new = |pod: &Pod| before.iter().all(|before| before.uid() != pod.uid());
        wait_for(
            "the pod that takes its place",
            Duration::from_secs(20),
            async || {
                let pods = objects::pods(&self.admin, &self.name, &selector).await?;
                Ok(pods.into_iter().find(is_new))
            },
        )
        .await
    }

    pub(crate) async fn wait_until_injected(&self, owner: &str) -> Result<()> {
        let mut seen = Vec::new();
        let outcome = wait_for("the webhook", Duration::from_secs(20), async || {
            let pod = objects::dry_run(self.client(owner), self.pod("probe")).await?;
            seen = containers(&objects::as_pod(pod)?)
                .flat_map(env_from)
                .collect();
            Ok((seen == Self::expected(owner)).then_some(()))
        })
        .await;
        outcome.map_err(|error| {
            let expected = Self::expected(owner);
            format!("{error} to give {owner} {expected:?}; last it gave {seen:?}").into()
        })
    }
}

/// The first 32 hex digits of the SHA-256 of a username.
fn owner_id(user: &str) -> String {
    use std::fmt::Write as _;

    Sha256::digest(user)
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// What the object of a user's secret is called.
pub(crate) fn user_object(owner: &str, name: &str) -> String {
    format!("{name}-{}", owner_id(owner).get(..8).unwrap_or_default())
}

/// An `env` secret that belongs to `owner`.
pub(crate) fn user_secret(namespace: &str, owner: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": user_object(owner, name),
            "labels": {
                "keyporter.dev/kind": "env",
                "keyporter.dev/name": name,
                "keyporter.dev/scope": "user",
                "keyporter.dev/owner-id": owner_id(owner),
            },
            "annotations": {"keyporter.dev/owner": owner},
        },
        "stringData": {"TOKEN": format!("of {owner}")},
    })
}

/// An `env` secret that everybody in the namespace gets.
pub(crate) fn project_secret(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {"keyporter.dev/kind": "env", "keyporter.dev/scope": "project"},
        },
        "stringData": {"REGION": "somewhere"},
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
    })
}

/// The secrets that a container has its environment from: name and `optional`.
fn env_from(container: &Container) -> Vec<(String, Option<bool>)> {
    container
        .env_from
        .iter()
        .flatten()
        .filter_map(|source| source.secret_ref.as_ref())
        .map(|secret| (secret.name.clone(), secret.optional))
        .collect()
}

/// The names of the secrets that `pod` has its environment from, of its first container.
pub(crate) fn secret_names(pod: &Pod) -> Vec<String> {
    containers(pod)
        .take(1)
        .flat_map(env_from)
        .map(|(name, _)| name)
        .collect()
}

/// Every container of `pod`, init containers too, has the project's secret and the one of `owner`, and nobody else's.
pub(crate) fn assert_injected(pod: &Pod, owner: &str) {
    let name = pod.name_any();
    for container in containers(pod) {
        assert_eq!(
            env_from(container),
            Project::expected(owner),
            "{name}, container {}",
            container.name
        );
    }
    assert_eq!(
        pod.labels()
            .get("keyporter.dev/injected")
            .map(String::as_str),
        Some("true"),
        "{name} has no label that says so"
    );
    let record = pod
        .annotations()
        .get("keyporter.dev/injected")
        .expect("a record of what was injected");
    for secret in [SHARED, TOKEN] {
        assert!(
            record.contains(secret),
            "{name} does not record {secret}: {record}"
        );
    }
}

/// Nothing of ours is in `pod`.
pub(crate) fn assert_untouched(pod: &Pod) {
    for container in containers(pod) {
        assert_eq!(env_from(container), [], "container {}", container.name);
    }
    assert_eq!(pod.annotations().get("keyporter.dev/injected"), None);
    assert_eq!(pod.labels().get("keyporter.dev/injected"), None);
}

/// Waits until a condition holds.
pub(crate) async fn wait_until(
    what: &str,
    condition: impl AsyncFn() -> Result<bool>,
) -> Result<()> {
    wait_for(what, Duration::from_secs(20), async || {
        Ok(condition().await?.then_some(()))
    })
    .await
}
