//! Tests against a whole Kubernetes node: what containers that really run find inside.
//!
//! kubelet, containerd, runc, CNI and kube-proxy work in an [`enclosure`] of their own, so that nothing of them is left on
//! the machine. keyporter runs there as users run it: from its [`image`], by the [chart](installation), called by its
//! Service. One node serves all trials of a run; each trial works in namespaces of its own. The node needs root, programs of
//! Debian packages (`make node-packages`), programs built from their Go modules (`programs/build.sh`) and Helm; without them
//! every trial is reported as ignored, and under `CI` that is a failure.

// Trials are not `#[test]` functions, where the lints would allow these on their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod command;
mod deletion;
mod enclosure;
mod folders;
mod git;
mod git_server;
mod harness;
mod image;
mod image_content;
mod images;
#[allow(
    dead_code,
    reason = "shared with tests/installation; each program uses a part of it"
)]
mod installation;
mod kinds;
mod node;
mod pods;
mod program;
mod project;
mod pulls;
mod references;
mod registry;
mod replicas;
mod requirements;
#[allow(
    dead_code,
    reason = "shared with the other cluster; each program uses a part of it"
)]
#[path = "../support/mod.rs"]
mod support;
mod workloads;

use std::process::ExitCode;

use libtest_mimic::Trial;

use harness::Harness;

fn main() -> ExitCode {
    // Trials wait for pods most of the time.
    program::run(trials, 8)
}

fn trials(harness: &Harness) -> Vec<Trial> {
    [
        image_content::trials(harness),
        replicas::trials(harness),
        kinds::trials(harness),
        folders::trials(harness),
        references::trials(harness),
        git::trials(harness),
        pulls::trials(harness),
        workloads::trials(harness),
        deletion::trials(harness),
    ]
    .into_iter()
    .flatten()
    .collect()
}
