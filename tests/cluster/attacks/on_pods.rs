//! Rows that make and change pods.

use serde_json::{Value, json};

use super::{
    call::Call,
    table::{
        ENTRY, FOREIGN, MARKS, NAMED, OPTED_OUT, REFERS, RIGHT, Row, STAMP, Target, Verdict,
        copied, everybody_is, forged, made_by, pod, row,
    },
};

use Target::{Alices as Of, Elsewhere, Nothing};
use Verdict::{Alices, Bare, Done, Nobodys, Own, Refused, Skip};

pub(super) fn rows() -> Vec<Row> {
    [making(), marks(), entering()]
        .into_iter()
        .flatten()
        .collect()
}

fn create(pod: Value) -> [Call; 1] {
    [Call::create("Pod", pod)]
}

fn dry(pod: Value) -> [Call; 1] {
    [Call::create("Pod", pod).dry_run()]
}

fn with(mut pod: Value, pointer: [&str; 2], value: Value) -> Value {
    pod[pointer[0]][pointer[1]] = value;
    pod
}

#[rustfmt::skip]
fn making() -> Vec<Row> {
    let made_up = |proof: &str| pod(&json!({"keyporter.dev/owner": "alice", "keyporter.dev/owner-proof": proof}));
    let made_from = |pod: Value, version: &str, kind: &str| with(pod, ["metadata", "ownerReferences"], made_by(version, kind));
    let mut generated = pod(&forged());
    generated["metadata"]["name"] = Value::Null;
    generated["metadata"]["generateName"] = "generated-".into();
    let named = |owner: &str| dry(pod(&json!({"keyporter.dev/owner": owner})));
    let labelled = |value: &str| {
        let mut pod = pod(&json!({}));
        pod["metadata"]["labels"]["keyporter.dev/inject"] = value.into();
        pod
    };
    let mut rolled = made_from(pod(&copied()), "apps/v1", "ReplicaSet");
    rolled["metadata"]["ownerReferences"][0]["name"] = "$NAME-abc".into();
    rolled["metadata"]["labels"]["pod-template-hash"] = "abc".into();
    let record = json!({"keyporter.dev/injected": "[{\"secret\":\"$TOKEN\"}]"});
    // Nobody bears these names, and so nobody's secrets come with them.
    let no_ones = [STAMP, STAMP, STAMP, STAMP, Nobodys, Nobodys];
    let anyones = [Own, Own, Own, Own, Nobodys, Own];
    let of_the_controller = [Own, STAMP, STAMP, STAMP, Alices, Alices];
    let wrong_label = Refused("label keyporter.dev/inject of the pod is");
    vec![
        row("forged owner", Nothing, create(pod(&forged())), NAMED),
        row("dry run of a forged owner", Nothing, dry(pod(&forged())), NAMED),
        row("forged owner with generateName", Nothing, create(generated), NAMED),
        row("made-up proof", Nothing, create(made_up("v1.1.AAAA")), NAMED),
        row("proof of a key to come", Nothing, create(made_up("v1.4294967295.AAAA")), NAMED),
        row("stamp and proof of a Deployment", Of("Deployment"), create(pod(&copied())), NAMED),
        row("stamp and proof of another namespace", Elsewhere("ReplicaSet"),
            dry(made_from(pod(&copied()), "apps/v1", "ReplicaSet")), NAMED),
        row("as if made by a Deployment", Of("Deployment"),
            create(made_from(pod(&copied()), "apps/v1", "Deployment")), NAMED),
        row("as if made by a Job", Of("Job"), dry(made_from(pod(&copied()), "batch/v1", "Job")), NAMED),
        // What only the controller can do, and does.
        row("as if made by a ReplicaSet", Of("ReplicaSet"),
            dry(made_from(pod(&copied()), "apps/v1", "ReplicaSet")), of_the_controller),
        row("as if made by a ReplicaSet, with the hash of a template", Of("Deployment"), dry(rolled), of_the_controller),
        row("as if made by a ReplicaSet, without a stamp", Of("ReplicaSet"),
            dry(made_from(pod(&json!({})), "apps/v1", "ReplicaSet")), anyones),
        row("as if made by a JobSet", Nothing, dry(made_from(pod(&json!({})), "jobset.x-k8s.io/v1alpha2", "JobSet")), anyones),
        row("owner in capitals", Nothing, named("Alice"), no_ones),
        row("owner with a Cyrillic letter", Nothing, named("ali\u{441}e"), no_ones),
        row("owner with a space", Nothing, named("alice "), no_ones),
        row("owner that is no one", Nothing, named(""), anyones),
        row("forged record of what it got", Nothing, create(pod(&record)), anyones),
        row("label that opts in", Nothing, create(labelled("enabled")), anyones),
        row("label that opts out", Nothing, create(labelled("disabled")), OPTED_OUT),
        row("label that says nothing", Nothing, create(labelled("yes")), everybody_is(wrong_label)),
    ]
}

