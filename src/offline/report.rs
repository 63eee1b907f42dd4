//! What was decided about a pod, in words: every secret in reach, and how it comes or why not.

use std::collections::HashSet;
use std::sync::Arc;

use crate::inject::changes::{Placement, Way};
use crate::inject::guard::Foreign;
use crate::inject::reference::Referral;
use crate::inject::secret::{Broken, Secret};
use crate::inject::select::Visible;
use crate::inject::spark_application::Filled;
use crate::inject::warning::Warning;
use crate::inject::{Decision, Denial, Report, Skip};

/// A pod, or a pod template, and what became of it.
#[derive(Debug)]
pub struct Subject {
    /// Kind, namespace and name of the object, and the template's place where it has several.
    pub title: String,
    /// The namespace.
    pub namespace: String,
    /// What became of it.
    pub fate: Fate,
    /// Whose it is, and by which rule that is known.
    pub owner: Option<(Option<String>, String)>,
    /// What else there is to know of it.
    pub notes: Vec<String>,
    /// What the webhook would warn of.
    pub warnings: Vec<String>,
    /// Every secret in reach.
    pub rows: Vec<Row>,
}

/// What became of a pod.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It gets this many secrets.
    Injected {
        /// How many.
        secrets: usize,
    },
    /// It is left as it is.
    Skipped {
        /// The word for the reason.
        reason: &'static str,
    },
    /// It is refused.
    Denied {
        /// The sentence, with the rule that spoke.
        message: String,
    },
}

/// A secret and a container.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The secret name; the object's, where it has no valid one.
    pub secret: String,
    /// The name of the Kubernetes object.
    pub object: String,
    /// Its kind; empty where that is unknown.
    pub kind: String,
    /// Its scope; empty where that is unknown.
    pub scope: String,
    /// The container; empty for the pod as a whole.
    pub container: String,
    /// Whether it comes.
    pub comes: bool,
    /// Whether the pod names it: as a variable, or as a file of its own.
    pub by_reference: bool,
    /// How it comes, or why it does not.
    pub how: String,
}

impl Subject {
    pub(super) fn new(title: &str, namespace: &str, template: Option<&str>) -> Self {
        let title = template.map_or_else(|| title.to_owned(), |place| format!("{title} {place}"));
        Self {
            title,
            namespace: namespace.to_owned(),
            fate: Fate::Injected { secrets: 0 },
            owner: None,
            notes: vec![],
            warnings: vec![],
            rows: vec![],
        }
    }

    pub(super) fn denied(mut self, denial: &Denial) -> Self {
        self.deny(denial);
        self
    }

    fn deny(&mut self, denial: &Denial) {
        self.fate = Fate::Denied {
            message: denial.message(),
        };
    }

    pub(super) fn tell(&mut self, decision: &Decision<'_>, visible: Visible<'_>) {
        match decision {
            Decision::Deny(denial) => {
                self.deny(denial);
                self.tell_all(visible, "the pod is denied");
            }
            Decision::Inject(plan) => {
                self.fate = Fate::Injected {
                    secrets: plan.report.in_effect.len(),
                };
                self.tell_report(&plan.report, visible);
            }
            Decision::Skip(skip, report) => {
                self.fate = Fate::Skipped {
                    reason: skip.as_str(),
                };
                if report.owner.is_some() {
                    self.tell_report(report, visible);
                } else {
                    self.tell_all(visible, skip.as_str());
                }
            }
        }
    }

    /// What a `SparkApplication` itself gets.
    pub(super) fn fill(&mut self, filled: &Filled<'_>) {
        self.fate = match filled.stores.len() {
            0 => Fate::Skipped {
                reason: Skip::NothingPlaced.as_str(),
            },
            secrets => Fate::Injected { secrets },
        };
        self.warnings
            .extend(filled.warnings.iter().map(ToString::to_string));
        self.rows.extend(filled.stores.iter().map(|store| Row {
            secret: (*store).to_owned(),
            object: (*store).to_owned(),
            kind: "store".to_owned(),
            scope: "project".to_owned(),
            container: String::new(),
            comes: true,
            by_reference: true,
            how: "env of driver and executor, sparkConf".to_owned(),
        }));
    }

    fn tell_report(&mut self, report: &Report<'_>, visible: Visible<'_>) {
        self.owner = report
            .owner
            .map(|owner| (owner.name.map(str::to_owned), owner.rule.to_string()));
        self.warnings
            .extend(report.warnings.iter().map(ToString::to_string));
        self.rows.extend(report.placements.iter().map(
            |Placement {
                 secret,
                 container,
                 result,
             }| {
                let how = match result {
                    Ok(way) => Ok(describe(way, secret, |key| {
                        whose(report, secret, *container, key)
                    })),
                    Err(obstacle) => Err(obstacle.to_string()),
                };
                Row {
                    by_reference: matches!(result, Ok(Way::KeyFile(_))),
                    ..Row::of(secret, container.unwrap_or_default(), how)
                }
            },
        ));
        self.rows.extend(report.referrals.iter().map(Row::referral));
        let others = report
            .passed_over
            .iter()
            .map(|(secret, reason)| Row::of(secret, "", Err(reason.to_string())));
        self.rows.extend(others);
        self.tell_rest(report, visible);
        self.rows.extend(visible.broken().map(Row::broken));
    }

