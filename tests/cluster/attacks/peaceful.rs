//! What honest people and programs do with workloads works as before, and nothing is rolled out for a stamp alone.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
};
use kube::{Api, ResourceExt, api::ListParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    call::Call,
    people::{People, Person},
};
use crate::{
    harness::{Cluster, Harness},
    project::{Project, SHARED, assert_injected, secret_names, user_object, wait_until},
    support::{Result, kubectl::Kubectl, objects},
    workloads::run_once,
};

const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_controllers("attacks::peaceful_changes_of_a_deployment", deployment),
        harness.trial_with_controllers("attacks::peaceful_jobs", jobs),
        harness.trial_with_controllers("attacks::peaceful_deletions", deletions),
        harness.trial_with_controllers("attacks::peaceful_account_of_a_repository", account),
        harness.trial("attacks::peaceful_visits_to_ones_own_pod", visits),
    ]
}

pub(super) fn manifest(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            // Without a kubelet no pod gets ready, and a rolling update waits for that.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [objects::container()]},
            },
        },
    })
}

/// What kubectl does to the Deployment `web`, and how many new templates come of it.
const CHANGES: [(&str, usize); 21] = [
    ("apply -f -", 1),
    ("apply -f -", 0),
    ("apply --server-side --force-conflicts -f -", 0),
    ("apply --server-side -f -", 0),
    (
        "apply --server-side --field-manager=helm --force-conflicts -f -",
        0,
    ),
    ("replace -f -", 0),
    ("scale deployment/web --replicas=2", 0),
    ("scale deployment/web --replicas=1", 0),
    ("label deployment/web team=vision", 0),
    ("annotate deployment/web example.com/note=seen", 0),
    ("set image deployment/web main=registry.invalid/main:2", 1),
    ("set env deployment/web STAGE=test", 1),
    ("rollout restart deployment/web", 1),
    // Back to a template that is known.
    ("rollout undo deployment/web", 0),
    ("rollout undo deployment/web --to-revision=1", 0),
    ("rollout pause deployment/web", 0),
    ("set image deployment/web main=registry.invalid/main:3", 0),
    ("rollout resume deployment/web", 1),
    ("autoscale deployment/web --min=1 --max=2", 0),
    ("replace -f -", 0),
    ("apply -f -", 0),
];

async fn deployment(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "peaceful-deployment").await?;
    let kubectl = cluster.kubectl("alice")?.within(&project.name);
    let input = manifest(&project.name, "web").to_string();
    let mut templates = 0;
    for (number, (change, new)) in CHANGES.into_iter().enumerate() {
        let arguments: Vec<_> = change.split(' ').collect();
        kubectl.run_with_input(&arguments, &input)?.ok()?;
        templates += new;
        let what = format!("change {number}, {change}, to be rolled out to {templates} templates");
        wait_until(&what, async || {
            project.is_rolled_out("web", "alice", templates).await
        })
        .await?;
    }
    // Nothing goes on by itself, and an autoscaler decides nothing about its pods.
    let scale = json!({
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {"name": "web", "namespace": project.name},
        "spec": {"replicas": 2},
    });
    let scale = Call::replace("Deployment", scale).below("scale");
    let scale = scale.filled(&[("$NAME", "web".to_owned())]);
    let people = People::of(cluster, &project.name);
    people.ask_as(Some(AUTOSCALER), &scale).await??;
    wait_until("what the autoscaler wants", async || {
        project.is_rolled_out("web", "alice", templates).await
    })
    .await
}

impl Project {
    /// Whether the controllers are done, and then every pod is the owner's, and there are this many replica sets,
    /// if that is asked for.
    pub(super) async fn is_rolled_out(
        &self,
        name: &str,
        owner: &str,
        templates: impl Into<Option<usize>>,
    ) -> Result<bool> {
        let deployments: Api<Deployment> = Api::namespaced(self.admin.clone(), &self.name);
        let deployment = deployments.get(name).await?;
        let (spec, status) = (deployment.spec, deployment.status.unwrap_or_default());
        let (replicas, paused) = spec
            .map(|spec| (spec.replicas, spec.paused == Some(true)))
            .unwrap_or_default();
        let pods = objects::pods(&self.admin, &self.name, &format!("app={name}")).await?;
        let wanted = usize::try_from(replicas.unwrap_or_default())?;
        if status.observed_generation != deployment.metadata.generation
            || status.replicas != replicas
            || !paused && status.updated_replicas != replicas
            || pods.len() != wanted
        {
            return Ok(false);
        }
        for pod in &pods {
            assert_injected(pod, owner);
        }
        let sets: Api<ReplicaSet> = Api::namespaced(self.admin.clone(), &self.name);
        let chosen = ListParams::default().labels(&format!("app={name}"));
        let sets = sets.list(&chosen).await?.items.len();
        if let Some(templates) = templates.into() {
            assert_eq!(sets, templates, "{name} has other templates");
        }
        Ok(true)
    }
}

