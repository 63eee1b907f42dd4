//! Short builders, so that a test is a few lines: secrets as the catalogue reads them, what an owner may see, pods as
//! JSON, and a decision with its patch applied.

use std::sync::Arc;

use keyporter::inject::object::{Kind, Object};
use keyporter::inject::owner::{self, Ownership};
use keyporter::inject::pod::Pod;
use keyporter::inject::proof::Proofs;
use keyporter::inject::secret::{Broken, Description, Key, Secret};
use keyporter::inject::select::{Shelf, Visible};
use keyporter::inject::settings::Settings;
use keyporter::inject::store::Stores;
use keyporter::inject::{self, Decision, Denial, Request, Skip, identity, patch};
use serde_json::{Value, json};

use crate::stamps;

pub(crate) const NAMESPACE: &str = "vision";
pub(crate) const JOB_CONTROLLER: &str = "system:serviceaccount:kube-system:job-controller";
pub(crate) const ROOT: &str = "/konduktor/default-secrets";

/// A Secret of alice: `user("env", "token", &["TOKEN"])`.
pub(crate) fn user(kind: &str, name: &str, keys: &[&str]) -> Description {
    described(kind, name, keys).annotation("keyporter.dev/owner", "alice")
}

/// A Secret of the project.
pub(crate) fn project(kind: &str, name: &str, keys: &[&str]) -> Description {
    described(kind, name, keys).label("keyporter.dev/scope", "project")
}

/// Just a Secret, without a label.
pub(crate) fn plain(object: &str, keys: &[&str]) -> Description {
    let key = |name: &&str| Key {
        name: (*name).into(),
        length: 1,
    };
    Description {
        namespace: NAMESPACE.into(),
        object: object.into(),
        resource_version: "7".into(),
        created: "2026-11-23T20:00:00Z".into(),
        keys: keys.iter().map(key).collect(),
        ..Description::default()
    }
}

fn described(kind: &str, name: &str, keys: &[&str]) -> Description {
    plain(name, keys).label("keyporter.dev/kind", kind)
}

/// What makes a [`Description`] special.
pub(crate) trait Describe: Sized {
    fn label(self, name: &str, value: &str) -> Self;
    fn annotation(self, name: &str, value: &str) -> Self;
    /// The object is called otherwise than the secret.
    fn object(self, object: &str) -> Self;
    /// Created in this minute of an hour.
    fn made(self, minute: u32) -> Self;

    fn on_reference(self) -> Self {
        self.annotation("keyporter.dev/injection", "on-reference")
    }

    fn layout(self, layout: &Value) -> Self {
        self.annotation("keyporter.dev/layout", &layout.to_string())
    }
}

impl Describe for Description {
    fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.push((name.into(), value.into()));
        self
    }

    fn object(self, object: &str) -> Self {
        let name = self.object.clone();
        let mut described = self.label("keyporter.dev/name", &name);
        described.object = object.into();
        described
    }

    fn made(mut self, minute: u32) -> Self {
        self.created = format!("2026-11-23T20:{minute:02}:00Z");
        self
    }
}

pub(crate) fn secret(description: Description) -> Secret {
    description
        .read()
        .expect("one of keyporter's")
        .expect("a usable secret")
}

pub(crate) fn broken(description: Description) -> Broken {
    description
        .read()
        .expect("one of keyporter's")
        .expect_err("a broken secret")
}

/// What the catalogue would hand out for a pod: the shelf of its project and the shelf of its owner.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    pub(crate) project: Shelf,
    pub(crate) user: Shelf,
    pub(crate) stores: Stores,
}

impl Shelves {
    pub(crate) fn visible(&self) -> Visible<'_> {
        Visible {
            project: &self.project,
            user: &self.user,
            stores: &self.stores,
        }
    }
}

/// Sorts Secrets onto the shelves as the catalogue does: by scope, older before newer.
pub(crate) fn shelves(descriptions: impl IntoIterator<Item = Description>) -> Shelves {
    let mut shelves = Shelves::default();
    for description in descriptions {
        match description.read().expect("one of keyporter's") {
            Ok(secret) if secret.owner.is_none() => shelves.project.secrets.push(Arc::new(secret)),
            Ok(secret) => shelves.user.secrets.push(Arc::new(secret)),
            Err(broken) if broken.project => shelves.project.broken.push(Arc::new(broken)),
            Err(broken) => shelves.user.broken.push(Arc::new(broken)),
        }
    }
    for shelf in [&mut shelves.project, &mut shelves.user] {
        shelf
            .secrets
            .sort_by(|a, b| a.age_order().cmp(&b.age_order()));
    }
    shelves
}

