//! The command line: one file, or one folder, a command.
//!
//! Exit codes: 0 done, 1 failed (one line on standard error says why), 2 the command line itself is wrong.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line is where the program speaks"
)]

use std::{error::Error, io, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    causes::one_line,
    telemetry::{self, LogFilter, LogFormat},
};

mod certs;
mod cluster;
mod explain;
mod explanation;
mod inject;
mod keys;
mod namespace;
mod rights;
mod secret;
mod serve;
mod settings;
mod table;
mod values;
mod workloads;

const LOGGING: &str = "Logging";

/// Gives every pod the secrets of its authenticated owner and project.
#[derive(Debug, Parser)]
#[command(name = "keyporter", version, about)]
pub struct Cli {
    /// Which events are logged: a level, or a list such as `info,keyporter::server=debug`. The default is info for
    /// serve and error for the other commands, which say themselves what they do
    #[arg(long, global = true, env = "KEYPORTER_LOG", value_name = "FILTER", help_heading = LOGGING)]
    log_level: Option<LogFilter>,

    /// How log lines look
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t, help_heading = LOGGING)]
    log_format: LogFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Inject(inject::Inject),
    Explain(explain::Explain),
    Secret(secret::Secret),
    Keys(keys::Keys),
    Certs(certs::Certs),
}

/// Does what the command line of this process asks for.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return usage(&message),
    };
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(error.as_ref()));
            if error.is::<UsageError>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn execute(cli: Cli) -> Result<(), Box<dyn Error>> {
    let level = match cli.command {
        Command::Serve(_) => LogFilter::INFO,
        Command::Inject(_)
        | Command::Explain(_)
        | Command::Secret(_)
        | Command::Keys(_)
        | Command::Certs(_) => LogFilter::ERROR,
    };
    telemetry::init(cli.log_format, &cli.log_level.unwrap_or(level))?;
    match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Inject(inject) => inject.run(),
        Command::Explain(explain) => explain.run(),
        Command::Secret(secret) => secret.run(),
        Command::Keys(keys) => keys.run(),
        Command::Certs(certs) => certs.run(),
    }
}

/// A mistake in the command line that shows only when it is looked at as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// What came of writing to standard output. A reader that closed the pipe early has seen what it wanted.
fn written(outcome: io::Result<()>) -> Result<(), Box<dyn Error>> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}").into())
        }
        _ => Ok(()),
    }
}

/// Help and version come this way too, with exit code 0.
fn usage(message: &clap::Error) -> ExitCode {
    // A reader that closed the pipe early has seen what it wanted.
    let _closed = message.print();
    u8::try_from(message.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
