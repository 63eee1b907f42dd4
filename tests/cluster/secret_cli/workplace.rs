//! An opted-in namespace where alice and bob have the role of authors, and may make pods.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Pod, Secret};
use keyporter::documents::Documents;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::run::{Run, run, run_verbose};
use crate::{
    harness::Cluster,
    project::{OWNERS, user_object, wait_until},
    support::{Result, objects},
};

pub(super) struct Workplace<'a> {
    pub(super) name: &'a str,
    pub(super) admin: Client,
    cluster: &'a Cluster,
    folder: tempfile::TempDir,
}

impl<'a> Workplace<'a> {
    pub(super) async fn new(cluster: &'a Cluster, name: &'a str) -> Result<Self> {
        cluster.keyporter().await?;
        let admin = cluster.admin();
        let labels = json!({"keyporter.dev/inject": "enabled"});
        objects::create_namespace(&admin, name, labels, cluster.has_controllers()).await?;
        for mut role in roles()? {
            // Every trial has its own: they run at the same time.
            let given = role["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            role["kind"] = "Role".into();
            role["metadata"]["namespace"] = name.into();
            objects::create(&admin, role).await?;
            if given == "keyporter-author" {
                bind(&admin, name, &given).await?;
            }
        }
        let pods = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"namespace": name, "name": "pods"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete"]}],
        });
        objects::create(&admin, pods).await?;
        bind(&admin, name, "pods").await?;
        for owner in OWNERS {
            for right in [("delete", "", "secrets"), ("create", "", "pods")] {
                objects::wait_until_allowed(&admin, name, owner, right).await?;
            }
        }
        Ok(Self {
            name,
            admin,
            cluster,
            folder: tempfile::tempdir()?,
        })
    }

    /// `keyporter secret ARGUMENTS` of this user, in this namespace, in a folder of files.
    pub(super) fn run(&self, user: &str, arguments: &[&str]) -> Result<Run> {
        self.run_with(user, arguments, "")
    }

    /// The same, with standard input.
    pub(super) fn run_with(&self, user: &str, arguments: &[&str], input: &str) -> Result<Run> {
        let arguments = [arguments, &["-n", self.name]].concat();
        // All that it logs is looked through, and what it says to the person is looked at alone.
        if arguments.contains(&"--dry-run") {
            run_verbose(
                &self.kubeconfig(user)?,
                self.folder.path(),
                &arguments,
                input,
            )?;
        }
        run(
            &self.kubeconfig(user)?,
            self.folder.path(),
            &arguments,
            input,
        )
    }

    pub(super) fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        self.cluster.kubeconfig(user, None)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the folder where the program runs.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().ok_or("a file is in a folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// The Secret of a user's secret, as an administrator reads it.
    pub(super) async fn of(&self, user: &str, name: &str) -> Result<Secret> {
        self.object(&user_object(user, name)).await
    }

    pub(super) async fn object(&self, object: &str) -> Result<Secret> {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), self.name);
        Ok(secrets.get(object).await?)
    }

    /// Whether there is one.
    pub(super) async fn has(&self, object: &str) -> Result<bool> {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), self.name);
        Ok(secrets.get_opt(object).await?.is_some())
    }

    /// A pod of this user as the webhook makes it, once this is so.
    pub(super) async fn wait_for_pod(
        &self,
        user: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let client = self.cluster.client(user).await?;
        wait_until("the secret in the pod", async || {
            let pod: Pod = objects::as_pod(
                objects::dry_run(&client, objects::pod(self.name, "probe")).await?,
            )?;
            Ok(is_so(&serde_json::to_value(pod)?))
        })
        .await
    }
}

/// The values of a Secret as text.
pub(super) fn values(secret: &Secret) -> BTreeMap<&str, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (&**key, String::from_utf8_lossy(&value.0).into_owned()))
        .collect()
}

/// Those of `deploy/examples/roles.yaml`.
fn roles() -> Result<Vec<Value>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/roles.yaml");
    let text = fs::read_to_string(path)?;
    let documents = Documents::split(&text);
    let values = documents.iter().map(|document| document.value(path));
    Ok(values.collect::<std::result::Result<_, _>>()?)
}

async fn bind(admin: &Client, namespace: &str, role: &str) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": namespace, "name": role},
        "roleRef": {"kind": "Role", "name": role, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": OWNERS.map(objects::subject),
    });
    objects::create(admin, binding).await?;
    Ok(())
}
