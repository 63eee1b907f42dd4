//! What happens when the webhook goes away and comes back, and under load.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{OWNERS, Project, assert_injected},
    support::{Result, keyporter::Keyporter, objects, wait_for},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers(
            "operation::restart_keeps_owners_and_refuses_in_between",
            restart,
        ),
        harness.trial("operation::two_hundred_pods_at_once", many_pods),
    ]
}

/// With a keyporter of its own, because the others cannot do without theirs.
async fn restart(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    let mut keyporter = Keyporter::start(
        cluster,
        env!("CARGO_BIN_EXE_keyporter").as_ref(),
        "restarted",
    )
    .await?;
    let own = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": ["restarted"]});
    keyporter
        .register(&cluster.admin(), "keyporter-restarted", Some(own))
        .await?;
    let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: "restarted"});
    let name = "operation-restart";
    let project = Project::with_labels(cluster, name, labels).await?;
    let alice = project.client("alice");
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": name, "name": "outlives"},
        "spec": {
            "selector": {"matchLabels": {"app": "outlives"}},
            "template": {
                "metadata": {"labels": {"app": "outlives"}},
                "spec": {"containers": [objects::container()]},
            },
        },
    });
    objects::create(alice, deployment).await?;
    let first = objects::wait_for_pod(&project.admin, name, "app=outlives").await?;
    assert_injected(&first, "alice");

    // Once as on an update, once as on a crash.
    for round in ["terminated", "killed"] {
        if round == "terminated" {
            let status = keyporter.stop()?;
            assert!(
                status.success(),
                "keyporter ended with {status} after SIGTERM:\n{}",
                keyporter.log()
            );
        } else {
            keyporter.kill();
        }
        let refused = objects::create(alice, project.pod(&format!("refused-{round}"))).await;
        assert!(
            matches!(refused, Err(kube::Error::Api(_))),
            "without the webhook: {refused:?}"
        );

        keyporter.start_again().await?;
        for owner in OWNERS {
            let pod = project.pod(&format!("{owner}-{round}"));
            let created = objects::create(project.client(owner), pod).await?;
            assert_injected(&objects::as_pod(created)?, owner);
        }
        assert_replacement_injected(&project, "app=outlives").await?;
    }
    Ok(())
}

/// Deletes the pod that `selector` chooses; the one that takes its place has alice's secrets too.
async fn assert_replacement_injected(project: &Project, selector: &str) -> Result<()> {
    let before = objects::wait_for_pod(&project.admin, &project.name, selector).await?;
    let pods: Api<Pod> = Api::namespaced(project.admin.clone(), &project.name);
    pods.delete(&before.name_any(), &DeleteParams::default().grace_period(0))
        .await?;
    let after = wait_for(
        "the pod that takes its place",
        Duration::from_secs(20),
        async || {
            let pods = objects::pods(&project.admin, &project.name, selector).await?;
            Ok(pods.into_iter().find(|pod| pod.uid() != before.uid()))
        },
    )
    .await?;
    assert_injected(&after, "alice");
    Ok(())
}

async fn many_pods(cluster: &Cluster) -> Result<()> {
    const EACH: usize = 100;
    let project = Project::new(cluster, "operation-many").await?;
    let begin = Instant::now();
    let requests = OWNERS.iter().flat_map(|owner| {
        let project = &project;
        (0..EACH).map(move |number| {
            create_as(
                project.client(owner),
                project.pod(&format!("{owner}-{number}")),
                owner,
            )
        })
    });
    let created = try_join_all(requests).await?;
    let elapsed = begin.elapsed();
    assert_eq!(created.len(), EACH * OWNERS.len());
    for (pod, owner) in created {
        assert_injected(&objects::as_pod(pod)?, owner);
    }
    println!(
        "{} pods at once: all injected after {elapsed:.1?}",
        EACH * OWNERS.len()
    );
    Ok(())
}

async fn create_as<'a>(
    client: &Client,
    pod: Value,
    owner: &'a str,
) -> Result<(DynamicObject, &'a str)> {
    Ok((objects::create(client, pod).await?, owner))
}
