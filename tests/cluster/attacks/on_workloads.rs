//! Rows that change alice's workloads, and then have them run.

use serde_json::{Value, json};

use super::{
    call::Call,
    table::{
        DECIDED, OPTED_OUT, Row, STAYS, THEIRS, Target, Verdict, copied, made_by, pod, row,
        workload,
    },
};

use Target::{Alices, Bobs};
use Verdict::{Own, Skip};

const DEPLOYMENT: &str = "Deployment";

/// A patch of the template of a Deployment and the like.
fn template(template: &Value) -> Value {
    json!({"spec": {"template": template}})
}

fn image() -> Value {
    json!({"spec": {"containers": [{"name": "main", "image": "registry.invalid/attack:2"}]}})
}

/// What they then run.
fn scaled(call: Call) -> [Call; 2] {
    [call, Call::scale(DEPLOYMENT)]
}

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    let annotate = |annotations: Value| template(&json!({"metadata": {"annotations": annotations}}));
    let stamps = |owner: Value| {
        let mut body = annotate(json!({"keyporter.dev/owner": owner}));
        body["metadata"]["annotations"] = body["spec"]["template"]["metadata"]["annotations"].clone();
        body
    };
    let set = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.invalid/attack:2"}]);
    let mut applied = workload(DEPLOYMENT, "$NAME", pod(&json!({})), false);
    applied["apiVersion"] = "apps/v1".into();
    applied["kind"] = DEPLOYMENT.into();
    let applied_again = applied.clone();
    applied["spec"]["template"]["spec"] = image()["spec"].clone();
    let mut applied_with_alice = applied.clone();
    applied_with_alice["spec"]["template"]["metadata"]["annotations"] = copied();
    let restart = annotate(json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}));
    let mut opted_out = template(&json!({"metadata": {"labels": {"keyporter.dev/inject": "disabled"}}}));
    opted_out["metadata"] = json!({"annotations": {"keyporter.dev/owner": null}});
    let again = workload(DEPLOYMENT, "$NAME", pod(&copied()), true);
    let mut of_alices_cron_job = workload("Job", "$TRY", pod(&copied()), true);
    of_alices_cron_job["metadata"]["ownerReferences"] = made_by("batch/v1", "CronJob");
    let mut cron_job = json!({});
    cron_job["spec"]["jobTemplate"]["spec"]["template"] = image();
    let run = || Call::merge("Job", json!({"spec": {"suspend": false}}));
    let forge = Call::merge(DEPLOYMENT, annotate(json!({"keyporter.dev/owner": "alice"})));
    let forged_on_bobs = [Own, super::table::STAMP, super::table::STAMP, super::table::STAMP, Skip, Verdict::Alices];
    let mut rows = vec![
        row("scale", Alices(DEPLOYMENT), [Call::scale(DEPLOYMENT)], STAYS),
        row("strategic merge patch", Alices(DEPLOYMENT), scaled(Call::strategic(DEPLOYMENT, template(&image()))), DECIDED),
        row("merge patch", Alices(DEPLOYMENT), scaled(Call::merge(DEPLOYMENT, template(&image()))), DECIDED),
        row("JSON patch", Alices(DEPLOYMENT), scaled(Call::json(DEPLOYMENT, set)), DECIDED),
        row("server-side apply with force", Alices(DEPLOYMENT), scaled(Call::apply(DEPLOYMENT, applied.clone())), DECIDED),
        row("server-side apply with force and alice's stamp", Alices(DEPLOYMENT),
            scaled(Call::apply(DEPLOYMENT, applied_with_alice.clone())), DECIDED),
        row("server-side apply of what is there", Alices(DEPLOYMENT), scaled(Call::apply(DEPLOYMENT, applied_again.clone())), STAYS),
        row("rollout undo, with the stamp of then", Alices(DEPLOYMENT), scaled(Call::json(DEPLOYMENT,
            json!([{"op": "replace", "path": "/spec/template", "value": applied_with_alice["spec"]["template"]}]))), DECIDED),
        row("replace", Alices(DEPLOYMENT), scaled(Call::replace(DEPLOYMENT, applied.clone())), THEIRS),
        row("replace with alice's stamp", Alices(DEPLOYMENT), scaled(Call::replace(DEPLOYMENT, applied_with_alice)), DECIDED),
        row("replace by what is there, without a stamp", Alices(DEPLOYMENT),
            scaled(Call::replace(DEPLOYMENT, applied_again)), STAYS),
        row("dry run of a replace", Alices(DEPLOYMENT), [Call::replace(DEPLOYMENT, applied).dry_run()], THEIRS),
        row("rollout restart", Alices(DEPLOYMENT), scaled(Call::strategic(DEPLOYMENT, restart)), DECIDED),
        row("remove the stamps", Alices(DEPLOYMENT), scaled(Call::merge(DEPLOYMENT, stamps(Value::Null))), STAYS),
        row("empty the stamps", Alices(DEPLOYMENT), scaled(Call::merge(DEPLOYMENT, stamps("".into()))), STAYS),
        row("write one's own name", Alices(DEPLOYMENT), scaled(Call::merge(DEPLOYMENT, stamps("$WHO".into()))), THEIRS),
        row("opt its pods out", Alices(DEPLOYMENT), scaled(Call::merge(DEPLOYMENT, opted_out)), OPTED_OUT),
        row("make it again", Alices(DEPLOYMENT), [Call::delete(DEPLOYMENT), Call::create(DEPLOYMENT, again)], DECIDED),
        row("alice's name on bob's", Bobs(DEPLOYMENT), scaled(forge), forged_on_bobs),
        row("jobTemplate", Alices("CronJob"), [Call::strategic("CronJob", cron_job.clone()).dry_run()], DECIDED),
        row("jobTemplate, and a Job by hand", Alices("CronJob"),
            [Call::strategic("CronJob", cron_job), Call::create("Job", of_alices_cron_job)], DECIDED),
        row("let a Job run", Alices("Job"), [run()], STAYS),
        row("annotate a Job that waits, and let it run", Alices("Job"),
            [Call::merge("Job", annotate(json!({"example.com/a": "b"}))), run()], DECIDED),
    ];
    for (kind, what) in [
        ("StatefulSet", "change a StatefulSet"),
        ("ReplicaSet", "change a ReplicaSet"),
        ("ReplicationController", "change a ReplicationController"),
    ] {
        rows.push(row(what, Alices(kind), [Call::strategic(kind, template(&image())), Call::scale(kind)], DECIDED));
    }
    rows.push(row("change a DaemonSet", Alices("DaemonSet"), [Call::strategic("DaemonSet", template(&image())).dry_run()], DECIDED));
    rows
}
