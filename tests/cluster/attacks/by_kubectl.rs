//! Two people take turns at one Deployment: its pods are those of who decided last what they do.

use libtest_mimic::Trial;

use super::peaceful::manifest;
use crate::{
    harness::{Cluster, Harness},
    project::{Project, secret_names, user_object, wait_until},
    support::{Result, kubectl::Kubectl, objects},
};

/// Who does what, and whose the pods are then.
const TURNS: [(&str, &str, &str); 12] = [
    ("alice", "apply -f -", "alice"),
    ("bob", "scale deployment/web --replicas=2", "alice"),
    (
        "bob",
        "annotate deployment/web keyporter.dev/owner-",
        "alice",
    ),
    (
        "bob",
        "set image deployment/web main=registry.invalid/attack:1",
        "bob",
    ),
    ("alice", "scale deployment/web --replicas=1", "bob"),
    (
        "alice",
        "set image deployment/web main=registry.invalid/main:2",
        "alice",
    ),
    ("bob", "rollout undo deployment/web", "bob"),
    ("alice", "rollout restart deployment/web", "alice"),
    ("bob", "rollout restart deployment/web", "bob"),
    (
        "alice",
        "rollout undo deployment/web --to-revision=1",
        "alice",
    ),
    ("bob", "set env deployment/web PEEK=1", "bob"),
    ("alice", "apply --server-side --force-conflicts -f -", "bob"),
];

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("attacks::by_kubectl_in_turns", turns)]
}

async fn turns(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "attacks-kubectl").await?;
    let input = manifest(&project.name, "web").to_string();
    for (who, command, owner) in TURNS {
        let arguments: Vec<_> = command.split(' ').collect();
        let kubectl = cluster.kubectl(who)?.within(&project.name);
        as_a_person(&kubectl, &arguments, &input).await?;
        let what = format!("the pods to be {owner}'s after {who}'s {command}");
        wait_until(&what, async || {
            project.is_rolled_out("web", owner, None).await
        })
        .await?;
    }

    // A ReplicaSet of hers: its pods are bob's for as long as he gets any.
    let alice = cluster.kubectl("alice")?.within(&project.name);
    as_a_person(&alice, &["rollout", "restart", "deployment/web"], "").await?;
    wait_until("the pods to be alice's again", async || {
        project.is_rolled_out("web", "alice", None).await
    })
    .await?;
    let bob = cluster.kubectl("bob")?.within(&project.name);
    let image = "main=registry.invalid/attack:2";
    bob.run(&["set", "image", "replicaset", "--selector=app=web", image])?
        .ok()?;
    bob.run(&["scale", "replicaset", "--selector=app=web", "--replicas=1"])?
        .ok()?;
    bob.run(&["delete", "pods", "--selector=app=web", "--wait=false"])?
        .ok()?;
    wait_until("the Deployment to be as alice wants it", async || {
        let pods = objects::pods(&project.admin, &project.name, "app=web").await?;
        for pod in &pods {
            let hers = secret_names(pod).contains(&user_object("alice", "token"));
            let spec = pod.spec.as_ref().ok_or("no spec")?;
            let image = spec.containers[0].image.as_deref().unwrap_or_default();
            assert!(
                !hers || !image.contains("attack"),
                "{image} has her secrets"
            );
        }
        let is_hers = |pod: &k8s_openapi::api::core::v1::Pod| {
            secret_names(pod).contains(&user_object("alice", "token"))
        };
        Ok(pods.len() == 1 && pods.iter().all(is_hers))
    })
    .await
}

/// kubectl refuses to restart what was restarted in the same second; a person is not that fast.
async fn as_a_person(kubectl: &Kubectl, arguments: &[&str], input: &str) -> Result<()> {
    wait_until("kubectl to restart it again", async || {
        let outcome = kubectl.run_with_input(arguments, input)?;
        if outcome.stderr.contains("within the past second") {
            return Ok(false);
        }
        outcome.ok()?;
        Ok(true)
    })
    .await
}