/// A container without anything.
pub(crate) fn container(name: &str) -> Value {
    json!({"name": name, "image": "busybox"})
}

/// A pod with one container `main`, which holds these members.
pub(crate) fn pod(members: Value) -> Value {
    let mut main = container("main");
    merge(&mut main, members);
    pod_of([main])
}

pub(crate) fn pod_of(containers: impl IntoIterator<Item = Value>) -> Value {
    let containers: Vec<_> = containers.into_iter().collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train", "namespace": NAMESPACE},
        "spec": {"containers": containers},
    })
}

pub(crate) fn annotated(mut pod: Value, name: &str, value: &str) -> Value {
    pod["metadata"]["annotations"][name] = value.into();
    pod
}

pub(crate) fn labelled(mut pod: Value, name: &str, value: &str) -> Value {
    pod["metadata"]["labels"][name] = value.into();
    pod
}

/// `pod` as the Job controller makes it from a Job of `owner`, with a proof of that.
pub(crate) fn of_job(pod: Value, owner: &str) -> Value {
    of_workload("batch/v1", "Job", pod, owner)
}

/// `pod` as a controller makes it from an object of this kind called `train`.
pub(crate) fn of_workload(version: &str, kind: &str, mut pod: Value, owner: &str) -> Value {
    let object = Object {
        kind: Kind::new(version, kind),
        name: "train",
        generate_name: "",
    };
    let keys = stamps::keys();
    let proofs = Proofs {
        keys: &keys,
        namespace: stamps::NAMESPACE_UID,
    };
    let proof = proofs.write(&object, owner);
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": version, "kind": kind, "name": "train", "uid": "7", "controller": true,
    }]);
    pod["metadata"]["annotations"] =
        json!({"keyporter.dev/owner": owner, "keyporter.dev/owner-proof": proof});
    pod
}

/// `pod` with these members in its `spec`.
pub(crate) fn with_spec(mut pod: Value, members: Value) -> Value {
    merge(&mut pod["spec"], members);
    pod
}

fn merge(object: &mut Value, members: Value) {
    let Value::Object(members) = members else {
        panic!("members of an object, not {members}")
    };
    object.as_object_mut().expect("an object").extend(members);
}

/// What came of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) result: Result<Value, Skip>,
    /// The patch as it goes into the answer.
    pub(crate) patch: Value,
    pub(crate) warnings: Vec<String>,
    /// Objects of which the pod has anything.
    pub(crate) in_effect: Vec<String>,
    /// Objects that were not chosen, and why.
    pub(crate) passed_over: Vec<(String, String)>,
    /// Objects for which something of a container's own is in the way.
    pub(crate) kept_out: Vec<String>,
    /// Whose pod it is.
    pub(crate) owner: Option<String>,
}

impl Outcome {
    /// The pod with its secrets.
    #[track_caller]
    pub(crate) fn pod(&self) -> &Value {
        self.result
            .as_ref()
            .unwrap_or_else(|skip| panic!("skipped: {skip}; {:?}", self.warnings))
    }

