//! What the webhook would do to the objects of a file, without a cluster.
//!
//! A pod is decided on as the webhook does. A workload is stamped, as the webhook does when it is created, and then each
//! of its pod templates gets what its pods would get.

mod report;
mod running;

use serde_json::Value;
use thiserror::Error;

use crate::catalog::Catalog;
use crate::documents::objects;
use crate::inject::identity::Identity;
use crate::inject::object::{Kind, Object};
use crate::inject::owner::{self, Owner, Ownership, Rule};
use crate::inject::pod::{Pod, Text};
use crate::inject::select::Visible;
use crate::inject::settings::Settings;
use crate::inject::stamp::{Answers, Stamping, WorkloadRequest, stamp};
use crate::inject::{
    self, Decision, Denial, Request, guard, identity, patch, spark_application, template,
};

pub use report::{Fate, Row, Subject};
use running::Facts;
pub use running::NOT_SEEN;

/// For whom and with what.
#[derive(Debug)]
pub struct Offline<'a> {
    /// The secrets.
    pub catalog: &'a Catalog,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// Who creates the objects; `None`: nobody, so that only project secrets come. Where labels tell owners apart, it does
    /// not matter who that is.
    pub requester: Option<&'a str>,
    /// The groups of that user.
    pub groups: Vec<Text<'a>>,
    /// The namespace of objects that name none.
    pub namespace: &'a str,
    /// Whether objects of other namespaces are an error, as they are for kubectl when `--namespace` is given.
    pub only_namespace: bool,
}

/// A document after the webhook.
#[derive(Debug)]
pub struct Outcome {
    /// The document as it was.
    pub before: Value,
    /// The document as it would be; the same as before where nothing was to be done or something was denied.
    pub document: Value,
    /// All operations that make it from the document as it was.
    pub patch: Vec<Value>,
    /// What was decided about each pod and pod template, in the order of the document.
    pub subjects: Vec<Subject>,
}

/// Why an object of a file cannot be worked on.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// A namespace that is not the one asked for.
    #[error(
        "{object} is in namespace {found:?}, not in {wanted:?}; leave --namespace out or change one of them"
    )]
    Namespace {
        /// Kind and name.
        object: String,
        /// Where it is.
        found: String,
        /// Where it should be.
        wanted: String,
    },
    /// A pod or a pod template that is not one.
    #[error("{object}{place} is not what Kubernetes takes for a pod: {reason}")]
    Unreadable {
        /// Kind and name.
        object: String,
        /// Where the pod stands in the document, if not at its root.
        place: String,
        /// What the reader says, without the value that it found: that may be a secret.
        reason: String,
    },
    /// A patch that does not fit its document: a defect of keyporter.
    #[error("the patch for {object} does not apply; this is a defect of keyporter")]
    Patch {
        /// Kind and name.
        object: String,
        /// What the patcher says.
        source: json_patch::PatchError,
    },
    /// A patch that cannot be written: a defect of keyporter.
    #[error("the patch for {object} cannot be written; this is a defect of keyporter")]
    Write {
        /// Kind and name.
        object: String,
        /// What the writer says.
        source: serde_json::Error,
    },
}