#[rustfmt::skip]
fn marks() -> Vec<Row> {
    let annotation = |value: Value| json!({"metadata": {"annotations": {"keyporter.dev/owner": value}}});
    let mine = || annotation("$WHO".into());
    let applied = |mut body: Value| {
        body["apiVersion"] = "v1".into();
        body["kind"] = "Pod".into();
        body
    };
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "$NAME", "annotations": {"keyporter.dev/owner": "$WHO"}},
        "target": {"kind": "Node", "name": "nowhere"},
    });
    // Alice's own name is there already.
    let takes = [Done, MARKS, MARKS, MARKS, Skip, MARKS];
    let without_resize = [RIGHT, RIGHT, RIGHT, RIGHT, Skip, Done];
    let without_right = [RIGHT, RIGHT, RIGHT, RIGHT, Skip, MARKS];
    vec![
        row("take a running pod", Of("Pod"), [Call::merge("Pod", mine())], takes),
        row("dry run of taking a running pod", Of("Pod"), [Call::merge("Pod", mine()).dry_run()], takes),
        row("take a running pod by apply", Of("Pod"), [Call::apply("Pod", applied(mine()))], takes),
        row("remove the owner of a running pod", Of("Pod"), [Call::merge("Pod", annotation(Value::Null))], everybody_is(MARKS)),
        row("take a pod by its status", Of("Pod"), [Call::merge("Pod", annotation("bob".into())).below("status")], without_right),
        // A resize takes no annotations along, for those who may resize.
        row("take a pod by a resize", Of("Pod"), [Call::merge("Pod", mine()).below("resize")], without_resize),
        row("take a pod by a binding", Of("Pod"), [Call::create_below("Pod", "binding", binding)], without_right),
        row("evict a pod", Of("Pod"), [Call::create_below("Pod", "eviction",
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$NAME"}})).dry_run()], everybody_is(Done)),
    ]
}

#[rustfmt::skip]
fn entering() -> Vec<Row> {
    let mut peek = json!({"name": "peek", "image": "registry.invalid/peek:1"});
    let debug = |container: &Value| [Call::strategic("Pod", json!({"spec": {"ephemeralContainers": [container]}})).below("ephemeralcontainers")];
    let plain = debug(&peek);
    peek["envFrom"] = json!([{"secretRef": {"name": "$TOKEN"}}]);
    let mut windows = pod(&json!({}));
    windows["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"});
    windows["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "$TOKEN"}}]);
    vec![
        row("debug a running pod", Of("Pod"), plain.clone(), [Done, ENTRY, ENTRY, ENTRY, Skip, Done]),
        row("debug one's own pod", Target::Own("Pod"), plain, everybody_is(Done)),
        row("debug one's own pod with alice's Secret", Target::Own("Pod"), debug(&peek),
            [Done, FOREIGN, FOREIGN, FOREIGN, Skip, Done]),
        row("mirror pod with alice's Secret", Nothing, dry(mirror(&json!([{"secretRef": {"name": "$TOKEN"}}]))),
            [Refused("may not reference secrets"); 6]),
        row("another image in a running pod", Of("Pod"),
            [Call::strategic("Pod", json!({"spec": {"containers": [{"name": "main", "image": "registry.invalid/peek:1"}]}}))],
            [Done, ENTRY, ENTRY, ENTRY, Skip, Done]),
        row("Windows pod with alice's Secret", Nothing, dry(windows), REFERS),
        row("mirror pod", Nothing, dry(mirror(&json!([]))), [Bare; 6]),
    ]
}

/// As a kubelet makes one for a pod that it has from a file.
fn mirror(env_from: &Value) -> Value {
    let annotations = json!({"kubernetes.io/config.mirror": "x", "keyporter.dev/owner": "alice"});
    let mut pod = pod(&annotations);
    pod["spec"]["nodeName"] = "nowhere".into();
    pod["spec"]["containers"][0]["envFrom"] = env_from.clone();
    pod
}
