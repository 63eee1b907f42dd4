//! The built `keyporter` binary as a process, and its webhook configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use data_encoding::BASE64;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use keyporter::documents::Documents;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};

use super::{
    Result,
    control_plane::{ControlPlane, free_ports},
    http_get,
    jobset::JOBSET_CONTROLLER,
    objects,
    policies::STAMPED_BY_WEBHOOK,
    process::Process,
    wait_for,
};

/// Who the API server takes the process for.
pub(crate) const USER: &str = "system:serviceaccount:keyporter-system:keyporter";
/// Who acts for others by the kind `Training`, where a trial defines that.
pub(crate) const OPERATOR: &str = "system:serviceaccount:training-system:operator";

/// A `keyporter serve` on fixed ports of loopback, running or stopped.
pub(crate) struct Keyporter {
    binary: PathBuf,
    folder: PathBuf,
    kubeconfig: PathBuf,
    /// The flags that say where its certificates come from.
    origin: Vec<String>,
    /// The CA that configurations are told; of self-managed certificates nothing.
    certificate: String,
    port: u16,
    admin_port: u16,
    flags: Vec<String>,
    process: Option<Process>,
}

impl Keyporter {
    /// Starts `binary` as the webhook of `plane` and returns when it is ready; `name` tells several apart.
    pub(crate) async fn start(plane: &ControlPlane, binary: &Path, name: &str) -> Result<Self> {
        Self::start_as(plane, binary, name, USER, &[]).await
    }

    /// The same with more `flags` of `serve`.
    pub(crate) async fn start_with(
        plane: &ControlPlane,
        binary: &Path,
        name: &str,
        flags: &[&str],
    ) -> Result<Self> {
        Self::start_as(plane, binary, name, USER, flags).await
    }

    /// The same with the rights of `user`.
    pub(crate) async fn start_as(
        plane: &ControlPlane,
        binary: &Path,
        name: &str,
        user: &str,
        flags: &[&str],
    ) -> Result<Self> {
        let keyporter = Self::new(plane, binary, name, user, flags)?;
        keyporter.start_certified(plane).await
    }

    /// The same as whoever this kubeconfig names.
    pub(crate) async fn start_through(
        plane: &ControlPlane,
        binary: &Path,
        name: &str,
        kubeconfig: &Path,
    ) -> Result<Self> {
        let mut keyporter = Self::new(plane, binary, name, USER, &[])?;
        keyporter.kubeconfig = kubeconfig.to_owned();
        keyporter.start_certified(plane).await
    }

    /// Starts with a certificate of the plane's authority.
    async fn start_certified(mut self, plane: &ControlPlane) -> Result<Self> {
        let folder = &self.folder;
        let credentials = plane.authority().server(&["127.0.0.1", "localhost"])?;
        fs::write(folder.join("tls.crt"), credentials.certificate)?;
        fs::write(folder.join("tls.key"), credentials.key)?;
        self.origin = vec!["--cert-dir".to_owned(), folder.display().to_string()];
        self.certificate = plane.authority().certificate();
        self.start_again().await?;
        Ok(self)
    }

    /// One that does not run yet, and keeps its certificates itself, and those of `configurations`.
    pub(crate) fn self_managed(
        plane: &ControlPlane,
        binary: &Path,
        name: &str,
        user: &str,
        configurations: &[String],
        flags: &[&str],
    ) -> Result<Self> {
        let mut keyporter = Self::new(plane, binary, name, user, flags)?;
        let fixed = ["--certificates", "self-managed", "--host", "127.0.0.1"].map(str::to_owned);
        let named = configurations
            .iter()
            .flat_map(|it| ["--webhook-configuration".to_owned(), it.clone()]);
        keyporter.origin = fixed.into_iter().chain(named).collect();
        Ok(keyporter)
    }

    /// One that does not run yet, and reads its certificates from a folder that somebody else fills.
    pub(crate) fn with_files(
        plane: &ControlPlane,
        binary: &Path,
        name: &str,
        user: &str,
        certificates: &Path,
    ) -> Result<Self> {
        let mut keyporter = Self::new(plane, binary, name, user, &[])?;
        keyporter.origin = vec!["--cert-dir".to_owned(), certificates.display().to_string()];
        Ok(keyporter)
    }