impl Offline<'_> {
    /// Works on a document: one object, or a `List` of them. What is no pod and has no pod template stays as it is.
    pub fn document(&self, document: Value) -> Result<Outcome, OfflineError> {
        self.work(document, Origin::Requester)
    }

    /// What is decided about a pod that runs, as it is, and how that differs from what it got. Whose it is it says itself,
    /// else it is taken for the requester's. `exists` says whether there is a Secret of this name.
    pub fn running(
        &self,
        pod: Value,
        exists: impl Fn(&str) -> bool,
    ) -> Result<Outcome, OfflineError> {
        let facts = Facts::of(&pod);
        // What it has came without what has been added since.
        let past = self.work(pod.clone(), Origin::Past(Some(&facts)))?;
        let mut outcome = self.work(pod, Origin::Past(None))?;
        for (subject, past) in outcome.subjects.iter_mut().zip(&past.subjects) {
            subject.compare(past, &facts, self.catalog, &exists);
        }
        Ok(outcome)
    }

    fn work(&self, document: Value, origin: Origin<'_>) -> Result<Outcome, OfflineError> {
        let pointers: Vec<_> = objects(&document)
            .into_iter()
            .map(|(pointer, _)| pointer)
            .collect();
        let mut outcome = Outcome {
            before: document.clone(),
            document,
            patch: vec![],
            subjects: vec![],
        };
        for pointer in pointers {
            self.object(&mut outcome, &pointer, origin)?;
        }
        Ok(outcome)
    }

    fn object(
        &self,
        outcome: &mut Outcome,
        base: &str,
        origin: Origin<'_>,
    ) -> Result<(), OfflineError> {
        let Some(object) = outcome.document.pointer(base) else {
            return Ok(());
        };
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        // The items of a PodList may leave out what the list says.
        let list = |name| outcome.document.get(name).and_then(Value::as_str);
        let listed = list("kind")
            .and_then(|kind| kind.strip_suffix("List"))
            .unwrap_or_default();
        let kind = text("/kind").unwrap_or(listed).to_owned();
        let version = text("/apiVersion").or(list("apiVersion"));
        let name = text("/metadata/name")
            .or_else(|| text("/metadata/generateName"))
            .unwrap_or("(no name)");
        let is_pod = kind == "Pod" && version == Some("v1");
        let kind_of = Kind::new(version.unwrap_or_default(), &kind);
        let is_application = spark_application::is_of_kind(kind_of);
        if !is_pod && !is_application && template::find(object).is_empty() {
            return Ok(());
        }
        let namespace = text("/metadata/namespace")
            .unwrap_or(self.namespace)
            .to_owned();
        let title = format!("{kind} {namespace}/{name}");
        if self.only_namespace && namespace != self.namespace {
            let (found, wanted) = (namespace, self.namespace.to_owned());
            return Err(OfflineError::Namespace {
                object: format!("{kind} {name}"),
                found,
                wanted,
            });
        }
        let work = Work {
            offline: self,
            title,
            namespace,
        };
        if is_pod {
            let subject = work.subject(None);
            work.decide(outcome, base, subject, origin)
        } else {
            work.workload(outcome, base)
        }
    }
}

/// Who makes a pod.
#[derive(Debug, Clone, Copy)]
enum Origin<'o> {
    /// Who creates the object of the file.
    Requester,
    /// A controller of Kubernetes, from a template of that object.
    Controller,
    /// Nobody any more: it runs. With what it says of itself only the secrets that it got are looked at.
    Past(Option<&'o Facts>),
}

/// One object at work.
struct Work<'a> {
    offline: &'a Offline<'a>,
    title: String,
    namespace: String,
}

