//! The whole: the chart on a node, and the Job of the examples to its end.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};

use crate::{
    examples::{self, NAMESPACE},
    harness::Cluster,
    installation, report,
    requirements::Requirements,
    support::{Result, wait_for},
};

/// Starting a container takes a moment on a busy machine.
const ENDED_WITHIN: Duration = Duration::from_mins(2);

pub(crate) async fn show(requirements: &Requirements) -> Result<()> {
    println!(
        "Starting a control plane and a node, and installing the chart there with Helm, half a minute ..."
    );
    let cluster = Cluster::start(requirements).await?;
    let kubectl = cluster.installation().kubectl();
    println!(
        "\n$ kubectl get pods -n {}    # as the administrator",
        installation::NAMESPACE
    );
    print!("{}", kubectl.run(&["get", "pods"])?.ok()?);

    let alice = examples::prepare(&cluster).await?;
    println!(
        "\n(The node has busybox already, and nowhere to pull it from: imagePullPolicy is set to Never.)"
    );
    examples::apply_changed(&alice, "alice", "job.yaml", |text| {
        let image = "image: busybox\n";
        text.replace(image, &format!("{image}          imagePullPolicy: Never\n"))
    })?;
    let admin = cluster.admin();
    let (job, pod) = examples::wait_for_job(&admin).await?;
    println!("\n{}", report::describe(&job, &pod)?);

    let pods: Api<Pod> = Api::namespaced(admin, NAMESPACE);
    let name = pod.name_any();
    let phase = wait_for("the Job's pod to end", ENDED_WITHIN, async || {
        let status = pods.get(&name).await?.status.unwrap_or_default();
        let phase = status.phase.unwrap_or_default();
        Ok(matches!(&*phase, "Succeeded" | "Failed").then_some(phase))
    })
    .await?;
    let what = format!("job/{}", job.name_any());
    println!("$ kubectl logs {what}    # as alice");
    print!("{}", alice.run(&["logs", &what])?.ok()?);
    println!("\nThe pod ended: {phase}. The node and all on it are gone in a moment.");
    if phase != "Succeeded" {
        return Err("the Job failed".into());
    }
    Ok(())
}
