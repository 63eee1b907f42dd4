//! The real controllers of cert-manager as a child process, with their definitions.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Result,
    control_plane::{ADMIN, ControlPlane},
    process::Process,
    wait_for,
};

/// The folder that `tests/cert-manager/build.sh` filled.
pub(crate) fn find() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cert-manager/build.sh");
    let output = Command::new(&script).arg("--print-folder").output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    for name in ["cert-manager", "cert-manager-crds.yaml"] {
        let path = folder.join(name);
        if !path.is_file() {
            return Err(format!("{} is missing", path.display()).into());
        }
    }
    Ok(folder)
}

/// Running controllers; dropping them ends them.
pub(crate) struct CertManager {
    process: Process,
}

impl CertManager {
    /// Installs and starts them, with an administrator's rights; returns when their loops run.
    pub(crate) async fn start(plane: &ControlPlane) -> Result<Self> {
        let folder = find()?;
        let kubectl = plane.kubectl(ADMIN)?;
        let definitions = folder.join("cert-manager-crds.yaml");
        let definitions = definitions.to_string_lossy();
        // Server-side: the definitions are too long for the annotation that kubectl keeps otherwise.
        kubectl
            .run(&["apply", "--server-side", "-f", &definitions])?
            .ok()?;
        let within = Duration::from_secs(30);
        wait_for("cert-manager's kinds to be served", within, async || {
            let listed = kubectl.run(&["get", "certificates.cert-manager.io", "-A"])?;
            Ok(listed.success.then_some(()))
        })
        .await?;
        let mut command = Command::new(folder.join("cert-manager"));
        command
            .arg("--kubeconfig")
            .arg(plane.kubeconfig(ADMIN, Some("system:masters"))?);
        let log = plane.folder().join("cert-manager.log");
        let mut manager = Self {
            process: Process::start("cert-manager", &mut command, &log)?,
        };
        wait_for("cert-manager to be ready", within, async || {
            manager.process.check()?;
            let ready = manager.process.log().lines().any(|line| line == "ready");
            Ok(ready.then_some(()))
        })
        .await?;
        Ok(manager)
    }

    /// The last lines of what they said.
    pub(crate) fn tail(&self) -> String {
        self.process.tail(30)
    }
}
