//! Ten thousand admissions while everything around keyporter changes or fails: none of them fails, but for those that a
//! killed replica takes along, which succeed when they are sent again.

use std::{env, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::LogParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    admissions::{Admissions, REPLICAS_KILLED},
    command::run,
    harness::{Cluster, Harness},
    installation::{NAME, NAMESPACE},
    replicas,
    support::{Result, wait_for},
};

/// In all phases together, at least.
const ADMISSIONS: u32 = 10_000;
/// Raises that number.
const MORE: &str = "KEYPORTER_TEST_ADMISSIONS";
const PHASES: u32 = 6;
/// Two cores have the API server, etcd and keyporter on them, and whatever else the machine does.
const PER_SECOND: u32 = 100;
/// How long a CA lasts, in seconds: a certificate of it is renewed within 20, and the next CA is used 8 seconds after it came.
const CA_SECONDS: u32 = 300;
const ETCD_PAUSE: Duration = Duration::from_secs(4);
const WITHIN: Duration = Duration::from_mins(3);

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    let bound = Duration::from_mins(30);
    vec![harness.trial_within(
        bound,
        "endurance::no_admission_fails_whatever_happens_meanwhile",
        everything,
    )]
}

async fn everything(cluster: &Cluster) -> Result<()> {
    let wanted = env::var(MORE).ok().and_then(|number| number.parse().ok());
    let each = wanted
        .unwrap_or(ADMISSIONS)
        .max(ADMISSIONS)
        .div_ceil(PHASES);
    let admissions = Admissions::start(cluster, "endurance", PER_SECOND).await?;
    let during = async |name, event: std::pin::Pin<Box<dyn Future<Output = Result<()>> + '_>>| {
        admissions.during(name, each, event).await
    };
    let outcome = async {
        during("rolling update", Box::pin(rolling_update(cluster))).await?;
        during(REPLICAS_KILLED, Box::pin(kill_replicas(cluster))).await?;
        during(
            "certificate rotation",
            Box::pin(rotate_certificates(cluster)),
        )
        .await?;
        during("CA rotation", Box::pin(rotate_authority(cluster))).await?;
        during("API server restart", Box::pin(restart_api_server(cluster))).await?;
        during("etcd pause", Box::pin(pause_etcd(cluster))).await
    };
    let outcome = outcome.await;
    let admitted = admissions.end().await;
    outcome.and(admitted)
}

/// To pods whose certificates do not last for years, which the next phases rely on.
async fn rolling_update(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    let flag = json!([{
        "op": "add",
        "path": "/spec/template/spec/containers/0/args/-",
        "value": format!("--ca-seconds={CA_SECONDS}"),
    }]);
    let deployment = format!("deployment/{NAME}");
    let patch = ["patch", &deployment, "--type=json", "-p", &flag.to_string()];
    installation.kubectl().run(&patch)?.ok()?;
    let status = ["rollout", "status", &deployment, "--timeout=3m"];
    tokio::task::block_in_place(|| installation.kubectl().run(&status)?.ok())?;
    // The old ones are there until their last request is answered.
    wait_for("the old pods to be gone", WITHIN, async || {
        let all = installation.kubectl().run(&["get", "pods", "-o", "name"])?;
        Ok((all.ok()?.lines().count() == 2).then_some(()))
    })
    .await
}

/// One after the other, as when a node dies or the kernel is out of memory.
async fn kill_replicas(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    for pod in installation.wait_until_ready(2).await? {
        let process = replicas::process(&pod)?;
        let number = process.file_name().unwrap_or_default().to_string_lossy();
        run("kill", &["-KILL", &number])?;
        let what = format!("{} to run again", pod.name_any());
        wait_for(&what, WITHIN, async || {
            let pods = installation.wait_until_ready(2).await?;
            let again = pods.iter().find(|it| it.name_any() == pod.name_any());
            Ok(again.filter(|it| restarts(it) > restarts(&pod)).map(drop))
        })
        .await?;
    }
    Ok(())
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|it| &it.container_statuses);
    statuses.flatten().map(|status| status.restart_count).sum()
}

/// Renewed by time, of the same CA.
async fn rotate_certificates(cluster: &Cluster) -> Result<()> {
    let before = shown(cluster).await?;
    wait_for(
        "all replicas to renew their certificates",
        WITHIN,
        async || {
            let now = shown(cluster).await?;
            let all = now
                .iter()
                .all(|it| before.iter().all(|was| was["not_after"] != it["not_after"]));
            Ok(all.then_some(()))
        },
    )
    .await
}

/// As an administrator has another one made who does not trust it any more.
async fn rotate_authority(cluster: &Cluster) -> Result<()> {
    let before = shown(cluster).await?;
    let delete = ["delete", "secret", "keyporter-ca"];
    cluster.installation().kubectl().run(&delete)?.ok()?;
    wait_for(
        "all replicas to change to the next CA",
        WITHIN,
        async || {
            let now = shown(cluster).await?;
            let all = now.iter().all(|it| {
                before
                    .iter()
                    .all(|was| was["of_ca_until"] != it["of_ca_until"])
            });
            Ok(all.then_some(()))
        },
    )
    .await
}

/// What each replica logged of the certificate that it shows.
async fn shown(cluster: &Cluster) -> Result<Vec<Value>> {
    let pods: Api<Pod> = Api::namespaced(cluster.admin(), NAMESPACE);
    let mut shown = Vec::new();
    for pod in cluster.installation().wait_until_ready(2).await? {
        let log = pods.logs(&pod.name_any(), &LogParams::default()).await?;
        let last = log
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|line| {
                line.get("fields")
                    .or(Some(&line))
                    .filter(|it| !it["of_ca_until"].is_null())
                    .cloned()
            });
        shown.push(last.ok_or_else(|| format!("{} shows no certificate", pod.name_any()))?);
    }
    Ok(shown)
}

async fn restart_api_server(cluster: &Cluster) -> Result<()> {
    tokio::task::block_in_place(|| cluster.restart_api_server())?;
    cluster.installation().wait_until_ready(2).await?;
    Ok(())
}

async fn pause_etcd(cluster: &Cluster) -> Result<()> {
    cluster.etcd().signal("STOP")?;
    sleep(ETCD_PAUSE).await;
    cluster.etcd().signal("CONT")
}
