//! Pods that people create themselves.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness},
    project::{OWNERS, Project, assert_injected, assert_untouched},
    support::{Result, control_plane::ADMIN, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "pods::everybody_gets_their_own_and_the_project_secrets",
            each_owner,
        ),
        harness.trial(
            "pods::a_namespace_that_is_not_opted_in_is_left_alone",
            not_opted_in,
        ),
        harness.trial("pods::a_pod_that_is_opted_out_is_left_alone", opted_out),
        harness.trial(
            "pods::a_dry_run_shows_the_injection_and_stores_nothing",
            dry_run,
        ),
        harness.trial("pods::bob_cannot_claim_to_be_alice", claim),
    ]
}

async fn each_owner(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "pods-each-owner").await?;
    for owner in OWNERS {
        let mut pod = project.pod(owner);
        pod["spec"]["initContainers"] =
            json!([{"name": "before", "image": "registry.invalid/before:1"}]);
        let created = objects::create(project.client(owner), pod).await?;
        assert_injected(&objects::as_pod(created)?, owner);
    }
    Ok(())
}

async fn not_opted_in(cluster: &Cluster) -> Result<()> {
    // Shows that the webhook is called where a namespace is opted in.
    Project::new(cluster, "pods-opted-in").await?;
    let project = Project::without_webhook(cluster, "pods-not-opted-in", json!({})).await?;
    let created = objects::create(project.client("alice"), project.pod("plain")).await?;
    assert_untouched(&objects::as_pod(created)?);
    Ok(())
}

async fn opted_out(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "pods-opted-out").await?;
    let mut pod = project.pod("plain");
    pod["metadata"]["labels"] = json!({"keyporter.dev/inject": "disabled"});
    let created = objects::create(project.client("alice"), pod).await?;
    assert_untouched(&objects::as_pod(created)?);
    Ok(())
}

async fn dry_run(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "pods-dry-run").await?;
    let printed = cluster
        .kubectl("alice")?
        .within(&project.name)
        .run_with_input(
            &["create", "--dry-run=server", "--output=json", "-f", "-"],
            &project.pod("only-asked").to_string(),
        )?
        .ok()?;
    let pod: Pod = serde_json::from_str(&printed)?;
    assert_eq!(pod.name_any(), "only-asked");
    assert_injected(&pod, "alice");

    let stored: Api<Pod> = Api::namespaced(project.admin.clone(), &project.name);
    assert!(stored.get_opt("only-asked").await?.is_none());
    Ok(())
}

/// The claim is refused; whoever may impersonate alice makes a pod for her.
async fn claim(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "pods-claim").await?;
    let mut pod = project.pod("claims");
    pod["metadata"]["annotations"] = json!({"keyporter.dev/owner": "alice"});
    let create = |who| -> Result<_> {
        let kubectl = cluster.kubectl(who)?.within(&project.name);
        kubectl.run_with_input(&["create", "-o", "json", "-f", "-"], &pod.to_string())
    };
    let refused = create("bob")?.stderr;
    assert!(
        refused.contains("keyporter.dev/owner names \"alice\""),
        "{refused}"
    );
    let created: Pod = serde_json::from_str(&create(ADMIN)?.ok()?)?;
    assert_injected(&created, "alice");
    Ok(())
}
