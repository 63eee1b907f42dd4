//! Kubernetes itself: what it does to Secrets is nobody's wish and must not be hindered.

/// Who deletes what is in a namespace that goes, collects garbage, and encrypts anew what is stored. The first is the
/// name of all controllers where they have no accounts of their own. The files in `deploy` have the same list; a test
/// compares them.
pub const KUBERNETES_ITSELF: [&str; 4] = [
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:serviceaccount:kube-system:storage-version-migrator-controller",
];

/// Whether this username is one of Kubernetes' own.
#[must_use]
pub fn is_kubernetes_itself(username: &str) -> bool {
    KUBERNETES_ITSELF.contains(&username)
}
