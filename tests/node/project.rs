//! An opted-in namespace in which alice and bob work, and the secrets that alice makes there.

use std::time::Duration;

use data_encoding::BASE64;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::{
    harness::Cluster,
    support::{Result, kubectl::Kubectl, objects, policies, wait_for},
};

/// A namespace with the label `keyporter.dev/inject=enabled`.
pub(crate) struct Project {
    /// The namespace.
    pub(crate) name: String,
    /// May do everything.
    pub(crate) admin: Client,
    /// May edit in the namespace, and make project secrets there.
    pub(crate) alice: Client,
    /// May edit in the namespace.
    pub(crate) bob: Client,
    /// Alice's kubectl.
    pub(crate) kubectl: Kubectl,
}

impl Project {
    /// Makes the namespace and the rights.
    pub(crate) async fn new(cluster: &Cluster, name: &str) -> Result<Self> {
        Self::with_labels(cluster, name, &json!({})).await
    }

    /// The same with more `labels` of the namespace, an object.
    pub(crate) async fn with_labels(cluster: &Cluster, name: &str, labels: &Value) -> Result<Self> {
        let admin = cluster.admin();
        let mut labels = labels.clone();
        labels["keyporter.dev/inject"] = json!("enabled");
        objects::create_namespace(&admin, name, labels, true).await?;
        for user in ["alice", "bob"] {
            objects::allow_edit(&admin, name, user).await?;
        }
        policies::allow_project_secrets(&admin, name, "alice").await?;
        Ok(Self {
            name: name.to_owned(),
            admin,
            alice: cluster.client("alice").await?,
            bob: cluster.client("bob").await?,
            kubectl: cluster.kubectl("alice")?.within(name),
        })
    }

    /// Alice makes these secrets; returns when the webhook gives them to her pods.
    pub(crate) async fn make(&self, secrets: &[Secret]) -> Result<()> {
        for secret in secrets {
            let manifest = secret.manifest.to_string();
            self.kubectl
                .run_with_input(&["create", "-f", "-"], &manifest)?
                .ok()?;
        }
        let objects = secrets
            .iter()
            .filter_map(|secret| secret.manifest["metadata"]["name"].as_str());
        self.wait_for(&objects.collect::<Vec<_>>()).await
    }

    /// Returns when the webhook gives the Secrets of these names to alice's pods.
    pub(crate) async fn wait_for(&self, objects: &[&str]) -> Result<()> {
        let what = format!("the webhook to know the secrets of {}", self.name);
        wait_for(&what, Duration::from_secs(20), async || {
            let pod = objects::dry_run(&self.alice, self.probe()).await?;
            let record = pod.annotations().get("keyporter.dev/injected");
            let record: Value = serde_json::from_str(record.map_or("[]", String::as_str))?;
            let known = |object: &&str| {
                let entries = record.as_array().into_iter().flatten();
                entries
                    .filter_map(|entry| entry["secret"].as_str())
                    .any(|name| name == *object)
            };
            Ok(objects.iter().all(known).then_some(()))
        })
        .await
    }

    /// Never stored, and allowed under every Pod Security Standard.
    fn probe(&self) -> Value {
        let mut pod = objects::pod(&self.name, "probe");
        pod["spec"]["containers"][0]["securityContext"] = restricted();
        pod
    }
}

/// The security context of a container that the standard `restricted` allows.
pub(crate) fn restricted() -> Value {
    json!({
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// The manifest of a secret.
pub(crate) struct Secret {
    manifest: Value,
}

impl Secret {
    /// One of alice's own.
    pub(crate) fn of_alice(kind: &str, name: &str) -> Self {
        Self::new(kind, name, "user")
    }

    /// One of the project's.
    pub(crate) fn of_project(kind: &str, name: &str) -> Self {
        Self::new(kind, name, "project")
    }

    /// Names are those of the objects too: nobody else makes secrets in a trial's namespace.
    fn new(kind: &str, name: &str, scope: &str) -> Self {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "labels": {"keyporter.dev/kind": kind, "keyporter.dev/scope": scope},
                "annotations": {},
            },
            "data": {},
        });
        Self { manifest }
    }

    /// Called otherwise than its object.
    pub(crate) fn called(mut self, name: &str) -> Self {
        self.manifest["metadata"]["labels"]["keyporter.dev/name"] = json!(name);
        self
    }

    /// With a value more.
    pub(crate) fn with(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.manifest["data"][key] = json!(BASE64.encode(value.as_ref()));
        self
    }

    /// With an annotation more.
    pub(crate) fn annotated(mut self, annotation: &str, value: &str) -> Self {
        self.manifest["metadata"]["annotations"][annotation] = json!(value);
        self
    }

    /// As a directory: each file under a key of its own, and the layout says which file that is.
    pub(crate) fn with_files<'a>(
        mut self,
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut layout = json!({});
        for (number, (path, content)) in files.into_iter().enumerate() {
            let key = format!("file-{number}");
            layout[&key] = json!(path);
            self = self.with(&key, content);
        }
        self.annotated("keyporter.dev/layout", &layout.to_string())
    }

    /// Of another type than `Opaque`.
    pub(crate) fn of_type(mut self, name: &str) -> Self {
        self.manifest["type"] = json!(name);
        self
    }
}
