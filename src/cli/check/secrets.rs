//! Keyporter's own keys, and secrets that no pod gets.

use std::collections::BTreeMap;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
};
use crate::{
    cli::secret::metadata::Metadata,
    inject::secret::{Kind, Problem},
    ownership::KEYS_SECRET,
};

const KEYS: Subject = Subject("keys");
const SECRETS: Subject = Subject("secrets");
/// How many objects a line names.
const NAMED: usize = 3;

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let mut findings = vec![keys(observed)];
    match &observed.secrets {
        Ok(secrets) => findings.extend(of_users(secrets)),
        Err(unseen) => findings.push(SECRETS.unseen("secrets", unseen)),
    }
    findings
}

fn keys(observed: &Observed) -> Finding {
    let object = format!("Secret {}/{KEYS_SECRET}", observed.namespace);
    match &observed.keys {
        Ok(true) => KEYS.ok(object, "is there: owners of workloads can be proved"),
        Ok(false) => KEYS.error(
            object,
            "is not there: no owner of a workload can be proved, and what was proved is worth nothing",
            format!(
                "restore it from a backup; without one `kubectl -n {} rollout restart deployment/{}` makes new keys, and all \
                 workloads need a restart",
                observed.namespace, observed.name
            ),
        ),
        Err(unseen) => KEYS.unseen(object, unseen),
    }
}

/// What is wrong in one namespace.
#[derive(Default)]
struct Place {
    good: usize,
    ownerless: Vec<String>,
    broken: Vec<(String, Problem)>,
    git_keys: BTreeMap<String, Vec<String>>,
}

fn of_users(secrets: &[Metadata]) -> Vec<Finding> {
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    for secret in secrets {
        let place = places.entry(&secret.namespace).or_default();
        match secret.description().read() {
            Some(Ok(read)) => {
                place.good += 1;
                if let (Kind::GitSsh, Some(owner)) = (read.kind, read.owner) {
                    let keys = place.git_keys.entry(owner.into()).or_default();
                    keys.push(secret.object.clone());
                }
            }
            Some(Err(broken)) if broken.problem == Problem::NoOwner => {
                place.ownerless.push(secret.object.clone());
            }
            Some(Err(broken)) if broken.problem.is_mistake() => {
                place.broken.push((secret.object.clone(), broken.problem));
            }
            Some(Err(_)) | None => {}
        }
    }
    let good: usize = places.values().map(|place| place.good).sum();
    let mut findings = vec![SECRETS.ok("secrets", format!("{good} that pods can get"))];
    for (namespace, place) in places {
        findings.extend(place.findings(namespace));
    }
    findings
}

impl Place {
    fn findings(&self, namespace: &str) -> Vec<Finding> {
        let object = format!("secrets in namespace {namespace}");
        let mut findings = vec![];
        if !self.ownerless.is_empty() {
            findings.push(SECRETS.warning(
                &object,
                format!("{} without an owner, which no pod gets: {}", self.ownerless.len(), some(&self.ownerless)),
                format!("keyporter secret adopt -n {namespace}    # lists them, and says how they are given to their owners"),
            ));
        }
        if !self.broken.is_empty() {
            let told = self
                .broken
                .iter()
                .map(|(object, problem)| format!("{object} ({problem})"));
            findings.push(SECRETS.warning(
                &object,
                format!(
                    "{} broken, which no pod gets: {}",
                    self.broken.len(),
                    some(&told.collect::<Vec<_>>())
                ),
                format!("keyporter secret list -n {namespace} --all-users"),
            ));
        }
        for (owner, keys) in &self.git_keys {
            if keys.len() > 1 {
                findings.push(SECRETS.warning(
                    &object,
                    format!(
                        "{owner} has {} of kind git-ssh, of which only the newest is used: {}",
                        keys.len(),
                        some(keys)
                    ),
                    format!(
                        "kubectl -n {namespace} delete secret NAME, for those that are not needed"
                    ),
                ));
            }
        }
        findings
    }
}

/// The first of them.
fn some(names: &[String]) -> String {
    let mut told = names.iter().take(NAMED).cloned().collect::<Vec<_>>();
    if names.len() > NAMED {
        told.push(format!("and {} more", names.len() - NAMED));
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            finding::Severity,
            testing::{healthy, secret},
        },
        *,
    };

    #[test]
    fn secrets_that_no_pod_gets() {
        let owner = "keyporter.dev/owner";
        let secrets = [
            secret("a", "good", "env", Some(("keyporter.dev/owner", "alice"))),
            secret("a", "old", "env", None),
            secret("a", "odd", "nothing", Some((owner, "alice"))),
            secret("b", "one", "git-ssh", Some((owner, "alice"))),
            secret("b", "two", "git-ssh", Some((owner, "alice"))),
            secret("b", "his", "git-ssh", Some((owner, "bob"))),
        ];
        let findings = of_users(&secrets);
        let told: Vec<_> = findings.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "4 that pods can get",
                "1 without an owner, which no pod gets: old",
                "1 broken, which no pod gets: odd (unknown kind \"nothing\"; known are default, env, git-ssh, auth and image-pull)",
                "alice has 2 of kind git-ssh, of which only the newest is used: one, two",
            ]
        );
        assert!(
            findings
                .iter()
                .skip(1)
                .all(|it| it.severity == Severity::Warning)
        );
    }

    #[test]
    fn the_keys_are_there() {
        let mut observed = healthy();
        assert_eq!(keys(&observed).severity, Severity::Ok);
        observed.keys = Ok(false);
        assert_eq!(keys(&observed).severity, Severity::Error);
    }
}
