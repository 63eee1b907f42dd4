//! Rows that name alice's Secret.

use serde_json::{Value, json};

use super::{
    call::Call,
    table::{
        FOREIGN, REFERS, REFERS_BY_PEOPLE, Row, Target, Verdict, annotated, pod, row, workload,
    },
};

use Target::{Alices, Nothing};

/// The ways, in a pod and in a template each.
const WAYS: [(&str, &str); 9] = [
    ("pod with a volume", "template with a volume"),
    (
        "pod with a projected volume",
        "template with a projected volume",
    ),
    ("pod with a CSI volume", "template with a CSI volume"),
    ("pod with an iSCSI volume", "template with an iSCSI volume"),
    ("pod with env", "template with env"),
    ("pod with envFrom", "template with envFrom"),
    (
        "pod with an init container",
        "template with an init container",
    ),
    ("pod with a sidecar", "template with a sidecar"),
    (
        "pod with imagePullSecrets",
        "template with imagePullSecrets",
    ),
];

fn way(number: usize) -> Value {
    let volume = |kind: &str, source: Value| json!({"volumes": [{"name": "peek", kind: source}], "containers": []});
    let variable =
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "$TOKEN", "key": "TOKEN"}}}]);
    let all = json!([{"secretRef": {"name": "$TOKEN"}}]);
    let container = json!({"name": "peek", "image": "registry.invalid/peek:1"});
    let with = |name: &str, value: &Value| {
        let mut container = container.clone();
        container[name] = value.clone();
        container
    };
    match number {
        0 => volume("secret", json!({"secretName": "$TOKEN"})),
        1 => volume(
            "projected",
            json!({"sources": [{"secret": {"name": "$TOKEN"}}]}),
        ),
        2 => volume(
            "csi",
            json!({"driver": "csi.example.com", "nodePublishSecretRef": {"name": "$TOKEN"}}),
        ),
        3 => volume(
            "iscsi",
            json!({"targetPortal": "192.0.2.1:3260", "iqn": "iqn.2001-04.com.example:storage", "lun": 0,
                "chapAuthSession": true, "secretRef": {"name": "$TOKEN"}}),
        ),
        4 => json!({"containers": [with("env", &variable)]}),
        5 => json!({"containers": [with("envFrom", &all)]}),
        6 => json!({"containers": [], "initContainers": [with("envFrom", &all)]}),
        7 => {
            let mut sidecar = with("env", &variable);
            sidecar["restartPolicy"] = "Always".into();
            json!({"containers": [], "initContainers": [sidecar]})
        }
        _ => json!({"containers": [], "imagePullSecrets": [{"name": "$TOKEN"}]}),
    }
}

fn pod_with(number: usize) -> Value {
    let mut pod = pod(&json!({}));
    let main = pod["spec"]["containers"][0].clone();
    pod["spec"] = way(number);
    let containers = pod["spec"]["containers"].as_array_mut();
    containers.expect("a list").push(main);
    pod
}

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, (in_a_pod, in_a_template)) in WAYS.into_iter().enumerate() {
        let pod = Call::create("Pod", pod_with(number)).dry_run();
        rows.push(row(in_a_pod, Nothing, [pod], REFERS));
        let job = Call::create("Job", workload("Job", "$TRY", pod_with(number), true)).dry_run();
        rows.push(row(in_a_template, Nothing, [job], REFERS_BY_PEOPLE));
    }
    let mut opted_out = pod_with(0);
    opted_out["metadata"]["labels"]["keyporter.dev/inject"] = "disabled".into();
    let account = json!({"metadata": {"name": "$TRY"}, "imagePullSecrets": [{"name": "$TOKEN"}]});
    let mut of_account = pod(&json!({}));
    of_account["spec"]["serviceAccountName"] = "$TRY".into();
    let cron_job = workload("CronJob", "$TRY", pod_with(5), false);
    let mut claimed = pod_with(0);
    claimed["metadata"] = annotated(&json!({"keyporter.dev/owner": "alice"}));
    let added = json!([{"op": "add", "path": "/spec/template/spec/containers/0/envFrom",
        "value": [{"secretRef": {"name": "$TOKEN"}}]}]);
    rows.extend([
        row("opted-out pod with a volume", Nothing, [Call::create("Pod", opted_out).dry_run()], REFERS),
        row("pod of a service account with imagePullSecrets", Nothing,
            [Call::create("ServiceAccount", account), Call::create("Pod", of_account).dry_run()], REFERS_BY_PEOPLE),
        row("CronJob with envFrom", Nothing, [Call::create("CronJob", cron_job).dry_run()], REFERS_BY_PEOPLE),
        row("envFrom added to a Deployment", Alices("Deployment"), [Call::json("Deployment", added).dry_run()], REFERS_BY_PEOPLE),
        row("forged owner and a volume", Nothing, [Call::create("Pod", claimed).dry_run()],
            [Verdict::Done, super::table::STAMP, super::table::STAMP, super::table::STAMP, FOREIGN, Verdict::Done]),
    ]);
    rows
}
