//! Rows that make workloads.

use serde_json::{Value, json};

use super::{
    call::Call,
    table::{
        DECIDED, NAMED_BY_PEOPLE, Row, Target, Verdict, copied, everybody_is, forged, made_by, pod,
        row, workload,
    },
};

use Target::{Alices, Elsewhere, Nothing};
use Verdict::Refused;

/// Each kind with what it runs; nothing runs of a CronJob by itself, and of a DaemonSet without nodes.
const KINDS: [(&str, &str, &str, bool); 7] = [
    (
        "Deployment",
        "Deployment with a forged owner",
        "Deployment with stamp and proof of another",
        true,
    ),
    (
        "StatefulSet",
        "StatefulSet with a forged owner",
        "StatefulSet with stamp and proof of another",
        true,
    ),
    (
        "DaemonSet",
        "DaemonSet with a forged owner",
        "DaemonSet with stamp and proof of another",
        false,
    ),
    (
        "ReplicaSet",
        "ReplicaSet with a forged owner",
        "ReplicaSet with stamp and proof of another",
        true,
    ),
    (
        "ReplicationController",
        "ReplicationController with a forged owner",
        "ReplicationController with stamp and proof of another",
        true,
    ),
    (
        "Job",
        "Job with a forged owner",
        "Job with stamp and proof of another",
        true,
    ),
    (
        "CronJob",
        "CronJob with a forged owner",
        "CronJob with stamp and proof of another",
        false,
    ),
];

fn create(kind: &'static str, template: Value) -> Call {
    Call::create(kind, workload(kind, "$TRY", template, true))
}

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, with_a_name, with_a_proof, runs) in KINDS {
        let by_name = create(kind, pod(&forged())).dry_run();
        rows.push(row(with_a_name, Nothing, [by_name], NAMED_BY_PEOPLE));
        let by_proof = create(kind, pod(&copied()));
        let by_proof = if runs { by_proof } else { by_proof.dry_run() };
        rows.push(row(with_a_proof, Alices(kind), [by_proof], NAMED_BY_PEOPLE));
    }
    let mut alone = workload("Deployment", "$TRY", pod(&json!({})), true);
    alone["metadata"]["annotations"] = copied();
    let mut generated = workload("Job", "$TRY", pod(&copied()), true);
    generated["metadata"] = json!({"generateName": "$NAME-"});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [workload("Deployment", "$TRY", pod(&copied()), true)]});
    let mut hashed = pod(&copied());
    hashed["metadata"]["labels"]["pod-template-hash"] = "abc".into();
    let mut replica_set = workload("ReplicaSet", "$NAME-abc", hashed, true);
    replica_set["metadata"]["labels"] = json!({"pod-template-hash": "abc"});
    let mut rolled = replica_set.clone();
    rolled["metadata"]["ownerReferences"] = made_by("apps/v1", "Deployment");
    let made = |kind: &'static str, version: &str, by: &str, annotations: &Value| {
        let mut object = workload(kind, "$TRY", pod(annotations), true);
        object["metadata"]["ownerReferences"] = made_by(version, by);
        Call::create(kind, object)
    };
    let revision = json!({"metadata": {"name": "$TRY"}, "revision": 1, "data": {}});
    let no_right = Refused("cannot create resource");
    rows.extend([
        row("forged owner on the object alone", Alices("Deployment"), [Call::create("Deployment", alone)],
            // Who may act for alice names her on one of two places: the pods get what the template says.
            [Verdict::Own, super::table::STAMP, super::table::STAMP, super::table::STAMP, Verdict::Skip, Verdict::Own]),
        row("forged owner with generateName", Alices("Job"), [Call::create("Job", generated)], NAMED_BY_PEOPLE),
        row("proof of a Deployment on a Job", Alices("Deployment"), [create("Job", pod(&copied()))], NAMED_BY_PEOPLE),
        row("proof of another namespace", Elsewhere("Job"), [Call::create("Job", workload("Job", "$NAME", pod(&copied()), true))],
            NAMED_BY_PEOPLE),
        row("List of one", Alices("Deployment"), [Call::create("Deployment", list)],
            everybody_is(Refused("List in version"))),
        row("ReplicaSet with a Deployment's name and hash", Alices("Deployment"),
            [Call::create("ReplicaSet", replica_set)], NAMED_BY_PEOPLE),
        // It brings along what keyporter wrote, as a rollback does, and is whose decision it is.
        row("ReplicaSet as if made by a Deployment", Alices("Deployment"), [Call::create("ReplicaSet", rolled).dry_run()], DECIDED),
        row("Job as if made by a CronJob", Alices("CronJob"), [made("Job", "batch/v1", "CronJob", &copied())], DECIDED),
        row("Job as if made by a Deployment, with its proof", Alices("Deployment"),
            [made("Job", "apps/v1", "Deployment", &copied()).dry_run()], DECIDED),
        row("Job as if made by a JobSet", Nothing, [made("Job", "jobset.x-k8s.io/v1alpha2", "JobSet", &forged()).dry_run()],
            NAMED_BY_PEOPLE),
        row("ReplicaSet as if made by a CronJob, without a stamp", Alices("CronJob"),
            [made("ReplicaSet", "batch/v1", "CronJob", &json!({})).dry_run()], super::table::THEIRS),
        row("revision of a StatefulSet", Alices("StatefulSet"), [Call::create("ControllerRevision", revision).dry_run()],
            [no_right, no_right, no_right, no_right, Verdict::Skip, Verdict::Done]),
    ]);
    rows
}
