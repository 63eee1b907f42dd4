//! `keyporter secret`: the secrets on a cluster.

use std::error::Error;

use clap::{Args, Subcommand};

mod add;
mod adopt;
mod age;
mod author;
mod create;
mod draft;
mod env_file;
mod fields;
mod filter;
mod git_key;
mod judgement;
mod limits;
mod list;
mod manifest;
mod merge;
pub(super) mod metadata;
mod namesakes;
pub(super) mod output;
mod overview;
mod present;
mod prompt;
mod refusal;
mod registry;
mod remove;
mod set_auth;
mod show;
mod sources;
mod summary;
mod tree;
mod update;
mod uses;
mod value;
mod write;

/// The secrets on a cluster
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter secret create openai --kind env --prompt OPENAI_API_KEY
  keyporter secret list
  keyporter secret show openai")]
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
    #[command(visible_alias = "ls")]
    List(list::List),
    Show(show::Show),
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
            Command::List(list) => runtime.block_on(list.run()),
            Command::Show(show) => runtime.block_on(show.run()),
        }
    }
}
