//! etcd, kube-apiserver and kube-controller-manager as child processes on loopback.

use std::{
    collections::HashMap,
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::KeyPair;
use serde_json::json;
use tempfile::TempDir;

use super::{Result, authority::Authority, kubectl::Kubectl, process::Process, wait_for};

/// The user that administers the test cluster.
pub(crate) const ADMIN: &str = "admin";

/// Long enough for a busy machine; a process that died is noticed at once.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Where the programs of the control plane are.
#[derive(Clone)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Those in `KUBEBUILDER_ASSETS` or, without it, those that `tests/control-plane/build.sh` built.
    pub(crate) fn find() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane/build.sh");
        let output = Command::new(&script).arg("--print-folder").output()?;
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            let path = folder.join(name);
            if !path.is_file() {
                return Err(format!("{} is missing", path.display()).into());
            }
        }
        Ok(Self { folder })
    }

    /// Whether Jobs and Deployments can make pods: a folder of envtest has no kube-controller-manager.
    pub(crate) fn has_controllers(&self) -> bool {
        self.path("kube-controller-manager").is_file()
    }

    /// A file next to the programs that not every folder has.
    pub(crate) fn find_file(&self, name: &str) -> Option<PathBuf> {
        Some(self.path(name)).filter(|path| path.is_file())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// What the nodes of a control plane are.
#[derive(Clone, Copy)]
pub(crate) enum Nodes {
    /// Objects that nobody works on.
    Objects,
    /// Machines with a kubelet, which reach the API server at this address of the machine's own.
    Kubelets(Ipv4Addr),
}

/// A running control plane; dropping it ends every process of it.
pub(crate) struct ControlPlane {
    /// Before what it works with.
    controllers: Option<Process>,
    /// Before what it works with.
    api_server: Mutex<ApiServer>,
    etcd: Process,
    server: String,
    admin: Client,
    users: Mutex<HashMap<(String, Option<String>), PathBuf>>,
    authority: Authority,
    binaries: Binaries,
    folder: TempDir,
}

/// One that can be started again.
struct ApiServer {
    command: Command,
    process: Option<Process>,
}

impl ControlPlane {
    /// Starts the processes and returns when the API server is ready and the controllers work.
    pub(crate) async fn start(binaries: Binaries) -> Result<Self> {
        Self::start_for(binaries, Nodes::Objects).await
    }

    /// The same for `nodes` of another sort.
    pub(crate) async fn start_for(binaries: Binaries, nodes: Nodes) -> Result<Self> {
        Self::start_with(binaries, nodes, &[]).await
    }

    /// The same, with more flags of kube-apiserver.
    pub(crate) async fn start_with(
        binaries: Binaries,
        nodes: Nodes,
        flags: &[String],
    ) -> Result<Self> {
        let mut last = None;
        for _ in 0..3 {
            match Self::start_once(binaries.clone(), nodes, flags).await {
                // Between our asking for a free port and its use another process may have taken it.
                Err(error) if error.to_string().contains("address already in use") => {
                    last = Some(error);
                }
                outcome => return outcome,
            }
        }
        Err(last.unwrap_or_else(|| "no attempt was made".into()))
    }

    async fn start_once(binaries: Binaries, nodes: Nodes, flags: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("keyporter-cluster-")
            .tempdir()?;
        let authority = Authority::new("test-cluster")?;
        write_credentials(folder.path(), &authority, nodes)?;
        let [etcd, peers, secure] = free_ports()?;
        let server = format!("https://127.0.0.1:{secure}");
        let controllers = binaries.has_controllers();

        let start = |name: &str, command: &mut Command| {
            Process::start(name, command, &folder.path().join(format!("{name}.log")))
        };
        let etcd_command = &mut etcd_command(&binaries, folder.path(), etcd, peers);
        let etcd_process = start("etcd", etcd_command)?;
        let mut command = api_server_command(&binaries, folder.path(), etcd, secure, controllers);
        command.args(nodes.api_server_flags(folder.path()));
        command.args(flags);
        let process = start("kube-apiserver", &mut command)?;

        let kubeconfig = write_kubeconfig(
            folder.path(),
            &server,
            &authority,
            ADMIN,
            Some("system:masters"),
        )?;
        let admin = client_from(&kubeconfig).await?;
        let mut plane = Self {
            controllers: None,
            api_server: Mutex::new(ApiServer {
                command,
                process: Some(process),
            }),
            etcd: etcd_process,
            server,
            admin,
            users: Mutex::default(),
            authority,
            binaries,
            folder,
        };
        plane.wait_until_ready().await?;
        if controllers {
            plane.start_controllers(nodes).await?;
        }
        Ok(plane)
    }

    /// Returns when the API server is ready.
    async fn wait_until_ready(&mut self) -> Result<()> {
        let admin = self.admin.clone();
        wait_for("the API server to be ready", READY_WITHIN, async || {
            self.check()?;
            let request = axum::http::Request::get("/readyz").body(Vec::new())?;
            Ok(admin.request_text(request).await.ok())
        })
        .await?;
        Ok(())
    }

    async fn start_controllers(&mut self, nodes: Nodes) -> Result<()> {
        let user = "system:kube-controller-manager";
        let kubeconfig = write_kubeconfig(
            self.folder.path(),
            &self.server,
            &self.authority,
            user,
            None,
        )?;
        let mut command = Command::new(self.binaries.path("kube-controller-manager"));
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            // So that the requesters are system:serviceaccount:kube-system:job-controller and so on.
            .arg("--use-service-account-credentials")
            .arg(file_flag(
                "--service-account-private-key-file",
                self.folder.path(),
                "sa.key",
            ))
            .arg(file_flag("--root-ca-file", self.folder.path(), "ca.crt"))
            .arg("--leader-elect=false")
            .arg("--secure-port=0")
            .arg(nodes.controllers_flag())
            .args(["--kube-api-qps=500", "--kube-api-burst=1000"]);
        let log = self.folder.path().join("kube-controller-manager.log");
        let process = Process::start("kube-controller-manager", &mut command, &log)?;
        self.controllers = Some(process);

        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin.clone(), "default");
        wait_for(
            "kube-controller-manager to make a service account",
            READY_WITHIN,
            async || {
                self.check()?;
                Ok(accounts.get_opt("default").await?)
            },
        )
        .await?;
        Ok(())
    }

    /// An error if one of its programs ended.
    fn check(&mut self) -> Result<()> {
        self.etcd.check()?;
        let api_server = self.api_server.get_mut();
        let api_server = api_server.unwrap_or_else(PoisonError::into_inner);
        api_server.process.iter_mut().try_for_each(Process::check)?;
        self.controllers.iter_mut().try_for_each(Process::check)
    }

    /// Ends the API server as an update does, and starts it again. It is not ready when this returns.
    pub(crate) fn restart_api_server(&self) -> Result<()> {
        let api_server = self.api_server.lock();
        let mut api_server = api_server.unwrap_or_else(PoisonError::into_inner);
        if let Some(mut process) = api_server.process.take() {
            // Watches keep it for a minute. Whoever runs one kills it after a while, as a drop does here.
            let _ended = process.terminate(Duration::from_secs(10));
        }
        let log = self.folder.path().join("kube-apiserver.log");
        let process = Process::start("kube-apiserver", &mut api_server.command, &log)?;
        api_server.process = Some(process);
        Ok(())
    }

    /// etcd, which a trial may signal.
    pub(crate) fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// Where its programs are.
    pub(crate) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Whether kube-controller-manager runs.
    pub(crate) fn has_controllers(&self) -> bool {
        self.binaries.has_controllers()
    }

    /// A client of the group `system:masters`, which may do everything.
    pub(crate) fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// A client that the API server takes for `user`, by a client certificate.
    pub(crate) async fn client(&self, user: &str) -> Result<Client> {
        client_from(&self.kubeconfig(user, None)?).await
    }

    /// A kubeconfig file of `user`, for kubectl and for `keyporter`.
    pub(crate) fn kubeconfig(&self, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (user.to_owned(), group.map(ToOwned::to_owned));
        if let Some(path) = users.get(&key) {
            return Ok(path.clone());
        }
        let path = write_kubeconfig(
            self.folder.path(),
            &self.server,
            &self.authority,
            user,
            group,
        )?;
        users.insert(key, path.clone());
        Ok(path)
    }

    /// The real kubectl as `user`; `ADMIN` is the administrator.
    pub(crate) fn kubectl(&self, user: &str) -> Result<Kubectl> {
        self.kubectl_of(user, (user == ADMIN).then_some("system:masters"))
    }

    /// The same as `user`, who is a member of `group`.
    pub(crate) fn kubectl_of(&self, user: &str, group: Option<&str>) -> Result<Kubectl> {
        let kubeconfig = self.kubeconfig(user, group)?;
        Ok(Kubectl::new(
            &self.binaries.path("kubectl"),
            &kubeconfig,
            &self.folder.path().join("kubectl-cache"),
        ))
    }

    /// The authority that webhooks of the tests get their certificates from.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A folder that lives as long as the control plane.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Nodes {
    fn api_server_flags(self, folder: &Path) -> Vec<String> {
        match self {
            Self::Objects => vec![
                "--bind-address=127.0.0.1".to_owned(),
                // Only written into the endpoints of the Service `kubernetes`, which nobody keeps here; loopback is refused.
                "--advertise-address=192.0.2.10".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
            ],
            Self::Kubelets(address) => vec![
                "--bind-address=0.0.0.0".to_owned(),
                format!("--advertise-address={address}"),
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
                // The API server picks one of a Service's pods itself, as where it has no kube-proxy beside it.
                "--enable-aggregator-routing=true".to_owned(),
                file_flag("--kubelet-certificate-authority", folder, "ca.crt"),
                file_flag("--kubelet-client-certificate", folder, "kubelet-client.crt"),
                file_flag("--kubelet-client-key", folder, "kubelet-client.key"),
            ],
        }
    }

    fn controllers_flag(self) -> &'static str {
        match self {
            // Without a heartbeat nodes would lose their pods.
            Self::Objects => {
                "--controllers=*,-node-lifecycle-controller,-node-ipam-controller,-node-route-controller"
            }
            // The nodes' own network gives pods their addresses.
            Self::Kubelets(_) => "--controllers=*,-node-ipam-controller,-node-route-controller",
        }
    }

    /// By what addresses the API server is called.
    fn server_names(self) -> Vec<String> {
        let mut names: Vec<String> = ["127.0.0.1", "localhost", "kubernetes.default.svc"]
            .map(ToOwned::to_owned)
            .into();
        if let Self::Kubelets(address) = self {
            // The Service `kubernetes` has the first address of its range.
            names.extend([address.to_string(), "10.0.0.1".to_owned()]);
        }
        names
    }
}

