//! Each kind of secret, as containers find it.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness},
    images,
    pods::{self, REPORT, Report},
    project::{Project, Secret, restricted},
    support::Result,
};

const FOLDER: &str = "/konduktor/default-secrets";
/// A value of several lines, with all that shells and Kubernetes treat in a special way.
const ODD: &str = "two\nlines, \"quoted\", $(TOKEN) $$ `id` \\ ü\t";
const REGISTRY: &str =
    r#"{"auths": {"registry.example.com": {"username": "alice", "password": "made up"}}}"#;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("kinds::every_kind_is_in_every_container", everywhere),
        harness.trial("kinds::bob_has_none_of_alices", another_user),
        harness.trial("kinds::the_nearest_value_wins", precedence),
        harness.trial("kinds::restricted_pods_get_them_too", restricted_pods),
    ]
}

/// One secret of every kind that shows in a container by itself; git has trials of its own.
async fn project(cluster: &Cluster, name: &str, labels: &serde_json::Value) -> Result<Project> {
    let project = Project::with_labels(cluster, name, labels).await?;
    let secrets = [
        Secret::of_alice("env", "token")
            .with("TOKEN", "of alice")
            .with("ODD", ODD)
            .with("EMPTY", ""),
        // Without a program that reads it: it must not be in the way.
        Secret::of_alice("git-ssh", "git").with("gitkey", "a key"),
        Secret::of_alice("auth", "platform").with("key", "a token"),
        Secret::of_alice("default", "datasets")
            .with("plain", "text")
            .with(".hidden", [0, 255, 10])
            .with("empty", ""),
        Secret::of_project("default", "certificates").with("ca.pem", "the project's"),
        Secret::of_alice("image-pull", "registry")
            .of_type("kubernetes.io/dockerconfigjson")
            .with(".dockerconfigjson", REGISTRY),
    ];
    project.make(&secrets).await?;
    Ok(project)
}

fn assert_all(report: &Report) {
    assert_eq!(report.variable("TOKEN"), Some("of alice"));
    assert_eq!(report.variable("ODD"), Some(ODD));
    assert_eq!(report.variable("EMPTY"), Some(""));
    assert_eq!(report.variable("AUTH_SECRET"), Some("a token"));
    assert_eq!(report.variable("GIT_SSH_VARIANT"), Some("ssh"));
    assert_eq!(report.variable("KONDUKTOR_DEFAULT_SECRETS"), Some(FOLDER));
    assert_eq!(
        report.variable("KONDUKTOR_DEFAULT_SECRETS_EXPANDED"),
        Some(FOLDER)
    );
    let files: BTreeMap<&str, (&[u8], u32)> = report
        .files
        .iter()
        .map(|(path, file)| (path.as_str(), (&*file.content, file.mode)))
        .collect();
    let expected: [(&str, (&[u8], u32)); 4] = [
        (
            "/konduktor/default-secrets/certificates/ca.pem",
            (b"the project's", 0o644),
        ),
        (
            "/konduktor/default-secrets/datasets/.hidden",
            (&[0, 255, 10], 0o644),
        ),
        ("/konduktor/default-secrets/datasets/empty", (b"", 0o644)),
        (
            "/konduktor/default-secrets/datasets/plain",
            (b"text", 0o644),
        ),
    ];
    assert_eq!(files, expected.into());
}

async fn everywhere(cluster: &Cluster) -> Result<()> {
    let project = project(cluster, "kinds-everywhere", &json!({})).await?;
    let mut spec = pods::spec(&[
        pods::container("first", images::BARE, REPORT),
        pods::container("second", images::BARE, REPORT),
    ]);
    spec["initContainers"] = json!([pods::container("before", images::BARE, REPORT)]);
    let ended = project.run("all", spec).await?;
    for container in ["before", "first", "second"] {
        assert_all(&ended.report(container).await?);
    }
    let spec = ended.pod().spec.as_ref().expect("a spec");
    let pull: Vec<&str> = spec
        .image_pull_secrets
        .iter()
        .flatten()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(pull, ["registry"]);
    // The kubelet reads the credentials before it starts a pod, and warns of those that it cannot use.
    assert_eq!(project.warnings("all").await?, [""; 0]);
    Ok(())
}

async fn another_user(cluster: &Cluster) -> Result<()> {
    let project = project(cluster, "kinds-another-user", &json!({})).await?;
    let spec = pods::spec(&[pods::reporting()]);
    let ended = project.run_as_bob("bobs", spec).await?;
    let report = ended.report("main").await?;
    for name in ["TOKEN", "ODD", "EMPTY", "AUTH_SECRET", "GIT_SSH_COMMAND"] {
        assert_eq!(report.variable(name), None, "{name}");
    }
    let files: Vec<&String> = report.files.keys().collect();
    assert_eq!(files, ["/konduktor/default-secrets/certificates/ca.pem"]);
    let spec = ended.pod().spec.as_ref().expect("a spec");
    assert_eq!(spec.image_pull_secrets, None);
    Ok(())
}

async fn precedence(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "kinds-precedence").await?;
    let of_project = ["A", "B", "C", "E"]
        .iter()
        .fold(Secret::of_project("env", "shared"), |secret, name| {
            secret.with(name, "project")
        });
    let files = Secret::of_project("default", "shared-files").called("files");
    project
        .make(&[of_project, files.with("whose", "project")])
        .await?;
    let of_alice = Secret::of_alice("env", "mine")
        .with("B", "alice")
        .with("C", "alice");
    let files = Secret::of_alice("default", "my-files").called("files");
    project
        .make(&[of_alice, files.with("whose", "alice")])
        .await?;
    let own = ["create", "configmap", "own", "--from-literal=E=own"];
    project.kubectl.run(&own)?.ok()?;

    let mut container = pods::reporting();
    container["env"] = json!([{"name": "C", "value": "own"}, {"name": "D", "value": "$(B)"}]);
    container["envFrom"] = json!([{"configMapRef": {"name": "own"}}]);
    let ended = project.run("precedence", pods::spec(&[container])).await?;
    let report = ended.report("main").await?;
    let values = ["A", "B", "C", "D", "E"].map(|name| report.variable(name));
    let expected = ["project", "alice", "own", "alice", "own"];
    assert_eq!(values, expected.map(Some));
    let file = &report.files["/konduktor/default-secrets/files/whose"];
    assert_eq!(file.content, b"alice");
    Ok(())
}

async fn restricted_pods(cluster: &Cluster) -> Result<()> {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let project = project(cluster, "kinds-restricted", &labels).await?;
    let mut container = pods::reporting();
    container["securityContext"] = restricted();
    container["securityContext"]["runAsUser"] = json!(images::USER);
    container["securityContext"]["readOnlyRootFilesystem"] = json!(true);
    let ended = project.run("restricted", pods::spec(&[container])).await?;
    assert_all(&ended.report("main").await?);
    Ok(())
}
