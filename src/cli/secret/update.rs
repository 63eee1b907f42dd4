//! `keyporter secret update`: a secret that is there already.

use std::{collections::BTreeMap, error::Error};

use clap::Args;

use super::{
    author::Author,
    draft::{Draft, Injection, UseCase},
    refusal::Refusal,
    sources::SourceArguments,
    write::{Mode, present, write},
};
use crate::{
    cli::{cluster::ClusterArguments, values::secret_name},
    inject::secret::{Kind, Scope},
};

/// Change a secret that is there already
///
/// Values are given as to `create`, and the kind is that of the secret. Keys that are not named stay as they are. Pods that
/// run get changed files within a minute or so, and changed variables when they are created anew. It takes the right to
/// patch Secrets, not to read them (role keyporter-author).
///
/// Exit codes: 0 done, or nothing to do; 1 failed; 2 the command line is wrong.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  keyporter secret update openai --prompt OPENAI_API_KEY
  keyporter secret update aws --from-directory ~/.aws --remove-key old.pem
  keyporter secret update wandb --on-reference")]
pub(super) struct Update {
    /// What you call it
    #[arg(value_name = "NAME", value_parser = secret_name)]
    name: String,

    /// The project's secret of that name
    #[arg(long)]
    project: bool,

    /// Take a key out; may be repeated
    #[arg(long = "remove-key", value_name = "KEY")]
    removed: Vec<String>,

    /// Only in pods that refer to it from now on
    #[arg(long)]
    on_reference: bool,

    /// In all pods from now on
    #[arg(long, conflicts_with = "on_reference")]
    automatic: bool,

    /// What it is for: `HuggingFace`, `S3`, `Database`, `ImagePullSecret` or `Generic`, in any letters; shown in lists
    #[arg(long, value_name = "USE_CASE")]
    use_case: Option<UseCase>,

    /// Change nothing: only ask the API server, with its policies, what it would do
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    sources: SourceArguments,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl Update {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let author = Author::new(self.cluster.client().await?, self.dry_run);
        let scope = if self.project {
            Scope::Project
        } else {
            Scope::User
        };
        let owner = author.owner(scope).await?;
        // Nobody is asked for a value that nothing can become of.
        let mut draft = Draft::new(self.name.clone(), scope, Kind::Default);
        let object = draft.object(owner.as_deref());
        let before = present(&author, &draft, &object)
            .await?
            .compare(&BTreeMap::new())?;
        let kind = before.kind().ok_or(Refusal::NotKeyporters(object))?;
        draft.kind = Kind::of(kind)
            .ok_or_else(|| Refusal::UnknownKind(self.name.clone(), kind.to_owned()))?;

        draft.injection = match (self.on_reference, self.automatic) {
            (true, _) => Some(Injection::OnReference),
            (false, true) => Some(Injection::Automatic),
            (false, false) => None,
        };
        draft.use_case = self.use_case;
        let settings = draft.injection.is_some() || draft.use_case.is_some();
        if self.sources.any() || !settings && self.removed.is_empty() {
            self.sources.read_part_into(&mut draft)?;
        }
        draft.removed = self.removed.into_iter().collect();
        write(&author, draft, owner.as_deref(), Mode::Update).await
    }
}
