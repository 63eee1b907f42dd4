//! Logs: to standard error, as text for people and as JSON for collectors.

mod gathered;
mod line;

use std::{
    borrow::Cow,
    io::{self, IsTerminal},
    str::FromStr,
};

use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, filter::ParseError, filter::filter_fn, fmt,
    fmt::MakeWriter, layer::SubscriberExt, registry, util::SubscriberInitExt, util::TryInitError,
};

pub use gathered::LogWriter;
use line::Line;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// A line for a person.
    Text,
    /// One JSON object per line.
    Json,
}

/// Which events are logged: a level, or a list such as `info,keyporter::server=debug`.
///
/// The language is that of [`EnvFilter`], but for one thing: there a word that is no level is taken for a module that
/// shall log everything, so that a mistyped level turns the log off. Here a module needs its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(Cow<'static, str>);

impl LogFilter {
    /// What an operator wants to know.
    pub const INFO: Self = Self(Cow::Borrowed("info"));
    /// Only what failed, and of requests to a cluster not even that: a command says it itself, in its own words.
    pub const ERROR: Self = Self(Cow::Borrowed("error,kube_client=off"));
}

/// Why a filter expression is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LogFilterError {
    /// A single word that is no level.
    #[error(
        "`{directive}` in the log filter `{filter}` is no level: say off, error, warn, info, debug or trace, \
         or MODULE=LEVEL"
    )]
    NoLevel {
        /// The word.
        directive: String,
        /// The whole expression.
        filter: String,
    },
    /// Not in the language of filters.
    #[error(
        "the log filter `{filter}` is not valid: say a level, or MODULE=LEVEL, separated by commas"
    )]
    Syntax {
        /// The whole expression.
        filter: String,
        /// What the parser said.
        source: ParseError,
    },
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(filter: &str) -> Result<Self, Self::Err> {
        let mistyped = filter
            .split(',')
            .filter(|directive| !directive.contains(['=', '[']))
            .find(|directive| directive.is_empty() || directive.parse::<LevelFilter>().is_err());
        if let Some(directive) = mistyped {
            return Err(LogFilterError::NoLevel {
                directive: directive.to_owned(),
                filter: filter.to_owned(),
            });
        }
        EnvFilter::try_new(filter)
            .map(|_| Self(Cow::Owned(filter.to_owned())))
            .map_err(|source| LogFilterError::Syntax {
                filter: filter.to_owned(),
                source,
            })
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A subscriber is a matter of the whole process, and there is one.
    #[error("logging is set up already: do it once, in the program's beginning")]
    Twice(#[source] TryInitError),
    /// The system gives no more threads.
    #[error("no thread for the log")]
    NoThread(#[source] io::Error),
}

/// The module of kube that logs whole answers of the API server when it cannot decode them. They may hold values of
/// secrets, so it is silent whatever the filter says.
const SILENCED: &str = "kube_client::client";

/// Sends the events of the whole process to standard error from here on.
pub fn init(format: LogFormat, filter: &LogFilter) -> Result<(), TelemetryError> {
    set_up(format, filter, io::stderr)
}

/// Like [`init`], but lines are gathered, and written by a thread.
pub fn init_for_serving(
    format: LogFormat,
    filter: &LogFilter,
) -> Result<LogWriter, TelemetryError> {
    let (writer, lines) = LogWriter::start(io::stderr()).map_err(TelemetryError::NoThread)?;
    set_up(format, filter, lines)?;
    Ok(writer)
}

fn set_up(
    format: LogFormat,
    filter: &LogFilter,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Result<(), TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(terminal).boxed(),
        LogFormat::Auto if terminal => lines.with_ansi(true).boxed(),
        LogFormat::Auto | LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            lines.map_event_format(Line).boxed()
        }
    };
    registry()
        .with(lines)
        .with(EnvFilter::new(&filter.0))
        .with(filter_fn(|metadata| metadata.target() != SILENCED))
        .try_init()
        .map_err(TelemetryError::Twice)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("info")]
    #[case("WARN")]
    #[case("off")]
    #[case("info,keyporter::server=debug")]
    #[case("info,kube[watch]=debug")]
    #[case("info,keyporter[request{uid=1}]=debug")]
    fn accepts_levels_and_modules_with_levels(#[case] filter: &str) {
        filter.parse::<LogFilter>().unwrap();
    }

    #[rstest]
    #[case("inof", "`inof` in the log filter `inof` is no level")]
    #[case("", "`` in the log filter `` is no level")]
    #[case(
        "info,keyporter",
        "`keyporter` in the log filter `info,keyporter` is no level"
    )]
    #[case("keyporter=loud", "the log filter `keyporter=loud` is not valid")]
    fn quotes_what_it_refuses(#[case] filter: &str, #[case] beginning: &str) {
        let error = filter.parse::<LogFilter>().unwrap_err().to_string();
        assert!(error.starts_with(beginning), "{error}");
    }
}
