//! What keyporter's account may do: all that it needs, and no more of Secrets.

use super::{
    finding::{Finding, Subject},
    observe::Observed,
};

const RIGHTS: Subject = Subject("rights");

/// One right, as a `SubjectAccessReview` asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verb: &'static str,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    /// Of one object; empty for all.
    pub(super) name: String,
    /// Empty for the whole cluster.
    pub(super) namespace: String,
    pub(super) need: Need,
}

/// Who needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Always,
    /// With certificates that keyporter makes itself.
    SelfManaged,
    /// Where JobSets have owners.
    JobSets,
    /// Nobody: it is too much.
    Never,
}

/// Group, resource, verbs, and who needs them: in the whole cluster.
const CLUSTER: [(&str, &str, &[&str], Need); 15] = [
    ("", "secrets", &["list", "watch"], Need::Always),
    ("", "pods", &["get", "list"], Need::Always),
    (
        "authorization.k8s.io",
        "subjectaccessreviews",
        &["create"],
        Need::Always,
    ),
    ("", "namespaces", &["get", "list", "watch"], Need::Always),
    ("events.k8s.io", "events", &["create"], Need::Always),
    ("apps", "daemonsets", &["get"], Need::Always),
    ("apps", "deployments", &["get"], Need::Always),
    ("apps", "replicasets", &["get"], Need::Always),
    ("apps", "statefulsets", &["get"], Need::Always),
    ("batch", "cronjobs", &["get"], Need::Always),
    ("batch", "jobs", &["get"], Need::Always),
    ("", "replicationcontrollers", &["get"], Need::Always),
    ("jobset.x-k8s.io", "jobsets", &["get"], Need::JobSets),
    ("", "secrets", &["get"], Need::Never),
    ("", "secrets", &["update"], Need::Never),
];

/// The same for keyporter's own namespace; resources' names, where not all are meant.
const OWN: [(&str, &[&str], &str, Need); 3] = [
    ("secrets", &["create"], "", Need::Always),
    ("secrets", &["get"], "keyporter-owner-keys", Need::Always),
    (
        "secrets",
        &["get", "update"],
        "keyporter-ca",
        Need::SelfManaged,
    ),
];

/// Those of the webhook configurations of this name.
const CONFIGURATIONS: [&str; 2] = [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
];
const CONFIGURATION_VERBS: [&str; 4] = ["get", "list", "watch", "patch"];

/// All rights that are asked about.
pub(super) fn all(namespace: &str, called: &str) -> Vec<Right> {
    let mut all = vec![];
    for (group, resource, verbs, need) in CLUSTER {
        for verb in verbs {
            let (name, namespace) = (String::new(), String::new());
            all.push(Right {
                verb,
                group,
                resource,
                name,
                namespace,
                need,
            });
        }
    }
    for (resource, verbs, name, need) in OWN {
        for verb in verbs {
            let (name, namespace) = (name.to_owned(), namespace.to_owned());
            all.push(Right {
                verb,
                group: "",
                resource,
                name,
                namespace,
                need,
            });
        }
    }
    for resource in CONFIGURATIONS {
        for name in [called.to_owned(), format!("{called}-secret-owner-stamp")] {
            all.extend(CONFIGURATION_VERBS.map(|verb| Right {
                verb,
                group: "admissionregistration.k8s.io",
                resource,
                name: name.clone(),
                namespace: String::new(),
                need: Need::SelfManaged,
            }));
        }
    }
    all
}

impl Right {
    /// As `kubectl auth can-i` takes it.
    fn words(&self) -> String {
        let mut words = format!("{} {}", self.verb, self.resource);
        if !self.group.is_empty() {
            words = format!("{words}.{}", self.group);
        }
        if !self.name.is_empty() {
            words = format!("{words}/{}", self.name);
        }
        if !self.namespace.is_empty() {
            words = format!("{words} -n {}", self.namespace);
        }
        words
    }