impl Work<'_> {
    fn subject(&self, template: Option<&str>) -> Subject {
        Subject::new(&self.title, &self.namespace, template)
    }

    /// Stamps the workload, then treats each template as a controller's pod: its stamp names the owner.
    fn workload(&self, outcome: &mut Outcome, base: &str) -> Result<(), OfflineError> {
        let Some(object) = outcome.document.pointer(base) else {
            return Ok(());
        };
        let mut operations = Vec::new();
        let mut warnings = Vec::new();
        if let Some(requester) = self.offline.requester {
            let answers = Answers::default();
            let person = self
                .offline
                .settings
                .identity
                .person(requester, identity::user_id(object));
            let workload = WorkloadRequest {
                request: self.request(requester, person.as_deref()),
                object: named(object),
                new: object,
                old: None,
                // Only keyporter in a cluster can prove anything.
                proofs: None,
                answers: &answers,
            };
            match stamp(workload, self.offline.settings) {
                Stamping::Skip(_) | Stamping::Follow(_) => {}
                Stamping::Ask(names) => {
                    let stamp = names.into_iter().next().unwrap_or_default().to_owned();
                    let subject = self.subject(None);
                    outcome
                        .subjects
                        .push(subject.denied(&Denial::ForeignStamp { stamp }));
                    return Ok(());
                }
                Stamping::Stamp(stamp) => {
                    operations = below(base, self.values(&stamp.patch)?);
                    warnings = stamp.warnings.iter().map(ToString::to_string).collect();
                }
                Stamping::Deny(denial) => {
                    let subject = self.subject(None);
                    outcome.subjects.push(subject.denied(&denial));
                    return Ok(());
                }
            }
        }
        let pointers: Vec<_> = template::find(object)
            .into_iter()
            .map(|template| template.pointer)
            .collect();
        self.apply(outcome, operations)?;
        for pointer in &pointers {
            let place = (pointers.len() > 1).then_some(pointer.as_str());
            let mut subject = self.subject(place);
            // Those of the workload as a whole stand with its first template.
            subject.warnings.append(&mut warnings);
            self.decide(
                outcome,
                &format!("{base}{pointer}"),
                subject,
                Origin::Controller,
            )?;
        }
        self.application(outcome, base, warnings)
    }

    /// What stores give to a `SparkApplication` itself. `warnings` are those of the workload that nobody was told yet.
    fn application(
        &self,
        outcome: &mut Outcome,
        base: &str,
        warnings: Vec<String>,
    ) -> Result<(), OfflineError> {
        let Some(object) = outcome.document.pointer(base) else {
            return Ok(());
        };
        let kind = named(object).kind;
        if !spark_application::is_of_kind(kind) {
            return Ok(());
        }
        let shelves = self.offline.catalog.shelves(&self.namespace, None);
        let filled = spark_application::fill(
            kind,
            (object, None),
            &self.namespace,
            shelves.visible(),
            self.offline.settings,
        );
        let mut subject = self.subject(None);
        subject.warnings = warnings;
        let operations = match filled {
            Ok(filled) => {
                subject.fill(&filled);
                below(base, self.values(&filled.patch)?)
            }
            Err(denial) => {
                outcome.subjects.push(subject.denied(&denial));
                return Ok(());
            }
        };
        outcome.subjects.push(subject);
        self.apply(outcome, operations)
    }

    fn request<'r>(&'r self, requester: &'r str, person: Option<&'r str>) -> Request<'r> {
        Request {
            requester,
            person,
            groups: &self.offline.groups,
            namespace: &self.namespace,
        }
    }

    /// A pod that names another owner than who creates it is refused: nobody is here to say whether they may.
    fn owner<'p>(
        &'p self,
        pod: &'p Pod<'p>,
        person: Option<&'p str>,
        origin: Origin<'_>,
    ) -> Result<Owner<'p>, Denial> {
        let stamp = pod
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.annotations.get(inject::annotations::OWNER));
        Ok(match (origin, self.offline.requester, stamp) {
            (Origin::Requester, Some(requester), _) => {
                let request = self.request(requester, person);
                match owner::of_pod(request, pod, None, self.offline.settings) {
                    Ownership::Known(owner)
                    | Ownership::Follow {
                        otherwise: owner, ..
                    } => owner,
                    Ownership::Claimed(stamp) => {
                        let stamp = stamp.to_owned();
                        return Err(Denial::ForeignStamp { stamp });
                    }
                }
            }
            (Origin::Past(_), requester, stamp) => of_running(
                pod,
                stamp,
                requester.and(person),
                self.offline.settings.identity,
            ),
            (Origin::Controller, _, Some(stamp)) => Owner {
                name: Some(stamp),
                rule: Rule::Stamp,
            },
            (Origin::Controller, Some(_), None) => Owner {
                name: None,
                rule: Rule::no_stamp(self.offline.settings.identity),
            },
            (Origin::Requester | Origin::Controller, None, _) => Owner {
                name: None,
                rule: Rule::Unknown,
            },
        })
    }

    fn decide(
        &self,
        outcome: &mut Outcome,
        pointer: &str,
        mut subject: Subject,
        origin: Origin<'_>,
    ) -> Result<(), OfflineError> {
        let Some(value) = outcome.document.pointer(pointer) else {
            return Ok(());
        };
        let pod = Pod::read(value).map_err(|error| OfflineError::Unreadable {
            object: self.title.clone(),
            place: match pointer {
                "" => String::new(),
                pointer => format!(" at {pointer:?}"),
            },
            reason: without_value(&error),
        })?;
        let requester = self.offline.requester.unwrap_or_default();
        let user_id = identity::user_id_of_pod(&pod);
        let person = self.offline.settings.identity.person(requester, user_id);
        let owner = match self.owner(&pod, person.as_deref(), origin) {
            Ok(owner) => owner,
            Err(denial) => {
                outcome.subjects.push(subject.denied(&denial));
                return Ok(());
            }
        };
        let request = self.request(owner.name.unwrap_or_default(), owner.name);
        let shelves = self.offline.catalog.shelves(&self.namespace, owner.name);
        let carried = match origin {
            Origin::Past(Some(facts)) => Some(facts.shelves(shelves.visible())),
            _ => None,
        };
        let visible = match &carried {
            Some([project, user]) => Visible {
                project,
                user,
                ..shelves.visible()
            },
            None => shelves.visible(),
        };
        let decision = inject::decide(request, &pod, owner, visible, self.offline.settings);
        subject.tell(&decision, visible);
        let owner_of = |object: &str| {
            let owner = self.offline.catalog.owner_of(&self.namespace, object)?;
            let identity = self.offline.settings.identity;
            // Where hashes tell owners apart, a username is that of all people.
            let is_guarded = identity == Identity::Authenticated || identity.is_hash(&owner);
            is_guarded.then(|| owner.as_ref().to_owned())
        };
        subject.tell_foreign(guard::foreign(&pod.spec, owner.name, owner_of));
        subject.tell_orphans(&self.offline.catalog.orphans(&self.namespace));
        let operations = match &decision {
            Decision::Inject(plan) => self.values(&patch::write(plan, pointer))?,
            Decision::Skip(..) | Decision::Deny(_) => vec![],
        };
        outcome.subjects.push(subject);
        let is_injected = !operations.is_empty();
        self.apply(outcome, operations)?;
        let pod = outcome.document.pointer_mut(pointer);
        if let Some(pod) = pod.filter(|_| is_injected) {
            drop_empty_values(pod);
        }
        Ok(())
    }

    fn values(&self, patch: &[patch::Operation<'_>]) -> Result<Vec<Value>, OfflineError> {
        let error = |source| OfflineError::Write {
            object: self.title.clone(),
            source,
        };
        patch
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()
            .map_err(error)
    }

    fn apply(&self, outcome: &mut Outcome, operations: Vec<Value>) -> Result<(), OfflineError> {
        let object = || self.title.clone();
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(operations.clone()))
            .map_err(|source| OfflineError::Write {
                object: object(),
                source,
            })?;
        json_patch::patch(&mut outcome.document, &patch).map_err(|source| OfflineError::Patch {
            object: object(),
            source,
        })?;
        outcome.patch.extend(operations);
        Ok(())
    }
}

