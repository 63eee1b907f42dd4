//! The one node: containerd, kubelet, kube-proxy and kube-scheduler as child processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    command,
    enclosure::{self, ADDRESS},
    image, images,
    registry::Registry,
    requirements::Requirements,
    support::{Result, control_plane::ControlPlane, process::Process, wait_for},
};

/// What the node is called.
const NAME: &str = "node";
/// Where containerd listens.
const SOCKET: &str = "/run/containerd/containerd.sock";
/// Long enough for a busy machine; a process that died is noticed at once.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Running programs of a node; dropping it ends them.
pub(crate) struct Node {
    processes: Vec<Process>,
}

impl Node {
    /// Starts everything and returns when pods can be scheduled to it.
    pub(crate) async fn start(plane: &ControlPlane, requirements: &Requirements) -> Result<Self> {
        let folder = plane.folder().join("node");
        fs::create_dir(&folder)?;
        let setup = Setup {
            plane,
            requirements,
            folder,
        };
        let mut node = Self {
            processes: Vec::new(),
        };
        node.add(&setup, "containerd", &mut setup.containerd()?)?;
        wait_for("containerd", READY_WITHIN, async || {
            node.check()?;
            Ok(ctr(&["version"]).ok())
        })
        .await?;
        let archive = setup.folder.join("images.tar");
        images::write(&archive)?;
        ctr(&["image", "import", &archive.to_string_lossy()])?;
        fs::remove_file(archive)?;
        ctr(&["image", "import", &image::archive()?.to_string_lossy()])?;

        node.add(&setup, "kubelet", &mut setup.kubelet()?)?;
        node.add(&setup, "kube-proxy", &mut setup.kube_proxy()?)?;
        node.add(&setup, "kube-scheduler", &mut setup.kube_scheduler()?)?;
        let nodes: Api<NodeObject> = Api::all(plane.admin());
        wait_for("the node to take pods", READY_WITHIN, async || {
            node.check()?;
            let object = nodes.get_opt(NAME).await?;
            Ok(object.filter(takes_pods))
        })
        .await
        .map_err(|error| format!("{error}. Its last lines:\n{}", node.tails()))?;
        Ok(node)
    }

    fn add(&mut self, setup: &Setup, name: &str, command: &mut Command) -> Result<()> {
        let log = setup.folder.join(format!("{name}.log"));
        self.processes.push(Process::start(name, command, &log)?);
        Ok(())
    }

    /// An error if one of its programs ended.
    fn check(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// What its programs printed last.
    fn tails(&self) -> String {
        self.processes
            .iter()
            .map(|process| process.tail(15))
            .collect()
    }
}

/// Ready, and without the taints that say it is not.
fn takes_pods(node: &NodeObject) -> bool {
    let conditions = node.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    ready && taints.is_none_or(Vec::is_empty)
}

/// containerd's own client, for the images and containers of the kubelet.
pub(crate) fn ctr(arguments: &[&str]) -> Result<String> {
    let own = ["--address", SOCKET, "--namespace", "k8s.io"];
    command::run("ctr", &[&own, arguments].concat())
}

struct Setup<'a> {
    plane: &'a ControlPlane,
    requirements: &'a Requirements,
    folder: PathBuf,
}

impl Setup<'_> {
    fn containerd(&self) -> Result<Command> {
        let networks = self.folder.join("cni");
        fs::create_dir(&networks)?;
        self.write(
            "cni/pods.conflist",
            &json!({
                "cniVersion": "0.4.0",
                "name": "pods",
                "plugins": [{
                    "type": "bridge",
                    "bridge": "pods",
                    "isGateway": true,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": "10.88.0.0/24"}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }],
            }),
        )?;
        let registries = self.folder.join("registries");
        Registry::configure(&registries)?;
        let root = self.folder.join("containerd");
        // Not every machine lets root make processes harder to end than root's own, which containers would be otherwise. A
        // profile of AppArmor would stay loaded.
        let configuration = format!(
            r#"
            version = 2
            root = "{}"
            [plugins."io.containerd.grpc.v1.cri"]
            restrict_oom_score_adj = true
            disable_apparmor = true
            sandbox_image = "{}"
            [plugins."io.containerd.grpc.v1.cri".cni]
            bin_dir = "{}"
            conf_dir = "{}"
            [plugins."io.containerd.grpc.v1.cri".registry]
            config_path = "{}"
            "#,
            root.display(),
            images::PAUSE,
            self.requirements.plugins.display(),
            networks.display(),
            registries.display(),
        );
        let path = self.folder.join("containerd.toml");
        fs::write(&path, configuration)?;
        let mut command = Command::new("containerd");
        command
            .arg("--config")
            .arg(path)
            .args(["--address", SOCKET]);
        Ok(command)
    }

    fn kubelet(&self) -> Result<Command> {
        let credentials = self
            .plane
            .authority()
            .server(&[NAME, &ADDRESS.to_string()])?;
        fs::write(self.folder.join("tls.crt"), credentials.certificate)?;
        fs::write(self.folder.join("tls.key"), credentials.key)?;
        let resolver = self.folder.join("resolv.conf");
        fs::write(&resolver, "")?;
        let configuration = self.write(
            "kubelet.json",
            &json!({
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "authentication": {"x509": {"clientCAFile": self.plane.folder().join("ca.crt")}},
                "tlsCertFile": self.folder.join("tls.crt"),
                "tlsPrivateKeyFile": self.folder.join("tls.key"),
                "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
                "resolvConf": resolver,
                // Nobody answers there; without any, the kubelet complains about every pod.
                "clusterDNS": ["10.0.0.10"],
                // Below a cgroup of the run, in whatever version of cgroups the machine has.
                "cgroupDriver": "cgroupfs",
                "cgroupRoot": enclosure::cgroup()?,
                "failCgroupV1": false,
                "enforceNodeAllocatable": [],
                "failSwapOn": false,
                // A full disk or busy machine is no reason to put pods out here.
                "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
                "imageGCHighThresholdPercent": 100,
            }),
        )?;
        let mut command = self.built("kubelet");
        let user = format!("system:node:{NAME}");
        command
            .arg(self.kubeconfig(&user, Some("system:nodes"))?)
            .arg(format!("--config={}", configuration.display()))
            .arg(format!("--hostname-override={NAME}"))
            .arg(format!("--node-ip={ADDRESS}"));
        Ok(command)
    }

    fn kube_proxy(&self) -> Result<Command> {
        let mut command = self.built("kube-proxy");
        command
            .arg(self.kubeconfig("system:kube-proxy", None)?)
            .arg(format!("--hostname-override={NAME}"))
            .arg("--proxy-mode=nftables")
            // Those limits are the whole machine's.
            .args([
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
                "--conntrack-tcp-timeout-close-wait=0",
            ]);
        Ok(command)
    }

    fn kube_scheduler(&self) -> Result<Command> {
        let mut command = self.built("kube-scheduler");
        command
            .arg(self.kubeconfig("system:kube-scheduler", None)?)
            .args(["--leader-elect=false", "--secure-port=0"]);
        Ok(command)
    }

    fn built(&self, name: &str) -> Command {
        Command::new(self.requirements.programs.join(name))
    }

    fn kubeconfig(&self, user: &str, group: Option<&str>) -> Result<String> {
        let path = self.plane.kubeconfig(user, group)?;
        Ok(format!("--kubeconfig={}", path.display()))
    }

    fn write(&self, name: &str, value: &Value) -> Result<PathBuf> {
        let path: &Path = &self.folder.join(name);
        fs::write(path, serde_json::to_vec_pretty(value)?)?;
        Ok(path.to_owned())
    }
}
