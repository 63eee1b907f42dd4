//! Who acts for others: controllers, each with the kinds of objects that it makes pods (or further objects) from.
//!
//! A controller is trusted only for kinds whose creation keyporter sees: what it makes from anything else was decided by
//! nobody knows whom.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use thiserror::Error;

use super::everybody::{ANONYMOUS, holds_everybody};
use super::object::Kind;

/// Kubernetes' own workload controllers, which create pods for others and never for themselves. Service accounts of
/// `kube-system` where kube-controller-manager runs with `--use-service-account-credentials`, its own name elsewhere.
/// <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#controller-roles>
const KUBERNETES_CONTROLLERS: [(&str, &[Kind<'_>]); 8] = [
    ("system:kube-controller-manager", &KUBERNETES_KINDS),
    (
        "system:serviceaccount:kube-system:cronjob-controller",
        &[kind("batch", "CronJob")],
    ),
    (
        "system:serviceaccount:kube-system:daemon-set-controller",
        &[kind("apps", "DaemonSet")],
    ),
    (
        "system:serviceaccount:kube-system:deployment-controller",
        &[kind("apps", "Deployment")],
    ),
    (
        "system:serviceaccount:kube-system:job-controller",
        &[kind("batch", "Job")],
    ),
    (
        "system:serviceaccount:kube-system:replicaset-controller",
        &[Kind::REPLICA_SET],
    ),
    (
        "system:serviceaccount:kube-system:replication-controller",
        &[kind("", "ReplicationController")],
    ),
    (
        "system:serviceaccount:kube-system:statefulset-controller",
        &[kind("apps", "StatefulSet")],
    ),
];

const KUBERNETES_KINDS: [Kind<'_>; 7] = [
    kind("", "ReplicationController"),
    kind("apps", "DaemonSet"),
    kind("apps", "Deployment"),
    Kind::REPLICA_SET,
    kind("apps", "StatefulSet"),
    kind("batch", "CronJob"),
    kind("batch", "Job"),
];

const fn kind(group: &'static str, kind: &'static str) -> Kind<'static> {
    Kind { group, kind }
}

/// Whom the operator trusts, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    users: BTreeMap<String, Kinds>,
    groups: BTreeMap<String, Kinds>,
}

/// Kinds, and whether the operator named them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Kinds {
    all: BTreeSet<KindName>,
    configured: bool,
}

/// A kind by its name and group, as `JobSet.jobset.x-k8s.io`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindName {
    group: String,
    kind: String,
}

/// A controller, or several whose pods have the same owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// A username, or a group's name.
    pub name: String,
    /// What it makes pods or further objects from.
    pub kinds: Vec<KindName>,
}

/// Why somebody cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustError {
    /// No kinds are named.
    #[error(
        "{0:?} names no kinds; write NAME=KIND.GROUP[,KIND.GROUP...], such as \
         system:serviceaccount:jobset-system:jobset-controller-manager=JobSet.jobset.x-k8s.io"
    )]
    NoKinds(String),
    /// No name, or one that is meant as a pattern.
    #[error("{0:?} is no exact name of a user or group")]
    NotExact(String),
    /// A name that everybody has.
    #[error("{0:?} is everybody: whom that trusts is any tenant")]
    Everybody(String),
    /// Not a kind.
    #[error(
        "{0:?} is no kind; write KIND.GROUP, such as JobSet.jobset.x-k8s.io (without a group for Kubernetes' core)"
    )]
    NoKind(String),
}

impl FromStr for KindName {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        let is_kind = kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.chars().all(|c| c.is_ascii_alphanumeric());
        let is_group = group
            .split('.')
            .all(|part| part.is_empty() == group.is_empty())
            && group
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
        if !is_kind || !is_group || text.ends_with('.') {
            return Err(TrustError::NoKind(text.to_owned()));
        }
        Ok(Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
        })
    }
}

impl FromStr for Grant {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let (name, kinds) = text
            .rsplit_once('=')
            .ok_or_else(|| TrustError::NoKinds(text.to_owned()))?;
        if name.trim() != name || name.is_empty() || name.contains('*') {
            return Err(TrustError::NotExact(name.to_owned()));
        }
        if holds_everybody(name) || name == ANONYMOUS {
            return Err(TrustError::Everybody(name.to_owned()));
        }
        let kinds = kinds.split(',').map(str::trim);
        Ok(Self {
            name: name.to_owned(),
            kinds: kinds.map(KindName::from_str).collect::<Result<_, _>>()?,
        })
    }
}

impl KindName {
    fn as_kind(&self) -> Kind<'_> {
        Kind {
            group: &self.group,
            kind: &self.kind,
        }
    }
}

impl Trust {
    /// Trusts this user.
    pub fn user(&mut self, grant: Grant) {
        self.users.entry(grant.name).or_default().add(grant.kinds);
    }

    /// Trusts every member of this group.
    pub fn group(&mut self, grant: Grant) {
        self.groups.entry(grant.name).or_default().add(grant.kinds);
    }

