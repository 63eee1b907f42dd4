//! The real Helm, as an administrator, on the chart of `deploy/helm/keyporter`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Result,
    control_plane::{ADMIN, ControlPlane},
    kubectl::Outcome,
};

/// The chart.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/helm/keyporter");

/// The program that `tests/chart-tools/build.sh` built.
pub(crate) fn find() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart-tools/build.sh");
    let output = Command::new(&script).arg("--print-folder").output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let path = folder.join("helm");
    if !path.is_file() {
        return Err(format!("{} is missing", path.display()).into());
    }
    Ok(path)
}

/// Helm in one namespace, with nothing of the machine's own settings.
pub(crate) struct Helm {
    binary: PathBuf,
    kubeconfig: Option<PathBuf>,
    folder: PathBuf,
    namespace: String,
}

impl Helm {
    /// What Helm keeps for itself goes to `folder`. Without a kubeconfig it can only render.
    pub(crate) fn new(folder: &Path, kubeconfig: Option<&Path>, namespace: &str) -> Result<Self> {
        Ok(Self {
            binary: find()?,
            kubeconfig: kubeconfig.map(ToOwned::to_owned),
            folder: folder.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    /// The administrator's, on a cluster.
    pub(crate) fn of_admin(plane: &ControlPlane, namespace: &str) -> Result<Self> {
        let kubeconfig = plane.kubeconfig(ADMIN, Some("system:masters"))?;
        Self::new(&plane.folder().join("helm"), Some(&kubeconfig), namespace)
    }

    /// Runs `helm ARGUMENTS`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(&self.binary);
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.folder.join(variable));
        }
        command.env_remove("KUBECONFIG");
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        let output = command
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .output()?;
        Ok(Outcome {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The objects that the chart becomes, as YAML.
    pub(crate) fn template(&self, arguments: &[&str]) -> Result<String> {
        let all = [&["template", "keyporter", CHART][..], arguments].concat();
        self.run(&all)?.ok()
    }
}
