//! A controller's pod is denied: whoever made the workload reads it there, once.

use std::time::Duration;

use k8s_openapi::{
    api::{
        apps::v1::ReplicaSet,
        batch::v1::CronJob,
        core::v1::{Event, Namespace},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, user_object, user_secret, wait_until},
    support::{Result, objects, wait_for},
};

const REASON: &str = "KeyporterDenied";
/// What bob calls the secret that alice's workload refers to.
const LATER: &str = "later";
/// On what the last event of a trial is.
const MARKER: &str = "ConfigMap marker";
/// So many times its controller was refused a pod when the events are counted.
const ATTEMPTS: usize = 4;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("events::are_on_the_deployment", deployment),
        harness.trial_with_controllers("events::are_on_the_cron_job", cron_job),
        harness.trial("events::tell_nothing_of_a_persons_pod_and_a_dry_run", none),
        harness.trial("events::are_on_the_highest_owner_that_is_known", owners),
    ]
}

async fn deployment(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "events-deployment").await?;
    let labels = json!({"app": "train"});
    let spec = json!({
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": refers(LATER)},
    });
    let deployment = project.workload("apps/v1", "Deployment", "train", &spec);
    objects::create(project.client("alice"), deployment).await?;
    project.becomes_bobs().await?;
    let alice = cluster.kubectl("alice")?.within(&project.name);
    alice
        .run(&["scale", "deployment", "train", "--replicas=3"])?
        .ok()?;
    project
        .assert_told_once(cluster, "Deployment", "train")
        .await
}

async fn cron_job(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "events-cron-job").await?;
    let spec = json!({
        "schedule": "* * * * *",
        "suspend": true,
        "jobTemplate": {"spec": {"template": run_once()}},
    });
    let cron_job = project.workload("batch/v1", "CronJob", "train", &spec);
    objects::create(project.client("alice"), cron_job).await?;
    project.becomes_bobs().await?;
    // As if it had run a while ago: the controller makes up for what it missed, at once.
    let last = Timestamp::now() - SignedDuration::from_secs(90);
    let status = json!({"status": {"lastScheduleTime": last.to_string()}});
    let jobs: Api<CronJob> = Api::namespaced(project.admin.clone(), &project.name);
    jobs.patch_status("train", &PatchParams::default(), &Patch::Merge(status))
        .await?;
    project.resume(cluster, "cronjob")?;
    project.assert_told_once(cluster, "CronJob", "train").await
}

/// For where JobSets are defined and their controller runs.
pub(crate) async fn job_set(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "events-job-set").await?;
    let spec = json!({"suspend": true, "replicatedJobs": [
        {"name": "workers", "replicas": 2, "template": {"spec": {"template": run_once()}}},
    ]});
    let job_set = project.workload("jobset.x-k8s.io/v1alpha2", "JobSet", "train", &spec);
    objects::create(project.client("alice"), job_set).await?;
    project.becomes_bobs().await?;
    project.resume(cluster, "jobset")?;
    project.assert_told_once(cluster, "JobSet", "train").await
}

async fn none(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "events-none").await?;
    let persons = project.denied_pod(&json!([]));
    assert_denied(objects::create(project.client("bob"), persons).await);
    let dry_run = project.denied_pod(&controlled_by("v1", "ConfigMap", "dry-run", "1"));
    assert_denied(objects::dry_run(project.client("bob"), dry_run).await);
    project.wait_until_all_is_told().await?;
    assert_eq!(project.told().await?, [MARKER]);
    Ok(())
}

