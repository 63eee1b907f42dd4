//! What admission does, on an API server with its controllers and without a node: no pod runs.

use std::{env, path::PathBuf};

use crate::{
    examples, report,
    support::{
        Result,
        control_plane::{Binaries, ControlPlane},
        keyporter::{self, Keyporter},
        policies,
    },
};

pub(crate) async fn show() -> Result<()> {
    println!("Starting etcd, kube-apiserver, kube-controller-manager and keyporter ...");
    let plane = ControlPlane::start(Binaries::find()?).await?;
    policies::apply(&plane).await?;
    keyporter::prepare(&plane).await?;
    let keyporter = Keyporter::start(&plane, &binary()?, "keyporter").await?;
    let admin = plane.admin();
    keyporter.register(&admin, "keyporter", None).await?;

    let alice = examples::prepare(&plane).await?;
    examples::apply(&alice, "alice", "job.yaml")?;
    let (job, pod) = examples::wait_for_job(&admin).await?;
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
