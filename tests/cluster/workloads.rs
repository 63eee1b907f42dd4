//! Pods that controllers create for a workload belong to whoever created the workload.

use k8s_openapi::{
    api::{
        batch::v1::{CronJob, Job},
        core::v1::{Node, Pod},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{OWNERS, Project, assert_injected},
    support::{Result, objects},
};

/// The label that tells whose pods are whose.
pub(crate) const MADE_FOR: &str = "made-for";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("workloads::job", job),
        harness.trial_with_controllers("workloads::cron_job_when_due", cron_job_when_due),
        harness.trial_with_controllers("workloads::cron_job_started_by_hand", cron_job_by_hand),
        harness.trial_with_controllers("workloads::deployment", deployment),
        harness.trial_with_controllers("workloads::stateful_set", stateful_set),
        harness.trial_with_controllers("workloads::daemon_set", daemon_set),
        harness.trial_with_controllers("workloads::replica_set", replica_set),
        harness.trial_with_controllers("workloads::replication_controller", replication_controller),
        harness.trial(
            "workloads::what_does_not_count_is_not_asked_about",
            not_asked,
        ),
    ]
}

async fn job(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-job").await?;
    for owner in OWNERS {
        let spec = json!({"template": run_once(owner)});
        objects::create(
            project.client(owner),
            project.workload("batch/v1", "Job", owner, &spec),
        )
        .await?;
        project.assert_pod_of(owner, "Job").await?;
    }
    Ok(())
}

async fn cron_job_when_due(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-cron-job-due").await?;
    for owner in OWNERS {
        objects::create(project.client(owner), project.cron_job(owner, "* * * * *")).await?;
        // As if it had run a while ago: the controller makes up for what it missed, at once.
        let last = Timestamp::now() - SignedDuration::from_secs(90);
        let status = json!({"status": {"lastScheduleTime": last.to_string()}});
        let jobs: Api<CronJob> = Api::namespaced(project.admin.clone(), &project.name);
        jobs.patch_status(owner, &PatchParams::default(), &Patch::Merge(status))
            .await?;
        project.assert_pod_of(owner, "Job").await?;
    }
    Ok(())
}

async fn cron_job_by_hand(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-cron-job-hand").await?;
    for owner in OWNERS {
        objects::create(project.client(owner), project.cron_job(owner, "0 0 29 2 *")).await?;
        let from = format!("--from=cronjob/{owner}");
        let kubectl = cluster.kubectl(owner)?.within(&project.name);
        kubectl
            .run(&["create", "job", &format!("{owner}-now"), &from])?
            .ok()?;
        project.assert_pod_of(owner, "Job").await?;
    }
    Ok(())
}

async fn deployment(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-deployment").await?;
    project
        .assert_selecting(cluster, "apps/v1", "Deployment", "ReplicaSet")
        .await
}

async fn stateful_set(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-stateful-set").await?;
    project
        .assert_selecting(cluster, "apps/v1", "StatefulSet", "StatefulSet")
        .await
}

/// The API server's own conditions keep such requests away.
async fn not_asked(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-not-asked").await?;
    let spec = json!({"template": run_once("alice")});
    let job = project.workload("batch/v1", "Job", "alice", &spec);
    objects::create(project.client("alice"), job).await?;
    let jobs: Api<Job> = Api::namespaced(project.admin.clone(), &project.name);
    let keyporter = cluster.keyporter().await?;
    let namespace = format!("\"namespace\":\"{}\"", project.name);
    let asked = || {
        let log = keyporter.log();
        let of_job = |line: &&str| line.contains(&namespace) && line.contains("\"kind\":\"Job\"");
        log.lines().filter(of_job).count()
    };
    assert_eq!(asked(), 1);
    for (change, count) in [
        (
            json!({"metadata": {"finalizers": ["tests.keyporter.dev/stay"]}}),
            1,
        ),
        (json!({"metadata": {"finalizers": null}}), 1),
        (json!({"metadata": {"labels": {"team": "vision"}}}), 2),
        (json!({"metadata": {"annotations": {"note": "read"}}}), 3),
        (json!({"spec": {"suspend": true}}), 4),
    ] {
        let patch = Patch::Merge(&change);
        jobs.patch("alice", &PatchParams::default(), &patch).await?;
        assert_eq!(asked(), count, "{change}");
    }
    Ok(())
}

