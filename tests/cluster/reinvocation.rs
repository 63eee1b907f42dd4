//! A container that another webhook adds after ours gets its secrets as well.

use libtest_mimic::Trial;

use crate::{
    harness::{Cluster, Harness},
    project::{OWNERS, Project, assert_injected},
    support::{
        Result, objects,
        webhook::{Behaviour, EXTRA, Webhook},
    },
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial(
        "reinvocation::a_sidecar_added_later_gets_the_secrets_too",
        sidecar,
    )]
}

async fn sidecar(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "reinvocation").await?;
    let webhook = Webhook::start(cluster.authority(), Behaviour::AddContainer).await?;
    // After `keyporter` in the order of names, which is the order of the calls.
    webhook
        .register(&project.admin, "zz-sidecar", &project.name)
        .await?;
    for owner in OWNERS {
        let pod =
            objects::as_pod(objects::create(project.client(owner), project.pod(owner)).await?)?;
        let names: Vec<&str> = pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .map(|container| container.name.as_str())
            .collect();
        assert_eq!(names, ["main", EXTRA]);
        assert_injected(&pod, owner);
    }
    Ok(())
}