/// Ports of loopback that nobody listened on a moment ago.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    // All stay taken until the last is known, so that they differ.
    let mut listeners = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn etcd_command(binaries: &Binaries, folder: &Path, clients: u16, peers: u16) -> Command {
    let clients = format!("http://127.0.0.1:{clients}");
    let peers = format!("http://127.0.0.1:{peers}");
    let mut command = Command::new(binaries.path("etcd"));
    command
        .arg(file_flag("--data-dir", folder, "etcd"))
        .arg("--unsafe-no-fsync")
        .arg("--log-level=warn")
        .arg(format!("--listen-client-urls={clients}"))
        .arg(format!("--advertise-client-urls={clients}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=default={peers}"));
    command
}

fn api_server_command(
    binaries: &Binaries,
    folder: &Path,
    etcd: u16,
    secure: u16,
    controllers: bool,
) -> Command {
    let mut command = Command::new(binaries.path("kube-apiserver"));
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--secure-port={secure}"))
        .arg(file_flag("--tls-cert-file", folder, "server.crt"))
        .arg(file_flag("--tls-private-key-file", folder, "server.key"))
        .arg(file_flag("--client-ca-file", folder, "ca.crt"))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(file_flag("--service-account-key-file", folder, "sa.pub"))
        .arg(file_flag(
            "--service-account-signing-key-file",
            folder,
            "sa.key",
        ))
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        .arg("--authorization-mode=Node,RBAC")
        .arg("--enable-admission-plugins=NodeRestriction")
        .arg("--allow-privileged=true");
    if !controllers {
        // Nobody makes the account `default` then, and this plugin would refuse every pod.
        command.arg("--disable-admission-plugins=ServiceAccount");
    }
    command
}

