//! Into whose running pods one may go. No kubelet runs: what passes admission fails a step later, for want of a node.

use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    harness::{Cluster, Harness, WEBHOOK_LABEL},
    project::{Project, user_object},
    support::{
        Result,
        control_plane::ADMIN,
        keyporter::Keyporter,
        kubectl::{Kubectl, Outcome},
        objects,
    },
};

const DENIED: &str = "the pod carries secrets of its owner";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "entering::is_for_the_owner_and_who_may_impersonate",
            entering,
        ),
        harness.trial("entering::is_for_whom_the_configuration_names", named),
    ]
}

/// The ways into a running pod: what kubectl is asked.
const WAYS: [&[&str]; 4] = [
    &["exec", "POD", "--", "true"],
    &["attach", "POD"],
    // kubectl's own port-forward asks for a running pod first.
    &[
        "create",
        "--raw",
        "/api/v1/namespaces/NAMESPACE/pods/POD/portforward",
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

/// Enters a pod in one of [`WAYS`].
fn enter(kubectl: &Kubectl, project: &Project, way: &[&str], pod: &str) -> Result<Outcome> {
    let fill = |word: &&str| word.replace("POD", pod).replace("NAMESPACE", &project.name);
    let arguments: Vec<_> = way.iter().map(fill).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = kubectl
        .within(&project.name)
        .run_with_input(&arguments, "")?;
    // A right that is missing would look like a refusal.
    assert!(
        !outcome.stderr.contains("orbidden: User"),
        "{arguments:?}: {}",
        outcome.stderr
    );
    Ok(outcome)
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

    for way in WAYS {
        for pod in ["alices", "by-hand", "open"] {
            for (who, refused) in [("alice", false), ("bob", pod != "open"), (ADMIN, false)] {
                let outcome = enter(&cluster.kubectl(who)?, &project, way, pod)?;
                let denied = outcome.stderr.contains("denied the request");
                assert_eq!(denied, refused, "{who}: {way:?}: {}", outcome.stderr);
                if denied && pod == "alices" {
                    assert!(outcome.stderr.contains(DENIED), "{}", outcome.stderr);
                }
            }
        }
    }

    // An ephemeral container is no way to another's secret either.
    let outcome = peek(cluster, &project, "bob", "open", "alice")?;
    assert!(
        outcome.stderr.contains("refers to secrets of another user"),
        "{}",
        outcome.stderr
    );
    Ok(())
}

/// Brings an ephemeral container with a secret of `owner`, as `who`.
fn peek(
    cluster: &Cluster,
    project: &Project,
    who: &str,
    pod: &str,
    owner: &str,
) -> Result<Outcome> {
    let patch = json!({"spec": {"ephemeralContainers": [{
        "name": format!("{who}-peeks"),
        "image": "registry.invalid/peek:1",
        "envFrom": [{"secretRef": {"name": user_object(owner, "token")}}],
    }]}})
    .to_string();
    cluster.kubectl(who)?.within(&project.name).run(&[
        "patch",
        "pod",
        pod,
        "--subresource=ephemeralcontainers",
        "--type=strategic",
        "-p",
        &patch,
    ])
}

/// With a keyporter of its own, which knows a user and a group. No other trial gives these people rights.
async fn named(cluster: &Cluster) -> Result<()> {
    const GROUP: &str = "oncall";
    cluster.keyporter().await?;
    let flags = ["--may-enter-user", "grace", "--may-enter-group", GROUP];
    let binary = env!("CARGO_BIN_EXE_keyporter").as_ref();
    let keyporter = Keyporter::start_with(cluster, binary, "entered", &flags).await?;
    let own = json!({"key": WEBHOOK_LABEL, "operator": "In", "values": ["entered"]});
    keyporter
        .register(&cluster.admin(), "keyporter-entered", Some(own))
        .await?;
    let labels = json!({"keyporter.dev/inject": "enabled", WEBHOOK_LABEL: "entered"});
    let project = Project::with_labels(cluster, "entering-named", labels).await?;
    for user in ["grace", "eve", GROUP] {
        objects::allow_edit(&project.admin, &project.name, user).await?;
    }
    may_debug(&project).await?;
    objects::create(project.client("alice"), project.pod("alices")).await?;
    // Her own container with her own secret is in nobody's way.
    peek(cluster, &project, "alice", "alices", "alice")?.ok()?;

    let eve = cluster.kubectl_of("eve", Some(GROUP))?;
    for way in WAYS {
        for (who, kubectl, refused) in [
            ("grace, named", cluster.kubectl("grace")?, false),
            ("eve of the group", eve.clone(), false),
            ("eve without it", cluster.kubectl("eve")?, true),
            ("a user called as the group", cluster.kubectl(GROUP)?, true),
            ("bob", cluster.kubectl("bob")?, true),
        ] {
            let outcome = enter(&kubectl, &project, way, "alices")?;
            let denied = outcome.stderr.contains(DENIED);
            assert_eq!(denied, refused, "{who}: {way:?}: {}", outcome.stderr);
            assert_eq!(
                outcome.stderr.contains("denied the request"),
                refused,
                "{who}: {way:?}: {}",
                outcome.stderr
            );
        }
    }
    // Whoever may enter may still not bring others' secrets.
    for owner in ["alice", "bob"] {
        let outcome = peek(cluster, &project, "grace", "alices", owner)?;
        assert!(
            outcome.stderr.contains("[rule: foreign-secrets]"),
            "{owner}: {}",
            outcome.stderr
        );
    }
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
    let subjects = ["alice", "bob", "grace", "eve", "oncall"].map(objects::subject);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": project.name, "name": "debug"},
        "roleRef": {"kind": "Role", "name": "debug", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": subjects,
    });
    objects::create(&project.admin, role).await?;
    objects::create(&project.admin, binding).await?;
    Ok(())
}
