//! What a row is, and the words that all rows have in common.

use serde_json::{Value, json};

use super::call::Call;

/// What is to become of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One of these is in the sentence, separated by `|`, and nothing comes of it.
    Refused(&'static str),
    /// The pods have what the project has and the requester's own.
    Own,
    /// The pods have what the project has and alice's.
    Alices,
    /// The pods have what the project has.
    Nobodys,
    /// The pods have nothing.
    Bare,
    /// It works, and no pods come of it, or pods that name alice's Secret and may.
    Done,
    /// Not tried.
    Skip,
}

use Verdict::{Alices, Bare, Done, Nobodys, Own, Refused, Skip};

pub(super) const STAMP: Verdict = Refused("the annotation keyporter.dev/owner names");
pub(super) const FOREIGN: Verdict = Refused("refers to secrets of another user");
pub(super) const MARKS: Verdict = Refused("the labels and annotations that keyporter wrote on pod");
pub(super) const ENTRY: Verdict = Refused("carries secrets of its owner");
/// Of Kubernetes' role-based access control.
pub(super) const RIGHT: Verdict =
    Refused("cannot create resource|cannot patch resource|cannot update resource");

/// Alice's name is for alice, and for who may act for her.
pub(super) const NAMED: [Verdict; 6] = [Own, STAMP, STAMP, STAMP, Nobodys, Alices];
/// The same where a controller has no place.
pub(super) const NAMED_BY_PEOPLE: [Verdict; 6] = [Own, STAMP, STAMP, STAMP, Skip, Alices];
/// What they decide is theirs, and who may act for alice leaves her name where it is.
pub(super) const DECIDED: [Verdict; 6] = [Own, Own, Own, Own, Skip, Alices];
/// What they decide is theirs.
pub(super) const THEIRS: [Verdict; 6] = [Own, Own, Own, Own, Skip, Own];
/// What alice decided stays hers.
pub(super) const STAYS: [Verdict; 6] = [Alices, Alices, Alices, Alices, Skip, Alices];
/// Only alice, and who may act for her.
pub(super) const REFERS: [Verdict; 6] = [Done, FOREIGN, FOREIGN, FOREIGN, FOREIGN, Done];
/// The same where a controller has no place.
pub(super) const REFERS_BY_PEOPLE: [Verdict; 6] = [Done, FOREIGN, FOREIGN, FOREIGN, Skip, Done];
pub(super) const OPTED_OUT: [Verdict; 6] = [Bare, Bare, Bare, Bare, Skip, Bare];

pub(super) const fn everybody_is(verdict: Verdict) -> [Verdict; 6] {
    [verdict, verdict, verdict, verdict, Skip, verdict]
}

/// The object that a row is about, made anew for each who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// There is none.
    Nothing,
    /// Alice's of this kind. Nothing runs yet, but for a pod.
    Alices(&'static str),
    /// The same in another namespace.
    Elsewhere(&'static str),
    /// Bob's of this kind.
    Bobs(&'static str),
    /// The requester's own of this kind.
    Own(&'static str),
}

/// What, on which object, how, and what becomes of it for everybody.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) target: Target,
    pub(super) calls: Vec<Call>,
    pub(super) verdicts: [Verdict; 6],
}

pub(super) fn row(
    what: &'static str,
    target: Target,
    calls: impl Into<Vec<Call>>,
    verdicts: [Verdict; 6],
) -> Row {
    let calls = calls.into();
    Row {
        what,
        target,
        calls,
        verdicts,
    }
}

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    [
        super::on_pods::rows(),
        super::references::rows(),
        super::on_templates::rows(),
        super::on_workloads::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `metadata` with these annotations, of an object that begins with a try's name.
pub(super) fn annotated(annotations: &Value) -> Value {
    json!({"name": "$TRY", "labels": {"try": "$TRY"}, "annotations": annotations})
}

/// Alice's name as an owner.
pub(super) fn forged() -> Value {
    json!({"keyporter.dev/owner": "alice"})
}

/// The stamp of alice's object, with its proof.
pub(super) fn copied() -> Value {
    json!({"keyporter.dev/owner": "$OWNER", "keyporter.dev/owner-proof": "$PROOF"})
}

/// A pod, or what is in a template.
pub(super) fn pod(annotations: &Value) -> Value {
    json!({"metadata": annotated(annotations), "spec": spec()})
}

pub(super) fn spec() -> Value {
    json!({"containers": [{"name": "main", "image": "registry.invalid/attack:1"}]})
}

/// An entry of `ownerReferences` that says alice's object made it.
pub(super) fn made_by(version: &str, kind: &str) -> Value {
    json!([{"apiVersion": version, "kind": kind, "name": "$NAME", "uid": "$UID", "controller": true}])
}

/// A workload of some kind, with this template; it runs where `runs`.
pub(super) fn workload(kind: &str, name: &str, template: Value, runs: bool) -> Value {
    let mut template = template;
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.remove("name");
    }
    template["metadata"]["labels"]["app"] = name.into();
    let selector = json!({"matchLabels": {"app": name}});
    let replicas = u8::from(runs);
    let once = |mut template: Value| {
        template["spec"]["restartPolicy"] = "Never".into();
        template
    };
    let spec = match kind {
        "Job" => json!({"suspend": !runs, "template": once(template)}),
        "CronJob" => json!({
            "schedule": "0 0 29 2 *",
            "suspend": true,
            "jobTemplate": {"spec": {"template": once(template)}},
        }),
        "DaemonSet" => {
            // No node has it: other trials make nodes.
            template["spec"]["nodeSelector"] = json!({"tests.keyporter.dev/node": "none"});
            json!({"selector": selector, "template": template})
        }
        "StatefulSet" => {
            json!({"serviceName": "none", "replicas": replicas, "selector": selector, "template": template})
        }
        "ReplicationController" => {
            json!({"replicas": replicas, "selector": {"app": name}, "template": template})
        }
        _ => json!({"replicas": replicas, "selector": selector, "template": template}),
    };
    json!({"metadata": {"name": name}, "spec": spec})
}

/// Where the pod template of a kind stands.
pub(super) fn template_of(kind: &str) -> &'static str {
    match kind {
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ => "/spec/template",
    }
}
