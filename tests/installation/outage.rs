//! A cluster whose keyporter is gone while its webhooks are there: what goes on, what does not, and what people are told.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    diagnosis,
    harness::{Cluster, Harness},
    images,
    installation::{NAME, NAMESPACE},
    pods::{self, REPORT},
    project::{Project, Secret, restricted},
    support::{Result, objects, wait_for},
};

const WITHIN: Duration = Duration::from_mins(1);
const OF_JOB: &str = "batch.kubernetes.io/job-name=waits";
/// What the API server says first, whatever the reason is.
const SENTENCE: &str = "failed calling webhook \"inject.keyporter.dev\"";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial(
        "outage::a_deleted_deployment_stops_opted_in_namespaces_alone",
        deleted_deployment,
    )]
}

async fn deleted_deployment(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    let project = Project::new(cluster, "outage").await?;
    let secret = Secret::of_alice("env", "token").with("TOKEN", "of alice");
    project.make(&[secret]).await?;
    let job = Waiting::create(&project).await?;

    let delete = ["delete", "deployment", NAME, "--cascade=foreground"];
    installation.kubectl().run(&delete)?.ok()?;
    wait_for("keyporter to be gone", WITHIN, async || {
        Ok(installation.pods().await?.is_empty().then_some(()))
    })
    .await?;

    others_go_on(cluster).await?;
    people_are_told(&project)?;
    administrators_are_told(cluster)?;
    job.loses_its_pod().await?;

    // The same command that an update takes brings it back, and with it what waited.
    installation.upgrade(&[]).await?;
    let ended = project
        .run("again", pods::spec(&[pods::reporting()]))
        .await?;
    let report = ended.report("main").await?;
    assert_eq!(report.variable("TOKEN"), Some("of alice"));
    job.runs().await
}

/// What the cluster itself needs, what keyporter needs, and namespaces that never opted in.
async fn others_go_on(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    objects::create_namespace(&admin, "outage-others", json!({}), true).await?;
    for namespace in ["kube-system", NAMESPACE, "outage-others"] {
        let mut container = pods::container("main", images::BARE, "true");
        container["securityContext"] = restricted();
        container["securityContext"]["runAsUser"] = json!(images::USER);
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": namespace, "name": "goes-on"},
            "spec": pods::spec(&[container]),
        });
        pod["spec"]["securityContext"] = json!({"runAsNonRoot": true});
        objects::create(&admin, pod).await?;
        let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
        wait_for(
            &format!("a pod in {namespace} to end"),
            WITHIN,
            async || {
                let phase = pods.get("goes-on").await?.status.and_then(|it| it.phase);
                Ok((phase.as_deref() == Some("Succeeded")).then_some(()))
            },
        )
        .await?;
    }
    Ok(())
}

/// By whatever way they come: pods and workloads, which would otherwise start as nobody's.
fn people_are_told(project: &Project) -> Result<()> {
    let pod = objects::pod(&project.name, "refused");
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "refused"},
        "spec": {"template": {"spec": pods::spec(&[pods::reporting()])}},
    });
    for object in [pod, job] {
        let arguments = ["create", "-f", "-"];
        let outcome = project
            .kubectl
            .run_with_input(&arguments, &object.to_string())?;
        eprintln!("{} says: {}", object["kind"], outcome.stderr.trim());
        assert!(
            !outcome.success && outcome.stderr.contains(SENTENCE),
            "{outcome:?}"
        );
        // Which Service has nobody behind it.
        assert!(outcome.stderr.contains(NAME), "{outcome:?}");
    }
    Ok(())
}

/// What is missing, and how to have it again.
fn administrators_are_told(cluster: &Cluster) -> Result<()> {
    let report = diagnosis::check(cluster)?;
    assert!(!report.success, "{report:?}");
    let deployment = format!("Deployment {NAMESPACE}/{NAME}: ");
    let line = report
        .stdout
        .lines()
        .find(|line| line.starts_with("error") && line.contains(&deployment));
    assert!(line.is_some(), "{}", report.stdout);
    Ok(())
}

/// Alice's Job from before, whose pod is lost meanwhile.
struct Waiting<'a> {
    project: &'a Project,
}

impl<'a> Waiting<'a> {
    /// Returns when its pod runs.
    async fn create(project: &'a Project) -> Result<Self> {
        let script = format!("{REPORT}; sleep 2147483647");
        let container = pods::container("main", images::BARE, &script);
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "waits"},
            "spec": {"template": {"spec": pods::spec(&[container])}},
        });
        let arguments = ["create", "-f", "-"];
        let created = project
            .kubectl
            .run_with_input(&arguments, &job.to_string())?;
        created.ok()?;
        let job = Self { project };
        job.runs().await?;
        Ok(job)
    }

    /// Loses its pod; returns when the Job's event says why there is no other.
    async fn loses_its_pod(&self) -> Result<()> {
        let delete = ["delete", "pods", "-l", OF_JOB, "--now"];
        self.project.kubectl.run(&delete)?.ok()?;
        let events: Api<Event> = Api::namespaced(self.project.admin.clone(), &self.project.name);
        let of_job = ListParams::default()
            .fields("involvedObject.kind=Job,involvedObject.name=waits,reason=FailedCreate");
        let event = wait_for("the Job's event", WITHIN, async || {
            Ok(events.list(&of_job).await?.items.into_iter().next())
        })
        .await?;
        let message = event.message.unwrap_or_default();
        eprintln!("the Job's event says: {message}");
        assert!(message.contains(SENTENCE), "{message}");
        Ok(())
    }

    /// Its controller tries again by itself, and then its pod has what is alice's.
    async fn runs(&self) -> Result<()> {
        let what = "a pod of the Job";
        let pod = wait_for(what, Duration::from_mins(3), async || {
            let pods = objects::pods(&self.project.admin, &self.project.name, OF_JOB).await?;
            let lives = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
            Ok(pods.into_iter().find(lives))
        })
        .await?;
        let report = self.project.reported(&pod.name_any()).await?;
        assert_eq!(report.variable("TOKEN"), Some("of alice"));
        Ok(())
    }
}
