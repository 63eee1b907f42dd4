//! `keyporter secret`: the secrets on a cluster.

use std::error::Error;

use clap::{Args, Subcommand};

mod add;
mod adopt;
mod author;
mod create;
mod draft;
mod env_file;
mod git_key;
mod judgement;
mod limits;
mod manifest;
mod merge;
mod metadata;
mod namesakes;
mod overview;
mod present;
mod prompt;
mod refusal;
mod registry;
mod remove;
mod set_auth;
mod sources;
mod tree;
mod update;
mod value;
mod write;

/// The secrets on a cluster
#[derive(Debug, Args)]
pub(super) struct Secret {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(create::Create),
    Add(add::Add),
    Update(update::Update),
    #[command(name = "rm")]
    Remove(remove::Remove),
    SetAuth(set_auth::SetAuth),
    Adopt(adopt::Adopt),
}

impl Secret {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match self.command {
            Command::Create(create) => runtime.block_on(create.run()),
            Command::Add(add) => runtime.block_on(add.run()),
            Command::Update(update) => runtime.block_on(update.run()),
            Command::Remove(remove) => runtime.block_on(remove.run()),
            Command::SetAuth(set_auth) => set_auth.run(),
            Command::Adopt(adopt) => runtime.block_on(adopt.run()),
        }
    }
}
