//! The built `keyporter` binary as a process, and its webhook configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use kube::Client;
use serde_json::{Value, json};

use super::{
    Result,
    control_plane::{ControlPlane, free_ports},
    http_get,
    jobset::JOBSET_CONTROLLER,
    objects,
    process::Process,
    wait_for,
};

/// Who the API server takes the process for.
const USER: &str = "system:serviceaccount:keyporter-system:keyporter";
/// The namespace of the process's own objects.
const NAMESPACE: &str = "keyporter-system";
/// A `keyporter serve` on fixed ports of loopback, running or stopped.
pub(crate) struct Keyporter {
    binary: PathBuf,
    folder: PathBuf,
    kubeconfig: PathBuf,
    certificate: String,
    port: u16,
    admin_port: u16,
    process: Option<Process>,
}

impl Keyporter {
    /// Starts `binary` as the webhook of `plane` and returns when it is ready; `name` tells several apart.
    pub(crate) async fn start(plane: &ControlPlane, binary: &Path, name: &str) -> Result<Self> {
        let folder = plane.folder().join(name);
        fs::create_dir_all(&folder)?;
        let credentials = plane.authority().server(&["127.0.0.1", "localhost"])?;
        fs::write(folder.join("tls.crt"), credentials.certificate)?;
        fs::write(folder.join("tls.key"), credentials.key)?;
        let [port, admin_port] = free_ports()?;
        let mut keyporter = Self {
            binary: binary.to_owned(),
            folder,
            kubeconfig: plane.kubeconfig(USER, None)?,
            certificate: plane.authority().certificate(),
            port,
            admin_port,
            process: None,
        };
        keyporter.start_again().await?;
        Ok(keyporter)
    }

    /// Starts it on the same ports as before and returns when it is ready.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command
            .env_remove("KUBECONFIG")
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--admin-listen", &format!("127.0.0.1:{}", self.admin_port)])
            .arg("--cert-dir")
            .arg(&self.folder)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--trusted-controller", JOBSET_CONTROLLER]);
        let mut process = Process::start(
            "keyporter",
            &mut command,
            &self.folder.join("keyporter.log"),
        )?;
        let ready = wait_for(
            "keyporter to be ready",
            Duration::from_secs(20),
            async || {
                process.check()?;
                Ok(http_get(self.admin_port, "/readyz")
                    .ok()
                    .filter(|answer| answer.starts_with("HTTP/1.1 200")))
            },
        )
        .await;
        if let Err(error) = ready {
            // If it ended, the error says so with its last lines; if it hangs, they follow here.
            process.check()?;
            return Err(format!("{error}. Its last lines:\n{}", process.tail(15)).into());
        }
        self.process = Some(process);
        Ok(())
    }

    /// Ends it by SIGTERM, as a kubelet does, and returns its status.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus> {
        let mut process = self.process.take().ok_or("keyporter does not run")?;
        process.terminate(Duration::from_secs(30))
    }

    /// Ends it at once, as a node that dies does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Everything that it logged, over all its starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("keyporter.log")).unwrap_or_default()
    }

    /// The metrics page.
    pub(crate) fn metrics(&self) -> Result<String> {
        http_get(self.admin_port, "/metrics")
    }

    /// Has the API server call it for every opted-in namespace that also meets `requirement`.
    ///
    /// A requirement is one entry of a label selector's `matchExpressions`.
    pub(crate) async fn register(
        &self,
        admin: &Client,
        name: &str,
        requirement: Option<Value>,
    ) -> Result<()> {
        let url = format!("https://127.0.0.1:{}/mutate", self.port);
        let configuration = configuration(name, &url, &self.certificate, requirement);
        objects::create(admin, configuration).await?;
        Ok(())
    }
}

/// Creates what the process needs in the cluster before it starts: its namespace and its rights.
pub(crate) async fn prepare(plane: &ControlPlane) -> Result<()> {
    let admin = plane.admin();
    objects::create_namespace(&admin, NAMESPACE, json!({}), false).await?;
    let subjects = json!([{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}]);
    let read = json!(["get", "list", "watch"]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "keyporter"},
        "rules": [
            {"apiGroups": [""], "resources": ["secrets", "namespaces", "replicationcontrollers"], "verbs": read},
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets", "replicasets"], "verbs": read},
            {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": read},
            {"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": read},
            {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
        ],
    });
    let own = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "keyporter", "namespace": NAMESPACE},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "update", "patch"]}],
    });
    for object in [
        role,
        own,
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "keyporter"},
            "roleRef": {"kind": "ClusterRole", "name": "keyporter", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": subjects,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "keyporter", "namespace": NAMESPACE},
            "roleRef": {"kind": "Role", "name": "keyporter", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": subjects,
        }),
    ] {
        objects::create(&admin, object).await?;
    }
    Ok(())
}

/// The configuration that an installation has, with a loopback address in place of a Service.
fn configuration(name: &str, url: &str, certificate: &str, requirement: Option<Value>) -> Value {
    let mut expressions = vec![json!({
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", "kube-public", "kube-node-lease"],
    })];
    expressions.extend(requirement);
    let rule = |group: &str, version: &str, operations: &[&str], resources: &[&str]| {
        json!({
            "apiGroups": [group],
            "apiVersions": [version],
            "operations": operations,
            "resources": resources,
            "scope": "Namespaced",
        })
    };
    let workloads = ["CREATE", "UPDATE"];
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": format!("{name}.webhook.keyporter.dev"),
            "clientConfig": {"url": url, "caBundle": objects::ca_bundle(certificate)},
            "namespaceSelector": {
                "matchLabels": {"keyporter.dev/inject": "enabled"},
                "matchExpressions": expressions,
            },
            "rules": [
                rule("", "v1", &["CREATE"], &["pods"]),
                rule("apps", "v1", &workloads, &["deployments", "statefulsets", "daemonsets", "replicasets"]),
                rule("", "v1", &workloads, &["replicationcontrollers"]),
                rule("batch", "v1", &workloads, &["jobs", "cronjobs"]),
                rule("jobset.x-k8s.io", "*", &workloads, &["jobsets"]),
            ],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        }],
    })
}