async fn jobs(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "peaceful-jobs").await?;
    let kubectl = cluster.kubectl("alice")?.within(&project.name);
    let template = |name: &str| {
        let mut template = run_once("alice");
        template["metadata"]["labels"]["app"] = name.into();
        template
    };
    let mut generated = project.workload(
        "batch/v1",
        "Job",
        "",
        &json!({"template": template("generated")}),
    );
    generated["metadata"] = json!({"generateName": "generated-", "namespace": project.name});
    let spec = json!({"schedule": "0 0 29 2 *", "jobTemplate": {"spec": {"template": template("by-hand")}}});
    let cron_job = project.workload("batch/v1", "CronJob", "nightly", &spec);
    let long = "n".repeat(63);
    let long = project.workload(
        "batch/v1",
        "Job",
        &long,
        &json!({"template": template("long")}),
    );
    let suspended = json!({"suspend": true, "template": template("resumed")});
    let suspended = project.workload("batch/v1", "Job", "resumed", &suspended);
    for (command, input) in [
        ("create -f -", generated),
        ("apply -f -", cron_job.clone()),
        ("apply -f -", cron_job),
        ("create job now --from=cronjob/nightly", Value::Null),
        ("apply -f -", long.clone()),
        ("apply --server-side --force-conflicts -f -", long),
        ("apply -f -", suspended),
        // As a queue of jobs does.
        (
            r#"patch job/resumed --type=merge -p {"spec":{"suspend":false}}"#,
            Value::Null,
        ),
    ] {
        let arguments: Vec<_> = command.split(' ').collect();
        kubectl
            .run_with_input(&arguments, &input.to_string())?
            .ok()?;
    }
    for app in ["generated", "by-hand", "long", "resumed"] {
        let pod =
            objects::wait_for_pod(&project.admin, &project.name, &format!("app={app}")).await?;
        assert_injected(&pod, "alice");
    }
    Ok(())
}

async fn deletions(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "peaceful-deletions").await?;
    let kubectl = cluster.kubectl("alice")?.within(&project.name);
    let ways = ["background", "foreground", "orphan"];
    for way in ways {
        let input = manifest(&project.name, way).to_string();
        kubectl
            .run_with_input(&["apply", "-f", "-"], &input)?
            .ok()?;
    }
    for way in ways {
        objects::wait_for_pod(&project.admin, &project.name, &format!("app={way}")).await?;
    }
    for way in ways {
        let cascade = format!("--cascade={way}");
        kubectl
            .run(&["delete", "deployment", way, &cascade, "--timeout=30s"])?
            .ok()?;
    }
    for way in ["background", "foreground"] {
        wait_until("its pods to go", async || {
            let pods = objects::pods(&project.admin, &project.name, &format!("app={way}")).await?;
            Ok(pods.is_empty())
        })
        .await?;
    }
    // Its pods go on, are replaced, and are found again by another of the same name.
    assert_injected(&project.new_pod("orphan").await?, "alice");
    let input = manifest(&project.name, "orphan").to_string();
    kubectl
        .run_with_input(&["apply", "-f", "-"], &input)?
        .ok()?;
    wait_until("the orphans to be found", async || {
        project.is_rolled_out("orphan", "alice", 1).await
    })
    .await
}

/// It applies for itself, and its pods have what is its own.
async fn account(cluster: &Cluster) -> Result<()> {
    let people = People::new(cluster, "peaceful-account").await?;
    let user = people.username(Person::Account);
    let kubectl = cluster.kubectl(&user)?.within(&people.namespace);
    let input = manifest(&people.namespace, "web").to_string();
    let mut generation = None;
    for arguments in [
        &["apply", "--server-side", "-f", "-"][..],
        &["apply", "--server-side", "-f", "-"],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &["diff", "--server-side", "-f", "-"],
    ] {
        let outcome = kubectl.run_with_input(arguments, &input)?;
        assert!(outcome.success, "{arguments:?}: {outcome:?}");
        let now = generation_of(&kubectl)?;
        let before = generation.replace(now.clone());
        assert!(
            before.is_none_or(|before| before == now),
            "after {arguments:?}"
        );
    }
    let pod = objects::wait_for_pod(&people.admin, &people.namespace, "app=web").await?;
    assert_eq!(
        secret_names(&pod),
        [SHARED.to_owned(), user_object(&user, "token")]
    );
    assert_eq!(pod.annotations()["keyporter.dev/owner"], user);
    Ok(())
}

fn generation_of(kubectl: &Kubectl) -> Result<String> {
    let path = "-o=jsonpath={.metadata.generation}";
    kubectl.run(&["get", "deployment/web", path])?.ok()
}

async fn visits(cluster: &Cluster) -> Result<()> {
    let people = People::new(cluster, "peaceful-visits").await?;
    let pod = objects::pod(&people.namespace, "mine");
    let made = people
        .ask(Person::Alice, &Call::create("Pod", pod))
        .await??;
    let made: Pod = serde_json::from_value(made)?;
    assert_injected(&made, "alice");
    let kubectl = cluster.kubectl("alice")?.within(&people.namespace);
    for command in [
        "annotate pod/mine example.com/note=seen",
        "label pod/mine team=vision",
        "debug mine --image=registry.invalid/debug:1 --profile=general",
        "set image pod/mine main=registry.invalid/main:2",
        "debug mine --copy-to=copy --image=registry.invalid/debug:1 --profile=general --keep-annotations",
        "get pod copy",
        "delete pod copy --wait=false",
    ] {
        let arguments: Vec<_> = command.split(' ').collect();
        kubectl.run(&arguments)?.ok()?;
    }
    for command in ["exec mine -- true", "attach mine", "logs mine"] {
        let arguments: Vec<_> = command.split(' ').collect();
        let outcome = kubectl.run(&arguments)?;
        // It fails a step later, for want of a node.
        assert!(
            !outcome.stderr.contains("denied the request") && !outcome.stderr.contains("orbidden"),
            "{command}: {outcome:?}"
        );
    }
    Ok(())
}
