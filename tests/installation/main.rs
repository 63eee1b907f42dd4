//! Tests of an installation's life, on a whole Kubernetes node of its own: installing, updating, going back, failing, ending.
//!
//! They disturb what others would rely on, so they run one after the other, and not on the node of `tests/node`, whose
//! modules they share.

// Trials are not `#[test]` functions, where the lints would allow these on their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]
#![allow(
    dead_code,
    reason = "the modules of tests/node are shared; each program uses a part of them"
)]

mod admissions;
#[path = "../node/command.rs"]
mod command;
mod diagnosis;
#[path = "../node/enclosure.rs"]
mod enclosure;
mod endurance;
#[path = "../node/git_server.rs"]
mod git_server;
#[path = "../node/harness.rs"]
mod harness;
#[path = "../node/image.rs"]
mod image;
#[path = "../node/images.rs"]
mod images;
#[path = "../node/installation.rs"]
mod installation;
mod life;
#[path = "../node/node.rs"]
mod node;
mod outage;
#[path = "../node/pods.rs"]
mod pods;
#[path = "../node/program.rs"]
mod program;
#[path = "../node/project.rs"]
mod project;
#[path = "../node/registry.rs"]
mod registry;
#[path = "../node/replicas.rs"]
mod replicas;
#[path = "../node/requirements.rs"]
mod requirements;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::Trial;

use harness::Harness;

fn main() -> ExitCode {
    program::run(trials, 1)
}

fn trials(harness: &Harness) -> Vec<Trial> {
    [
        endurance::trials(harness),
        diagnosis::trials(harness),
        outage::trials(harness),
        life::trials(harness),
    ]
    .into_iter()
    .flatten()
    .collect()
}