/// What a pod says of its owners is not checked before admission, so a person's pods can say it here.
async fn owners(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "events-owners").await?;
    let (namespace, admin) = (project.name.as_str(), &project.admin);
    // keyporter may read neither: they are known by the references to them.
    let settings = |name| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}});
    let unreadable = reference(&objects::create(admin, settings("unreadable")).await?);
    let above = reference(&objects::create(admin, settings("above")).await?);
    let below = project.replica_set("below", &above).await?;
    let mut other = below.clone();
    other[0]["uid"] = json!("of-another");
    // The garbage collector wants to delete it.
    let gone = controlled_by("apps/v1", "Deployment", "gone", "2");
    let orphan = project.replica_set("orphan", &gone).await?;
    let first = project.replica_set("first", &json!([])).await?;
    let second = project.replica_set("second", &first).await?;
    project.set_owners("first", &second).await?;
    let mut chain = json!([]);
    for link in ["7", "6", "5", "4", "3", "2", "1", "0"] {
        chain = project.replica_set(&format!("link-{link}"), &chain).await?;
    }

    let cases = [
        (unreadable, "ConfigMap unreadable"),
        (
            controlled_by("apps/v1", "ReplicaSet", "absent", "3"),
            "ReplicaSet absent",
        ),
        (
            controlled_by("example.com/v1", "Absent", "kind", "4"),
            "Absent kind",
        ),
        (below, "ConfigMap above"),
        (other, "ReplicaSet below"),
        (orphan, "ReplicaSet orphan"),
        (first, "ReplicaSet second"),
        (chain, "ReplicaSet link-5"),
    ];
    let mut expected = Vec::new();
    for (owners, involved) in cases {
        let pod = project.denied_pod(&owners);
        assert_denied(objects::create(project.client("bob"), pod).await);
        expected.push(involved.to_owned());
        expected.sort();
        let told = async || Ok(project.told().await?.len() >= expected.len());
        wait_until(involved, told).await?;
        assert_eq!(project.told().await?, expected, "after {involved}");
    }

    // An object of the whole cluster has its events in the namespace default.
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let uid = namespaces.get(namespace).await?.uid().unwrap_or_default();
    let pod = project.denied_pod(&controlled_by("v1", "Namespace", namespace, &uid));
    assert_denied(objects::create(project.client("bob"), pod).await);
    let whole = format!("Namespace {namespace}");
    wait_until(&whole, async || {
        Ok(told_in(admin, "default").await?.contains(&whole))
    })
    .await
}

/// The containers of a pod that refers to a secret of `owner`.
fn refers(object: &str) -> Value {
    let mut container = objects::container();
    container["envFrom"] = json!([{"secretRef": {"name": object}}]);
    json!({"containers": [container]})
}

/// A pod template that alice may use, until bob has a secret called `later`.
fn run_once() -> Value {
    let mut spec = refers(LATER);
    spec["restartPolicy"] = json!("Never");
    json!({"spec": spec})
}

/// The owner references of an object with this controller.
fn controlled_by(version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true}])
}

/// Those that name this object.
fn reference(object: &DynamicObject) -> Value {
    let types = object.types.clone().unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    controlled_by(&types.api_version, &types.kind, &object.name_any(), &uid)
}

fn assert_denied(outcome: kube::Result<DynamicObject>) {
    match outcome {
        Err(kube::Error::Api(status)) => {
            let message = status.message;
            assert!(message.contains("[rule: foreign-secrets]"), "{message}");
        }
        outcome => panic!("not denied: {outcome:?}"),
    }
}

/// On what something was told, sorted.
async fn told_in(admin: &Client, namespace: &str) -> Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(admin.clone(), namespace);
    let selector = ListParams::default().fields(&format!("reason={REASON}"));
    let on = |event: Event| {
        let object = event.involved_object;
        format!(
            "{} {}",
            object.kind.unwrap_or_default(),
            object.name.unwrap_or_default()
        )
    };
    let mut told: Vec<_> = events.list(&selector).await?.into_iter().map(on).collect();
    told.sort();
    Ok(told)
}

impl Project {
    async fn told(&self) -> Result<Vec<String>> {
        told_in(&self.admin, &self.name).await
    }

    /// A pod that bob may not create.
    fn denied_pod(&self, owners: &Value) -> Value {
        let mut pod = self.pod("denied");
        pod["spec"] = refers(&user_object("alice", "token"));
        pod["metadata"]["ownerReferences"] = owners.clone();
        pod
    }

