//! Workloads run to their end with the secrets of whoever made them.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};
use kube::{Api, ResourceExt, api::DynamicObject};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    pods::{self, Report},
    project::{Project, Secret},
    support::{Result, jobset::JobSetController, objects, wait_for},
};

/// The label that tells whose pods are whose.
const APP: &str = "app";
const WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("workloads::job", job),
        harness.trial("workloads::cron_job", cron_job),
        harness.trial("workloads::deployment", deployment),
        harness.trial("workloads::job_set", job_set),
    ]
}

async fn project(cluster: &Cluster, name: &str) -> Result<Project> {
    let project = Project::new(cluster, name).await?;
    let secrets = [
        Secret::of_alice("env", "token").with("TOKEN", "of alice"),
        Secret::of_alice("default", "files").with("file", "of alice"),
        Secret::of_project("env", "shared").with("REGION", "somewhere"),
    ];
    project.make(&secrets).await?;
    Ok(project)
}

fn assert_all(report: &Report) {
    assert_eq!(report.variable("TOKEN"), Some("of alice"));
    assert_eq!(report.variable("REGION"), Some("somewhere"));
    let files: Vec<(&str, &[u8])> = report
        .files
        .iter()
        .map(|(path, file)| (path.as_str(), &*file.content))
        .collect();
    assert_eq!(
        files,
        [("/konduktor/default-secrets/files/file", &b"of alice"[..])]
    );
}

/// A pod template that runs once and tells what it got.
fn template(name: &str) -> Value {
    json!({
        "metadata": {"labels": {APP: name}},
        "spec": pods::spec(&[pods::reporting()]),
    })
}

impl Project {
    /// Alice applies a workload with kubectl, as people do.
    fn apply(&self, version: &str, kind: &str, name: &str, spec: &Value) -> Result<()> {
        let workload = json!({
            "apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        self.kubectl
            .run_with_input(&["apply", "-f", "-"], &workload.to_string())?
            .ok()?;
        Ok(())
    }

    /// The pod that a controller makes for a workload ends well, and has all that is alice's.
    async fn assert_ends(&self, name: &str) -> Result<()> {
        let pod = objects::wait_for_pod(&self.admin, &self.name, &format!("{APP}={name}")).await?;
        assert!(
            !pod.owner_references().is_empty(),
            "{name} was made by nobody"
        );
        let ended = self.ended(&pod.name_any()).await?;
        assert_all(&ended.report("main").await?);
        Ok(())
    }

    async fn assert_completes(&self, job: &str) -> Result<()> {
        let jobs: Api<Job> = Api::namespaced(self.admin.clone(), &self.name);
        wait_for(&format!("the Job {job} to complete"), WITHIN, async || {
            let status = jobs.get(job).await?.status.unwrap_or_default();
            Ok((status.succeeded == Some(1)).then_some(()))
        })
        .await
    }
}

async fn job(cluster: &Cluster) -> Result<()> {
    let project = project(cluster, "workloads-job").await?;
    project.apply(
        "batch/v1",
        "Job",
        "train",
        &json!({"template": template("train")}),
    )?;
    project.assert_ends("train").await?;
    project.assert_completes("train").await
}

/// Started by hand: the controller's own time comes once a minute.
async fn cron_job(cluster: &Cluster) -> Result<()> {
    let project = project(cluster, "workloads-cron-job").await?;
    let job = json!({"spec": {"template": template("nightly")}});
    let spec = json!({"schedule": "0 0 29 2 *", "jobTemplate": job});
    project.apply("batch/v1", "CronJob", "nightly", &spec)?;
    project
        .kubectl
        .run(&["create", "job", "now", "--from=cronjob/nightly"])?
        .ok()?;
    project.assert_ends("nightly").await?;
    project.assert_completes("now").await
}

async fn deployment(cluster: &Cluster) -> Result<()> {
    let project = project(cluster, "workloads-deployment").await?;
    let mut template = template("service");
    template["spec"]["restartPolicy"] = json!("Always");
    let script = format!("{}; sleep 2147483647", pods::REPORT);
    template["spec"]["containers"][0]["command"][2] = json!(script);
    let spec = json!({"selector": {"matchLabels": {APP: "service"}}, "template": template});
    project.apply("apps/v1", "Deployment", "service", &spec)?;
    let pod = objects::wait_for_pod(&project.admin, &project.name, "app=service").await?;
    assert_all(&project.reported(&pod.name_any()).await?);
    let deployments: Api<Deployment> = Api::namespaced(project.admin.clone(), &project.name);
    wait_for("the Deployment to be available", WITHIN, async || {
        let status = deployments.get("service").await?.status.unwrap_or_default();
        Ok((status.available_replicas == Some(1)).then_some(()))
    })
    .await
}

async fn job_set(cluster: &Cluster) -> Result<()> {
    let controller = JobSetController::start(cluster).await?;
    let _controller = controller
        .ok_or("the JobSet controller is not built: tests/control-plane/build.sh builds it")?;
    let project = project(cluster, "workloads-job-set").await?;
    let job = json!({
        "name": "workers", "replicas": 1, "template": {"spec": {"template": template("pretrain")}},
    });
    let spec = json!({"replicatedJobs": [job]});
    // The kind and its controller's own webhook have only just come.
    wait_for("the API server to take JobSets", WITHIN, async || {
        Ok(project
            .apply("jobset.x-k8s.io/v1alpha2", "JobSet", "pretrain", &spec)
            .ok())
    })
    .await?;
    project.assert_ends("pretrain").await?;
    let kind = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(
        "jobset.x-k8s.io",
        "v1alpha2",
        "JobSet",
    ));
    let job_sets: Api<DynamicObject> =
        Api::namespaced_with(project.admin.clone(), &project.name, &kind);
    wait_for("the JobSet to complete", WITHIN, async || {
        let job_set = job_sets.get("pretrain").await?;
        let state = job_set
            .data
            .pointer("/status/terminalState")
            .and_then(Value::as_str);
        Ok((state == Some("Completed")).then_some(()))
    })
    .await
}