async fn daemon_set(cluster: &Cluster) -> Result<()> {
    // One pod for each node; the object is all that the controller looks at. The API server marks
    // every new node as not ready, and without a kubelet nobody takes that back.
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "without-kubelet"}});
    objects::create(&cluster.admin(), node).await?;
    let nodes: Api<Node> = Api::all(cluster.admin());
    let ready = Patch::Merge(json!({"spec": {"taints": null}}));
    nodes
        .patch("without-kubelet", &PatchParams::default(), &ready)
        .await?;
    let project = Project::new(cluster, "workloads-daemon-set").await?;
    project
        .assert_selecting(cluster, "apps/v1", "DaemonSet", "DaemonSet")
        .await
}

async fn replica_set(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-replica-set").await?;
    project
        .assert_selecting(cluster, "apps/v1", "ReplicaSet", "ReplicaSet")
        .await
}

async fn replication_controller(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "workloads-rc").await?;
    for owner in OWNERS {
        let spec =
            json!({"replicas": 1, "selector": {MADE_FOR: owner}, "template": keep_running(owner)});
        let workload = project.workload("v1", "ReplicationController", owner, &spec);
        objects::create(project.client(owner), workload).await?;
        project
            .assert_pod_of(owner, "ReplicationController")
            .await?;
    }
    Ok(())
}

/// A pod template of a workload that runs to an end.
pub(crate) fn run_once(owner: &str) -> Value {
    let mut template = keep_running(owner);
    template["spec"]["restartPolicy"] = json!("Never");
    template
}

/// A pod template of a workload that keeps running.
fn keep_running(owner: &str) -> Value {
    json!({"metadata": {"labels": {MADE_FOR: owner}}, "spec": {"containers": [objects::container()]}})
}

impl Project {
    /// A workload of this project.
    pub(crate) fn workload(&self, version: &str, kind: &str, name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": version,
            "kind": kind,
            "metadata": {"namespace": self.name, "name": name},
            "spec": spec,
        })
    }

    fn cron_job(&self, owner: &str, schedule: &str) -> Value {
        let template = json!({"spec": {"template": run_once(owner)}});
        let spec = json!({"schedule": schedule, "jobTemplate": template});
        self.workload("batch/v1", "CronJob", owner, &spec)
    }

    /// Creates a workload of `kind` as each owner; the pods are made by a `controller` object.
    async fn assert_selecting(
        &self,
        cluster: &Cluster,
        version: &str,
        kind: &str,
        controller: &str,
    ) -> Result<()> {
        for owner in OWNERS {
            let mut spec = json!({
                "selector": {"matchLabels": {MADE_FOR: owner}},
                "template": keep_running(owner),
            });
            if kind == "StatefulSet" {
                spec["serviceName"] = json!(owner);
            }
            // Through kubectl, as people do it, so that defaults and warnings are those of real life.
            let workload = self.workload(version, kind, owner, &spec).to_string();
            let kubectl = cluster.kubectl(owner)?.within(&self.name);
            kubectl
                .run_with_input(&["apply", "-f", "-"], &workload)?
                .ok()?;
            self.assert_pod_of(owner, controller).await?;
        }
        Ok(())
    }

    /// The pod that a `controller` object of `owner` brought has the secrets of `owner`.
    pub(crate) async fn assert_pod_of(&self, owner: &str, controller: &str) -> Result<Pod> {
        let pod =
            objects::wait_for_pod(&self.admin, &self.name, &format!("{MADE_FOR}={owner}")).await?;
        assert!(
            pod.owner_references()
                .iter()
                .any(|reference| reference.kind == controller),
            "{} was not made by a {controller}",
            pod.name_any()
        );
        assert_injected(&pod, owner);
        Ok(pod)
    }
}