    /// Makes a secret bob's to which alice's workload refers already, and returns when the webhook knows it.
    async fn becomes_bobs(&self) -> Result<()> {
        let mut secret = user_secret(&self.name, "bob", LATER);
        // Not as his secrets are called: those nobody else may name, be they there or not.
        secret["metadata"]["name"] = json!(LATER);
        objects::create(self.client("bob"), secret).await?;
        let mut pod = self.pod("probe");
        pod["spec"] = refers(LATER);
        wait_until("the webhook to know bob's secret", async || {
            let outcome = objects::dry_run(self.client("alice"), pod.clone()).await;
            Ok(outcome.is_err())
        })
        .await
    }

    fn resume(&self, cluster: &Cluster, kind: &str) -> Result<()> {
        let alice = cluster.kubectl("alice")?.within(&self.name);
        let resume = r#"{"spec": {"suspend": false}}"#;
        alice
            .run(&["patch", kind, "train", "--type=merge", "-p", resume])?
            .ok()?;
        Ok(())
    }

    /// A ReplicaSet without pods that stays, whoever its owner is. Gives the references that name it.
    async fn replica_set(&self, name: &str, owners: &Value) -> Result<Value> {
        let labels = json!({"app": name});
        let template =
            json!({"metadata": {"labels": labels}, "spec": {"containers": [objects::container()]}});
        let spec =
            json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
        let mut set = self.workload("apps/v1", "ReplicaSet", name, &spec);
        set["metadata"]["ownerReferences"] = owners.clone();
        set["metadata"]["finalizers"] = json!(["tests.keyporter.dev/stays"]);
        Ok(reference(&objects::create(&self.admin, set).await?))
    }

    async fn set_owners(&self, name: &str, owners: &Value) -> Result<()> {
        let sets: Api<ReplicaSet> = Api::namespaced(self.admin.clone(), &self.name);
        let patch = json!({"metadata": {"ownerReferences": owners}});
        sets.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Returns when everything that was reported before has become an event, or none.
    async fn wait_until_all_is_told(&self) -> Result<()> {
        let marker = self.denied_pod(&controlled_by("v1", "ConfigMap", "marker", "marker"));
        assert_denied(objects::create(self.client("bob"), marker).await);
        wait_until("all to be told", async || {
            Ok(self.told().await?.contains(&MARKER.to_owned()))
        })
        .await
    }

    /// Its controller tried several times, and the workload has one event, as its author sees it.
    async fn assert_told_once(&self, cluster: &Cluster, kind: &str, name: &str) -> Result<()> {
        let keyporter = cluster.keyporter().await?;
        // It waits longer from time to time.
        wait_for(
            "the controller to try several times",
            Duration::from_mins(1),
            async || {
                let denials = controllers_denials(&keyporter.log(), &self.name);
                Ok((denials >= ATTEMPTS).then_some(()))
            },
        )
        .await?;
        self.wait_until_all_is_told().await?;
        assert_eq!(
            self.told().await?,
            [MARKER.to_owned(), format!("{kind} {name}")]
        );

        let sentence = format!(
            "a pod is denied: refers to secrets of another user: {LATER:?} (envFrom of container \"main\")"
        );
        let object = format!("{kind}/{name}");
        let alice = cluster.kubectl("alice")?.within(&self.name);
        for arguments in [&["describe", &object][..], &["events", "--for", &object]] {
            let shown = alice.run(arguments)?.ok()?;
            let lines: Vec<_> = shown.lines().filter(|line| line.contains(REASON)).collect();
            let [line] = lines[..] else {
                panic!("{arguments:?}: {shown}");
            };
            assert!(line.contains("Warning"), "{line}");
            assert!(line.contains(&sentence), "{line}");
            assert!(line.ends_with("[rule: foreign-secrets]"), "{line}");
        }
        Ok(())
    }
}

/// How often a controller was refused a pod in `namespace`.
fn controllers_denials(log: &str, namespace: &str) -> usize {
    let denied = |line: &Value| {
        let requester = line["requester"].as_str().unwrap_or_default();
        line["namespace"] == namespace
            && line["decision"] == "deny"
            && line["kind"] == "Pod"
            && requester.starts_with("system:serviceaccount:kube-system:")
    };
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(denied)
        .count()
}
