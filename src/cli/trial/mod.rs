//! `keyporter trial`: whether an installation gives a pod its secrets, tried with a real one.

mod cleanup;
mod interruption;
mod look;
mod objects;
mod pod;
mod pod_spec;
mod run;

pub(super) use pod::in_one_line;

use std::error::Error;

use clap::{Args, Subcommand};

/// Try whether the installation gives a pod its secrets
///
/// A secret and a pod are made, and the pod looks whether it has the secret's bytes. `helm test` does the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter trial run --image registry.example.com/keyporter:0.1.0")]
pub(super) struct Trial {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Look(look::Look),
}

impl Trial {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        match self.command {
            Command::Run(run) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(run.run())
            }
            Command::Look(look) => look.run(),
        }
    }
}
