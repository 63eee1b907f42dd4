//! Credentials for pulling images, shown to a registry that asks for them.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    pods,
    project::{Project, Secret},
    registry::{IMAGE, Registry},
    support::{Result, wait_for},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("pulls::the_kubelet_pulls_with_the_owners_credentials", pull)]
}

async fn pull(cluster: &Cluster) -> Result<()> {
    let _registry = Registry::start().await?;
    let project = Project::new(cluster, "pulls").await?;
    let secret = Secret::of_alice("image-pull", "registry")
        .of_type("kubernetes.io/dockerconfigjson")
        .with(".dockerconfigjson", Registry::credentials().to_string());
    project.make(&[secret]).await?;

    // Nothing but the injected secret opens the registry.
    project.create_opted_out("without", spec()).await?;
    let what = "the registry to refuse the pod without credentials";
    let outcome = wait_for(what, Duration::from_mins(1), async || {
        let warnings = project.warnings("without").await?;
        Ok(warnings
            .iter()
            .find(|it| it.contains("401 Unauthorized"))
            .cloned())
    })
    .await;
    project.explain("without", outcome).await?;

    let ended = project.run("with", spec()).await?;
    assert_eq!(ended.log("main").await?, "pulled\n");
    Ok(())
}

fn spec() -> Value {
    pods::spec(&[json!({"name": "main", "image": IMAGE, "imagePullPolicy": "Always"})])
}
