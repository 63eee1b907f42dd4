//! Tests against a real Kubernetes API server, with the controllers and kubectl of the same version.
//!
//! One control plane serves all trials of a run: the first trial that runs starts it, so `--list`
//! and a filter that matches nothing start nothing. Every trial works in namespaces of its own.
//! The programs come from `KUBEBUILDER_ASSETS` or from `tests/control-plane/build.sh`; without them
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

mod acting;
mod adopt;
mod attacks;
mod canary;
mod cert_manager;
mod certificates;
mod chart;
mod check;
mod command_line;
mod controllers;
mod entering;
mod events;
mod examples;
mod explain;
mod folders;
mod foreign_secrets;
mod harness;
#[path = "../support/https.rs"]
mod https;
mod identity;
mod in_use;
mod job_set;
mod keys;
mod konduktor;
mod konduktor_identity;
mod operation;
mod operator;
mod opted_out;
mod pods;
mod project;
mod race;
mod readme_session;
mod references_in_pods;
mod reinvocation;
mod second_key;
mod secret_cli;
mod secret_guard;
mod secret_list;
mod spark;
mod stores;
#[allow(
    dead_code,
    reason = "shared with the demo; each program uses a part of it"
)]
#[path = "../support/mod.rs"]
mod support;
mod trial;
mod workloads;

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

use harness::Harness;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Trials wait for other processes most of the time.
    arguments.test_threads.get_or_insert(8);
    let harness = Harness::new();
    let trials: Vec<Trial> = [
        identity::trials(&harness),
        controllers::trials(&harness),
        secret_guard::trials(&harness),
        keyporter_trials(&harness),
    ]
    .into_iter()
    .flatten()
    .collect();

    let left_out: Vec<&str> = trials
        .iter()
        .filter(|trial| trial.has_ignored_flag())
        .map(Trial::name)
        .collect();
    let must_fail = !left_out.is_empty() && !arguments.list && env::var_os("CI").is_some();
    if !left_out.is_empty() && !arguments.list {
        eprintln!(
            "left out: {}\nbecause {}",
            left_out.join(", "),
            harness.what_is_missing()
        );
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if must_fail {
        eprintln!("CI is set, and there nothing may be left out");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// What only holds with the built `keyporter` in place.
fn keyporter_trials(harness: &Harness) -> Vec<Trial> {
    [
        certificates::trials(harness),
        pods::trials(harness),
        entering::trials(harness),
        events::trials(harness),
        examples::trials(harness),
        chart::trials(harness),
        cert_manager::trials(harness),
        folders::trials(harness),
        foreign_secrets::trials(harness),
        workloads::trials(harness),
        job_set::trials(harness),
        keys::trials(harness),
        konduktor::trials(harness),
        acting::trials(harness),
        konduktor_identity::trials(harness),
        adopt::trials(harness),
        attacks::trials(harness),
        check::trials(harness),
        trial::trials(harness),
        operation::trials(harness),
        operator::trials(harness),
        race::trials(harness),
        opted_out::trials(harness),
        references_in_pods::trials(harness),
        reinvocation::trials(harness),
        in_use::trials(harness),
        second_key::trials(harness),
        stores::trials(harness),
        spark::trials(harness),
        explain::trials(harness),
        readme_session::trials(harness),
        secret_list::trials(harness),
        secret_cli::trials(harness),
    ]
    .into_iter()
    .flatten()
    .collect()
}