    /// A part of that pod by its JSON Pointer; null where there is none.
    #[track_caller]
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.pod().pointer(pointer).unwrap_or(&Value::Null)
    }

    #[track_caller]
    pub(crate) fn skip(&self) -> Skip {
        *self
            .result
            .as_ref()
            .expect_err("a skip, but something was added")
    }

    /// The secrets in `envFrom` of a container: `("containers", 0)`.
    pub(crate) fn env_from(&self, list: &str, index: usize) -> Vec<&str> {
        names(
            self.at(&format!("/spec/{list}/{index}/envFrom")),
            "/secretRef/name",
        )
    }

    pub(crate) fn env(&self, index: usize) -> Vec<&str> {
        names(self.at(&format!("/spec/containers/{index}/env")), "/name")
    }

    pub(crate) fn mounts(&self, index: usize) -> Vec<&str> {
        names(
            self.at(&format!("/spec/containers/{index}/volumeMounts")),
            "/mountPath",
        )
    }

    /// The variable of the first container.
    pub(crate) fn variable(&self, name: &str) -> &Value {
        let env = self.at("/spec/containers/0/env");
        let own = env
            .as_array()
            .into_iter()
            .flatten()
            .find(|variable| variable["name"] == name);
        own.unwrap_or(&Value::Null)
    }

    /// That exactly one warning holds all these words.
    #[track_caller]
    pub(crate) fn warns(&self, words: &[&str]) {
        let holds = |warning: &&String| words.iter().all(|word| warning.contains(word));
        let count = self.warnings.iter().filter(holds).count();
        assert_eq!(count, 1, "{words:?} in {:#?}", self.warnings);
    }

    #[track_caller]
    pub(crate) fn warns_nothing(&self) {
        assert_eq!(self.warnings, Vec::<String>::new());
    }
}

fn names<'a>(list: &'a Value, pointer: &str) -> Vec<&'a str> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            entry
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("-")
        })
        .collect()
}

/// A pod that alice creates.
#[track_caller]
pub(crate) fn inject(pod: &Value, shelves: &Shelves) -> Outcome {
    inject_as("alice", pod, shelves)
}

#[track_caller]
pub(crate) fn inject_as(requester: &str, pod: &Value, shelves: &Shelves) -> Outcome {
    inject_with(requester, NAMESPACE, pod, shelves, &Settings::default()).expect("no denial")
}

pub(crate) fn inject_with(
    requester: &str,
    namespace: &str,
    pod: &Value,
    shelves: &Shelves,
    settings: &Settings,
) -> Result<Outcome, Denial> {
    let body = pod.to_string();
    let view: Pod<'_> = serde_json::from_str(&body).expect("a pod that can be read");
    let user_id = identity::user_id_of_pod(&view);
    let person = settings.identity.person(requester, user_id);
    let request = Request {
        requester,
        person: person.as_deref(),
        groups: &[],
        namespace,
    };
    let keys = stamps::keys();
    let proofs = Proofs {
        keys: &keys,
        namespace: stamps::NAMESPACE_UID,
    };
    let owner = match owner::of_pod(request, &view, Some(proofs), settings) {
        Ownership::Known(owner)
        | Ownership::Follow {
            otherwise: owner, ..
        } => owner,
        Ownership::Claimed(stamp) => {
            let stamp = stamp.to_owned();
            return Err(Denial::ForeignStamp { stamp });
        }
    };
    let decision = inject::decide(request, &view, owner, shelves.visible(), settings);
    let (report, patch, skip) = match &decision {
        Decision::Skip(skip, report) => (report, json!([]), Some(*skip)),
        Decision::Inject(plan) => (
            &plan.report,
            serde_json::to_value(patch::write(plan, "")).expect("a patch is JSON"),
            None,
        ),
        Decision::Deny(denial) => return Err(denial.clone()),
    };
    Ok(Outcome {
        owner: owner.name.map(ToOwned::to_owned),
        result: skip.map_or_else(|| Ok(applied(pod, &patch)), Err),
        warnings: report.warnings.iter().map(ToString::to_string).collect(),
        in_effect: report
            .in_effect
            .iter()
            .map(|source| source.object().to_owned())
            .collect(),
        passed_over: report
            .passed_over
            .iter()
            .map(|(secret, reason)| (secret.object.to_string(), reason.to_string()))
            .collect(),
        kept_out: report
            .placements
            .iter()
            .filter(|placement| placement.result.is_err())
            .map(|placement| placement.secret.object.to_string())
            .collect(),
        patch,
    })
}

/// The document after a JSON Patch.
#[track_caller]
pub(crate) fn applied(document: &Value, patch: &Value) -> Value {
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).expect("a JSON Patch");
    let mut document = document.clone();
    json_patch::patch(&mut document, &operations)
        .unwrap_or_else(|error| panic!("the patch does not apply: {error}\n{patch:#}"));
    document
}

/// A captured AdmissionReview.
pub(crate) fn review(name: &str) -> Value {
    let path = format!(
        "{}/tests/fixtures/reviews/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    serde_json::from_str(&text).expect("a review")
}
