//! `keyporter secret create`: a secret from files, folders, variables or what a person types.

use std::{error::Error, path::PathBuf};

use clap::Args;

use super::{
    author::Author,
    draft::{Draft, Injection, KindArgument, UseCase},
    manifest,
    sources::SourceArguments,
    write::{Mode, write},
};
use crate::{
    cli::{UsageError, cluster::ClusterArguments, values::secret_name},
    inject::secret::{Kind, Scope},
};

/// Create a secret of yours, or change the one of that name
///
/// Your pods get it, and nobody else's. If there is a secret of that name, what is given is merged into it: keys are added or changed, all others are kept, and the output says which. Its kind does not
/// change. It takes the right to create and patch Secrets, not to read them (role keyporter-author).
///
/// Without a source of values you are asked for a key and its value, and what you type is not shown. Values on the command
/// line (--inline) are for what is no secret: others see them in the list of processes and in the history of the shell.
///
/// Exit codes: 0 done, or nothing to do; 1 failed; 2 the command line is wrong.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Kinds and their sources:
  default     any source: files in $KONDUKTOR_DEFAULT_SECRETS/NAME
  env         --inline, --from-env-file, --from-stdin, --prompt: one variable for each key
  git-ssh     --from-file with one private key without passphrase, stored as gitkey; --known-hosts
  auth        one value, by default with the key AUTH_SECRET
  image-pull  --from-file with docker's config.json, or --docker-server and --docker-username

Examples:
  keyporter secret create openai --kind env --prompt OPENAI_API_KEY
  keyporter secret create wandb --kind env --from-env-file wandb.env --use-case Generic
  keyporter secret create aws --from-directory ~/.aws
  keyporter secret create git --kind git-ssh --from-file ~/.ssh/id_ed25519 --replace
  keyporter secret create registry --kind image-pull --docker-server ghcr.io --docker-username alice
  vault read -field=token hf | keyporter secret create hugging-face --from-stdin token --on-reference")]
pub(super) struct Create {
    /// What you call it: 1 to 63 characters a-z, 0-9 and -
    #[arg(
        value_name = "NAME",
        value_parser = secret_name,
        required_unless_present = "manifest",
        conflicts_with = "manifest"
    )]
    name: Option<String>,

    /// How it reaches pods
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<KindArgument>,

    /// For every pod of the namespace, which takes rights on projectsecrets.keyporter.dev
    #[arg(long)]
    project: bool,

    /// What it is for: `HuggingFace`, `S3`, `Database`, `ImagePullSecret` or `Generic`, in any letters; shown in lists
    #[arg(long, value_name = "USE_CASE")]
    use_case: Option<UseCase>,

    /// Only in pods that refer to it, instead of all
    #[arg(long)]
    on_reference: bool,

    /// Kind git-ssh, of which everybody has one: let this key take the place of the one that is there
    #[arg(long)]
    replace: bool,

    /// Take the Secret of this manifest, YAML or JSON; - is standard input
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "MANIFEST",
        conflicts_with = "SourceArguments"
    )]
    manifest: Option<PathBuf>,

    /// Change nothing: only ask the API server, with its policies, what it would do
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    sources: SourceArguments,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl Create {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let (mut draft, namespace) = match (&self.manifest, &self.name) {
            (Some(path), _) => {
                let manifest = manifest::read(path, self.kind.map(Kind::from), self.project)?;
                (manifest.draft, manifest.namespace)
            }
            (None, Some(name)) => (self.draft(name)?, None),
            // The command line is not accepted without either.
            (None, None) => return Err(UsageError("a secret needs a NAME".to_owned()).into()),
        };
        if self.replace && draft.kind != Kind::GitSsh {
            let sentence = "--replace is for kind git-ssh, of which everybody has one; of other kinds, keys are replaced \
                            anyway";
            return Err(UsageError(sentence.to_owned()).into());
        }
        if self.on_reference {
            draft.injection = Some(Injection::OnReference);
        }
        draft.use_case = self.use_case.or(draft.use_case);
        let client = self.cluster.client().await?;
        let mut author = Author::new(client, self.dry_run);
        if let Some(namespace) = namespace {
            author.enter(&namespace, self.cluster.namespace())?;
        }
        let mode = if self.replace {
            Mode::Replace
        } else {
            Mode::Create
        };
        let owner = author.owner(draft.scope).await?;
        write(&author, draft, owner.as_deref(), mode).await
    }

    fn draft(&self, name: &str) -> Result<Draft, Box<dyn Error>> {
        let scope = if self.project {
            Scope::Project
        } else {
            Scope::User
        };
        let kind = self.kind.map_or(Kind::Default, Kind::from);
        let mut draft = Draft::new(name.to_owned(), scope, kind);
        self.sources.read_into(&mut draft)?;
        Ok(draft)
    }
}
