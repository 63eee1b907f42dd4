//! An operator with a kind of its own, which makes pods and Jobs without a word about their owner: they belong to whoever
//! made the object.

use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt, api::DynamicObject};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, SHARED, assert_injected, secret_names, wait_until},
    support::{
        Result,
        control_plane::ADMIN,
        keyporter::{OPERATOR, USER},
        objects,
    },
    workloads::run_once,
};

/// Its objects have no pod template.
const KIND: &str = "Training";
const VERSION: &str = "tests.keyporter.dev/v1";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("operator::what_it_makes_is_its_objects_owners", follows)]
}

async fn define(cluster: &Cluster) -> Result<()> {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": any},
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "trainings.tests.keyporter.dev"},
        "spec": {
            "group": "tests.keyporter.dev",
            "names": {"kind": KIND, "plural": "trainings"},
            "scope": "Namespaced",
            "versions": [version],
        },
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "trainings"},
        "rules": [{"apiGroups": ["tests.keyporter.dev"], "resources": ["trainings"], "verbs": ["*"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "trainings"},
        "roleRef": {"kind": "ClusterRole", "name": "trainings", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": (["alice", "bob", USER].map(objects::subject)),
    });
    for object in [definition, role, binding] {
        objects::create(&cluster.admin(), object).await?;
    }
    Ok(())
}

fn training(project: &Project, name: &str) -> Value {
    let spec = json!({"entrypoint": "train.py", "replicas": 1});
    project.workload(VERSION, KIND, name, &spec)
}

/// `object` as the operator makes it from this one.
fn made_from(training: &DynamicObject, mut object: Value) -> Value {
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": VERSION,
        "kind": KIND,
        "name": training.name_any(),
        "uid": training.uid(),
        "controller": true,
    }]);
    object
}

async fn pod_of(client: &Client, object: Value) -> Result<Pod> {
    objects::as_pod(objects::dry_run(client, object).await?)
}

async fn follows(cluster: &Cluster) -> Result<()> {
    define(cluster).await?;
    let project = Project::new(cluster, "operator").await?;
    objects::allow_edit(&project.admin, &project.name, OPERATOR).await?;
    let operator = cluster.client(OPERATOR).await?;
    let (alice, bob) = (project.client("alice"), project.client("bob"));
    wait_until("the kind to be served", async || {
        Ok(objects::dry_run(alice, training(&project, "probe"))
            .await
            .is_ok_and(|probe| !probe.annotations().is_empty()))
    })
    .await?;
    let hers = objects::create(alice, training(&project, "hers")).await?;
    assert_eq!(hers.annotations()["keyporter.dev/owner"], "alice");

    let pod = || project.pod("made");
    assert_injected(&pod_of(&operator, made_from(&hers, pod())).await?, "alice");
    let job = project.workload(
        "batch/v1",
        "Job",
        "made",
        &json!({"template": run_once("made")}),
    );
    objects::create(&operator, made_from(&hers, job.clone())).await?;
    project.assert_pod_of_job("made", "alice").await?;

    // A reference that somebody else wrote gives nothing.
    assert_injected(&pod_of(bob, made_from(&hers, pod())).await?, "bob");
    let mut by_hand = made_from(&hers, job);
    by_hand["metadata"]["name"] = json!("by-hand");
    by_hand["spec"]["template"] = run_once("by-hand");
    objects::create(bob, by_hand).await?;
    project.assert_pod_of_job("by-hand", "bob").await?;
    // Nor does one to another object of the name, or to a kind that the operator is not trusted with.
    for (field, value) in [
        ("uid", "another"),
        ("kind", "Job"),
        ("apiVersion", "v1"),
        ("name", "../hers"),
    ] {
        let mut pod = made_from(&hers, pod());
        pod["metadata"]["ownerReferences"][0][field] = json!(value);
        let pod = pod_of(&operator, pod).await?;
        assert_eq!(secret_names(&pod), [SHARED], "{field}");
    }

    // Scaling leaves it hers; another entrypoint is another's decision.
    let kubectl = cluster.kubectl("bob")?.within(&project.name);
    let patch = |spec: Value| -> Result<()> {
        let patch = json!({"spec": spec}).to_string();
        kubectl
            .run(&["patch", "training", "hers", "--type=merge", "-p", &patch])?
            .ok()?;
        Ok(())
    };
    patch(json!({"replicas": 5}))?;
    let owner = || -> Result<String> {
        let annotation = "jsonpath={.metadata.annotations.keyporter\\.dev/owner}";
        let admin = cluster.kubectl(ADMIN)?.within(&project.name);
        admin
            .run(&["get", "training", "hers", "-o", annotation])?
            .ok()
    };
    assert_eq!(owner()?, "alice");
    patch(json!({"entrypoint": "steal.py"}))?;
    assert_eq!(owner()?, "bob");
    // What was known of it counts for a moment.
    wait_until("its pods to be bob's", async || {
        let pod = pod_of(&operator, made_from(&hers, pod())).await?;
        Ok(pod.annotations()["keyporter.dev/owner"] == "bob")
    })
    .await
}

impl Project {
    async fn assert_pod_of_job(&self, name: &str, owner: &str) -> Result<()> {
        let selector = format!("made-for={name}");
        let pod = objects::wait_for_pod(&self.admin, &self.name, &selector).await?;
        assert_injected(&pod, owner);
        Ok(())
    }
}
