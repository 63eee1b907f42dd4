//! `--identity konduktor`: everybody shares one kubeconfig, and the labels of Konduktor's client tell them apart.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DynamicObject};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    job_set::{make_job, wait_until_taken},
    konduktor::{BOBS, WORKSTATION, secret},
    project::{Project, SHARED, secret_names},
    support::{Result, jobset::JOBSET_CONTROLLER, keyporter::Keyporter, objects, wait_for},
    workloads::run_once,
};

const USER_ID: &str = "trainy.ai/user-id";
/// Whose hash [`WORKSTATION`] is.
const ALICE: &str = "alice-982b";
/// Whose hash [`BOBS`] is.
const BOB: &str = "bob-982b";
/// The keys with which alice comes into her pods: a Secret without her hash.
const SSH_KEYS: &str = "konduktor-ssh-keys-bc65ee65";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("konduktor::labels_tell_owners_apart", labels)]
}

/// All that is done here is done by one user, with a keyporter of its own.
async fn labels(cluster: &Cluster) -> Result<()> {
    cluster.keyporter().await?;
    let keyporter = Keyporter::start_with(
        cluster,
        env!("CARGO_BIN_EXE_keyporter").as_ref(),
        "konduktor",
        &["--identity", "konduktor"],
    )
    .await?;
    let log = keyporter.log();
    assert!(log.contains("owners are what clients write"), "{log}");
    let own = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": ["konduktor"]});
    keyporter
        .register(&cluster.admin(), "keyporter-konduktor", Some(own))
        .await?;
    let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: "konduktor"});
    let project = Project::without_webhook(cluster, "konduktor-identity", labels).await?;
    make_secrets(&project).await?;

    by_hand(&project).await?;
    references(cluster, &project).await?;
    job_sets(cluster, &project).await
}

async fn make_secrets(project: &Project) -> Result<()> {
    let keys = json!({
        "metadata": {"name": SSH_KEYS, "labels": {"parent": "konduktor"}},
        "stringData": {"PRIVKEY": "canary"},
    });
    let hers = secret(WORKSTATION, "env", "wandb");
    for mut secret in [hers, secret(BOBS, "env", "wandb"), keys] {
        secret["apiVersion"] = "v1".into();
        secret["kind"] = "Secret".into();
        secret["metadata"]["namespace"] = project.name.as_str().into();
        let made = objects::create(project.client("alice"), secret).await?;
        // To the API server it is the one user's.
        assert_eq!(made.annotations()["keyporter.dev/owner"], "alice");
    }
    Ok(())
}

/// With the label of `user_id`; without one where it is empty.
fn made_by(user_id: &str, mut object: Value) -> Value {
    if !user_id.is_empty() {
        object["metadata"]["labels"][USER_ID] = user_id.into();
    }
    object
}

/// The project's secret and those of this hash, weakest first.
fn expected(hash: &str) -> Vec<String> {
    let own = (!hash.is_empty()).then(|| format!("wandb-{hash}"));
    std::iter::once(SHARED.to_owned()).chain(own).collect()
}

async fn by_hand(project: &Project) -> Result<()> {
    for (user_id, hash) in [
        (ALICE, WORKSTATION),
        (BOB, BOBS),
        ("carol-982b", ""),
        ("", ""),
    ] {
        let pod = made_by(user_id, project.pod("by-hand"));
        let mut last = vec![];
        let waited = wait_for("the webhook", Duration::from_secs(20), async || {
            let pod = objects::dry_run(project.client("alice"), pod.clone()).await?;
            last = secret_names(&objects::as_pod(pod)?);
            Ok((last == expected(hash)).then_some(()))
        });
        waited
            .await
            .map_err(|error| format!("{error} for {user_id:?}; last it gave {last:?}"))?;
    }
    Ok(())
}