    /// Chosen secrets for which there is no container: all are sidecars, or the pod's annotation leaves none.
    fn tell_rest(&mut self, report: &Report<'_>, visible: Visible<'_>) {
        let placed = report.placements.iter().map(|placement| placement.secret);
        let others = report.passed_over.iter().map(|(secret, _)| *secret);
        let referred = report.referrals.iter().map(|one| one.source.object());
        let told: HashSet<&str> = placed
            .chain(others)
            .map(|one| &*one.object)
            .chain(referred)
            .collect();
        let all = visible.project.secrets.iter().chain(&visible.user.secrets);
        self.rows.extend(
            all.filter(|secret| !told.contains(&*secret.object))
                .map(|secret| Row::of(secret, "", Err("no container takes part".to_owned()))),
        );
    }

    fn tell_all(&mut self, visible: Visible<'_>, why: &str) {
        let secrets = visible.project.secrets.iter().chain(&visible.user.secrets);
        self.rows
            .extend(secrets.map(|secret| Row::of(secret, "", Err(why.to_owned()))));
    }

    /// Whether the owner may act for others only a cluster knows, so this is no denial here.
    pub(super) fn tell_foreign(&mut self, references: Vec<Foreign>) {
        if !references.is_empty() {
            let denial = Denial::ForeignSecrets { references };
            self.warnings.push(format!(
                "unless the owner may impersonate, this is denied: {}",
                denial.message()
            ));
        }
    }

    /// Secrets of the namespace that are nobody's for want of an owner.
    pub(super) fn tell_orphans(&mut self, orphans: &[Arc<Broken>]) {
        self.rows
            .extend(orphans.iter().map(|broken| Row::broken(broken)));
    }
}

impl Row {
    fn of(secret: &Secret, container: &str, how: Result<String, String>) -> Self {
        Self {
            secret: secret.name.to_string(),
            object: secret.object.to_string(),
            kind: secret.kind.to_string(),
            scope: secret.scope.to_string(),
            container: container.to_owned(),
            comes: how.is_ok(),
            by_reference: false,
            how: how.unwrap_or_else(|why| not(&why)),
        }
    }

    fn referral(referral: &Referral<'_>) -> Self {
        let Referral {
            source,
            container,
            spot,
        } = referral;
        Self {
            secret: source.name().to_owned(),
            object: source.object().to_owned(),
            kind: source.kind().to_owned(),
            scope: source.scope().to_owned(),
            container: (*container).to_owned(),
            comes: true,
            by_reference: true,
            how: format!("{spot}, by reference"),
        }
    }

    fn broken(broken: &Broken) -> Self {
        let scope = if broken.project { "project" } else { "user" };
        Self {
            secret: broken.object.to_string(),
            object: broken.object.to_string(),
            kind: String::new(),
            scope: scope.to_owned(),
            container: String::new(),
            comes: false,
            by_reference: false,
            how: not(&broken.problem.to_string()),
        }
    }
}

/// Why a secret does not come.
pub(super) fn not(why: &str) -> String {
    format!("{NOT}{why}")
}

pub(super) const NOT: &str = "not: ";

/// Whose value a variable of a secret has after all: that of the container, or of a secret of higher rank.
fn whose<'a>(
    report: &Report<'a>,
    secret: &Secret,
    container: Option<&str>,
    key: &str,
) -> Option<&'a str> {
    let own = report.warnings.iter().any(|warning| {
        matches!(warning, Warning::OwnVariable { secret: of, container: at, variable }
            if std::ptr::eq(*of, secret) && Some(*at) == container && *variable == key)
    });
    if own {
        return Some("the container");
    }
    let sets = |placement: &&Placement<'_>| match &placement.result {
        Ok(Way::Variables) => placement.secret.has_key(key),
        Ok(Way::SomeVariables(names)) => names.contains(&key),
        _ => false,
    };
    // In the order of rank.
    let here = report.placements.iter();
    let last = here
        .filter(|placement| placement.container == container)
        .rfind(sets)?;
    (!std::ptr::eq(last.secret, secret)).then_some(&*last.secret.name)
}

/// `instead` says whose value a variable has, if not that of the secret.
fn describe<'a>(
    way: &Way<'_>,
    secret: &Secret,
    instead: impl Fn(&str) -> Option<&'a str>,
) -> String {
    let keys = || secret.keys.iter().map(|key| &*key.name);
    let variable = |name: &str| match instead(name) {
        None => name.to_owned(),
        Some(other) => format!("{name} (that of {other} counts)"),
    };
    match way {
        Way::Files(path) => format!("files in {path}"),
        Way::Variables if secret.keys.is_empty() => "no variables: it has no keys".to_owned(),
        Way::Variables => format!("variables {}", listed(keys().map(variable))),
        Way::SomeVariables(names) => {
            let refused = keys().filter(|key| !names.contains(key));
            format!(
                "variables {}; not {}",
                listed(names.iter().copied().map(variable)),
                listed(refused.map(str::to_owned))
            )
        }
        Way::KeyFile(path) => format!("file {path}, by reference"),
        Way::GitSsh => "GIT_SSH_COMMAND".to_owned(),
        Way::Auth => "variable AUTH_SECRET".to_owned(),
        Way::ImagePull => "imagePullSecrets".to_owned(),
    }
}

/// The names in a list that a person reads.
fn listed(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