    fn is_needed(&self, observed: &Observed) -> bool {
        match self.need {
            Need::Always => true,
            Need::SelfManaged => observed.is_self_managed() == Some(true),
            Need::JobSets => {
                let arguments = observed.arguments();
                arguments
                    .iter()
                    .any(|it| it.contains("=JobSet.jobset.x-k8s.io"))
            }
            Need::Never => false,
        }
    }
}

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let object = format!(
        "the account of Deployment {}/{}",
        observed.namespace, observed.name
    );
    let answers = match &observed.rights {
        Ok(answers) => answers,
        Err(unseen) => return vec![RIGHTS.unseen(object, unseen)],
    };
    let mut findings = vec![];
    let missing = answers
        .iter()
        .filter(|(right, allowed)| !allowed && right.is_needed(observed));
    let missing: Vec<_> = missing.map(|(right, _)| right.words()).collect();
    if !missing.is_empty() {
        let message = format!("may not: {}", missing.join(", "));
        findings.push(RIGHTS.error(&object, message, observed.restore()));
    }
    let too_many = answers
        .iter()
        .filter(|(right, allowed)| *allowed && right.need == Need::Never);
    let too_many: Vec<_> = too_many.map(|(right, _)| right.words()).collect();
    if !too_many.is_empty() {
        let message = format!(
            "may do more than keyporter needs, in all namespaces: {}; who takes over a pod of keyporter reads or changes \
             what it never does",
            too_many.join(", ")
        );
        let advice = "find the binding with `kubectl get clusterrolebindings -o wide` and delete it; the chart gives none of this";
        findings.push(RIGHTS.warning(&object, message, advice));
    }
    if findings.is_empty() {
        findings.push(RIGHTS.ok(
            object,
            "has the rights that keyporter needs, and no more on Secrets",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use serde_json::Value;

    use super::{
        super::{
            finding::Severity,
            seen::{items, text},
            testing::healthy,
        },
        *,
    };
    use crate::documents::Documents;

    /// Namespaced or not, verb, resource and name.
    type Key = (bool, String, String, String);

    #[test]
    fn the_list_is_that_of_the_example() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/rbac.yaml");
        let yaml = fs::read_to_string(path).unwrap();
        let mut expected: BTreeSet<Key> = BTreeSet::new();
        for document in &Documents::split(&yaml) {
            let role: Value = document.value("rbac.yaml").unwrap();
            for rule in items(&role, "/rules") {
                let texts = |pointer| items(rule, pointer).iter().map(|it| it.as_str().unwrap());
                for resource in texts("/resources") {
                    for verb in texts("/verbs") {
                        let mut names: Vec<_> = texts("/resourceNames").collect();
                        if names.is_empty() {
                            names.push("");
                        }
                        for name in names {
                            let group = texts("/apiGroups").next().unwrap();
                            expected.insert((
                                text(&role, "/kind") == "Role",
                                format!("{verb} {group}"),
                                resource.to_owned(),
                                name.to_owned(),
                            ));
                        }
                    }
                }
            }
        }
        let needed = all("keyporter-system", "keyporter").into_iter();
        let needed = needed
            .filter(|right| right.need != Need::Never)
            .map(|right| {
                let verb = format!("{} {}", right.verb, right.group);
                (
                    !right.namespace.is_empty(),
                    verb,
                    right.resource.to_owned(),
                    right.name,
                )
            });
        assert_eq!(needed.collect::<BTreeSet<_>>(), expected);
        assert!(expected.len() > 30);
    }

    #[test]
    fn what_is_missing_and_what_is_too_much() {
        let mut observed = healthy();
        assert_eq!(judge(&observed)[0].severity, Severity::Ok);
        for (right, allowed) in observed.rights.as_mut().unwrap() {
            *allowed = match right.need {
                Need::Never => right.verb == "get",
                _ => right.verb != "watch",
            };
        }
        let findings = judge(&observed);
        assert_eq!(findings[0].severity, Severity::Error);
        assert!(
            findings[0]
                .message
                .starts_with("may not: watch secrets, watch namespaces, watch mutating"),
            "{findings:?}"
        );
        assert_eq!(findings[1].severity, Severity::Warning);
        assert!(
            findings[1].message.contains(": get secrets;"),
            "{findings:?}"
        );
    }
}
