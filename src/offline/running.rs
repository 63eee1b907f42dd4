//! A pod that runs: what it got when it was made, by its own record, and what has changed since.

use serde_json::Value;

use super::report::{Fate, NOT, Row, Subject, not};
use crate::catalog::Catalog;
use crate::inject::Skip;
use crate::inject::annotations as names;
use crate::inject::carried::recorded;
use crate::inject::secret::Kind;
use crate::inject::select::{Shelf, Visible};

/// Why a pod has nothing: keyporter was not asked about it.
pub const NOT_SEEN: &str = "not-seen";

/// What a running pod says of itself.
#[derive(Debug)]
pub(super) struct Facts {
    created: String,
    controller: Option<String>,
    /// Empty where there is no record.
    carried: Vec<Carried>,
}

/// A secret that the pod got.
#[derive(Debug)]
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

    /// Those of the project and those of the owner that the pod got.
    pub(super) fn shelves(&self, visible: Visible<'_>) -> [Shelf; 2] {
        [visible.project, visible.user].map(|shelf| {
            let secrets = shelf.secrets.iter();
            let secrets = secrets.filter(|secret| self.carried(&secret.object).is_some());
            Shelf {
                secrets: secrets.cloned().collect(),
                broken: vec![],
            }
        })
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
        past: &Subject,
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
        let in_reach = |object: &str| Present::of(object, visible);
        // What would have come, had keyporter been asked.
        let mut missed = false;
        for row in &mut self.rows {
            if let Some(past) = past.rows.iter().find(|past| past.is_of(row)) {
                row.how.clone_from(&past.how);
            }
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
    /// Whether both are about the same, and it comes by itself: of references there may be several, each another thing.
    fn is_of(&self, other: &Self) -> bool {
        let same = self.object == other.object && self.container == other.container;
        let comes = |row: &Self| row.comes && !row.by_reference;
        same && comes(self) && comes(other)
    }

    /// Whether the pod could have had it and has not.
    fn compare(&mut self, facts: &Facts, secret: Option<Present<'_>>) -> bool {
        let carried = facts.carried(&self.object);
        match (carried, self.comes) {
            (Some(carried), true) => {
                let changed =
                    secret.filter(|one| *one.resource_version != carried.resource_version);
                if let Some(secret) = changed {
                    let follows = if self.by_reference {
                        AT_START
                    } else {
                        changed_since(secret.kind)
                    };
                    self.how.push_str(follows);
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
            by_reference: false,
            how: how.to_owned(),
        }
    }
}

/// A secret or store as it is now.
#[derive(Debug, Clone, Copy)]
struct Present<'a> {
    /// `None` for a store.
    kind: Option<Kind>,
    resource_version: &'a str,
    /// Empty for a store, of which that is not known.
    created: &'a str,
}

impl<'a> Present<'a> {
    fn of(object: &str, visible: Visible<'a>) -> Option<Self> {
        let mut secrets = visible.project.secrets.iter().chain(&visible.user.secrets);
        let secret = secrets.find(|secret| *secret.object == *object);
        let secret = secret.map(|secret| Self {
            kind: Some(secret.kind),
            resource_version: &secret.resource_version,
            created: &secret.created,
        });
        secret.or_else(|| {
            let store = visible.stores.named(object)?;
            Some(Self {
                kind: None,
                resource_version: &store.resource_version,
                created: "",
            })
        })
    }
}

/// Variables, and files that are mounted one by one, stay as they were.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod>
const AT_START: &str = "; changed since: a container sees that when it starts again";

/// What reaches containers that run.
const fn changed_since(kind: Option<Kind>) -> &'static str {
    match kind {
        None | Some(Kind::Env | Kind::Auth) => AT_START,
        Some(Kind::Default | Kind::GitSsh) => {
            "; changed since: the files follow within some minutes"
        }
        Some(Kind::ImagePull) => "; changed since",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::catalog::{Source, WatchedSecret};
    use crate::inject::settings::Settings;
    use crate::offline::Offline;

    const MADE: &str = "2026-06-01T00:00:00Z";
    const BEFORE: &str = "2026-05-01T00:00:00Z";
    const AFTER: &str = "2026-07-01T00:00:00Z";

    fn secret(object: &str, owner: &str, created: &str, version: &str) -> WatchedSecret {
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "vision", "name": object, "resourceVersion": version, "creationTimestamp": created,
                "labels": {names::KIND: "env"}, "annotations": {names::OWNER: owner},
            },
            "data": {"TOKEN": ""},
        }))
        .unwrap()
    }

    /// A pod with this owner, record and controller.
    fn pod(owner: &str, record: &Value, controller: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": "vision", "name": "p", "creationTimestamp": MADE, "ownerReferences": controller,
                "annotations": {names::OWNER: owner, names::INJECTED: record.to_string()},
            },
            "spec": {"containers": [{"name": "main"}]},
        })
    }

    fn explained(secrets: Vec<WatchedSecret>, requester: Option<&str>, pod: Value) -> Subject {
        let (catalog, settings) = (Catalog::new(), Settings::default());
        let known: Vec<_> = secrets.iter().map(|one| one.object().to_owned()).collect();
        catalog.replace(Source::Files, secrets);
        let offline = Offline {
            catalog: &catalog,
            settings: &settings,
            requester,
            groups: vec![],
            namespace: "vision",
            only_namespace: false,
        };
        let exists = |object: &str| known.iter().any(|one| one == object);
        offline.running(pod, exists).unwrap().subjects.remove(0)
    }

    fn entry(object: &str, version: &str) -> Value {
        json!({"secret": object, "name": object, "kind": "env", "scope": "user", "resourceVersion": version})
    }

    fn told(subject: &Subject) -> Vec<String> {
        let row = |row: &Row| format!("{} {} {}", row.object, row.comes, row.how);
        let mut rows: Vec<_> = subject.rows.iter().map(row).collect();
        rows.sort();
        rows
    }

    #[test]
    fn each_secret_is_compared_with_the_record() {
        let secrets = vec![
            secret("bobs", "bob", BEFORE, "1"),
            secret("changed", "alice", BEFORE, "2"),
            secret("missed", "alice", BEFORE, "1"),
            secret("new", "alice", AFTER, "1"),
            secret("same", "alice", BEFORE, "1"),
        ];
        let record = json!([
            entry("bobs", "1"),
            entry("changed", "1"),
            entry("gone", "1"),
            entry("same", "1")
        ]);
        let subject = explained(secrets, None, pod("alice", &record, &json!([])));
        assert_eq!(subject.fate, Fate::Injected { secrets: 4 });
        assert_eq!(
            told(&subject),
            [
                "bobs true carried; a new pod does not get it: it is no longer in its owner's reach",
                "changed true variables TOKEN (that of same counts); changed since: a container sees that when it starts \
                 again",
                "gone true carried; deleted since",
                "missed false not: the pod was made without it; a new pod gets it",
                "new false not: made after the pod",
                "same true variables TOKEN",
            ]
        );
    }

    #[rstest]
    #[case::none(vec![], "no-secrets")]
    #[case::later(vec![secret("a", "alice", AFTER, "1")], "no-secrets")]
    #[case::missed(vec![secret("a", "alice", AFTER, "1"), secret("b", "alice", BEFORE, "1")], NOT_SEEN)]
    fn a_pod_without_secrets(#[case] secrets: Vec<WatchedSecret>, #[case] expected: &str) {
        for record in [json!([]), json!("odd")] {
            let subject = explained(secrets.clone(), None, pod("alice", &record, &json!([])));
            assert_eq!(
                subject.fate,
                Fate::Skipped {
                    reason: match expected {
                        NOT_SEEN => NOT_SEEN,
                        _ => "no-secrets",
                    }
                }
            );
            assert!(subject.rows.iter().all(|row| !row.comes));
        }
    }

    #[rstest]
    #[case::named("alice", json!([]), None, Some("alice"), "acted")]
    #[case::named_before_asked("alice", json!([]), Some("bob"), Some("alice"), "acted")]
    #[case::of_a_job("alice", json!([{"kind": "Job", "name": "train", "controller": true}]), None, Some("alice"), "pod template")]
    #[case::of_an_old_job("", json!([{"kind": "Job", "name": "train", "controller": true}]), Some("bob"), None, "names no owner")]
    #[case::asked("", json!([]), Some("bob"), Some("bob"), "who created the pod")]
    #[case::unknown("", json!([]), None, None, "nobody said")]
    fn owners(
        #[case] stamp: &str,
        #[case] controller: Value,
        #[case] requester: Option<&str>,
        #[case] expected: Option<&str>,
        #[case] rule: &str,
    ) {
        let subject = explained(vec![], requester, pod(stamp, &json!([]), &controller));
        let (owner, why) = subject.owner.unwrap();
        assert_eq!(owner.as_deref(), expected);
        assert!(why.contains(rule), "{why}");
    }
}
