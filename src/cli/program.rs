//! What the program is called: `keyporter`, or `kubectl keyporter` where it is a plugin of kubectl.
//!
//! kubectl finds plugins by their names, and asks those called `kubectl_complete-…` what could come next.
//! <https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/>

use std::{ffi::OsStr, io, io::Write, path::Path};

use clap::{Arg, Command, CommandFactory};

use super::Cli;

const NAME: &str = "keyporter";
/// As kubectl looks for it.
const PLUGIN: &str = "kubectl-keyporter";
/// As kubectl looks for it when somebody presses the tab key.
const PLUGIN_COMPLETION: &str = "kubectl_complete-keyporter";
/// Files are no candidates.
/// <https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md#completion-for-subcommands>
const NO_FILES: u8 = 4;
/// Files are the candidates.
const FILES: u8 = 0;

/// How this process was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    Alone,
    Plugin,
    PluginCompletion,
}

impl Called {
    /// By the path of the program, the first of its arguments.
    pub(super) fn by(program: Option<&OsStr>) -> Self {
        let name = program.map(Path::new).and_then(Path::file_stem);
        match name.and_then(OsStr::to_str) {
            Some(PLUGIN) => Self::Plugin,
            Some(PLUGIN_COMPLETION) => Self::PluginCompletion,
            _ => Self::Alone,
        }
    }

    /// The name of the file.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Alone => NAME,
            Self::Plugin | Self::PluginCompletion => PLUGIN,
        }
    }

    /// The command line, with the name that its user types.
    pub(super) fn command(self) -> Command {
        let command = Cli::command();
        match self {
            Self::Alone => command,
            Self::Plugin | Self::PluginCompletion => {
                as_plugin(command).bin_name(format!("kubectl {NAME}"))
            }
        }
    }
}

/// The examples, too.
fn as_plugin(mut command: Command) -> Command {
    let examples = command.get_after_help().map(ToString::to_string);
    if let Some(examples) = examples {
        let called = format!(" kubectl {NAME} ");
        command = command.after_help(examples.replace(&format!(" {NAME} "), &called));
    }
    let names: Vec<_> = command
        .get_subcommands()
        .map(|subcommand| subcommand.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, as_plugin);
    }
    command
}

/// Prints what could be the last of these words, one a line, and then whether files could, too.
pub(super) fn complete(out: &mut impl Write, words: &[String]) -> io::Result<()> {
    let mut command = Called::PluginCompletion.command();
    command.build();
    let (candidates, files) = candidates(&command, words);
    for (candidate, about) in candidates {
        writeln!(out, "{candidate}\t{about}")?;
    }
    writeln!(out, ":{files}")
}

fn candidates(root: &Command, words: &[String]) -> (Vec<(String, String)>, u8) {
    let Some((last, before)) = words.split_last() else {
        return (vec![], NO_FILES);
    };
    let mut command = root;
    for word in before {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let option = before.last().and_then(|word| named(command, word));
    let (all, files) = if let Some(option) = option.filter(|option| takes_value(option)) {
        let values = option.get_possible_values();
        let values: Vec<_> = values
            .into_iter()
            .map(|value| (value.get_name().to_owned(), String::new()))
            .collect();
        let files = if values.is_empty() { FILES } else { NO_FILES };
        (values, files)
    } else if last.starts_with('-') {
        (options(command), NO_FILES)
    } else if command.has_subcommands() {
        (subcommands(command), NO_FILES)
    } else {
        (vec![], FILES)
    };
    let fitting = all.into_iter().filter(|(name, _)| name.starts_with(last));
    (fitting.collect(), files)
}

fn named<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let long = word.strip_prefix("--");
    let short = word.strip_prefix('-').and_then(|rest| {
        let mut characters = rest.chars();
        characters.next().filter(|_| characters.next().is_none())
    });
    command.get_arguments().find(|argument| {
        long.is_some() && argument.get_long() == long
            || short.is_some() && argument.get_short() == short
    })
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

fn options(command: &Command) -> Vec<(String, String)> {
    let shown = command
        .get_arguments()
        .filter(|option| !option.is_hide_set());
    let option = |option: &Arg| {
        let help = option.get_help().map(ToString::to_string);
        let name = format!("--{}", option.get_long()?);
        Some((name, first_line(help)))
    };
    shown.filter_map(option).collect()
}

fn subcommands(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    shown
        .map(|one| {
            let about = one.get_about().map(ToString::to_string);
            (one.get_name().to_owned(), first_line(about))
        })
        .collect()
}

fn first_line(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("keyporter", Called::Alone, "keyporter")]
    #[case("/opt/x/keyporter", Called::Alone, "keyporter")]
    #[case("/usr/bin/kubectl-keyporter", Called::Plugin, "kubectl-keyporter")]
    #[case(
        "kubectl_complete-keyporter",
        Called::PluginCompletion,
        "kubectl-keyporter"
    )]
    fn names(#[case] program: &str, #[case] called: Called, #[case] file: &str) {
        assert_eq!(Called::by(Some(OsStr::new(program))), called);
        assert_eq!(called.file(), file);
    }

    #[test]
    fn a_plugin_shows_how_it_is_called() {
        let mut command = Called::Plugin.command();
        let error = command
            .try_get_matches_from_mut(["kubectl-keyporter", "secret", "list", "--help"])
            .unwrap_err();
        let help = error.to_string();
        assert!(
            help.contains("Usage: kubectl keyporter secret list"),
            "{help}"
        );
        assert!(
            help.contains("\n  kubectl keyporter secret list\n"),
            "{help}"
        );
        assert!(!help.contains("\n  keyporter"), "{help}");
    }

    #[rstest]
    #[case(&["sec"], &["secret"], NO_FILES)]
    #[case(&["secret", "li"], &["list"], NO_FILES)]
    #[case(&["secret", "ls", "--all-u"], &["--all-users"], NO_FILES)]
    #[case(&["secret", "list", "-o", "y"], &["yaml"], NO_FILES)]
    #[case(&["secret", "list", "--output", "w"], &["wide"], NO_FILES)]
    #[case(&["explain", "-f", ""], &[], FILES)]
    #[case(&["explain", "x"], &[], FILES)]
    #[case(&[], &[], NO_FILES)]
    fn completions(#[case] words: &[&str], #[case] expected: &[&str], #[case] files: u8) {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut out = vec![];
        complete(&mut out, &words).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.pop(), Some(&*format!(":{files}")));
        let names: Vec<_> = lines
            .iter()
            .map(|line| line.split('\t').next().unwrap())
            .collect();
        assert_eq!(names, expected);
    }
}
