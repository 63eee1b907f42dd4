//! Names of users and groups that stand for nobody in particular: what is granted to one is granted to any tenant.
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#users-in-kubernetes>

/// Groups that the API server puts everybody in, or every service account.
const GROUPS: [&str; 3] = [
    "system:authenticated",
    "system:serviceaccounts",
    "system:unauthenticated",
];

/// The name of whoever does not say who they are.
pub(super) const ANONYMOUS: &str = "system:anonymous";

/// Whether a group of this name holds everybody.
pub(super) fn holds_everybody(group: &str) -> bool {
    GROUPS.contains(&group)
}
