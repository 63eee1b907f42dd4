//! The built `keyporter` binary as a process, and its webhook configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use data_encoding::BASE64;
use keyporter::documents::Documents;
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
/// A `keyporter serve` on fixed ports of loopback, running or stopped.
pub(crate) struct Keyporter {
    binary: PathBuf,
    folder: PathBuf,
    kubeconfig: PathBuf,
    certificate: String,
    port: u16,
    admin_port: u16,
    flags: Vec<String>,
    process: Option<Process>,
}

impl Keyporter {
    /// Starts `binary` as the webhook of `plane` and returns when it is ready; `name` tells several apart.
    pub(crate) async fn start(plane: &ControlPlane, binary: &Path, name: &str) -> Result<Self> {
        Self::start_with(plane, binary, name, &[]).await
    }

    /// The same with more `flags` of `serve`.
    pub(crate) async fn start_with(
        plane: &ControlPlane,
        binary: &Path,
        name: &str,
        flags: &[&str],
    ) -> Result<Self> {
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
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
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
            .args(["--trusted-controller", JOBSET_CONTROLLER])
            .args(&self.flags);
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
        let address = format!("127.0.0.1:{}", self.port);
        let configuration = configuration(name, &address, &self.certificate, requirement)?;
        objects::create(admin, configuration).await?;
        Ok(())
    }
}

/// Gives the process the rights that it has in an installation, and no more: those of `deploy/examples/rbac.yaml`.
pub(crate) async fn prepare(plane: &ControlPlane) -> Result<()> {
    let admin = plane.admin();
    let role = example("rbac.yaml", |text| text)?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "keyporter"},
        "roleRef": {"kind": "ClusterRole", "name": role["metadata"]["name"], "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}],
    });
    objects::create(&admin, role).await?;
    objects::create(&admin, binding).await?;
    Ok(())
}

/// The configuration of `deploy/examples/webhook.yaml`, filled in as its comment says, under another name.
fn configuration(
    name: &str,
    address: &str,
    certificate: &str,
    requirement: Option<Value>,
) -> Result<Value> {
    let mut configuration = example("webhook.yaml", |text| {
        let text = text.replace("ADDRESS:8443", address);
        text.replace("CA_BUNDLE", &BASE64.encode(certificate.as_bytes()))
    })?;
    configuration["metadata"]["name"] = name.into();
    let webhook = &mut configuration["webhooks"][0];
    webhook["name"] = format!("{name}.keyporter.dev").into();
    let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array_mut();
    expressions
        .ok_or("the example has no namespace selector")?
        .extend(requirement);
    Ok(configuration)
}

/// The first document of a file in `deploy/examples`, its text changed before it is read.
fn example(file: &str, change: impl FnOnce(String) -> String) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/examples")
        .join(file);
    let text = change(fs::read_to_string(path)?);
    let documents = Documents::split(&text);
    let document = documents.iter().next().ok_or("the example is empty")?;
    Ok(document.value(file)?)
}
