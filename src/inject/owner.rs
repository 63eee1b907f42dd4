//! Whose pod is it.

use std::fmt;

use super::settings::Settings;

/// The owner of a pod and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The username; `None` for a pod that gets project secrets only.
    pub name: Option<&'a str>,
    /// The rule that says so.
    pub rule: Rule,
}

/// The rules of ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The pod was created by its owner, whom the API server authenticated.
    Requester,
    /// A trusted controller created the pod from a template that carries the owner's stamp.
    Stamp,
    /// A trusted controller created the pod from a template without a stamp.
    NoStamp,
    /// Nobody said who creates the pod; only outside a cluster.
    Unknown,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requester => "who created the pod",
            Self::Stamp => "who created the workload (keyporter.dev/owner on its pod template)",
            Self::NoStamp => "none: a controller created the pod and its template names no owner",
            Self::Unknown => "none: nobody said who creates the pod",
        })
    }
}

impl<'a> Owner<'a> {
    /// The owner of a pod that `requester` creates and whose annotation `keyporter.dev/owner` is `stamp`.
    ///
    /// Only a trusted controller's stamp counts. What anybody else writes there changes nothing: the pod is theirs.
    #[must_use]
    pub fn of_pod(requester: &'a str, stamp: Option<&'a str>, settings: &Settings) -> Self {
        if !settings.trusts(requester) {
            return Self {
                name: Some(requester),
                rule: Rule::Requester,
            };
        }
        match stamp {
            Some(name) if !name.is_empty() => Self {
                name: Some(name),
                rule: Rule::Stamp,
            },
            _ => Self {
                name: None,
                rule: Rule::NoStamp,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";

    #[rstest]
    #[case::a_person("alice", None, Some("alice"), Rule::Requester)]
    #[case::a_stamp_of_ones_own("alice", Some("alice"), Some("alice"), Rule::Requester)]
    #[case::a_forged_stamp("alice", Some("bob"), Some("alice"), Rule::Requester)]
    #[case::a_service_account(
        "system:serviceaccount:vision:ci",
        None,
        Some("system:serviceaccount:vision:ci"),
        Rule::Requester
    )]
    #[case::a_controller_with_a_stamp(JOB_CONTROLLER, Some("alice"), Some("alice"), Rule::Stamp)]
    #[case::a_controller_without(JOB_CONTROLLER, None, None, Rule::NoStamp)]
    #[case::an_empty_stamp(JOB_CONTROLLER, Some(""), None, Rule::NoStamp)]
    #[case::a_controllers_name_elsewhere(
        "system:serviceaccount:vision:job-controller",
        Some("alice"),
        Some("system:serviceaccount:vision:job-controller"),
        Rule::Requester
    )]
    #[case::case_matters(
        "System:kube-controller-manager",
        Some("alice"),
        Some("System:kube-controller-manager"),
        Rule::Requester
    )]
    fn owners(
        #[case] requester: &str,
        #[case] stamp: Option<&str>,
        #[case] name: Option<&str>,
        #[case] rule: Rule,
    ) {
        assert_eq!(
            Owner::of_pod(requester, stamp, &Settings::default()),
            Owner { name, rule }
        );
    }
}
