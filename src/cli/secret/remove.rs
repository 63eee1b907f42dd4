//! `keyporter secret rm`: secrets go.

use std::{collections::BTreeMap, error::Error};

use clap::Args;
use thiserror::Error as ThisError;

use super::{
    add::secret_called,
    author::{Author, Written, WrittenMetadata},
    draft::Draft,
    merge::check_same_name,
    present::Present,
    prompt,
    refusal::Refusal,
    write::{ATTEMPTS, present, print},
};
use crate::{
    cli::{
        UsageError,
        cluster::{ClusterArguments, RequestError},
    },
    inject::{
        annotations::FORCE_DELETE,
        secret::{Kind, Scope},
    },
};

/// In refusals that the annotation lifts.
const IN_USE: [&str; 2] = ["[rule: secret-in-use]", "[rule: use-unknown]"];

/// Delete secrets
///
/// You are asked first; without a terminal say --yes. A secret that live pods use stays, and the answer names them; --force
/// deletes it nevertheless, and those pods fail when they start anew. It takes the rights to patch and delete Secrets, not
/// to read them (role keyporter-author).
///
/// Exit codes: 0 all are deleted; 1 some are not; 2 the command line is wrong, or nobody could be asked.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    visible_alias = "delete",
    after_help = "\
Examples:
  keyporter secret rm hugging-face
  keyporter secret rm wandb openai --yes
  keyporter secret rm registry --project --force --yes"
)]
pub(super) struct Remove {
    /// What you call them; a KEY of `add` is taken for its name
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    /// The project's secrets of these names
    #[arg(long)]
    project: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Also what live pods use
    #[arg(long)]
    force: bool,

    /// Change nothing: only ask the API server, with its policies, what it would do
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Some are there still. The sentences are on standard error already.
#[derive(Debug, ThisError)]
#[error("{failed} of {all} could not be deleted")]
struct NotAll {
    failed: usize,
    all: usize,
}

impl Remove {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let mut names = vec![];
        for name in &self.names {
            let name = secret_called(name)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let author = Author::new(self.cluster.client().await?, self.dry_run);
        if !self.yes && !self.dry_run {
            self.ask(&names, &author.namespace)?;
        }
        let scope = if self.project {
            Scope::Project
        } else {
            Scope::User
        };
        let owner = author.owner(scope).await?;
        let mut failed = 0;
        for name in &names {
            // The kind makes no difference here.
            let draft = Draft::new(name.clone(), scope, Kind::Default);
            match self.remove(&author, &draft, owner.as_deref()).await {
                Ok(()) => {
                    let dry_run = if self.dry_run { " (dry run)" } else { "" };
                    print(format_args!("secret {name} deleted{dry_run}"))?;
                }
                Err(refusal) if names.len() == 1 => return Err(refusal.into()),
                Err(refusal) => {
                    eprintln!("error: secret {name}: {refusal}");
                    failed += 1;
                }
            }
        }
        match failed {
            0 => Ok(()),
            failed => Err(NotAll {
                failed,
                all: names.len(),
            }
            .into()),
        }
    }

    fn ask(&self, names: &[String], namespace: &str) -> Result<(), Box<dyn Error>> {
        if !prompt::is_possible() {
            let sentence = "nothing was deleted: nobody can be asked, as standard input is no terminal; say --yes";
            return Err(UsageError(sentence.to_owned()).into());
        }
        let whose = if self.project {
            "the project's"
        } else {
            "your"
        };
        let (secrets, names) = (
            if names.len() == 1 {
                "secret"
            } else {
                "secrets"
            },
            names.join(", "),
        );
        if prompt::yes(&format!(
            "Delete {whose} {secrets} {names} in namespace {namespace}?"
        ))? {
            Ok(())
        } else {
            Err("nothing was deleted".into())
        }
    }

    async fn remove(
        &self,
        author: &Author,
        draft: &Draft,
        owner: Option<&str>,
    ) -> Result<(), Refusal> {
        let object = draft.object(owner);
        for _ in 0..ATTEMPTS {
            let present = present(author, draft, &object)
                .await?
                .compare(&BTreeMap::new())?;
            check_same_name(draft, &object, &present)?;
            let refused = match author.delete(&object, &present.version).await {
                Ok(()) => return Ok(()),
                // Another version of it by now, or none, which the next attempt says.
                Err(error) if matches!(error.code(), Some(404 | 409)) => continue,
                Err(error) => error,
            };
            let in_use = matches!(
                &refused,
                RequestError::Refused { sentence, .. } if IN_USE.iter().any(|rule| sentence.contains(rule))
            );
            match (in_use, self.force) {
                (false, _) => return Err(refused.into()),
                (true, false) => return Err(Refusal::InUse(refused.to_string())),
                (true, true) => {}
            }
            return match self.by_force(author, draft, &object, &present).await {
                Err(Refusal::Request(error)) if matches!(error.code(), Some(404 | 409)) => continue,
                outcome => outcome,
            };
        }
        Err(Refusal::Restless(draft.name.clone()))
    }

    /// The annotation lets it go. If it stays all the same, so does its protection.
    async fn by_force(
        &self,
        author: &Author,
        draft: &Draft,
        object: &str,
        before: &Present,
    ) -> Result<(), Refusal> {
        author
            .change(object, &force(Some("true"), Some(&before.version)))
            .await?;
        if self.dry_run {
            return Ok(());
        }
        let present = present(author, draft, object)
            .await?
            .compare(&BTreeMap::new())?;
        let outcome = author.delete(object, &present.version).await;
        if outcome.is_err() {
            let _stays = author.change(object, &force(None, None)).await;
        }
        Ok(outcome?)
    }
}

fn force<'a>(value: Option<&str>, version: Option<&'a str>) -> Written<'a> {
    let annotation = (FORCE_DELETE.to_owned(), value.map(str::to_owned));
    Written {
        metadata: WrittenMetadata {
            resource_version: version,
            annotations: BTreeMap::from([annotation]),
            ..WrittenMetadata::default()
        },
        ..Written::default()
    }
}