fn file_flag(flag: &str, folder: &Path, name: &str) -> String {
    format!("{flag}={}", folder.join(name).display())
}

fn write_credentials(folder: &Path, authority: &Authority, nodes: Nodes) -> Result<()> {
    let names = nodes.server_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = authority.server(&names)?;
    let kubelet_client = authority.user("kube-apiserver", Some("system:masters"))?;
    let accounts = KeyPair::generate()?;
    fs::write(folder.join("ca.crt"), authority.certificate())?;
    fs::write(folder.join("server.crt"), server.certificate)?;
    fs::write(folder.join("server.key"), server.key)?;
    fs::write(
        folder.join("kubelet-client.crt"),
        kubelet_client.certificate,
    )?;
    fs::write(folder.join("kubelet-client.key"), kubelet_client.key)?;
    fs::write(folder.join("sa.key"), accounts.serialize_pem())?;
    fs::write(folder.join("sa.pub"), accounts.public_key_pem())?;
    Ok(())
}

/// Writes certificate, key and kubeconfig of a user; returns the path of the latter.
fn write_kubeconfig(
    folder: &Path,
    server: &str,
    authority: &Authority,
    user: &str,
    group: Option<&str>,
) -> Result<PathBuf> {
    let credentials = authority.user(user, group)?;
    let name = match group {
        Some(group) => format!("user-{user}-of-{group}"),
        None => format!("user-{user}"),
    };
    // In $KUBECONFIG a colon separates files.
    let folder = folder.join(name.replace(':', "%3A"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("tls.crt"), credentials.certificate)?;
    fs::write(folder.join("tls.key"), credentials.key)?;
    fs::write(folder.join("ca.crt"), authority.certificate())?;
    // JSON is YAML.
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": server,
            "certificate-authority": folder.join("ca.crt"),
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": folder.join("tls.crt"),
            "client-key": folder.join("tls.key"),
        }}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    });
    let path = folder.join("kubeconfig");
    fs::write(&path, serde_json::to_vec_pretty(&kubeconfig)?)?;
    Ok(path)
}

async fn client_from(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
