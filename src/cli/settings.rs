//! Flags of the decision, the same for `serve` and `inject`.

use clap::Args;

use crate::inject::settings::{MOUNT_ROOT, Settings};

#[derive(Debug, Args)]
#[command(next_help_heading = "Injection")]
pub(super) struct SettingsArguments {
    /// Folder below which secrets of kind default are mounted
    #[arg(long, value_name = "PATH", default_value = MOUNT_ROOT, value_parser = mount_root)]
    mount_root: String,

    /// A container that gets nothing, beside the known sidecars of other injectors; may be repeated
    #[arg(long = "skip-container", value_name = "NAME")]
    sidecars: Vec<String>,

    /// Username of a controller that creates pods or workloads for others, beside those of Kubernetes: its objects
    /// belong to whom their template's stamp names. May be repeated
    ///
    /// Such as system:serviceaccount:jobset-system:jobset-controller-manager.
    #[arg(long = "trusted-controller", value_name = "USERNAME")]
    trusted_controllers: Vec<String>,

    /// A namespace that is left alone, beside those of Kubernetes and keyporter-system; may be repeated
    #[arg(long = "exclude-namespace", value_name = "NAMESPACE")]
    excluded_namespaces: Vec<String>,
}

impl SettingsArguments {
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings {
            mount_root: self.mount_root.clone(),
            ..Settings::default()
        };
        settings.sidecars.extend(self.sidecars.iter().cloned());
        settings
            .trusted_controllers
            .extend(self.trusted_controllers.iter().cloned());
        settings
            .excluded_namespaces
            .extend(self.excluded_namespaces.iter().cloned());
        settings
    }
}

fn mount_root(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    let parts = path
        .strip_prefix('/')
        .map(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    match parts {
        Some(true) if !path.contains(':') => Ok(path.to_owned()),
        _ => Err(
            "an absolute path is needed, without \".\", \"..\", \":\" and double slashes"
                .to_owned(),
        ),
    }
}