/// Takes the empty values off that references leave beside `valueFrom`: the API server stores none either.
fn drop_empty_values(pod: &mut Value) {
    for list in ["initContainers", "containers"] {
        let containers = pod.pointer_mut(&format!("/spec/{list}"));
        for container in containers
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let env = container.get_mut("env").and_then(Value::as_array_mut);
            for variable in env.into_iter().flatten().filter_map(Value::as_object_mut) {
                let is_empty = variable.get("value").and_then(Value::as_str) == Some("");
                if is_empty && variable.contains_key("valueFrom") {
                    variable.shift_remove("value");
                }
            }
        }
    }
}

/// Whose a pod is that runs.
fn of_running<'p>(
    pod: &'p Pod<'p>,
    stamp: Option<&'p str>,
    person: Option<&'p str>,
    identity: Identity,
) -> Owner<'p> {
    let made = pod
        .metadata
        .as_ref()
        .is_some_and(|metadata| metadata.controller().is_some());
    let stamp = stamp.filter(|stamp| !stamp.is_empty());
    let (name, rule) = match (stamp, made, person) {
        (Some(stamp), true, _) => (Some(stamp), Rule::Stamp),
        (Some(stamp), false, _) => (Some(stamp), Rule::Recorded),
        (None, true, _) => (None, Rule::no_stamp(identity)),
        (None, false, Some(person)) => (Some(person), Rule::Requester),
        (None, false, None) => (None, Rule::Unknown),
    };
    Owner { name, rule }
}

/// A workload as proofs would know it.
fn named(object: &Value) -> Object<'_> {
    let text = |pointer| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default()
    };
    Object {
        kind: Kind::new(text("/apiVersion"), text("/kind")),
        name: text("/metadata/name"),
        generate_name: text("/metadata/generateName"),
    }
}

/// Operations on an object, as operations on the document in which it stands at `base`.
fn below(base: &str, mut operations: Vec<Value>) -> Vec<Value> {
    for path in operations
        .iter_mut()
        .filter_map(|operation| operation.get_mut("path"))
    {
        if let Value::String(path) = path {
            path.insert_str(0, base);
        }
    }
    operations
}

/// serde quotes what it found before it says what it expected.
fn without_value(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => text,
    }
}
