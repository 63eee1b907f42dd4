//! Creating and reading Kubernetes objects from JSON.

use std::time::Duration;

use k8s_openapi::{
    ByteString,
    api::{
        authorization::v1::SubjectAccessReview,
        core::v1::{Namespace, Pod, ServiceAccount},
    },
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams},
};
use serde_json::{Value, json};

use super::{Result, wait_for};

/// Creates `object`, in its own `metadata.namespace` or cluster-wide.
pub(crate) async fn create(client: &Client, object: Value) -> kube::Result<DynamicObject> {
    create_with(client, object, false).await
}

/// Asks the API server what `object` would become: it passes admission and is not stored.
pub(crate) async fn dry_run(client: &Client, object: Value) -> kube::Result<DynamicObject> {
    create_with(client, object, true).await
}

async fn create_with(client: &Client, object: Value, dry_run: bool) -> kube::Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types
        .api_version
        .rsplit_once('/')
        .unwrap_or(("", &types.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
    let api = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.create(
        &PostParams {
            dry_run,
            ..PostParams::default()
        },
        &object,
    )
    .await
}

/// A pod as the API server answered it.
pub(crate) fn as_pod(object: DynamicObject) -> Result<Pod> {
    Ok(object.try_parse()?)
}

/// The pods of `namespace` that `selector` chooses.
pub(crate) async fn pods(client: &Client, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(api
        .list(&ListParams::default().labels(selector))
        .await?
        .items)
}

/// The first pod that `selector` chooses, once a controller made it.
pub(crate) async fn wait_for_pod(client: &Client, namespace: &str, selector: &str) -> Result<Pod> {
    wait_for(
        &format!("a pod {selector} in {namespace}"),
        Duration::from_secs(20),
        async || Ok(pods(client, namespace, selector).await?.into_iter().next()),
    )
    .await
}

/// Creates a namespace with `labels`, an object; with `accounts` returns when pods can be made in it.
pub(crate) async fn create_namespace(
    admin: &Client,
    name: &str,
    labels: Value,
    accounts: bool,
) -> Result<()> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
    });
    let api: Api<Namespace> = Api::all(admin.clone());
    api.create(&PostParams::default(), &serde_json::from_value(namespace)?)
        .await?;
    if accounts {
        let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), name);
        wait_for(
            "the namespace's service account",
            Duration::from_secs(20),
            async || Ok(accounts.get_opt("default").await?),
        )
        .await?;
    }
    Ok(())
}

/// Lets `user` work in `namespace` and returns when the API server knows.
///
/// The rules are those of the role `edit`, taken from the roles that it is aggregated from: the
/// aggregation is work of kube-controller-manager, which may be absent. JobSets come on top.
pub(crate) async fn allow_edit(admin: &Client, namespace: &str, user: &str) -> Result<()> {
    let jobsets = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"namespace": namespace, "name": format!("{}-jobsets", slug(user))},
        "rules": [{"apiGroups": ["jobset.x-k8s.io"], "resources": ["jobsets"], "verbs": ["*"]}],
    });
    create(admin, jobsets).await?;
    for (name, kind, role) in [
        ("edit", "ClusterRole", "system:aggregate-to-edit"),
        ("view", "ClusterRole", "system:aggregate-to-view"),
        ("jobsets", "Role", &format!("{}-jobsets", slug(user))),
    ] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"namespace": namespace, "name": format!("{}-{name}", slug(user))},
            "roleRef": {"kind": kind, "name": role, "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [subject(user)],
        });
        create(admin, binding).await?;
    }
    wait_until_allowed(
        admin,
        namespace,
        user,
        ("create", "jobset.x-k8s.io", "jobsets"),
    )
    .await
}

/// A user's name as a part of an object's name. Those that cannot be one differ in length here.
fn slug(user: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if user.len() <= 40 && user.chars().all(plain) {
        return user.to_owned();
    }
    let head: String = user.chars().filter(|c| plain(*c)).take(40).collect();
    format!("{head}-{}", user.len())
}

/// A user, service accounts too, in a role binding.
pub(crate) fn subject(user: &str) -> Value {
    json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"})
}

/// Returns when the API server knows that `user` may do this: verb, group and resource.
pub(crate) async fn wait_until_allowed(
    admin: &Client,
    namespace: &str,
    user: &str,
    (verb, group, resource): (&str, &str, &str),
) -> Result<()> {
    let review = json!({
        "spec": {"user": user, "resourceAttributes": {
            "namespace": namespace, "verb": verb, "group": group, "resource": resource,
        }},
    });
    let review: SubjectAccessReview = serde_json::from_value(review)?;
    let reviews: Api<SubjectAccessReview> = Api::all(admin.clone());
    wait_for(
        "the new role bindings to count",
        Duration::from_secs(20),
        async || {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            Ok(answer.status.filter(|status| status.allowed))
        },
    )
    .await?;
    Ok(())
}

/// A container that never runs here: no node has a kubelet.
pub(crate) fn container() -> Value {
    json!({"name": "main", "image": "registry.invalid/main:1"})
}

/// A pod with one container.
pub(crate) fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"containers": [container()]},
    })
}

/// PEM text as a `caBundle` wants it.
pub(crate) fn ca_bundle(certificate: &str) -> ByteString {
    ByteString(certificate.as_bytes().to_vec())
}
