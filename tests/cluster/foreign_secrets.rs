//! Secrets of another user in a pod: who may refer to them.

use kube::Client;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Cluster, Harness},
    project::{Project, user_object},
    support::{Result, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "foreign_secrets::are_refused_in_pods_and_workloads",
            refused,
        ),
        harness.trial(
            "foreign_secrets::are_open_to_who_may_impersonate",
            impersonated,
        ),
        harness.trial_with_controllers(
            "foreign_secrets::stay_out_of_pods_that_controllers_make",
            controllers,
        ),
    ]
}

/// A way to refer to a Secret.
fn reference(way: &str, object: &str) -> Value {
    let container = json!({"name": "c", "image": "registry.invalid/c:1"});
    let with = |name: &str, value: Value| {
        let mut container = container.clone();
        container[name] = value;
        container
    };
    let variable =
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": object, "key": "TOKEN"}}}]);
    match way {
        "volume" => {
            json!({"containers": [container], "volumes": [{"name": "v", "secret": {"secretName": object}}]})
        }
        "projected volume" => json!({"containers": [container], "volumes": [
            {"name": "v", "projected": {"sources": [{"secret": {"name": object}}]}}]}),
        "env" => json!({"containers": [with("env", variable)]}),
        "envFrom" => {
            json!({"containers": [with("envFrom", json!([{"secretRef": {"name": object}}]))]})
        }
        "env of an init container" => {
            let mut before = with("env", variable);
            before["name"] = json!("before");
            json!({"containers": [container], "initContainers": [before]})
        }
        "imagePullSecrets" => {
            json!({"containers": [container], "imagePullSecrets": [{"name": object}]})
        }
        _ => json!({"containers": [container]}),
    }
}

const WAYS: [&str; 6] = [
    "volume",
    "projected volume",
    "env",
    "envFrom",
    "env of an init container",
    "imagePullSecrets",
];

fn pod(namespace: &str, way: &str, object: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "generateName": "refers-"},
        "spec": reference(way, object),
    })
}

/// Denied with the sentence for it, which names the object and not its owner.
async fn assert_denied(client: &Client, object: Value, what: &str) -> Result<()> {
    match objects::dry_run(client, object).await {
        Err(kube::Error::Api(status)) => {
            let message = &status.message;
            assert!(
                message.contains("refers to secrets of another user"),
                "{what}: {message}"
            );
            assert!(
                message.ends_with(" [rule: foreign-secrets]"),
                "{what}: {message}"
            );
            assert!(!message.contains("\"alice\""), "{what}: {message}");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => panic!("{what}: not denied"),
    }
}

async fn refused(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "foreign-refused").await?;
    let (alice, bob) = (project.client("alice"), project.client("bob"));
    let alices = user_object("alice", "token");
    for way in WAYS {
        assert_denied(bob, pod(&project.name, way, &alices), way).await?;
        // Whether it is there is not told.
        let missing = user_object("alice", "no-such-secret");
        assert_denied(bob, pod(&project.name, way, &missing), way).await?;
        objects::dry_run(alice, pod(&project.name, way, &alices)).await?;
        for harmless in ["shared", "no-such-secret"] {
            objects::dry_run(bob, pod(&project.name, way, harmless)).await?;
        }
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"namespace": project.name, "name": "refers"},
            "spec": {"template": {"spec": reference(way, &alices)}},
        });
        let mut job = job;
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
        assert_denied(bob, job.clone(), &format!("a Job with {way}")).await?;
        objects::dry_run(alice, job).await?;
    }

    // An opt-out is no way around it, and neither is another system or another's name on the pod.
    let mut pod = pod(&project.name, "volume", &alices);
    let mut of_windows = pod.clone();
    of_windows["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "windows"});
    assert_denied(bob, of_windows, "a pod for Windows").await?;
    pod["metadata"]["labels"] = json!({"keyporter.dev/inject": "disabled"});
    assert_denied(bob, pod.clone(), "an opted-out pod").await?;
    pod["metadata"]["annotations"] = json!({"keyporter.dev/owner": "alice"});
    assert!(
        objects::dry_run(bob, pod.clone()).await.is_err(),
        "a pod in alice's name"
    );
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    pod["spec"]["nodeName"] = json!("anywhere");
    assert!(
        objects::dry_run(bob, pod).await.is_err(),
        "a pod that looks like a mirror pod"
    );
    Ok(())
}

async fn impersonated(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "foreign-impersonated").await?;
    let alices = user_object("alice", "token");
    let bob = project.client("bob");
    objects::dry_run(&project.admin, pod(&project.name, "volume", &alices)).await?;

    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "acts-for-alice"},
        "rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["alice"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "acts-for-alice"},
        "roleRef": {"kind": "ClusterRole", "name": "acts-for-alice", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "dora", "apiGroup": "rbac.authorization.k8s.io"}],
    });
    objects::create(&project.admin, role).await?;
    objects::create(&project.admin, binding).await?;
    objects::allow_edit(&project.admin, &project.name, "dora").await?;
    let dora = cluster.client("dora").await?;
    crate::project::wait_until("dora's rights to be in force", async || {
        Ok(
            objects::dry_run(&dora, pod(&project.name, "volume", &alices))
                .await
                .is_ok(),
        )
    })
    .await?;
    // For alice and nobody else; and bob still may not.
    assert_denied(
        &dora,
        pod(&project.name, "volume", &user_object("bob", "token")),
        "dora for bob",
    )
    .await?;
    assert_denied(bob, pod(&project.name, "volume", &alices), "bob for alice").await
}

/// A workload from before the opt-in refers to alice's secret; its pods, which nobody owns, are refused.
async fn controllers(cluster: &Cluster) -> Result<()> {
    let project = Project::without_webhook(cluster, "foreign-controllers", json!({})).await?;
    let alices = user_object("alice", "token");
    let mut template =
        json!({"metadata": {"labels": {"app": "old"}}, "spec": reference("volume", &alices)});
    template["metadata"]["annotations"] = json!({"example.com/note": "made before the opt-in"});
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"namespace": project.name, "name": "old"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "old"}}, "template": template},
    });
    objects::create(project.client("bob"), set).await?;
    let kubectl = cluster.kubectl(crate::support::control_plane::ADMIN)?;
    cluster.keyporter().await?;
    kubectl
        .run(&[
            "label",
            "namespace",
            &project.name,
            "keyporter.dev/inject=enabled",
        ])?
        .ok()?;
    project.wait_until_injected("alice").await?;

    let bob = cluster.kubectl("bob")?.within(&project.name);
    bob.run(&["scale", "replicaset", "old", "--replicas=1"])?
        .ok()?;
    crate::project::wait_until("the controller to be refused", async || {
        let events = kubectl
            .run(&["get", "events", "-n", &project.name, "--output=json"])?
            .ok()?;
        Ok(events.contains("refers to secrets of another user"))
    })
    .await?;
    assert!(
        objects::pods(&project.admin, &project.name, "app=old")
            .await?
            .is_empty()
    );
    Ok(())
}
