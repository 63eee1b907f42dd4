//! Flags of the decision, the same for `serve` and `inject`.

use clap::{Args, ValueEnum};

use super::values::object;
use crate::inject::{
    identity::Identity,
    settings::{MOUNT_ROOT, Settings},
    store::STORE,
    trust::Grant,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Injection")]
pub(super) struct SettingsArguments {
    /// Folder below which secrets of kind default are mounted
    #[arg(long, value_name = "PATH", default_value = MOUNT_ROOT, value_parser = mount_root)]
    mount_root: String,

    /// What a namespace's own store of ${secrets.KEY} is called; that of a domain is called NAME-DOMAIN
    #[arg(long, value_name = "NAME", default_value = STORE, value_parser = object)]
    store: String,

    /// Leave references (secret:NAME, ${secrets.KEY} and the annotations that name secrets) as the text that they are
    #[arg(long)]
    no_references: bool,

    /// A container that gets nothing, beside the known sidecars of other injectors; may be repeated
    #[arg(long = "skip-container", value_name = "NAME")]
    sidecars: Vec<String>,

    /// By what persons are told apart
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    identity: IdentityArgument,

    /// A controller that creates pods or workloads for others, beside those of Kubernetes, with the kinds that it makes
    /// them from: they belong to whoever made the object. May be repeated
    ///
    /// Such as system:serviceaccount:jobset-system:jobset-controller-manager=JobSet.jobset.x-k8s.io. The webhook must be
    /// called for these kinds.
    #[arg(long = "trusted-controller", value_name = "USERNAME=KIND.GROUP,...")]
    trusted_controllers: Vec<Grant>,

    /// The same for all members of a group, such as system:serviceaccounts:NAMESPACE; may be repeated
    #[arg(long = "trusted-controller-group", value_name = "GROUP=KIND.GROUP,...")]
    trusted_groups: Vec<Grant>,

    /// A namespace that is left alone, beside those of Kubernetes and keyporter-system; may be repeated
    #[arg(long = "exclude-namespace", value_name = "NAMESPACE")]
    excluded_namespaces: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum IdentityArgument {
    /// By the username that the API server authenticated
    #[default]
    Authenticated,
    /// By the labels trainy.ai/user-id and trainy.ai/secret-owner that Konduktor's client writes, where all share one
    /// kubeconfig. Anybody may write anybody's: this keeps secrets apart and protects nothing
    Konduktor,
}

impl SettingsArguments {
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings {
            mount_root: self.mount_root.clone(),
            store: self.store.clone(),
            references: !self.no_references,
            identity: match self.identity {
                IdentityArgument::Authenticated => Identity::Authenticated,
                IdentityArgument::Konduktor => Identity::Konduktor,
            },
            ..Settings::default()
        };
        settings.sidecars.extend(self.sidecars.iter().cloned());
        for grant in &self.trusted_controllers {
            settings.trust.user(grant.clone());
        }
        for grant in &self.trusted_groups {
            settings.trust.group(grant.clone());
        }
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
