//! keyporter's own pods: what they may do on the node, and who calls them.

use std::{collections::BTreeMap, fs, path::PathBuf};

use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    harness::{Cluster, Harness},
    installation::{self, NAME, NAMESPACE},
    node::ctr,
    project::{Project, Secret},
    support::{Result, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("replicas::run_without_any_right_on_the_node", rights),
        harness.trial("replicas::are_called_by_their_service", service),
    ]
}

/// As the kernel sees the processes: Pod Security `restricted` is enforced in the namespace, or the pods would not be there.
async fn rights(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    let namespace: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(admin);
    let namespace = namespace.get(NAMESPACE).await?;
    assert_eq!(
        namespace.labels()["pod-security.kubernetes.io/enforce"],
        "restricted"
    );
    let pods = cluster.installation().wait_until_ready(2).await?;
    for pod in pods {
        let process = process(&pod)?;
        let status = fs::read_to_string(process.join("status"))?;
        let status: BTreeMap<&str, &str> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        assert_eq!(status["Uid"], "65532\t65532\t65532\t65532");
        assert_eq!(status["Gid"], "65532\t65532\t65532\t65532");
        for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status[set], "0000000000000000", "{set}");
        }
        assert_eq!(status["NoNewPrivs"], "1");
        // 2: a filter decides which calls of the system are allowed.
        assert_eq!(status["Seccomp"], "2");

        let mounts = fs::read_to_string(process.join("mounts"))?;
        let root = mounts
            .lines()
            .find(|line| line.split(' ').nth(1) == Some("/"));
        let options = root.and_then(|line| line.split(' ').nth(3));
        let options: Vec<&str> = options.ok_or("it has no root")?.split(',').collect();
        assert!(options.contains(&"ro"), "{options:?}");
        assert_eq!(
            fs::read_link(process.join("exe"))?,
            PathBuf::from("/keyporter")
        );
    }
    Ok(())
}

/// The folder in `/proc` of the process of a pod's container.
pub(crate) fn process(pod: &k8s_openapi::api::core::v1::Pod) -> Result<PathBuf> {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| &status.container_statuses);
    let identifier = statuses
        .flatten()
        .find_map(|status| status.container_id.as_deref())
        .and_then(|identifier| identifier.strip_prefix("containerd://"))
        .ok_or_else(|| format!("{} has no container", pod.name_any()))?;
    let tasks = ctr(&["task", "list"])?;
    let number = tasks
        .lines()
        .find_map(|line| line.strip_prefix(identifier)?.split_whitespace().next())
        .ok_or_else(|| format!("{} does not run", pod.name_any()))?;
    Ok(PathBuf::from("/proc").join(number))
}

/// No address of a process is in the configuration, and what the pods count are the API server's calls.
async fn service(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    for kind in [
        "mutatingwebhookconfiguration",
        "validatingwebhookconfiguration",
    ] {
        let printed = installation
            .kubectl()
            .run(&["get", kind, NAME, "-o", "json"])?;
        let configuration: Value = serde_json::from_str(&printed.ok()?)?;
        for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
            let client = &webhook["clientConfig"];
            assert_eq!(client["service"]["name"], NAME);
            assert_eq!(client["service"]["namespace"], NAMESPACE);
            assert!(client["url"].is_null(), "{client}");
            assert_eq!(webhook["failurePolicy"], "Fail");
        }
    }
    let project = Project::new(cluster, "replicas-service").await?;
    let before = admissions(installation).await?;
    let secret = Secret::of_alice("env", "token").with("TOKEN", "of alice");
    project.make(&[secret]).await?;
    objects::dry_run(&project.alice, objects::pod(&project.name, "probe")).await?;
    let after = admissions(installation).await?;
    assert!(after > before, "{before} admissions before, {after} after");
    Ok(())
}

/// The admissions that all pods counted.
async fn admissions(installation: &installation::Installation) -> Result<u64> {
    let mut sum = 0;
    for pod in installation.wait_until_ready(2).await? {
        let metrics = installation.ask(&pod.name_any(), "/metrics").await?;
        sum += metrics
            .lines()
            .filter(|line| line.starts_with("keyporter_admissions_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(sum)
}
