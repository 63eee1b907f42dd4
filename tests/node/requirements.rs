//! What a node is made of, and what of it this machine lacks.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    enclosure::{self, Enclosure},
    support::{control_plane::Binaries, helm},
};

/// Programs of Debian packages: those of `make node-packages`, and those of every Debian.
const PROGRAMS: [&str; 15] = [
    "buildah",
    "busybox",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "git",
    "ip",
    "ldd",
    "mount",
    "nft",
    "runc",
    "ssh",
    "ssh-keygen",
    "sshd",
    "unshare",
];
/// The network plugins that give pods their addresses.
const PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];
/// Where distributions put them.
const PLUGIN_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
/// What `programs/build.sh` builds.
const BUILT: [&str; 3] = ["kube-proxy", "kube-scheduler", "kubelet"];

/// Everything that a node is made of.
#[derive(Clone)]
pub(crate) struct Requirements {
    /// The control plane.
    pub(crate) binaries: Binaries,
    /// The folder with kubelet, kube-proxy and kube-scheduler.
    pub(crate) programs: PathBuf,
    /// The folder with the network plugins.
    pub(crate) plugins: PathBuf,
}

impl Requirements {
    /// Looks for everything and starts nothing; the error lists what is missing.
    pub(crate) fn find() -> Result<Self, Vec<String>> {
        let mut missing = Vec::new();
        if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            missing.push("root".to_owned());
        }
        missing.extend(
            PROGRAMS
                .iter()
                .filter(|name| !folders().any(|folder| folder.join(name).is_file()))
                .map(|name| (*name).to_owned()),
        );
        let plugins = PLUGIN_FOLDERS
            .iter()
            .map(Path::new)
            .find(|folder| PLUGINS.iter().all(|name| folder.join(name).is_file()));
        if plugins.is_none() {
            missing.push("CNI plugins".to_owned());
        }
        let programs = built_programs();
        missing.extend(
            BUILT
                .iter()
                .map(|name| programs.join(name))
                .filter(|path| !path.is_file())
                .map(|path| path.display().to_string()),
        );
        if let Err(error) = helm::find() {
            missing.push(format!("Helm ({error})"));
        }
        let binaries = Binaries::find();
        if let Err(error) = &binaries {
            missing.push(format!("a control plane ({error})"));
        }
        let (Ok(binaries), Some(plugins), true) = (binaries, plugins, missing.is_empty()) else {
            return Err(missing);
        };
        if !binaries.has_controllers() {
            return Err(vec!["kube-controller-manager".to_owned()]);
        }
        if Enclosure::entered().is_none()
            && let Err(error) = enclosure::is_possible()
        {
            return Err(vec![format!("namespaces and cgroups ({error})")]);
        }
        Ok(Self {
            binaries,
            programs,
            plugins: plugins.to_owned(),
        })
    }
}

/// The search path, with the folders that only root has in it.
pub(crate) fn folders() -> impl Iterator<Item = PathBuf> {
    let own = env::var_os("PATH").unwrap_or_default();
    let own: Vec<PathBuf> = env::split_paths(&own).collect();
    own.into_iter()
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
}

fn built_programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/programs/build.sh");
    let printed = Command::new(script).arg("--print-folder").output();
    let printed = printed.map(|output| output.stdout).unwrap_or_default();
    PathBuf::from(String::from_utf8_lossy(&printed).trim())
}
