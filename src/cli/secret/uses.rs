//! Who uses secrets: pods that carry them, and workloads whose pods choose them by name.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{apps, batch, core};
use kube::{
    Client, Resource,
    api::ListParams,
    core::{ApiResource, DynamicObject, GroupVersionKind, Request},
};
use serde_json::Value;

use super::{metadata::Metadata, summary::User};
use crate::{
    access::live_pods,
    cli::cluster::{RequestError, ask},
    inject::{annotations as names, in_use::Carrier, template},
};

/// Namespace, kind and name.
type Place = (String, String, String);

/// What is known of a cluster's pods and workloads.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// By namespace and Secret object: the pods.
    carriers: BTreeMap<(String, String), Vec<Carrier>>,
    /// Kind and name of what made a Job.
    above_jobs: BTreeMap<(String, String), (String, String)>,
    /// Workloads that choose an auth secret.
    choices: Vec<Choice>,
    /// What the caller may not list.
    unlisted: BTreeSet<&'static str>,
}

/// A workload whose pods choose their auth secret.
#[derive(Debug)]
struct Choice {
    namespace: String,
    kind: String,
    name: String,
    owner: Option<String>,
    secret: String,
}

impl Uses {
    /// Asks about the pods, and about the workloads where one of the secrets can be chosen by them.
    pub(super) async fn ask(
        client: &Client,
        namespace: Option<&str>,
        secrets: &[&Metadata],
    ) -> Result<Self, RequestError> {
        let mut uses = Self::default();
        let mut of_jobs = false;
        let listed = live_pods(client, namespace, |page| {
            for (namespace, object, carrier) in page.carried() {
                of_jobs |= matches!(&carrier.workload, Some((kind, _)) if kind == "Job");
                let place = (namespace.to_owned(), object);
                uses.carriers.entry(place).or_default().push(carrier);
            }
        });
        let listed = listed.await.map_err(RequestError::from);
        uses.known("pods", listed)?;
        if of_jobs {
            let request =
                requests::<batch::v1::Job>(namespace).list_metadata(&ListParams::default());
            let jobs = ask::<Value>(client, request).await;
            if let Some(jobs) = uses.known("jobs.batch", jobs)? {
                uses.note_above_jobs(&jobs);
            }
        }
        if secrets.iter().any(|secret| secret.kind() == Some("auth")) {
            uses.ask_choices(client, namespace).await?;
        }
        Ok(uses)
    }

    /// What the caller may not list, in one line.
    pub(super) fn note(&self) -> Option<String> {
        let unlisted: Vec<_> = self.unlisted.iter().copied().collect();
        (!unlisted.is_empty()).then(|| {
            format!(
                "who uses the secrets is not all known, because you may not list {}; the role keyporter-viewer allows it",
                unlisted.join(", ")
            )
        })
    }

    /// Those who use a secret, and whether they are all.
    pub(super) fn of(&self, secret: &Metadata) -> (Vec<User>, bool) {
        let place = (secret.namespace.clone(), secret.object.clone());
        let mut users: BTreeMap<(String, String), usize> = BTreeMap::new();
        for carrier in self.carriers.get(&place).into_iter().flatten() {
            *users
                .entry(self.workload(&secret.namespace, carrier))
                .or_default() += 1;
        }
        let is_auth = secret.kind() == Some("auth");
        for choice in self.choices.iter().filter(|choice| choice.takes(secret)) {
            let user = (choice.kind.clone(), choice.name.clone());
            users.entry(user).or_default();
        }
        let users = users
            .into_iter()
            .map(|((kind, name), pods)| User { kind, name, pods });
        let known = !self.unlisted.contains("pods") && (!is_auth || self.unlisted.is_empty());
        (users.collect(), known)
    }

    /// What a person knows a pod by.
    fn workload(&self, namespace: &str, carrier: &Carrier) -> (String, String) {
        match &carrier.workload {
            Some((kind, name)) if kind == "Job" => {
                let above = self.above_jobs.get(&(namespace.to_owned(), name.clone()));
                above
                    .cloned()
                    .unwrap_or_else(|| (kind.clone(), name.clone()))
            }
            Some(workload) => workload.clone(),
            None => ("Pod".to_owned(), carrier.pod.clone()),
        }
    }

