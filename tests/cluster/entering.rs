//! Into whose running pods one may go. No kubelet runs: what passes admission fails a step later, for want of a node.

use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness},
    project::{Project, user_object},
    support::{Result, control_plane::ADMIN, objects},
};

const DENIED: &str = "the pod carries secrets of its owner";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial(
        "entering::is_for_the_owner_and_who_may_impersonate",
        entering,
    )]
}

async fn entering(cluster: &Cluster) -> Result<()> {
    let project = Project::new(cluster, "entering").await?;
    may_debug(&project).await?;
    objects::create(project.client("alice"), project.pod("alices")).await?;
    // Opted out, and yet it has alice's secret, which she names herself.
    let mut own = project.pod("by-hand");
    own["metadata"]["labels"] = json!({"keyporter.dev/inject": "disabled"});
    own["spec"]["containers"][0]["envFrom"] =
        json!([{"secretRef": {"name": user_object("alice", "token")}}]);
    objects::create(project.client("alice"), own).await?;
    let mut open = project.pod("open");
    open["metadata"]["labels"] = json!({"keyporter.dev/inject": "disabled"});
    objects::create(project.client("alice"), open).await?;

    let ways: [&[&str]; 4] = [
        &["exec", "POD", "--", "true"],
        &["attach", "POD"],
        // kubectl's own port-forward asks for a running pod first.
        &[
            "create",
            "--raw",
            "/api/v1/namespaces/entering/pods/POD/portforward",
            "-f",
            "-",
        ],
        &[
            "debug",
            "POD",
            "--image=registry.invalid/debug:1",
            "--profile=general",
        ],
    ];
    for way in ways {
        for pod in ["alices", "by-hand", "open"] {
            for (who, refused) in [("alice", false), ("bob", pod != "open"), (ADMIN, false)] {
                let arguments: Vec<_> = way.iter().map(|word| word.replace("POD", pod)).collect();
                let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
                let kubectl = cluster.kubectl(who)?.within(&project.name);
                let outcome = kubectl.run_with_input(&arguments, "")?;
                let denied = outcome.stderr.contains("denied the request");
                assert_eq!(denied, refused, "{who}: {arguments:?}: {}", outcome.stderr);
                if denied && pod == "alices" {
                    assert!(outcome.stderr.contains(DENIED), "{}", outcome.stderr);
                }
                assert!(
                    !outcome.stderr.contains("orbidden: User"),
                    "{who}: {}",
                    outcome.stderr
                );
            }
        }
    }

    // An ephemeral container is no way to another's secret either.
    let patch = json!({"spec": {"ephemeralContainers": [{
        "name": "peek",
        "image": "registry.invalid/peek:1",
        "envFrom": [{"secretRef": {"name": user_object("alice", "token")}}],
    }]}})
    .to_string();
    let arguments = [
        "patch",
        "pod",
        "open",
        "--subresource=ephemeralcontainers",
        "--type=strategic",
        "-p",
        &patch,
    ];
    let outcome = cluster
        .kubectl("bob")?
        .within(&project.name)
        .run(&arguments)?;
    assert!(
        outcome.stderr.contains("refers to secrets of another user"),
        "{}",
        outcome.stderr
    );
    Ok(())
}

/// The role edit lets nobody bring ephemeral containers.
async fn may_debug(project: &Project) -> Result<()> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"namespace": project.name, "name": "debug"},
        "rules": [{"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["get", "patch", "update"]}],
    });
    let subject =
        |name| json!({"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": project.name, "name": "debug"},
        "roleRef": {"kind": "Role", "name": "debug", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [subject("alice"), subject("bob")],
    });
    objects::create(&project.admin, role).await?;
    objects::create(&project.admin, binding).await?;
    Ok(())
}
