//! What the operator of a cluster sets once.

use std::collections::BTreeSet;

use super::entrants::Entrants;
use super::identity::Identity;
use super::store::STORE;
use super::trust::Trust;

/// Containers that other injectors add for their own use. They need no secrets of ours.
const SIDECARS: [&str; 14] = [
    "consul-dataplane",
    "daprd",
    "gke-gcsfuse-metadata-prefetch",
    "gke-gcsfuse-sidecar",
    "istio-init",
    "istio-proxy",
    "istio-validation",
    "kuma-init",
    "kuma-sidecar",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
    "vault-agent",
    "vault-agent-init",
];

/// Namespaces in which nothing is injected, whatever their labels say: those of Kubernetes and keyporter's own.
const SYSTEM_NAMESPACES: [&str; 4] = [
    "keyporter-system",
    "kube-node-lease",
    "kube-public",
    "kube-system",
];

/// The default of [`Settings::mount_root`].
pub const MOUNT_ROOT: &str = "/konduktor/default-secrets";

/// The settings of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Folder below which secrets of kind `default` are mounted: absolute, without a slash at its end.
    pub mount_root: String,
    /// Name of the Secret that is a namespace's own store; that of a domain is called `<store>-<domain>`.
    pub store: String,
    /// Whether references mean anything; otherwise they stay the text that they are.
    pub references: bool,
    /// Names of containers that get nothing: sidecars of other injectors.
    pub sidecars: BTreeSet<String>,
    /// By what persons are told apart.
    pub identity: Identity,
    /// Controllers whose pods belong to whoever the template's stamp names.
    pub trust: Trust,
    /// Namespaces that are left alone.
    pub excluded_namespaces: BTreeSet<String>,
    /// Who may enter the running pods of others.
    pub entrants: Entrants,
}

impl Default for Settings {
    fn default() -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            mount_root: MOUNT_ROOT.to_owned(),
            store: STORE.to_owned(),
            references: true,
            sidecars: set(&SIDECARS),
            identity: Identity::default(),
            trust: Trust::default(),
            excluded_namespaces: set(&SYSTEM_NAMESPACES),
            entrants: Entrants::default(),
        }
    }
}
