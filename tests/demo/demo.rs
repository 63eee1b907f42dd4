//! Shows on a real API server what `keyporter` adds to the pod of a Job: `make demo`.
//!
//! Applies the manifests of `deploy/examples` with kubectl, as the user alice. No pod runs: there is
//! no kubelet, and admission is all that there is to see.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for a person to read, on objects that it knows"
)]

mod report;
#[allow(
    dead_code,
    reason = "shared with the tests; each program uses a part of it"
)]
#[path = "../support/mod.rs"]
mod support;

use std::{env, path::PathBuf, time::Duration};

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use support::{
    Result,
    control_plane::{ADMIN, Binaries, ControlPlane},
    keyporter::{self, Keyporter},
    kubectl::Kubectl,
    objects, policies, wait_for,
};

/// The namespace of the manifests.
const NAMESPACE: &str = "vision";

#[tokio::main]
async fn main() -> Result<()> {
    println!("Starting etcd, kube-apiserver, kube-controller-manager and keyporter ...");
    let plane = ControlPlane::start(Binaries::find()?).await?;
    policies::apply(&plane).await?;
    keyporter::prepare(&plane).await?;
    let keyporter = Keyporter::start(&plane, &binary()?, "keyporter").await?;
    let admin = plane.admin();
    keyporter.register(&admin, "keyporter", None).await?;

    apply(
        &plane.kubectl(ADMIN)?,
        "the administrator",
        "namespace.yaml",
    )?;
    objects::allow_edit(&admin, NAMESPACE, "alice").await?;
    policies::allow_project_secrets(&admin, NAMESPACE, "alice").await?;
    let alice = plane.kubectl("alice")?.within(NAMESPACE);
    apply(&alice, "alice", "secrets.yaml")?;
    wait_until_injected(&plane.client("alice").await?).await?;
    apply(&alice, "alice", "job.yaml")?;

    let (job, pod) = wait_for_job(&admin).await?;
    println!("\n{}", report::describe(&job, &pod)?);
    Ok(())
}

/// The program next to this one: `target/PROFILE/keyporter` beside `target/PROFILE/examples/demo`.
fn binary() -> Result<PathBuf> {
    let own = env::current_exe()?;
    let profile = own.ancestors().nth(2).ok_or("this program has no folder")?;
    let binary = profile.join("keyporter");
    if binary.is_file() {
        return Ok(binary);
    }
    Err(format!(
        "{} is missing: `make demo` builds it first",
        binary.display()
    )
    .into())
}

/// Applies a file of `deploy/examples` and prints what kubectl printed.
fn apply(kubectl: &Kubectl, user: &str, file: &str) -> Result<()> {
    let path = format!("{}/deploy/examples/{file}", env!("CARGO_MANIFEST_DIR"));
    println!("\n$ kubectl apply -f deploy/examples/{file}    # as {user}");
    let outcome = kubectl.run(&["apply", "-f", &path])?;
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
async fn wait_for_job(admin: &Client) -> Result<(Job, Pod)> {
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
