//! A pod that runs: what it got when it was made, by its own record, and what has changed since.

use serde_json::Value;

use super::report::{Fate, NOT, Row, Subject, not};
use crate::catalog::Catalog;
use crate::inject::Skip;
use crate::inject::annotations as names;
use crate::inject::carried::recorded;
use crate::inject::secret::{Kind, Secret};

/// Why a pod has nothing: keyporter was not asked about it.
pub const NOT_SEEN: &str = "not-seen";

/// What a running pod says of itself.
pub(super) struct Facts {
    created: String,
    controller: Option<String>,
    /// Empty where there is no record.
    carried: Vec<Carried>,
}

/// A secret that the pod got.
struct Carried {
    object: String,
    name: String,
    kind: String,
    scope: String,
    resource_version: String,
}

impl Facts {
    pub(super) fn of(pod: &Value) -> Self {
        let text = |pointer| pod.pointer(pointer).and_then(Value::as_str);
        let record = pod.pointer("/metadata/annotations");
        let record = record.and_then(|annotations| annotations.get(names::INJECTED)?.as_str());
        let carried = recorded(record.unwrap_or_default())
            .into_iter()
            .map(|entry| Carried {
                object: entry.secret.as_str().to_owned(),
                name: entry.name.as_str().to_owned(),
                kind: entry.kind.as_str().to_owned(),
                scope: entry.scope.as_str().to_owned(),
                resource_version: entry.resource_version.as_str().to_owned(),
            });
        Self {
            created: text("/metadata/creationTimestamp")
                .unwrap_or_default()
                .to_owned(),
            controller: controller(pod),
            carried: carried.collect(),
        }
    }

    fn carried(&self, object: &str) -> Option<&Carried> {
        self.carried.iter().find(|carried| carried.object == object)
    }
}

fn controller(pod: &Value) -> Option<String> {
    let references = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let is_controller = |one: &&Value| one.get("controller") == Some(&Value::Bool(true));
    let reference = references.iter().find(is_controller)?;
    let text = |name| reference.get(name).and_then(Value::as_str);
    Some(format!("{} {}", text("kind")?, text("name")?))
}

impl Subject {
    /// Turns what a new pod would get into what this one has.
    pub(super) fn compare(
        &mut self,
        facts: &Facts,
        catalog: &Catalog,
        exists: impl Fn(&str) -> bool,
    ) {
        let by = facts.controller.as_ref();
        let by = by.map_or_else(String::new, |controller| format!(" by {controller}"));
        self.notes.push(format!("made: {}{by}", facts.created));
        let owner = self.owner.as_ref().and_then(|(name, _)| name.clone());
        let shelves = catalog.shelves(&self.namespace, owner.as_deref());
        let visible = shelves.visible();
        let in_reach = |object: &str| {
            let mut all = visible.project.secrets.iter().chain(&visible.user.secrets);
            all.find(|secret| *secret.object == *object)
                .map(AsRef::as_ref)
        };
        // What would have come, had keyporter been asked.
        let mut missed = false;
        for row in &mut self.rows {
            missed |= row.compare(facts, in_reach(&row.object));
        }
        let gone = facts
            .carried
            .iter()
            .filter(|carried| self.rows.iter().all(|row| row.object != carried.object));
        let gone: Vec<_> = gone
            .map(|carried| Row::gone(carried, exists(&carried.object)))
            .collect();
        self.rows.extend(gone);
        let would = std::mem::replace(
            &mut self.fate,
            Fate::Injected {
                secrets: facts.carried.len(),
            },
        );
        if let Fate::Denied { message } = would {
            self.warnings
                .push(format!("a pod like this one is denied now: {message}"));
        } else if facts.carried.is_empty() {
            self.fate = match would {
                Fate::Skipped { reason } if reason != Skip::AlreadyInjected.as_str() => {
                    Fate::Skipped { reason }
                }
                _ if missed => Fate::Skipped { reason: NOT_SEEN },
                _ => Fate::Skipped {
                    reason: Skip::NoSecrets.as_str(),
                },
            };
        }
    }

    /// Says that keyporter has nothing to do with the pod, and why.
    pub fn leave_out(&mut self, reason: &'static str) {
        self.fate = Fate::Skipped { reason };
        for row in self.rows.iter_mut().filter(|row| row.comes) {
            row.comes = false;
            row.how = not(reason);
        }
    }
}

impl Row {
    /// Whether the pod could have had it and has not.
    fn compare(&mut self, facts: &Facts, secret: Option<&Secret>) -> bool {
        let carried = facts.carried(&self.object);
        match (carried, self.comes) {
            (Some(carried), true) => {
                let changed =
                    secret.filter(|secret| *secret.resource_version != *carried.resource_version);
                if let Some(secret) = changed {
                    self.how.push_str(changed_since(secret.kind));
                }
            }
            (Some(_), false) => {
                let reason = self.how.strip_prefix(NOT).unwrap_or(&self.how);
                self.how = format!("carried; a new pod does not get it: {reason}");
                self.comes = true;
            }
            (None, true) => {
                let newer = secret.is_some_and(|secret| *secret.created > *facts.created);
                self.how = not(if newer {
                    "made after the pod"
                } else {
                    "the pod was made without it; a new pod gets it"
                });
                self.comes = false;
                return !newer;
            }
            (None, false) => {}
        }
        false
    }

    fn gone(carried: &Carried, exists: bool) -> Self {
        let how = if exists {
            "carried; a new pod does not get it: it is no longer in its owner's reach"
        } else {
            "carried; deleted since"
        };
        Self {
            secret: carried.name.clone(),
            object: carried.object.clone(),
            kind: carried.kind.clone(),
            scope: carried.scope.clone(),
            container: String::new(),
            comes: true,
            how: how.to_owned(),
        }
    }
}

/// What reaches containers that run.
const fn changed_since(kind: Kind) -> &'static str {
    match kind {
        Kind::Env | Kind::Auth => "; changed since: a container sees that when it starts again",
        Kind::Default | Kind::GitSsh => "; changed since: the files follow within some minutes",
        Kind::ImagePull => "; changed since",
    }
}
