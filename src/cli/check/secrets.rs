//! Keyporter's own keys, and secrets that no pod gets.

use std::collections::BTreeMap;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
};
use crate::{
    cli::secret::metadata::Metadata,
    inject::{
        identity::Identity,
        secret::{Kind, Problem},
    },
    ownership::KEYS_SECRET,
};

const KEYS: Subject = Subject("keys");
const SECRETS: Subject = Subject("secrets");
/// How many objects a line names.
const NAMED: usize = 3;

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let mut findings = vec![keys(observed)];
    match &observed.secrets {
        Ok(secrets) => findings.extend(of_users(secrets, observed.identity())),
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
    /// How many of them have one to an installation that goes by Konduktor's labels, where nobody knows whether this does.
    labelled: usize,
    broken: Vec<(String, Problem)>,
    git_keys: BTreeMap<String, Vec<String>>,
}

/// `identity` is that of the installation, if it is known.
fn of_users(secrets: &[Metadata], identity: Option<Identity>) -> Vec<Finding> {
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    for secret in secrets {
        let place = places.entry(&secret.namespace).or_default();
        let read_by = |identity| secret.description().read_by(identity);
        match read_by(identity.unwrap_or_default()) {
            Some(Ok(read)) => {
                place.good += 1;
                if let (Kind::GitSsh, Some(owner)) = (read.kind, read.owner) {
                    let keys = place.git_keys.entry(owner.into()).or_default();
                    keys.push(secret.object.clone());
                }
            }
            Some(Err(broken)) if broken.problem == Problem::NoOwner => {
                place.ownerless.push(secret.object.clone());
                if identity.is_none() && matches!(read_by(Identity::Konduktor), Some(Ok(_))) {
                    place.labelled += 1;
                }
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
            let unless = match self.labelled {
                0 => String::new(),
                labelled => format!(
                    "; of these {labelled} have one if keyporter runs with --identity konduktor, which is not seen"
                ),
            };
            findings.push(SECRETS.warning(
                &object,
                format!("{} without an owner, which no pod gets: {}{unless}", self.ownerless.len(), some(&self.ownerless)),
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
    use rstest::rstest;
    use serde_json::json;

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
        let findings = of_users(&secrets, Some(Identity::Authenticated));
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

    /// As Konduktor's client makes one, owned by nobody whom the API server knows.
    fn konduktors() -> Metadata {
        serde_json::from_value(json!({
            "namespace": "a",
            "name": "wandb-bc65ee65",
            "resourceVersion": "1",
            "labels": {
                "parent": "konduktor",
                "trainy.ai/secret-kind": "env",
                "trainy.ai/secret-owner": "bc65ee65",
            },
        }))
        .unwrap()
    }

    #[rstest]
    #[case::not_by_it(
        &["serve", "--identity=authenticated"],
        Some("1 without an owner, which no pod gets: wandb-bc65ee65")
    )]
    #[case::by_default(
        &["serve"],
        Some("1 without an owner, which no pod gets: wandb-bc65ee65")
    )]
    #[case::by_it(&["serve", "--identity=konduktor"], None)]
    #[case::in_two_words(&["serve", "--identity", "konduktor"], None)]
    fn konduktors_labels_name_owners_where_keyporter_goes_by_them(
        #[case] arguments: &[&str],
        #[case] expected: Option<&str>,
    ) {
        let mut observed = healthy();
        let deployment = observed.deployment.as_mut().unwrap().as_mut().unwrap();
        deployment["spec"]["template"]["spec"]["containers"][0]["args"] = json!(arguments);
        observed.secrets = Ok(vec![konduktors()]);
        let findings = judge(&observed);
        let warning = findings
            .iter()
            .find(|it| it.severity == Severity::Warning)
            .map(|it| it.message.as_str());
        assert_eq!(warning, expected);
        let good = usize::from(expected.is_none());
        assert_eq!(findings[1].message, format!("{good} that pods can get"));
    }

    #[test]
    fn whose_arguments_are_not_seen_may_go_by_konduktors_labels() {
        let mut observed = healthy();
        observed.deployment = Ok(None);
        observed.secrets = Ok(vec![konduktors(), secret("a", "old", "env", None)]);
        assert_eq!(
            judge(&observed)[2].message,
            "2 without an owner, which no pod gets: wandb-bc65ee65, old; of these 1 have one if keyporter runs with \
             --identity konduktor, which is not seen"
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
