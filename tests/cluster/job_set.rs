//! JobSets: a kind of workload that the webhook knows by configuration alone.

use std::time::Duration;

use kube::{Client, ResourceExt, api::DynamicObject};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    attacks, events,
    harness::{Cluster, Harness},
    project::{OWNERS, Project, assert_injected},
    support::{Result, jobset::JOBSET_CONTROLLER, objects, wait_for},
    workloads::run_once,
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("workloads::job_set", job_set)]
}

/// With the real JobSet controller or, without it, the trial in its place and under its name.
async fn job_set(cluster: &Cluster) -> Result<()> {
    let controller = cluster.job_set_controller().await?;
    let project = Project::new(cluster, "workloads-job-set").await?;
    if controller.is_none() {
        objects::allow_edit(&project.admin, &project.name, JOBSET_CONTROLLER).await?;
    }
    for owner in OWNERS {
        let spec = json!({"replicatedJobs": [
            {"name": "workers", "replicas": 1, "template": {"spec": {"template": run_once(owner)}}},
        ]});
        let job_set = project.workload("jobset.x-k8s.io/v1alpha2", "JobSet", owner, &spec);
        wait_until_taken(project.client(owner), &job_set, controller.is_some()).await?;
        let job_set = objects::create(project.client(owner), job_set).await?;
        if controller.is_none() {
            make_job(cluster, &project, &job_set).await?;
        }
        let pod = project.assert_pod_of(owner, "Job").await?;
        if controller.is_some() {
            let label = pod.labels().get("jobset.sigs.k8s.io/jobset-name");
            assert_eq!(
                label.map(String::as_str),
                Some(owner),
                "not made from a JobSet"
            );
        }
    }
    if controller.is_some() {
        example(cluster, &project).await?;
        events::job_set(cluster).await?;
        attacks::job_sets::attacks(cluster, &project).await?;
    }
    Ok(())
}

/// The example, in this namespace: each of its two templates has alice's stamp, and so each pod her secrets.
async fn example(cluster: &Cluster, project: &Project) -> Result<()> {
    let example = include_str!("../../deploy/examples/jobset.yaml");
    let example = example.replace("namespace: vision", &format!("namespace: {}", project.name));
    let alice = cluster.kubectl("alice")?.within(&project.name);
    alice
        .run_with_input(&["apply", "-f", "-"], &example)?
        .ok()?;
    for replicated_job in ["leader", "worker"] {
        let selector = format!(
            "jobset.sigs.k8s.io/jobset-name=pretrain,jobset.sigs.k8s.io/replicatedjob-name={replicated_job}"
        );
        let pod = objects::wait_for_pod(&project.admin, &project.name, &selector).await?;
        assert_injected(&pod, "alice");
    }
    Ok(())
}

/// The kind has just been defined: its endpoint and its defaults, which the controller gives, follow a moment later.
pub(crate) async fn wait_until_taken(
    client: &Client,
    job_set: &Value,
    controlled: bool,
) -> Result<()> {
    wait_for(
        "the API server to take JobSets",
        Duration::from_secs(20),
        async || match objects::dry_run(client, job_set.clone()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            // The controller's own webhook may answer a moment after the controller says that it is ready.
            Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => {
                Ok(None)
            }
            outcome => {
                let has_defaults = outcome?.data.pointer("/spec/successPolicy").is_some();
                Ok((has_defaults || !controlled).then_some(()))
            }
        },
    )
    .await
}

/// Makes the Job from the template, as the JobSet controller does.
pub(crate) async fn make_job(
    cluster: &Cluster,
    project: &Project,
    job_set: &DynamicObject,
) -> Result<()> {
    let template = job_set
        .data
        .pointer("/spec/replicatedJobs/0/template/spec")
        .ok_or("no template")?;
    let name = format!("{}-workers-0", job_set.name_any());
    let mut job = project.workload("batch/v1", "Job", &name, template);
    job["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "name": job_set.name_any(),
        "uid": job_set.uid(),
        "controller": true,
    }]);
    objects::create(&cluster.client(JOBSET_CONTROLLER).await?, job).await?;
    Ok(())
}
