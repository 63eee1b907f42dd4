//! What all test programs on a node have in common: they look for what it takes, build the image, and run inside.

use std::{env, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

use crate::{
    enclosure::{self, Enclosure},
    harness::Harness,
    image,
    requirements::Requirements,
    support::Result,
};

/// Names the trials of a program.
pub(crate) type Trials = fn(&Harness) -> Vec<Trial>;

/// Runs the trials that the command line chooses, so many at a time.
pub(crate) fn run(trials: Trials, at_once: usize) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(at_once);
    let requirements = Requirements::find();
    let Ok(requirements) = requirements.as_ref() else {
        let missing = requirements.err().unwrap_or_default();
        return leave_out(&arguments, trials, &missing);
    };
    let outcome = match Enclosure::entered() {
        _ if arguments.list => Ok(conclude(&arguments, trials, requirements)),
        Some(enclosure) => enclosure
            .prepare()
            .map(|()| conclude(&arguments, trials, requirements)),
        None if !is_any_chosen(&arguments, trials) => {
            Ok(conclude(&arguments, trials, requirements))
        }
        None => build_and_run_inside(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// Inside there is no network by which a program could be built.
fn build_and_run_inside() -> Result<ExitCode> {
    image::build()?;
    enclosure::run_again_inside()
}

fn conclude(arguments: &Arguments, trials: Trials, requirements: &Requirements) -> ExitCode {
    let trials = trials(&Harness::new(requirements.clone()));
    libtest_mimic::run(arguments, trials).exit_code()
}

/// A filter that matches nothing builds and starts nothing.
fn is_any_chosen(arguments: &Arguments, trials: Trials) -> bool {
    let Some(filter) = &arguments.filter else {
        return true;
    };
    trials(&Harness::without_node()).iter().any(|trial| {
        if arguments.exact {
            trial.name() == filter
        } else {
            trial.name().contains(filter.as_str())
        }
    })
}

/// Reports every trial as ignored, and what is missing.
fn leave_out(arguments: &Arguments, trials: Trials, missing: &[String]) -> ExitCode {
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
