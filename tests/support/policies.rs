//! The admission policies of `deploy/helm/keyporter/policies`, in force for the whole cluster: by themselves, or of the chart.

use std::time::Duration;

use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{
    Result,
    control_plane::{ADMIN, ControlPlane},
    objects, wait_for,
};

const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/deploy/helm/keyporter/policies"
);

/// In a namespace with this label no policy writes owners, as on Kubernetes before 1.36.
pub(crate) const STAMPED_BY_WEBHOOK: &str = "tests.keyporter.dev/stamped-by-webhook";

/// Nobody else works where this user does: what it is refused or given is the policies' doing.
const PROBE: &str = "policies-probe";

/// Applies them as an administrator does, and returns when the API server goes by them.
pub(crate) async fn apply(plane: &ControlPlane) -> Result<()> {
    let kubectl = plane.kubectl(ADMIN)?;
    kubectl.run(&["apply", "-f", FOLDER])?.ok()?;
    let others =
        json!({"matchExpressions": [{"key": STAMPED_BY_WEBHOOK, "operator": "DoesNotExist"}]});
    let others = json!({"spec": {"matchResources": {"namespaceSelector": others}}}).to_string();
    let binding = "mutatingadmissionpolicybinding/keyporter-secret-owner-stamp";
    kubectl
        .run(&["patch", binding, "--type=merge", "-p", &others])?
        .ok()?;
    wait_until_in_force(plane).await?;
    let before = "policies-before-1-36";
    let admin = plane.admin();
    objects::create_namespace(&admin, before, json!({STAMPED_BY_WEBHOOK: ""}), false).await?;
    objects::allow_edit(&admin, before, PROBE).await?;
    let probe = plane.client(PROBE).await?;
    wait_for(
        "the policies to leave a namespace to the webhook",
        Duration::from_mins(1),
        async || {
            refuses(&probe, secret_in(before, "default", "user", "", "a"))
                .await
                .map(|refused| refused.then_some(()))
        },
    )
    .await
}

/// Returns when the API server goes by the policies that were stored.
pub(crate) async fn wait_until_in_force(plane: &ControlPlane) -> Result<()> {
    let namespace = "policies";
    let admin = plane.admin();
    objects::create_namespace(&admin, namespace, json!({}), false).await?;
    objects::allow_edit(&admin, namespace, PROBE).await?;
    let probe = plane.client(PROBE).await?;
    let secret = |kind: &str, scope: &str, owner: &str, key: &str| {
        secret_in(namespace, kind, scope, owner, key)
    };
    wait_for(
        "the policies to be in force",
        Duration::from_mins(1),
        async || {
            let in_force = stamps(&probe, secret("default", "user", "", "a"), PROBE).await?
                && refuses(&probe, secret("default", "user", "another", "a")).await?
                && refuses(&probe, secret("default", "project", "", "a")).await?
                && refuses(&probe, secret("env", "user", "", "PATH")).await?;
            Ok(in_force.then_some(()))
        },
    )
    .await
}

fn secret_in(namespace: &str, kind: &str, scope: &str, owner: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": namespace,
            "name": "probe",
            "labels": {"keyporter.dev/kind": kind, "keyporter.dev/scope": scope},
            "annotations": {"keyporter.dev/owner": owner},
        },
        "stringData": {key: ""},
    })
}

async fn stamps(client: &Client, object: Value, owner: &str) -> Result<bool> {
    let answer = match objects::dry_run(client, object).await {
        // Without the stamp there is no owner.
        Err(kube::Error::Api(_)) => return Ok(false),
        answer => answer?,
    };
    let stamp = answer.annotations().get("keyporter.dev/owner");
    Ok(stamp.is_some_and(|stamp| stamp == owner))
}

async fn refuses(client: &Client, object: Value) -> Result<bool> {
    match objects::dry_run(client, object).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(_)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Lets `user` keep the project secrets of `namespace`, as one of its administrators would.
pub(crate) async fn allow_project_secrets(
    admin: &Client,
    namespace: &str,
    user: &str,
) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": namespace, "name": format!("{user}-project-secrets")},
        "roleRef": {
            "kind": "ClusterRole", "name": "keyporter-project-secrets", "apiGroup": "rbac.authorization.k8s.io",
        },
        "subjects": [objects::subject(user)],
    });
    objects::create(admin, binding).await?;
    objects::wait_until_allowed(
        admin,
        namespace,
        user,
        ("create", "keyporter.dev", "projectsecrets"),
    )
    .await
}
