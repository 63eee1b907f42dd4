//! Tests against a whole Kubernetes node: what containers that really run find inside.
//!
//! kubelet, containerd, runc, CNI and kube-proxy work in an [`enclosure`] of their own, so that nothing of them is left on
//! the machine. One node serves all trials of a run; each trial works in namespaces of its own. The node needs root,
//! programs of Debian packages (`make node-packages`) and programs built from their Go modules (`programs/build.sh`); without
//! them every trial is reported as ignored, and under `CI` that is a failure.

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
mod images;
mod kinds;
mod node;
mod pods;
mod project;
mod pulls;
mod references;
mod registry;
mod requirements;
#[allow(
    dead_code,
    reason = "shared with the other cluster; each program uses a part of it"
)]
#[path = "../support/mod.rs"]
mod support;
mod workloads;

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

use enclosure::Enclosure;
use harness::Harness;
use requirements::Requirements;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Trials wait for pods most of the time.
    arguments.test_threads.get_or_insert(8);
    let requirements = Requirements::find();
    let Ok(requirements) = requirements.as_ref() else {
        let missing = requirements.err().unwrap_or_default();
        return leave_out(&arguments, &missing);
    };
    let outcome = match Enclosure::entered() {
        _ if arguments.list => Ok(run(&arguments, requirements)),
        Some(enclosure) => enclosure.prepare().map(|()| run(&arguments, requirements)),
        None => enclosure::run_again_inside(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments, requirements: &Requirements) -> ExitCode {
    let trials = trials(&Harness::new(requirements.clone()));
    libtest_mimic::run(arguments, trials).exit_code()
}

fn trials(harness: &Harness) -> Vec<Trial> {
    [
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

/// Reports every trial as ignored, and what is missing.
fn leave_out(arguments: &Arguments, missing: &[String]) -> ExitCode {
    let trials: Vec<Trial> = trials(&Harness::without_node())
        .into_iter()
        .map(|trial| trial.with_ignored_flag(true))
        .collect();
    let names: Vec<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    if arguments.list {
        return conclusion.exit_code();
    }
    eprintln!(
        "left out: {}\nbecause a node needs {}: on Debian, `make test` as root installs and builds all of it",
        names.join(", "),
        missing.join(", ")
    );
    if env::var_os("CI").is_some() {
        eprintln!("CI is set, and there nothing may be left out");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