/// Nobody is called by a hash, so there is nobody to act for.
async fn references(cluster: &Cluster, project: &Project) -> Result<()> {
    let refers = |object: &str| {
        let mut pod = project.pod("refers");
        pod["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": object}}]);
        pod
    };
    let shared = project.client("alice");
    for (user_id, object, refused) in [
        (ALICE, "wandb-bc65ee65", false),
        (ALICE, "wandb-cb00a8bc", true),
        (BOB, "wandb-bc65ee65", true),
        ("", "wandb-bc65ee65", true),
        // The one user's own.
        (ALICE, SSH_KEYS, false),
    ] {
        for client in [shared, &project.admin] {
            // An administrator may act for all whom the API server knows.
            let outcome = objects::dry_run(client, made_by(user_id, refers(object))).await;
            assert_eq!(
                outcome.is_err(),
                refused,
                "{user_id:?} {object}: {outcome:?}"
            );
            if let Err(error) = outcome {
                let sentence = error.to_string();
                let expected = "refers to secrets of another user";
                assert!(sentence.contains(expected), "{sentence}");
            }
        }
    }

    // Into a pod goes who has the kubeconfig.
    objects::create(shared, made_by(ALICE, project.pod("entered"))).await?;
    let bob = cluster.kubectl("bob")?.within(&project.name);
    let outcome = bob.run(&["exec", "entered", "--", "true"])?;
    assert!(
        !outcome.stderr.contains("denied the request"),
        "{outcome:?}"
    );
    Ok(())
}

async fn job_sets(cluster: &Cluster, project: &Project) -> Result<()> {
    let controlled = cluster.job_set_controller().await?.is_some();
    if !controlled {
        objects::allow_edit(&project.admin, &project.name, JOBSET_CONTROLLER).await?;
    }
    let shared = project.client("alice");
    for (name, user_id, hash) in [
        ("alices", ALICE, WORKSTATION),
        ("bobs", BOB, BOBS),
        ("nobodys", "", ""),
    ] {
        let mut template = run_once(name);
        if user_id == ALICE {
            template["spec"]["volumes"] =
                json!([{"name": "keys", "secret": {"secretName": SSH_KEYS}}]);
        }
        let job_set = made_by(user_id, job_set(project, name, &template));
        wait_until_taken(shared, &job_set, controlled).await?;
        let job_set = objects::create(shared, job_set).await?;
        assert_eq!(owner(job_set.annotations()), hash, "{name}");
        if !controlled {
            make_job(cluster, project, &job_set).await?;
        }
        let pod = pod_of(project, name).await?;
        assert_eq!(secret_names(&pod), expected(hash), "{name}");
        assert_eq!(owner(pod.annotations()), hash, "{name}");
    }

    let mut template = run_once("refers");
    template["spec"]["imagePullSecrets"] = json!([{"name": "wandb-bc65ee65"}]);
    let job_set = made_by(BOB, job_set(project, "refers", &template));
    let refused: kube::Result<DynamicObject> = objects::create(shared, job_set).await;
    let sentence = refused
        .err()
        .ok_or("bob's JobSet refers to alice's secret")?;
    assert!(
        sentence.to_string().contains("secrets of another user"),
        "{sentence}"
    );
    Ok(())
}

fn job_set(project: &Project, name: &str, template: &Value) -> Value {
    let spec = json!({"replicatedJobs": [
        {"name": "workers", "replicas": 1, "template": {"spec": {"template": template}}},
    ]});
    project.workload("jobset.x-k8s.io/v1alpha2", "JobSet", name, &spec)
}

/// Empty where there is none.
fn owner(annotations: &std::collections::BTreeMap<String, String>) -> &str {
    let owner = annotations.get("keyporter.dev/owner");
    owner.map_or("", String::as_str)
}

async fn pod_of(project: &Project, name: &str) -> Result<Pod> {
    let selector = format!("{}={name}", crate::workloads::MADE_FOR);
    objects::wait_for_pod(&project.admin, &project.name, &selector).await
}
