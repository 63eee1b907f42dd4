//! Who asks for the pods of workloads.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    support::{
        Result, objects,
        webhook::{Behaviour, Webhook},
    },
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers(
        "controllers::job_controller_asks_for_the_pods_of_a_job",
        job,
    )]
}

async fn job(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    objects::create_namespace(&admin, "requesters", json!({}), true).await?;
    objects::allow_edit(&admin, "requesters", "alice").await?;
    let webhook = Webhook::start(cluster.authority(), Behaviour::Record).await?;
    webhook.register(&admin, "requesters", "requesters").await?;

    let alice = cluster.client("alice").await?;
    objects::create(&alice, objects::pod("requesters", "direct")).await?;
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": "requesters", "name": "by-alice"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [objects::container()]}}},
    });
    objects::create(&alice, job).await?;
    objects::wait_for_pod(&admin, "requesters", "job-name=by-alice").await?;

    let requesters: Vec<Value> = webhook
        .requests()
        .iter()
        .filter_map(|request| request.pointer("/userInfo/username").cloned())
        .collect();
    assert_eq!(
        requesters,
        ["alice", "system:serviceaccount:kube-system:job-controller"]
    );
    Ok(())
}