    /// What this user is trusted with; `None` for everybody who acts for themselves.
    #[must_use]
    pub fn of<'g>(
        &self,
        username: &str,
        groups: impl IntoIterator<Item = &'g str>,
    ) -> Option<Trusted<'_>> {
        let mut kinds: Vec<_> = self.users.get(username).into_iter().collect();
        if !self.groups.is_empty() {
            kinds.extend(
                groups
                    .into_iter()
                    .filter_map(|group| self.groups.get(group)),
            );
        }
        (!kinds.is_empty()).then_some(Trusted(kinds))
    }

    /// Whether somebody makes pods or further objects from this kind.
    #[must_use]
    pub fn knows(&self, kind: Kind<'_>) -> bool {
        self.kinds().any(|known| known == kind)
    }

    /// All kinds that somebody makes pods or further objects from.
    pub fn kinds(&self) -> impl Iterator<Item = Kind<'_>> {
        let grants = self.users.values().chain(self.groups.values());
        grants.flat_map(|kinds| kinds.all.iter().map(KindName::as_kind))
    }

    /// Kinds that are rolled out as `ReplicaSets`: Deployments, and what the operator named.
    pub fn rolling(&self) -> impl Iterator<Item = Kind<'_>> {
        let grants = self.users.values().chain(self.groups.values());
        let configured = grants.filter(|kinds| kinds.configured);
        let configured = configured.flat_map(|kinds| kinds.all.iter().map(KindName::as_kind));
        std::iter::once(kind("apps", "Deployment")).chain(configured)
    }
}

impl Default for Trust {
    fn default() -> Self {
        let owned = |kind: &Kind<'_>| KindName {
            group: kind.group.to_owned(),
            kind: kind.kind.to_owned(),
        };
        let kinds = |kinds: &[Kind<'_>]| Kinds {
            all: kinds.iter().map(owned).collect(),
            configured: false,
        };
        Self {
            users: KUBERNETES_CONTROLLERS
                .iter()
                .map(|(name, list)| ((*name).to_owned(), kinds(list)))
                .collect(),
            groups: BTreeMap::new(),
        }
    }
}

impl Kinds {
    fn add(&mut self, kinds: Vec<KindName>) {
        self.all.extend(kinds);
        self.configured = true;
    }
}

/// What somebody is trusted with.
#[derive(Debug)]
pub struct Trusted<'a>(Vec<&'a Kinds>);

impl Trusted<'_> {
    /// Whether what it makes from an object of this kind belongs to that object's owner.
    #[must_use]
    pub fn makes_from(&self, kind: Kind<'_>) -> bool {
        self.0.iter().any(|kinds| kinds.has(kind))
    }

    /// Whether the object may know its owner where the template does not: Kubernetes' own controllers copy the template,
    /// with its stamp; others may make one of their own.
    #[must_use]
    pub fn follows(&self, kind: Kind<'_>) -> bool {
        self.0
            .iter()
            .any(|kinds| kinds.configured && kinds.has(kind))
    }
}

impl Kinds {
    fn has(&self, kind: Kind<'_>) -> bool {
        self.all.iter().any(|known| known.as_kind() == kind)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const JOB_SET: Kind<'_> = kind("jobset.x-k8s.io", "JobSet");
    const JOB: Kind<'_> = kind("batch", "Job");

    #[rstest]
    #[case::a_user_with_colons(
        "system:serviceaccount:jobset-system:controller=JobSet.jobset.x-k8s.io",
        Some(1)
    )]
    #[case::several("argo=Workflow.argoproj.io, CronWorkflow.argoproj.io", Some(2))]
    #[case::of_the_core("legacy=ReplicationController", Some(1))]
    #[case::an_equals_sign_in_the_name("CN=argo=Workflow.argoproj.io", Some(1))]
    #[case::no_kinds("argo", None)]
    #[case::empty_kinds("argo=", None)]
    #[case::a_resource("argo=workflows.argoproj.io", None)]
    #[case::a_dot_too_many("argo=Workflow..io", None)]
    #[case::a_dot_at_the_end("argo=Workflow.", None)]
    #[case::no_name("=Workflow.argoproj.io", None)]
    #[case::a_pattern("system:serviceaccount:*:argo=Workflow.argoproj.io", None)]
    #[case::everybody("system:authenticated=Job.batch", None)]
    #[case::every_service_account("system:serviceaccounts=Job.batch", None)]
    #[case::nobody_in_particular("system:anonymous=Job.batch", None)]
    #[case::a_namespaces_service_accounts(
        "system:serviceaccounts:argo=Workflow.argoproj.io",
        Some(1)
    )]
    fn grants(#[case] text: &str, #[case] kinds: Option<usize>) {
        let grant = text.parse::<Grant>();
        assert_eq!(grant.map(|grant| grant.kinds.len()).ok(), kinds);
    }

    #[test]
    fn kubernetes_controllers_are_trusted_each_with_its_kind() {
        let trust = Trust::default();
        let job = trust
            .of("system:serviceaccount:kube-system:job-controller", [])
            .unwrap();
        assert!(job.makes_from(JOB));
        assert!(!job.makes_from(kind("batch", "CronJob")));
        assert!(!job.makes_from(kind("", "Job")));
        assert!(!job.follows(JOB));
        assert!(trust.of("alice", ["system:authenticated"]).is_none());
        assert!(
            trust
                .of("system:serviceaccount:vision:job-controller", [])
                .is_none()
        );
        assert!(trust.of("System:kube-controller-manager", []).is_none());
    }

    #[test]
    fn a_group_trusts_its_members() {
        let mut trust = Trust::default();
        trust.group("operators=JobSet.jobset.x-k8s.io".parse().unwrap());
        let trusted = trust.of("mpi", ["users", "operators"]).unwrap();
        assert!(trusted.makes_from(JOB_SET) && trusted.follows(JOB_SET));
        assert!(!trusted.makes_from(JOB));
        assert!(trust.of("mpi", ["users"]).is_none());
        assert!(trust.of("operators", []).is_none());
        assert!(trust.knows(JOB_SET) && trust.knows(JOB));
        assert!(!trust.knows(kind("", "ConfigMap")));
    }
}
