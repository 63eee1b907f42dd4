//! The command line: one file, or one folder, a command.
//!
//! Exit codes: 0 done, 1 failed (one line on standard error says why), 2 the command line itself is wrong.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line is where the program speaks"
)]

use std::{env, error::Error, ffi::OsString, io, process::ExitCode};

use clap::{
    FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    causes::one_line,
    telemetry::{self, LogFilter, LogFormat},
};

mod certificates;
mod certs;
mod check;
mod cluster;
mod completion;
mod explain;
mod explanation;
mod inject;
mod keys;
mod man;
mod namespace;
mod program;
mod rights;
mod secret;
mod serve;
mod settings;
mod table;
mod trial;
mod values;
mod workloads;

use program::{Called, complete};

const LOGGING: &str = "Logging";

/// Gives every pod the secrets of its authenticated owner and project.
#[derive(Debug, Parser)]
#[command(name = "keyporter", version, about)]
#[command(after_help = "\
Exit codes: 0 done; 1 failed, or denied; 2 the command line is wrong.

Examples:
  keyporter secret create openai --kind env --prompt OPENAI_API_KEY
  keyporter secret list
  keyporter explain -f job.yaml
  keyporter serve --secrets deploy/examples/secrets.yaml")]
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
    Serve(Box<serve::Serve>),
    Inject(inject::Inject),
    Explain(explain::Explain),
    Secret(secret::Secret),
    Check(check::Check),
    Keys(keys::Keys),
    Trial(trial::Trial),
    Certs(certs::Certs),
    Completion(completion::Completion),
    Man(man::Man),
}

/// Does what the command line of this process asks for.
#[must_use]
pub fn run() -> ExitCode {
    let mut arguments = env::args_os();
    let called = Called::by(arguments.next().as_deref());
    if called == Called::PluginCompletion {
        let words: Vec<_> = arguments
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        return ended(written(complete(&mut io::stdout(), &words)));
    }
    let mut command = called.command();
    let parsed = command
        .try_get_matches_from_mut(env::args_os())
        .and_then(|matches| {
            let cli = Cli::from_arg_matches(&matches);
            cli.map_err(|error| error.format(&mut command))
        });
    match parsed {
        Ok(cli) => ended(execute(cli, called)),
        Err(message) => usage(message),
    }
}

fn ended(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
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

fn execute(cli: Cli, called: Called) -> Result<(), Box<dyn Error>> {
    let format = cli.log_format;
    let level = |default| cli.log_level.clone().unwrap_or(default);
    let _log = match cli.command {
        Command::Serve(_) => Some(telemetry::init_for_serving(
            format,
            &level(LogFilter::INFO),
        )?),
        _ => telemetry::init(format, &level(LogFilter::ERROR)).map(|()| None)?,
    };
    match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Inject(inject) => inject.run(),
        Command::Explain(explain) => explain.run(),
        Command::Secret(secret) => secret.run(),
        Command::Check(check) => check.run(),
        Command::Keys(keys) => keys.run(),
        Command::Trial(trial) => trial.run(),
        Command::Certs(certs) => certs.run(),
        Command::Completion(completion) => completion.run(called),
        Command::Man(man) => man.run(),
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
fn usage(mut message: clap::Error) -> ExitCode {
    hide_values(&mut message, env::args_os());
    // A reader that closed the pipe early has seen what it wanted.
    let _closed = message.print();
    u8::try_from(message.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// A word too many may be a part of a value that was not put in quotes, so it is not repeated; unless it resembles a flag.
fn hide_values(message: &mut clap::Error, arguments: impl Iterator<Item = OsString>) {
    let takes_values = arguments.skip(1).any(|argument| argument == "secret");
    let is_a_slip = message.get(ContextKind::SuggestedArg).is_some();
    if takes_values && message.kind() == ErrorKind::UnknownArgument && !is_a_slip {
        let hidden = "(not shown, as it may be a part of a value)".to_owned();
        message.insert(ContextKind::InvalidArg, ContextValue::String(hidden));
        message.remove(ContextKind::Suggested);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_it_takes() {
        fn walk(path: &str, command: &clap::Command, wrong: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples = help.split("Examples:\n").nth(1).unwrap_or_default();
            let calls = examples.lines().filter_map(|line| {
                let (_, call) = line.split_once("keyporter ")?;
                let ends = |c: char| matches!(c, '|' | '#' | '>' | ')');
                Some(
                    call.split(ends)
                        .next()
                        .unwrap_or_default()
                        .replace('\'', ""),
                )
            });
            let calls: Vec<_> = calls.collect();
            if calls.is_empty() {
                wrong.push(format!("{path}: no example"));
            }
            for call in calls {
                let words = ["keyporter"].into_iter().chain(call.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    wrong.push(format!("{path}: {call}: {error}"));
                }
            }
            for subcommand in command.get_subcommands() {
                walk(
                    &format!("{path} {}", subcommand.get_name()),
                    subcommand,
                    wrong,
                );
            }
        }
        let mut wrong = vec![];
        walk("keyporter", &Cli::command(), &mut wrong);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
