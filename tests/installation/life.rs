//! The chart's life by the real Helm, while pods come and go.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret as SecretObject};
use kube::Api;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    admissions::{Admissions, UNINSTALL},
    harness::{Cluster, Harness},
    image::{REPOSITORY, TAG},
    installation::{Installation, NAME, NAMESPACE, SELECTOR},
    node::ctr,
    pods,
    project::{Project, Secret},
    support::{Result, wait_for},
};

/// So many at least while each step is done: there is always one under way.
const ADMISSIONS: u32 = 100;
const PER_SECOND: u32 = 20;
/// Helm takes the Service and the webhooks away within a second, and the API server hears of each by itself.
const PER_SECOND_AT_THE_END: u32 = 200;
/// The Secrets that keyporter makes and the chart does not.
const OWN_SECRETS: [&str; 2] = ["keyporter-ca", "keyporter-owner-keys"];
const WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    let bound = Duration::from_mins(15);
    vec![
        harness.trial_within(
            bound,
            "life::updates_and_ways_back_cost_no_pod_and_no_authority",
            update_and_back,
        ),
        harness.trial_within(bound, "life::nothing_that_is_left_blocks_a_pod", end),
    ]
}

async fn update_and_back(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    let next = "2";
    ctr(&[
        "image",
        "tag",
        &format!("{REPOSITORY}:{TAG}"),
        &format!("{REPOSITORY}:{next}"),
    ])?;
    // Whatever was done to the Deployment by hand before is gone then.
    installation.upgrade(&[]).await?;
    let before = own_secrets(cluster).await?;
    let revision = revision(installation).await?;

    let admissions = Admissions::start(cluster, "life", PER_SECOND).await?;
    let steps = async {
        let image = format!("--set-string=image.tag={next}");
        let changes = ["--set=webhook.timeoutSeconds=7", "--set=replicas=3"];
        let arguments = [&[image.as_str()], &changes[..]].concat();
        let upgrade = installation.upgrade(&arguments);
        admissions
            .during("helm upgrade", ADMISSIONS, upgrade)
            .await?;
        assert_images(installation, 3, next).await?;

        let back = async {
            let arguments = ["rollback", NAME, &revision, "--wait", "--timeout=4m"];
            installation.helm(&arguments).await.map(drop)
        };
        admissions.during("helm rollback", ADMISSIONS, back).await?;
        assert_images(installation, 2, TAG).await
    };
    let steps: Result<()> = steps.await;
    admissions.end().await?;
    steps?;
    assert!(before == own_secrets(cluster).await?, "keys were changed");
    Ok(())
}

/// The number of the release that is installed.
async fn revision(installation: &Installation) -> Result<String> {
    let status = installation.helm(&["status", NAME, "-o", "json"]).await?;
    let status: Value = serde_json::from_str(&status)?;
    Ok(status["version"].to_string())
}

/// Nothing but these pods is left, each from this image.
async fn assert_images(installation: &Installation, replicas: usize, tag: &str) -> Result<()> {
    let expected = format!("{REPOSITORY}:{tag}");
    for pod in installation.wait_until_ready(replicas).await? {
        let spec = pod.spec.ok_or("no spec")?;
        assert_eq!(spec.containers[0].image.as_deref(), Some(&*expected));
    }
    Ok(())
}

/// What is in keyporter's own Secrets. Never shown.
async fn own_secrets(
    cluster: &Cluster,
) -> Result<BTreeMap<&'static str, Option<BTreeMap<String, ByteString>>>> {
    let secrets: Api<SecretObject> = Api::namespaced(cluster.admin(), NAMESPACE);
    let mut own = BTreeMap::new();
    for name in OWN_SECRETS {
        own.insert(name, secrets.get(name).await?.data);
    }
    Ok(own)
}

/// Opted-in namespaces have pods all the time, from some moment on without secrets; those that run keep theirs. Whoever
/// installs it again goes on with the same keys.
async fn end(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    let project = Project::new(cluster, "end").await?;
    let secret = Secret::of_alice("env", "token").with("TOKEN", "of alice");
    project.make(&[secret]).await?;
    let before = own_secrets(cluster).await?;
    let script = format!("{}; sleep 2147483647", pods::REPORT);
    let lasting = pods::container("main", crate::images::BARE, &script);
    project.create("lasting", pods::spec(&[lasting])).await?;
    project.reported("lasting").await?;

    let admissions = Admissions::start(cluster, "leaving", PER_SECOND_AT_THE_END).await?;
    let uninstall = async {
        let arguments = ["uninstall", NAME, "--wait", "--timeout=4m"];
        installation.helm(&arguments).await.map(drop)
    };
    let outcome = admissions.during(UNINSTALL, ADMISSIONS, uninstall).await;
    let (with, without, sent_again) = admissions.counts();
    // None was refused or lost.
    admissions.end().await?;
    outcome?;
    assert!(with > 0 && without > 0, "{with} with, {without} without");
    assert_eq!(sent_again, 0);
    let kinds = "deployments,services,serviceaccounts,pods,roles,rolebindings,clusterroles,\
        clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,\
        validatingadmissionpolicies,validatingadmissionpolicybindings,mutatingadmissionpolicies,\
        mutatingadmissionpolicybindings";
    wait_for("all that is keyporter's to be gone", WITHIN, async || {
        let arguments = ["get", kinds, "-l", SELECTOR, "-o", "name"];
        let left = installation.kubectl().run(&arguments)?.ok()?;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    let ended = project
        .run("without", pods::spec(&[pods::reporting()]))
        .await?;
    assert_eq!(ended.report("main").await?.variable("TOKEN"), None);
    let lasting = project.reported("lasting").await?;
    assert_eq!(lasting.variable("TOKEN"), Some("of alice"));
    project
        .kubectl
        .run(&["exec", "lasting", "--", "true"])?
        .ok()?;
    assert!(before == own_secrets(cluster).await?, "keys were changed");

    installation.install(&[]).await?;
    project.wait_for(&["token"]).await?;
    let ended = project
        .run("with", pods::spec(&[pods::reporting()]))
        .await?;
    let report = ended.report("main").await?;
    assert_eq!(report.variable("TOKEN"), Some("of alice"));
    assert!(before == own_secrets(cluster).await?, "keys were changed");
    Ok(())
}
