//! `keyporter man`: the pages of the manual.

use std::{error::Error, fs, io, io::Write, path::PathBuf};

use clap::Args;
use clap_mangen::{Man as Page, generate_to};

use super::{program::Called, written};

/// Print the page of the manual, or write those of all commands into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter man | man -l -
  keyporter man ~/.local/share/man/man1")]
pub(super) struct Man {
    /// Where the pages of all commands go, such as keyporter-secret-list.1; made if absent
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> Result<(), Box<dyn Error>> {
        let command = Called::Alone.command().disable_help_subcommand(true);
        let Some(directory) = &self.directory else {
            let mut page = vec![];
            Page::new(command).render(&mut page)?;
            return written(io::stdout().write_all(&page));
        };
        fs::create_dir_all(directory)
            .and_then(|()| generate_to(command, directory))
            .map_err(|error| format!("cannot write into {}: {error}", directory.display()).into())
    }
}
