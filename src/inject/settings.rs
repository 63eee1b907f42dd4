//! What the operator of a cluster sets once.

use std::collections::BTreeSet;

use super::entrants::Entrants;

/// Kubernetes' own workload controllers, which create pods for others and never for themselves. Service accounts of
/// `kube-system` where kube-controller-manager runs with `--use-service-account-credentials`, its own name elsewhere.
/// <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#controller-roles>
const KUBERNETES_CONTROLLERS: [&str; 8] = [
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:cronjob-controller",
    "system:serviceaccount:kube-system:daemon-set-controller",
    "system:serviceaccount:kube-system:deployment-controller",
    "system:serviceaccount:kube-system:job-controller",
    "system:serviceaccount:kube-system:replicaset-controller",
    "system:serviceaccount:kube-system:replication-controller",
    "system:serviceaccount:kube-system:statefulset-controller",
];

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
    /// Names of containers that get nothing: sidecars of other injectors.
    pub sidecars: BTreeSet<String>,
    /// Usernames of controllers whose pods belong to whoever the template's stamp names.
    pub trusted_controllers: BTreeSet<String>,
    /// Namespaces that are left alone.
    pub excluded_namespaces: BTreeSet<String>,
    /// Who may enter the running pods of others.
    pub entrants: Entrants,
}

impl Settings {
    /// Whether this username is that of a controller that acts for others.
    #[must_use]
    pub fn trusts(&self, username: &str) -> bool {
        self.trusted_controllers.contains(username)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            mount_root: MOUNT_ROOT.to_owned(),
            sidecars: set(&SIDECARS),
            trusted_controllers: set(&KUBERNETES_CONTROLLERS),
            excluded_namespaces: set(&SYSTEM_NAMESPACES),
            entrants: Entrants::default(),
        }
    }
}
