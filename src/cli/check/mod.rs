//! `keyporter check`: what is wrong with an installation, and how to mend it.
//!
//! [`observe`] asks the cluster, and changes nothing. What was seen is judged without any I/O, one subject a module;
//! [`report`] prints the findings.

mod calls;
mod certificates;
mod finding;
mod namespaces;
mod observe;
mod policies;
mod report;
mod rights;
mod secrets;
mod seen;
mod serving;
mod version;
mod webhooks;

#[cfg(test)]
mod testing;

use std::error::Error;

use clap::{Args, ValueEnum};
use time::OffsetDateTime;

use finding::{Finding, Severity};
use observe::Observed;

use super::{cluster::ClusterArguments, secret::output::print_json, values::object, written};
use crate::ownership::OWN_NAMESPACE;

/// Find what is wrong with the installation, and how to mend it
///
/// Looks at the API server, the webhook configurations with their CA, the Service and the pods behind it, certificates,
/// namespaces, the rights of keyporter's account, the admission policies, and secrets that no pod gets. It changes nothing:
/// the one pod that it asks about is a dry run. Of Secrets it asks for metadata, but for those with keyporter's
/// certificates, of which it keeps the certificates alone. What you may not see is said, with the right that it takes.
///
/// The installation is in keyporter-system, unless --namespace names another.
///
/// JSON has `apiVersion: keyporter.dev/v1` and `kind: CheckReport`, `healthy`, and `findings`, each with check, severity
/// (ok, warning, error or unseen), object, message and advice.
///
/// Exit codes: 0 nothing is wrong, though there may be warnings; 1 something is, or with --strict anything but ok; 2 the
/// command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter check
  keyporter check -n secrets --name production-keyporter
  keyporter check --strict -o json")]
pub(super) struct Check {
    /// What the chart calls its objects: the release's name, or RELEASE-keyporter
    #[arg(long, value_name = "NAME", default_value = "keyporter", value_parser = object)]
    name: String,

    /// Warnings, and what could not be looked at, are failures, too
    #[arg(long)]
    strict: bool,

    /// What is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,

    #[command(flatten)]
    cluster: ClusterArguments,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The sentences stand in the report.
#[derive(Debug, thiserror::Error)]
#[error("the installation is not healthy: {0}")]
struct NotHealthy(String);

impl Check {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.check())
    }

    async fn check(self) -> Result<(), Box<dyn Error>> {
        let client = self.cluster.client().await?;
        let namespace = self.cluster.namespace().unwrap_or(OWN_NAMESPACE);
        let observed = observe::observe(client, namespace, &self.name).await?;
        let findings = judge(&observed);
        let mut out = anstream::stdout().lock();
        let bad = |finding: &&Finding| {
            finding.severity == Severity::Error || self.strict && finding.severity != Severity::Ok
        };
        let healthy = !findings.iter().any(|finding| bad(&finding));
        match self.output {
            Output::Text => written(report::print(&mut out, &findings))?,
            Output::Json => print_json(&mut out, &report::json(&findings, healthy))?,
        }
        if healthy {
            Ok(())
        } else {
            Err(NotHealthy(report::summary(&findings)).into())
        }
    }
}

/// All that can be said, in the order in which the parts depend on each other.
fn judge(observed: &Observed) -> Vec<Finding> {
    let now = OffsetDateTime::now_utc();
    [
        version::judge(observed),
        webhooks::judge(observed),
        certificates::judge(observed, now),
        serving::judge(observed),
        calls::judge(observed),
        namespaces::judge(observed),
        rights::judge(observed),
        policies::judge(observed),
        secrets::judge(observed),
    ]
    .concat()
}
