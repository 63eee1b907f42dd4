//! `keyporter keys`: the keys with which owners of workloads are proved.

use std::error::Error;

use clap::{Args, Subcommand};

use super::cluster::ClusterArguments;
use crate::ownership::{OWN_NAMESPACE, rotate};

/// The keys with which owners of workloads are proved
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter keys rotate")]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Rotate(Rotate),
}

/// Make a new key, which signs from now on
///
/// The keys before it still count, so that every workload keeps its owner. keyporter reads the keys every 30 seconds, and
/// at once when it meets a proof of a key that it does not know. They are in keyporter-system, unless --namespace names
/// another.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter keys rotate
  keyporter keys rotate --keep 0    # a key has leaked: all workloads need a restart to get their owner's secrets again")]
struct Rotate {
    /// How many of the keys before it still count; without it all. What the others have proved has no owner any more
    #[arg(long, value_name = "NUMBER")]
    keep: Option<usize>,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl Keys {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match self.command {
            Command::Rotate(rotate) => runtime.block_on(rotate.run()),
        }
    }
}

impl Rotate {
    async fn run(self) -> Result<(), Box<dyn Error>> {
        let client = self.cluster.client().await?;
        let namespace = self.cluster.namespace().unwrap_or(OWN_NAMESPACE);
        let rotated = rotate(client, namespace, self.keep).await?;
        println!("key {} signs from now on", rotated.new);
        for number in rotated.forgotten {
            println!("key {number} counts no more");
        }
        Ok(())
    }
}
