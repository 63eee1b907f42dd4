//! A namespace that is opted out for a while: what is changed there in the meantime is not its owner's afterwards.

use kube::{Api, api::DeleteParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, SHARED, assert_injected, secret_names, user_object, wait_until},
    support::{Result, control_plane::ADMIN, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("opted_out::changes_give_nobody_away", changes),
        harness.trial_with_controllers("opted_out::older_workloads_are_nobodys", older),
    ]
}

const PROOF: &str = "keyporter.dev/owner-proof";

fn deployment(project: &Project, name: &str) -> Value {
    let spec = json!({
        "replicas": 0,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [objects::container()]}},
    });
    project.workload("apps/v1", "Deployment", name, &spec)
}

async fn changes(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "opted-out").await?;
    let alice = project.client("alice");
    for name in ["kept", "changed", "replaced"] {
        objects::create(alice, deployment(&project, name)).await?;
    }
    let admin = cluster.kubectl(ADMIN)?;
    let label = |label: &str| -> Result<()> {
        let label = format!("keyporter.dev/inject{label}");
        admin
            .run(&["label", "namespace", &project.name, &label])?
            .ok()?;
        Ok(())
    };
    label("-")?;
    wait_until("the namespace to be opted out", async || {
        let pod = objects::dry_run(alice, project.pod("probe")).await?;
        Ok(!pod.data.to_string().contains("secretRef"))
    })
    .await?;

    let bob = cluster.kubectl("bob")?.within(&project.name);
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.invalid/bobs:1"}]}}}});
    bob.run(&["patch", "deployment", "changed", "-p", &patch.to_string()])?
        .ok()?;

    // The same name, with all that stood on hers, but for what the pods do.
    let stolen = bob
        .run(&["get", "deployment", "replaced", "-o", "json"])?
        .ok()?;
    let mut stolen: Value = serde_json::from_str(&stolen)?;
    assert!(stolen["spec"]["template"]["metadata"]["annotations"][PROOF].is_string());
    stolen["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.invalid/bobs:1");
    for field in [
        "uid",
        "resourceVersion",
        "managedFields",
        "creationTimestamp",
    ] {
        stolen["metadata"]
            .as_object_mut()
            .expect("metadata")
            .remove(field);
    }
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(project.client("bob").clone(), &project.name);
    deployments
        .delete("replaced", &DeleteParams::default())
        .await?;
    wait_until("alice's Deployment to be gone", async || {
        Ok(deployments.get_opt("replaced").await?.is_none())
    })
    .await?;
    let create = |object: &Value| bob.run_with_input(&["create", "-f", "-"], &object.to_string());
    create(&stolen)?.ok()?;
    stolen["metadata"]["name"] = json!("copied");
    let refused = create(&stolen)?.stderr;
    assert!(
        refused.contains("keyporter.dev/owner names \"alice\""),
        "{refused}"
    );
    // What never had a proof is not looked at.
    let plain = create(&deployment(&project, "plain"))?.ok()?;
    assert!(plain.contains("created"), "{plain}");
    let plain = deployments.get("plain").await?;
    let annotations = plain.metadata.annotations.unwrap_or_default();
    assert!(!annotations.contains_key(PROOF), "{annotations:?}");

    label("=enabled")?;
    project.wait_until_injected("alice").await?;
    for (name, owner) in [("kept", "alice"), ("changed", "bob"), ("replaced", "bob")] {
        bob.run(&["scale", "deployment", name, "--replicas=1"])?
            .ok()?;
        let selector = format!("app={name}");
        let pod = objects::wait_for_pod(&project.admin, &project.name, &selector).await?;
        assert_injected(&pod, owner);
    }
    Ok(())
}

/// It keeps running with the project's secrets, its author is told, and it is theirs once they decide about its pods.
async fn older(cluster: &Cluster) -> Result<()> {
    let project = Project::without_webhook(cluster, "opted-in-late", json!({})).await?;
    let mut forged = deployment(&project, "forged");
    forged["spec"]["template"]["metadata"]["annotations"] = json!({"keyporter.dev/owner": "alice"});
    objects::create(project.client("alice"), deployment(&project, "old")).await?;
    objects::create(project.client("bob"), forged).await?;
    cluster.keyporter().await?;
    let admin = cluster.kubectl(ADMIN)?;
    let opt_in = [
        "label",
        "namespace",
        &project.name,
        "keyporter.dev/inject=enabled",
    ];
    admin.run(&opt_in)?.ok()?;
    project.wait_until_injected("alice").await?;

    let alice = cluster.kubectl("alice")?.within(&project.name);
    for name in ["old", "forged"] {
        alice
            .run(&["scale", "deployment", name, "--replicas=1"])?
            .ok()?;
        let selector = format!("app={name}");
        let pod = objects::wait_for_pod(&project.admin, &project.name, &selector).await?;
        assert_eq!(secret_names(&pod), [SHARED], "{name}");
        wait_until("the event", async || {
            let of = format!("--for=deployment/{name}");
            let events = alice.run(&["events", &of])?.ok()?;
            Ok(events.contains("KeyporterNoOwner") && events.contains("rollout restart"))
        })
        .await?;
    }
    alice
        .run(&["rollout", "restart", "deployment", "old"])?
        .ok()?;
    wait_until("a pod of alice's", async || {
        let pods = objects::pods(&project.admin, &project.name, "app=old").await?;
        let token = user_object("alice", "token");
        Ok(pods.iter().any(|pod| secret_names(pod).contains(&token)))
    })
    .await
}