    /// Without the right to it the rest is still worth a look.
    fn known<T>(
        &mut self,
        what: &'static str,
        outcome: Result<T, RequestError>,
    ) -> Result<Option<T>, RequestError> {
        match outcome {
            Ok(known) => Ok(Some(known)),
            Err(error) if error.is_forbidden() => {
                self.unlisted.insert(what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn note_above_jobs(&mut self, jobs: &Value) {
        for job in items(jobs) {
            if let (Some((namespace, _, name)), Some(above)) = (place("Job", job), controller(job))
            {
                self.above_jobs.insert((namespace, name), above);
            }
        }
    }

    async fn ask_choices(
        &mut self,
        client: &Client,
        namespace: Option<&str>,
    ) -> Result<(), RequestError> {
        let job_set = GroupVersionKind::gvk("jobset.x-k8s.io", "v1alpha2", "JobSet");
        let job_set = ApiResource::from_gvk(&job_set);
        let kinds = [
            (
                "cronjobs.batch",
                "CronJob",
                requests::<batch::v1::CronJob>(namespace),
            ),
            (
                "daemonsets.apps",
                "DaemonSet",
                requests::<apps::v1::DaemonSet>(namespace),
            ),
            (
                "deployments.apps",
                "Deployment",
                requests::<apps::v1::Deployment>(namespace),
            ),
            ("jobs.batch", "Job", requests::<batch::v1::Job>(namespace)),
            (
                "jobsets.jobset.x-k8s.io",
                "JobSet",
                Request::new(DynamicObject::url_path(&job_set, namespace)),
            ),
            (
                "replicasets.apps",
                "ReplicaSet",
                requests::<apps::v1::ReplicaSet>(namespace),
            ),
            (
                "replicationcontrollers",
                "ReplicationController",
                requests::<core::v1::ReplicationController>(namespace),
            ),
            (
                "statefulsets.apps",
                "StatefulSet",
                requests::<apps::v1::StatefulSet>(namespace),
            ),
        ];
        for (what, kind, requests) in kinds {
            let list = ask::<Value>(client, requests.list(&ListParams::default())).await;
            let list = match list {
                // A cluster need not have JobSets.
                Err(RequestError::Refused { code: 404, .. }) => continue,
                list => self.known(what, list)?,
            };
            let objects = list.iter().flat_map(items);
            self.choices
                .extend(objects.flat_map(|object| choices(kind, object)));
        }
        Ok(())
    }
}

impl Choice {
    fn takes(&self, secret: &Metadata) -> bool {
        let same = secret.kind() == Some("auth")
            && self.namespace == secret.namespace
            && self.secret == secret.name();
        same && (secret.is_project() || secret.owner() == self.owner.as_deref())
    }
}

fn requests<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Request {
    Request::new(K::url_path(&(), namespace))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    let items = list.get("items").and_then(Value::as_array);
    items.into_iter().flatten()
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

fn place(kind: &str, object: &Value) -> Option<Place> {
    let namespace = text(object, "/metadata/namespace")?;
    let name = text(object, "/metadata/name")?;
    Some((namespace.to_owned(), kind.to_owned(), name.to_owned()))
}

fn controller(object: &Value) -> Option<(String, String)> {
    let references = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let is_controller =
        |reference: &&Value| reference.get("controller") == Some(&Value::Bool(true));
    let reference = references.iter().find(is_controller)?;
    Some((
        text(reference, "/kind")?.to_owned(),
        text(reference, "/name")?.to_owned(),
    ))
}

/// What the pod templates of a workload choose. Of what a controller made its maker speaks, and what is done uses nothing.
fn choices(kind: &str, object: &Value) -> Vec<Choice> {
    let Some((namespace, kind, name)) = place(kind, object) else {
        return vec![];
    };
    if controller(object).is_some() || is_done(object) {
        return vec![];
    }
    let templates = template::find(object);
    let chosen = templates.into_iter().filter_map(|template| {
        let annotations = template.value.pointer("/metadata/annotations")?;
        let annotation = |name| annotations.get(name).and_then(Value::as_str);
        let secret = annotation(names::AUTH_SECRET)?.trim();
        Some(Choice {
            namespace: namespace.clone(),
            kind: kind.clone(),
            name: name.clone(),
            owner: annotation(names::OWNER).map(str::to_owned),
            secret: secret.to_owned(),
        })
    });
    chosen.collect()
}

fn is_done(object: &Value) -> bool {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let is_last = matches!(
            text(condition, "/type"),
            Some("Complete" | "Failed" | "Completed")
        );
        is_last && text(condition, "/status") == Some("True")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(object: &str, kind: &str, scope: &str, owner: &str) -> Metadata {
        serde_json::from_value(json!({
            "namespace": "vision", "name": object, "resourceVersion": "1",
            "labels": {"keyporter.dev/kind": kind, "keyporter.dev/name": "platform", "keyporter.dev/scope": scope},
            "annotations": {"keyporter.dev/owner": owner},
        }))
        .unwrap()
    }

    fn told(uses: &Uses, secret: &Metadata) -> String {
        let (list, all) = uses.of(secret);
        let names = list
            .iter()
            .map(|user| format!("{}/{} {}", user.kind, user.name, user.pods));
        let mut names: Vec<_> = names.collect();
        names.extend((!all).then(|| "?".to_owned()));
        names.join(", ")
    }

    #[test]
    fn pods_are_shown_through_their_workloads() {
        let carrier = |pod: &str, workload: Option<(&str, &str)>| Carrier {
            pod: pod.to_owned(),
            workload: workload.map(|(kind, name)| (kind.to_owned(), name.to_owned())),
        };
        let mut uses = Uses::default();
        uses.note_above_jobs(&json!({"items": [
            {"metadata": {"namespace": "vision", "name": "nightly-1", "ownerReferences": [
                {"kind": "Note", "name": "x"}, {"kind": "CronJob", "name": "nightly", "controller": true}]}},
            {"metadata": {"namespace": "speech", "name": "train", "ownerReferences": [
                {"kind": "JobSet", "name": "other", "controller": true}]}},
        ]}));
        uses.carriers.insert(
            ("vision".to_owned(), "a".to_owned()),
            vec![
                carrier("nightly-1-x", Some(("Job", "nightly-1"))),
                carrier("train-0", Some(("Job", "train"))),
                carrier("train-1", Some(("Job", "train"))),
                carrier("notebook", None),
            ],
        );
        let mut secret = secret("a", "env", "user", "alice");
        assert_eq!(
            told(&uses, &secret),
            "CronJob/nightly 1, Job/train 2, Pod/notebook 1"
        );
        uses.unlisted.insert("jobs.batch");
        assert!(!told(&uses, &secret).contains('?'));
        uses.unlisted.insert("pods");
        assert!(told(&uses, &secret).ends_with(", ?"));
        secret.namespace = "speech".to_owned();
        assert_eq!(told(&uses, &secret), "?");
    }

    #[test]
    fn who_chooses_a_secret_uses_it() {
        let workload = |name: &str, owner: &str, more: Value| {
            let mut object = json!({
                "metadata": {"namespace": "vision", "name": name},
                "spec": {"template": {
                    "metadata": {"annotations": {"keyporter.dev/auth-secret": " platform", "keyporter.dev/owner": owner}},
                    "spec": {"containers": []},
                }},
            });
            if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
                object.extend(more);
            }
            object
        };
        let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        let failing = json!({"status": {"conditions": [{"type": "Failed", "status": "False"}]}});
        let made = json!({"metadata": {"namespace": "vision", "name": "made", "ownerReferences": [
            {"kind": "CronJob", "name": "nightly", "controller": true}]}});
        let objects = [
            workload("alices", "alice", failing),
            workload("bobs", "bob", json!({})),
            workload("done", "alice", done),
            workload("made", "alice", made),
            json!({"metadata": {"namespace": "vision", "name": "plain"}, "spec": {"template": {"spec": {"containers": []}}}}),
        ];
        let uses = Uses {
            choices: objects
                .iter()
                .flat_map(|object| choices("Job", object))
                .collect(),
            ..Uses::default()
        };
        assert_eq!(
            told(&uses, &secret("p-1", "auth", "user", "alice")),
            "Job/alices 0"
        );
        assert_eq!(
            told(&uses, &secret("p-2", "auth", "project", "")),
            "Job/alices 0, Job/bobs 0"
        );
        assert_eq!(told(&uses, &secret("p-3", "env", "user", "alice")), "");
    }
}
