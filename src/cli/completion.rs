//! `keyporter completion`: what the tab key brings.

use std::{error::Error, io::Write};

use clap::{Args, ValueEnum};
use clap_complete::{Shell as Writer, generate};

use super::{program::Called, written};

/// Print the script that lets a shell complete commands and flags
#[derive(Debug, Args)]
#[command(after_help = "\
As a plugin of kubectl it completes by itself, if a link kubectl_complete-keyporter to the program is in the PATH.

Examples:
  source <(keyporter completion bash)
  keyporter completion bash > ~/.local/share/bash-completion/completions/keyporter
  keyporter completion zsh > ~/.zfunc/_keyporter
  keyporter completion fish > ~/.config/fish/completions/keyporter.fish")]
pub(super) struct Completion {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(super) fn run(&self, called: Called) -> Result<(), Box<dyn Error>> {
        let shell = match self.shell {
            Shell::Bash => Writer::Bash,
            Shell::Zsh => Writer::Zsh,
            Shell::Fish => Writer::Fish,
        };
        // The writer panics where it cannot write.
        let mut script = vec![];
        generate(shell, &mut called.command(), called.file(), &mut script);
        written(std::io::stdout().write_all(&script))
    }
}