    fn new(
        plane: &ControlPlane,
        binary: &Path,
        name: &str,
        user: &str,
        flags: &[&str],
    ) -> Result<Self> {
        let folder = plane.folder().join(name);
        fs::create_dir_all(&folder)?;
        let [port, admin_port] = free_ports()?;
        Ok(Self {
            binary: binary.to_owned(),
            folder,
            kubeconfig: plane.kubeconfig(user, None)?,
            origin: Vec::new(),
            certificate: String::new(),
            port,
            admin_port,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            process: None,
        })
    }

    /// Starts it on the same ports as before and returns when it is ready.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_until_ready().await
    }

    /// Starts it on the same ports as before.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command
            .env_remove("KUBECONFIG")
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--admin-listen", &format!("127.0.0.1:{}", self.admin_port)])
            .args(&self.origin)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args([
                "--trusted-controller",
                &format!("{JOBSET_CONTROLLER}=JobSet.jobset.x-k8s.io"),
            ])
            .args([
                "--trusted-controller",
                &format!("{OPERATOR}=Training.tests.keyporter.dev"),
            ])
            .args(&self.flags);
        self.process = Some(Process::start(
            "keyporter",
            &mut command,
            &self.folder.join("keyporter.log"),
        )?);
        Ok(())
    }

    /// Returns when it is ready.
    pub(crate) async fn wait_until_ready(&mut self) -> Result<()> {
        let admin_port = self.admin_port;
        let process = self.process.as_mut().ok_or("keyporter does not run")?;
        let ready = wait_for(
            "keyporter to be ready",
            Duration::from_secs(20),
            async || {
                process.check()?;
                Ok(http_get(admin_port, "/readyz")
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
        Ok(())
    }

    /// What it says of its readiness, status line first.
    pub(crate) fn readiness(&self) -> Result<String> {
        http_get(self.admin_port, "/readyz")
    }

    /// Where it can be called.
    pub(crate) fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The port of that address.
    pub(crate) fn port(&self) -> u16 {
        self.port
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

    /// Has the API server call it for every opted-in namespace that also meets `requirement`, as
    /// `deploy/examples/webhook.yaml` does.
    ///
    /// A requirement is one entry of a label selector's `matchExpressions`.
    pub(crate) async fn register(
        &self,
        admin: &Client,
        name: &str,
        requirement: Option<Value>,
    ) -> Result<()> {
        for mut configuration in self.configurations("webhook.yaml")? {
            configuration["metadata"]["name"] = name.into();
            // As an administrator adds a kind.
            if configuration["kind"] == "MutatingWebhookConfiguration"
                && let Some(rules) = configuration["webhooks"][0]["rules"].as_array_mut()
            {
                rules.push(json!({
                    "apiGroups": ["tests.keyporter.dev"],
                    "apiVersions": ["*"],
                    "resources": ["trainings"],
                    "operations": ["CREATE", "UPDATE"],
                }));
            }
            let webhooks = configuration["webhooks"].as_array_mut();
            for (number, webhook) in webhooks.into_iter().flatten().enumerate() {
                webhook["name"] = match number {
                    0 => format!("{name}.keyporter.dev").into(),
                    _ => format!("{name}-{number}.keyporter.dev").into(),
                };
                let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array_mut();
                expressions
                    .ok_or("the example has no namespace selector")?
                    .extend(requirement.clone());
            }
            objects::create(admin, configuration).await?;
        }
        Ok(())
    }

    /// Has the API server call it to write the owners of Secrets, as `deploy/examples/webhook-before-1.36.yaml` does, in
    /// the namespaces where no policy writes them.
    pub(crate) async fn register_before_1_36(&self, admin: &Client) -> Result<()> {
        for mut configuration in self.configurations("webhook-before-1.36.yaml")? {
            configuration["webhooks"][0]["namespaceSelector"] =
                json!({"matchExpressions": [{"key": STAMPED_BY_WEBHOOK, "operator": "Exists"}]});
            objects::create(admin, configuration).await?;
        }
        Ok(())
    }

    /// Has the API server call it by its address where configurations of this name have a Service. Who keeps its
    /// certificates itself keeps `caBundle`, too.
    pub(crate) async fn call_directly(&self, admin: &Client, name: &str) -> Result<()> {
        let mutating: Api<MutatingWebhookConfiguration> = Api::all(admin.clone());
        let validating: Api<ValidatingWebhookConfiguration> = Api::all(admin.clone());
        let address = |client: &mut WebhookClientConfig| {
            let service = client.service.take();
            let path = service.and_then(|service| service.path).unwrap_or_default();
            client.url = Some(format!("https://127.0.0.1:{}{path}", self.port));
            if !self.certificate.is_empty() {
                client.ca_bundle = Some(objects::ca_bundle(&self.certificate));
            }
        };
        let parameters = PostParams::default();
        let mut configuration = mutating.get(name).await?;
        let webhooks = configuration.webhooks.iter_mut().flatten();
        webhooks.for_each(|webhook| address(&mut webhook.client_config));
        mutating.replace(name, &parameters, &configuration).await?;
        let mut configuration = validating.get(name).await?;
        let webhooks = configuration.webhooks.iter_mut().flatten();
        webhooks.for_each(|webhook| address(&mut webhook.client_config));
        validating
            .replace(name, &parameters, &configuration)
            .await?;
        Ok(())
    }

    /// The configurations of a file in `deploy/examples`, filled in as its comment says.
    fn configurations(&self, file: &str) -> Result<Vec<Value>> {
        let certificate = BASE64.encode(self.certificate.as_bytes());
        let address = format!("127.0.0.1:{}", self.port);
        examples(file, |text| {
            let text = text.replace("ADDRESS:8443", &address);
            text.replace("CA_BUNDLE", &certificate)
        })
    }
}

/// Gives the process the rights that it has in an installation, and no more: those of `deploy/examples/rbac.yaml`.
pub(crate) async fn prepare(plane: &ControlPlane) -> Result<()> {
    allow(plane, "keyporter", USER, |_| ()).await
}

/// Gives `user` those rights, after a change.
pub(crate) async fn allow(
    plane: &ControlPlane,
    name: &str,
    user: &str,
    change: impl FnOnce(&mut Value),
) -> Result<()> {
    let admin = plane.admin();
    let mut change = Some(change);
    for mut document in examples("rbac.yaml", |text| text)? {
        let kind = document["kind"].as_str().unwrap_or_default().to_owned();
        if kind == "Namespace" {
            // Several of the tests' keyporters live in it.
            match objects::create(&admin, document).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                outcome => drop(outcome?),
            }
            continue;
        }
        document["metadata"]["name"] = name.into();
        if let Some(change) = change.take_if(|_| kind == "ClusterRole") {
            change(&mut document);
        }
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": format!("{kind}Binding"),
            "metadata": {"name": name, "namespace": document["metadata"]["namespace"]},
            "roleRef": {"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [objects::subject(user)],
        });
        objects::create(&admin, document).await?;
        objects::create(&admin, binding).await?;
    }
    Ok(())
}

/// Lets `user` keep keys and CA in this namespace, which is made for it.
pub(crate) async fn allow_own(plane: &ControlPlane, namespace: &str, user: &str) -> Result<()> {
    let admin = plane.admin();
    objects::create_namespace(&admin, namespace, json!({}), false).await?;
    let mut roles = examples("rbac.yaml", |text| text)?;
    roles.retain(|document| document["kind"] == "Role");
    for mut role in roles {
        role["metadata"]["namespace"] = namespace.into();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": role["metadata"],
            "roleRef": {
                "kind": "Role", "name": role["metadata"]["name"], "apiGroup": "rbac.authorization.k8s.io",
            },
            "subjects": [objects::subject(user)],
        });
        objects::create(&admin, role).await?;
        objects::create(&admin, binding).await?;
    }
    Ok(())
}

/// The documents of a file in `deploy/examples`, its text changed before it is read.
fn examples(file: &str, change: impl FnOnce(String) -> String) -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/examples")
        .join(file);
    let text = change(fs::read_to_string(path)?);
    let documents = Documents::split(&text);
    let values = documents.iter().map(|document| document.value(file));
    Ok(values.collect::<std::result::Result<_, _>>()?)
}
