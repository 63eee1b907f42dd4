//! The manifests of `deploy/examples`, and who applies them.

use std::{fs, path::Path, time::Duration};

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::support::{
    Result,
    control_plane::{ADMIN, ControlPlane},
    kubectl::Kubectl,
    objects, policies, wait_for,
};

/// The namespace of the manifests.
pub(crate) const NAMESPACE: &str = "vision";
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples");

/// The administrator makes the namespace, and alice her secrets; returns alice when keyporter knows these.
pub(crate) async fn prepare(plane: &ControlPlane) -> Result<Kubectl> {
    apply(
        &plane.kubectl(ADMIN)?,
        "the administrator",
        "namespace.yaml",
    )?;
    let admin = plane.admin();
    objects::allow_edit(&admin, NAMESPACE, "alice").await?;
    policies::allow_project_secrets(&admin, NAMESPACE, "alice").await?;
    let alice = plane.kubectl("alice")?.within(NAMESPACE);
    apply(&alice, "alice", "secrets.yaml")?;
    wait_until_injected(&plane.client("alice").await?).await?;
    Ok(alice)
}

/// Applies a file of `deploy/examples` and prints what kubectl printed.
pub(crate) fn apply(kubectl: &Kubectl, user: &str, file: &str) -> Result<()> {
    apply_changed(kubectl, user, file, ToOwned::to_owned)
}

/// The same after a change of its text.
pub(crate) fn apply_changed(
    kubectl: &Kubectl,
    user: &str,
    file: &str,
    change: impl FnOnce(&str) -> String,
) -> Result<()> {
    println!("\n$ kubectl apply -f deploy/examples/{file}    # as {user}");
    let text = fs::read_to_string(Path::new(FOLDER).join(file))?;
    let outcome = kubectl.run_with_input(&["apply", "-f", "-"], &change(&text))?;
    for warning in outcome.warnings() {
        println!("Warning: {warning}");
    }
    print!("{}", outcome.ok()?);
    Ok(())
}

/// Webhook configurations and secrets reach those who watch them a moment after they are stored, one
/// after the other: two equal answers in a row are taken for the last.
async fn wait_until_injected(alice: &Client) -> Result<()> {
    let mut before = None;
    wait_for(
        "keyporter to know the secrets",
        Duration::from_secs(20),
        async || {
            let pod = objects::dry_run(alice, objects::pod(NAMESPACE, "probe")).await?;
            let now = pod.annotations().get("keyporter.dev/injected").cloned();
            let settled = now.is_some() && now == before;
            before = now;
            Ok(settled.then_some(()))
        },
    )
    .await
}

/// The Job of the manifest and the pod that the Job controller makes for it.
pub(crate) async fn wait_for_job(admin: &Client) -> Result<(Job, Pod)> {
    let pod = objects::wait_for_pod(admin, NAMESPACE, "batch.kubernetes.io/job-name").await?;
    let jobs: Api<Job> = Api::namespaced(admin.clone(), NAMESPACE);
    let job = jobs
        .list(&ListParams::default())
        .await?
        .items
        .into_iter()
        .next();
    Ok((job.ok_or("there is no Job")?, pod))
}
