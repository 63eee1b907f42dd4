//! The real controller of JobSets as a child process, with its definition, rights and defaults.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::json;

use super::{
    Result,
    control_plane::{ADMIN, ControlPlane, free_ports},
    http_get, objects,
    process::Process,
    wait_for,
};

/// Who makes Jobs from JobSets.
pub(crate) const JOBSET_CONTROLLER: &str =
    "system:serviceaccount:jobset-system:jobset-controller-manager";

/// A running controller; dropping it ends it.
pub(crate) struct JobSetController {
    process: Process,
}

impl JobSetController {
    /// Installs and starts it; `None` where it is not among the programs of `plane`.
    pub(crate) async fn start(plane: &ControlPlane) -> Result<Option<Self>> {
        let binaries = plane.binaries();
        let (Some(binary), Some(definition), Some(role)) = (
            binaries.find_file("jobset-controller"),
            binaries.find_file("jobset-crd.yaml"),
            binaries.find_file("jobset-role.yaml"),
        ) else {
            return Ok(None);
        };
        define(plane, &definition).await?;
        allow(plane, &role).await?;
        let [webhook, health] = free_ports()?;
        let mut command = Command::new(binary);
        command
            .env("KUBECONFIG", plane.kubeconfig(JOBSET_CONTROLLER, None)?)
            .arg("--config")
            .arg(write_configuration(plane, webhook)?)
            .arg("--metrics-bind-address=0")
            .arg(format!("--health-probe-bind-address=127.0.0.1:{health}"));
        let log = plane.folder().join("jobset-controller.log");
        let mut controller = Self {
            process: Process::start("jobset-controller", &mut command, &log)?,
        };
        wait_for(
            "the JobSet controller to be ready",
            Duration::from_secs(30),
            async || {
                controller.process.check()?;
                Ok(http_get(health, "/readyz")
                    .ok()
                    .filter(|answer| answer.starts_with("HTTP/1.1 200")))
            },
        )
        .await?;
        register(plane, webhook).await?;
        Ok(Some(controller))
    }
}

/// Applies the definition of JobSets and returns when the API server accepts it.
pub(crate) async fn define(plane: &ControlPlane, definition: &Path) -> Result<()> {
    let kubectl = plane.kubectl(ADMIN)?;
    // Server-side: the real definition is too long for the annotation that kubectl keeps otherwise.
    kubectl
        .run(&[
            "apply",
            "--server-side",
            "-f",
            &definition.to_string_lossy(),
        ])?
        .ok()?;
    // Not `kubectl wait`, which fails on a definition that has no conditions yet.
    let definitions: Api<CustomResourceDefinition> = Api::all(plane.admin());
    wait_for(
        "the definition of JobSets to count",
        Duration::from_secs(20),
        async || {
            let definition = definitions.get("jobsets.jobset.x-k8s.io").await?;
            let conditions = definition
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let established = conditions
                .iter()
                .any(|it| it.type_ == "Established" && it.status == "True");
            Ok(established.then_some(()))
        },
    )
    .await
}

async fn allow(plane: &ControlPlane, role: &Path) -> Result<()> {
    let file = role.to_string_lossy();
    let applied = plane
        .kubectl(ADMIN)?
        .run(&["apply", "-f", &file, "--output=name"])?
        .ok()?;
    let role = applied.trim().rsplit('/').next().unwrap_or_default();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "jobset-controller"},
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{
            "kind": "User", "name": JOBSET_CONTROLLER, "apiGroup": "rbac.authorization.k8s.io",
        }],
    });
    objects::create(&plane.admin(), binding).await?;
    Ok(())
}

/// Its configuration file, next to the certificate of its webhook.
fn write_configuration(plane: &ControlPlane, webhook: u16) -> Result<PathBuf> {
    let folder = plane.folder().join("jobset");
    fs::create_dir_all(&folder)?;
    let credentials = plane.authority().server(&["127.0.0.1"])?;
    fs::write(folder.join("tls.crt"), credentials.certificate)?;
    fs::write(folder.join("tls.key"), credentials.key)?;
    let configuration = json!({
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": false},
        "internalCertManagement": {"enable": false},
        "webhook": {"host": "127.0.0.1", "port": webhook, "certDir": folder},
    });
    let path = folder.join("configuration.yaml");
    fs::write(&path, serde_json::to_vec(&configuration)?)?;
    Ok(path)
}

/// Has the API server ask it for the defaults of JobSets, which it relies on itself.
async fn register(plane: &ControlPlane, webhook: u16) -> Result<()> {
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "jobset-mutating-webhook-configuration"},
        "webhooks": [{
            "name": "mjobset.kb.io",
            "clientConfig": {
                "url": format!("https://127.0.0.1:{webhook}/mutate-jobset-x-k8s-io-v1alpha2-jobset"),
                "caBundle": objects::ca_bundle(&plane.authority().certificate()),
            },
            "rules": [{
                "apiGroups": ["jobset.x-k8s.io"],
                "apiVersions": ["v1alpha2"],
                "resources": ["jobsets"],
                "operations": ["CREATE"],
            }],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    });
    objects::create(&plane.admin(), configuration).await?;
    Ok(())
}
