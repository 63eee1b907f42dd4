//! What pods refer to, as containers find it.

use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness},
    images, pods,
    project::{Project, Secret},
    support::{Result, objects},
};

/// All that a shell or Kubernetes could take for something else.
const ODD: &str = "a b $(HOME) $$ ${X} `id` \"'";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("references::stand_for_what_the_secrets_hold", every_form)]
}

async fn every_form(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "references").await?;
    let store = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": project.name, "name": "iomete-secret-store"},
        "stringData": {"PASSWORD": ODD},
    });
    objects::create(&project.admin, store).await?;
    let token = Secret::of_alice("env", "token").with("TOKEN", "of alice");
    let pair = Secret::of_alice("default", "pair")
        .with("tls.crt", "a certificate")
        .with("tls.key", "a key");
    project.make(&[token, pair]).await?;
    let script =
        "printf '%s\\n' \"$ONE\" \"$TWO\" \"$THREE\" \"$0\" \"${NONE-unset}\"; cat /etc/tls/key";
    let mut container = pods::container("main", images::BARE, script);
    container["env"] = json!([
        {"name": "ONE", "value": "secret:token"},
        {"name": "TWO", "value": "${secrets.PASSWORD}"},
        {"name": "THREE", "value": "$${secrets.PASSWORD} is ${secrets.PASSWORD}!"},
        {"name": "NONE", "value": "secret:absent?"},
    ]);
    container["args"] = json!(["--password=${secrets.PASSWORD}"]);
    let annotations = json!({"keyporter.dev/files": "secret:pair/tls.key:/etc/tls/key"});
    project
        .create_annotated("refers", &annotations, pods::spec(&[container]))
        .await?;
    let log = project.ended("refers").await?.log("main").await?;
    let expected = [
        "of alice",
        ODD,
        &format!("${{secrets.PASSWORD}} is {ODD}!"),
        &format!("--password={ODD}"),
        "unset",
        "a key",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    Ok(())
}
