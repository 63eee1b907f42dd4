//! What was changed while a namespace was opted out for a while.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::table::workload;
use crate::{
    harness::{Cluster, Harness},
    project::{OWNERS, Project, assert_injected, secret_names, user_object, wait_until},
    support::{Result, objects},
};

const NAME: &str = "attacks-out-and-in";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("attacks::changed_while_opted_out", changed)]
}

async fn changed(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, NAME).await?;
    let template =
        json!({"metadata": {"labels": {}}, "spec": {"containers": [objects::container()]}});
    let mut object = workload("Deployment", "hers", template.clone(), false);
    object["apiVersion"] = "apps/v1".into();
    object["kind"] = "Deployment".into();
    object["metadata"]["namespace"] = NAME.into();
    let mut left = object.clone();
    left["metadata"]["name"] = "left".into();
    left["spec"]["selector"]["matchLabels"]["app"] = "left".into();
    left["spec"]["template"]["metadata"]["labels"]["app"] = "left".into();
    let alice = project.client("alice");
    objects::create(alice, object).await?;
    let left = objects::create(alice, left).await?;
    let stamp = &left.data["spec"]["template"]["metadata"]["annotations"];

    opt(&project, Value::Null).await?;
    wait_until("the webhook not to be called", async || {
        let pod = objects::dry_run(alice, project.pod("probe")).await?;
        Ok(secret_names(&objects::as_pod(pod)?).is_empty())
    })
    .await?;
    let bob = cluster.kubectl("bob")?.within(NAME);
    let image = [
        "set",
        "image",
        "deployment/hers",
        "main=registry.invalid/attack:1",
    ];
    bob.run(&image)?.ok()?;
    let mut planted = template;
    planted["metadata"]["labels"]["pod-template-hash"] = "abc".into();
    planted["metadata"]["annotations"] = stamp.clone();
    let mut set = workload("ReplicaSet", "left-abc", planted, false);
    set["apiVersion"] = "apps/v1".into();
    set["kind"] = "ReplicaSet".into();
    set["metadata"]["namespace"] = NAME.into();
    // With the proof it is looked at, here as well.
    assert!(objects::create(project.client("bob"), set).await.is_err());

    opt(&project, "enabled".into()).await?;
    for owner in OWNERS {
        project.wait_until_injected(owner).await?;
    }
    for object in ["deployment/hers", "deployment/left"] {
        bob.run(&["scale", object, "--replicas=1"])?.ok()?;
    }
    // What nobody changed is alice's as before.
    let left = objects::wait_for_pod(&project.admin, NAME, "app=left").await?;
    assert_injected(&left, "alice");
    let pod = objects::wait_for_pod(&project.admin, NAME, "app=hers").await?;
    let secrets = secret_names(&pod);
    assert!(
        !secrets.contains(&user_object("alice", "token")),
        "bob decided what it runs while the namespace was opted out, and it has {secrets:?}"
    );
    Ok(())
}

async fn opt(project: &Project, value: Value) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(project.admin.clone());
    let label = Patch::Merge(json!({"metadata": {"labels": {"keyporter.dev/inject": value}}}));
    namespaces
        .patch(NAME, &PatchParams::default(), &label)
        .await?;
    Ok(())
}
