//! Secrets that are gone while pods use them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness},
    pods::{self, REPORT},
    project::{Project, Secret},
    support::{Result, wait_for},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial(
        "deletion::a_secret_that_is_gone_keeps_no_container_down",
        restart,
    )]
}

async fn restart(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "deletion-restart").await?;
    let secrets = [
        Secret::of_alice("env", "token").with("TOKEN", "of alice"),
        Secret::of_alice("auth", "platform").with("AUTH_SECRET", "of alice"),
        Secret::of_alice("default", "files").with("file", "of alice"),
        Secret::of_alice("git-ssh", "git").with("gitkey", "a key"),
    ];
    project.make(&secrets).await?;
    let mut spec = pods::spec(&[pods::reporting()]);
    spec["restartPolicy"] = json!("Always");
    let script = format!("trap 'exit 1' TERM; {REPORT}; sleep 2147483647 & wait");
    spec["containers"][0]["command"][2] = json!(script);
    project.create("service", spec).await?;
    let report = project.reported("service").await?;
    assert_eq!(report.variable("TOKEN"), Some("of alice"));
    assert_eq!(report.variable("AUTH_SECRET"), Some("of alice"));

    for name in ["token", "platform", "files", "git"] {
        let by_force = [
            "annotate",
            "secret",
            name,
            "keyporter.dev/force-delete=true",
        ];
        project.kubectl.run(&by_force)?.ok()?;
        project.kubectl.run(&["delete", "secret", name])?.ok()?;
    }
    // Its end is that of the whole container, maybe before it can say that all went well: what counts is the restart.
    let kill = ["exec", "service", "--", "kill", "1"];
    let _ended_with_it = project.kubectl.run(&kill)?;
    let pods: Api<Pod> = Api::namespaced(project.admin.clone(), &project.name);
    let what = "the container to run again";
    let outcome = wait_for(what, Duration::from_mins(1), async || {
        let status = pods.get("service").await?.status.unwrap_or_default();
        let container = status.container_statuses.into_iter().flatten().next();
        let runs = |state: &k8s_openapi::api::core::v1::ContainerState| state.running.is_some();
        Ok(container.filter(|it| it.restart_count > 0 && it.state.as_ref().is_some_and(runs)))
    })
    .await;
    project.explain("service", outcome).await?;
    let report = project.reported("service").await?;
    assert_eq!(report.variable("TOKEN"), None);
    assert_eq!(report.variable("AUTH_SECRET"), None);
    Ok(())
}
