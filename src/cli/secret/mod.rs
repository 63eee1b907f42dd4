//! `keyporter secret`: the secrets on a cluster.

use std::error::Error;

use clap::{Args, Subcommand};

mod adopt;
mod judgement;
mod metadata;
mod namesakes;
mod overview;

/// The secrets on a cluster
#[derive(Debug, Args)]
pub(super) struct Secret {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Adopt(adopt::Adopt),
}

impl Secret {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match self.command {
            Command::Adopt(adopt) => runtime.block_on(adopt.run()),
        }
    }
}
