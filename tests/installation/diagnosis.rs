//! What tells an administrator whether an installation works: `helm test`, and `keyporter check`.

use std::{process::Command, time::Duration};

use libtest_mimic::Trial;

use crate::{
    harness::{Cluster, Harness},
    installation::{Installation, NAME},
    support::{Result, control_plane::ADMIN, kubectl::Outcome, wait_for},
};

const WITHIN: Duration = Duration::from_mins(1);
/// What the hooks of `helm test` make, and nothing else has it.
const OF_TRIAL: &str = "app.kubernetes.io/name=keyporter-trial";
const KINDS: &str = "namespaces,pods,serviceaccounts,roles,rolebindings,secrets";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial("diagnosis::of_what_works_and_what_does_not", diagnosis)]
}

async fn diagnosis(cluster: &Cluster) -> Result<()> {
    let installation = cluster.installation();
    // Whatever was done to it by hand before is gone then.
    installation.upgrade(&["--set=trial.timeout=20s"]).await?;
    let report = check(cluster)?;
    assert!(report.success, "{report:?}");
    succeeds(installation).await?;

    let configuration = ["delete", "mutatingwebhookconfiguration", NAME];
    installation.kubectl().run(&configuration)?.ok()?;
    let outcome = installation.test()?;
    assert!(!outcome.success, "{outcome:?}");
    let told = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(
        told.contains("the API server does not ask keyporter about namespace keyporter-trial"),
        "{told}"
    );
    let report = check(cluster)?;
    assert!(!report.success, "{report:?}");
    assert!(
        report
            .stdout
            .contains("MutatingWebhookConfiguration keyporter: is not there"),
        "{report:?}"
    );

    installation.upgrade(&[]).await?;
    // The CA is written into the new configuration by keyporter, a moment later.
    let report = wait_for("a healthy installation", WITHIN, async || {
        let report = check(cluster)?;
        Ok(report.success.then_some(report))
    });
    report.await?;
    // What the failed one left for people to look at goes with the next.
    succeeds(installation).await
}

async fn succeeds(installation: &Installation) -> Result<()> {
    let outcome = installation.test()?;
    assert!(outcome.success, "{outcome:?}");
    let printed = format!("{}{}", outcome.stdout, outcome.stderr);
    eprintln!("helm test says:\n{}", printed.trim());
    for words in [
        "keyporter gave it both",
        "the pod has the variable and the file, byte for byte",
        "Succeeded",
    ] {
        assert!(printed.contains(words), "no \"{words}\" in: {printed}");
    }
    wait_for("the trial to leave nothing", WITHIN, async || {
        let arguments = ["get", KINDS, "-A", "-l", OF_TRIAL, "-o", "name"];
        let left = installation.kubectl().run(&arguments)?.ok()?;
        Ok(left.is_empty().then_some(()))
    })
    .await
}

/// `keyporter check` as the administrator, from outside of the cluster.
pub(crate) fn check(cluster: &Cluster) -> Result<Outcome> {
    let output = Command::new(env!("CARGO_BIN_EXE_keyporter"))
        .arg("check")
        .env(
            "KUBECONFIG",
            cluster.kubeconfig(ADMIN, Some("system:masters"))?,
        )
        .output()?;
    let outcome = Outcome {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    eprintln!(
        "keyporter check says:\n{}{}",
        outcome.stdout, outcome.stderr
    );
    // 2 is a wrong command line, and no diagnosis.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{outcome:?}");
    Ok(outcome)
}
