//! `keyporter secret adopt`: owners for the secrets that are older than the installation.

use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, Write},
};

use clap::Args;

use super::{
    judgement::{Refusal, is_owned, wrong_owner_id},
    metadata::{Metadata, Secrets},
    namesakes, overview,
};
use crate::cli::{
    cluster::{ClusterArguments, RequestError},
    values::username,
    written,
};

/// How often a Secret that others change at the same time is tried.
const ATTEMPTS: usize = 3;

/// Give secrets that are older than the installation to their owner
///
/// Pods get nothing from a user's secret that has no owner, and nobody but an administrator may write one: it takes the
/// right to impersonate every user. Secrets that have an owner keep it. Values are neither asked for nor shown.
///
/// Without NAME, --konduktor-owner and --all it lists the secrets without an owner; those of one HASH were made by one
/// person with Konduktor's client, on one workstation.
///
/// Exit codes: 0 done, or nothing to do; 1 some could not be adopted; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter secret adopt -A
  keyporter secret adopt -n vision --owner alice --konduktor-owner 0a1b2c3d --dry-run
  keyporter secret adopt -n vision --owner alice wandb-0a1b2c3d git-0a1b2c3d")]
pub(super) struct Adopt {
    /// The Secrets, by the names of their objects
    #[arg(value_name = "NAME", value_parser = object, requires = "owner")]
    objects: Vec<String>,

    /// Whose they are from now on, such as alice or system:serviceaccount:vision:ci
    #[arg(long, value_name = "USER", value_parser = username)]
    owner: Option<String>,

    /// All that have this hash in Konduktor's label trainy.ai/secret-owner; may be repeated, as a person has one for each
    /// workstation
    #[arg(
        long = "konduktor-owner",
        value_name = "HASH",
        value_parser = hash,
        requires = "owner",
        conflicts_with = "objects"
    )]
    hashes: Vec<String>,

    /// All that have no owner
    #[arg(long, requires = "owner", conflicts_with_all = ["objects", "hashes"])]
    all: bool,

    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["objects", "namespace"])]
    all_namespaces: bool,

    /// Change nothing: only ask the API server, with its policies, what it would do
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Some are as they were. The sentences are on standard error already.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {all} could not be adopted")]
struct NotAll {
    failed: usize,
    all: usize,
}

/// What became of a Secret.
enum Done {
    /// As it is now, or would be.
    Adopted(Box<Metadata>),
    Already,
}

impl Adopt {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let client = self.cluster.client().await?;
        let namespace = client.default_namespace().to_owned();
        let namespace = (!self.all_namespaces).then_some(namespace);
        let secrets = Secrets::new(client, namespace);
        let known = secrets.list().await?;
        match &self.owner {
            Some(owner) if self.all || !self.objects.is_empty() || !self.hashes.is_empty() => {
                self.adopt(owner, &secrets, &known).await
            }
            _ => overview(&secrets, &known),
        }
    }

    async fn adopt(
        &self,
        owner: &str,
        secrets: &Secrets,
        known: &[Metadata],
    ) -> Result<(), Box<dyn Error>> {
        let (chosen, missing) = self.choose(secrets, known).await;
        for sentence in &missing {
            eprintln!("error: {sentence}");
        }
        let mut failed = missing.len();
        let mut adopted = vec![];
        for secret in &chosen {
            match self.adopt_one(owner, secrets, secret).await {
                Ok(Done::Adopted(now)) => {
                    self.tell(secret, owner)?;
                    adopted.push(*now);
                }
                Ok(Done::Already) => {
                    print(format_args!("{secret}: belongs to {owner:?} already"))?;
                    if let Some(wrong) = wrong_owner_id(secret, owner) {
                        eprintln!("warning: {secret}: {wrong}");
                    }
                }
                Err(refusal) => {
                    eprintln!("error: {secret}: {refusal}");
                    failed += 1;
                }
            }
        }
        let before: Vec<_> = known
            .iter()
            .filter(|secret| secret.owner() == Some(owner))
            .collect();
        let has = if self.dry_run {
            "would have"
        } else {
            "now has"
        };
        for warning in namesakes::warnings(owner, has, &before, &adopted) {
            eprintln!("warning: {warning}");
        }
        let all = chosen.len() + missing.len();
        match failed {
            0 if all == 0 => {
                eprintln!(
                    "note: there is no secret without an owner {}",
                    secrets.place()
                );
                Ok(())
            }
            0 => Ok(()),
            failed => Err(NotAll { failed, all }.into()),
        }
    }

    /// What to adopt, and a sentence for each name and hash that there is no Secret of.
    async fn choose(&self, secrets: &Secrets, known: &[Metadata]) -> (Vec<Metadata>, Vec<String>) {
        let mut missing = vec![];
        if self.all {
            let ownerless = known.iter().filter(|secret| secret.owner().is_none());
            return (ownerless.cloned().collect(), missing);
        }
        for hash in BTreeSet::from_iter(&self.hashes) {
            let has_it = |secret: &Metadata| secret.konduktor_owner() == Some(hash);
            if !known.iter().any(has_it) {
                let place = secrets.place();
                missing.push(format!(
                    "no secret {place} has the label trainy.ai/secret-owner={hash}"
                ));
            }
        }
        let of_hashes = known.iter().filter(|secret| {
            let hash = secret.konduktor_owner();
            hash.is_some_and(|hash| self.hashes.iter().any(|chosen| chosen == hash))
        });
        let mut chosen: Vec<_> = of_hashes.cloned().collect();
        for object in BTreeSet::from_iter(&self.objects) {
            if let Some(secret) = known.iter().find(|secret| secret.object == *object) {
                chosen.push(secret.clone());
                continue;
            }
            // Why it is not among those known is told where it is refused.
            match secrets.named(object).await {
                Ok(secret) => chosen.push(secret),
                Err(error) => missing.push(error.to_string()),
            }
        }
        (chosen, missing)
    }

    async fn adopt_one(
        &self,
        owner: &str,
        secrets: &Secrets,
        secret: &Metadata,
    ) -> Result<Done, Refusal> {
        let mut secret = secret.clone();
        for _ in 0..ATTEMPTS {
            if is_owned(&secret, owner)? {
                return Ok(Done::Already);
            }
            let refused = match secrets.write_owner(&secret, owner, self.dry_run).await {
                Ok(now) => return Ok(Done::Adopted(Box::new(now))),
                Err(error) => error,
            };
            // A test of the patch that fails, and a policy's refusal, may have the same code.
            if !matches!(
                refused,
                RequestError::Refused {
                    code: 409 | 422,
                    ..
                }
            ) {
                return Err(refused.into());
            }
            let now = secrets.again(&secret).await?;
            if now.resource_version == secret.resource_version {
                return Err(refused.into());
            }
            secret = now;
        }
        Err(Refusal::Restless)
    }

    fn tell(&self, secret: &Metadata, owner: &str) -> Result<(), Box<dyn Error>> {
        if self.dry_run {
            print(format_args!(
                "{secret}: would belong to {owner:?} (dry run)"
            ))
        } else {
            print(format_args!("{secret}: belongs to {owner:?} now"))
        }
    }
}

fn overview(secrets: &Secrets, known: &[Metadata]) -> Result<(), Box<dyn Error>> {
    let ownerless: Vec<_> = known
        .iter()
        .filter(|secret| secret.owner().is_none())
        .collect();
    let place = secrets.place();
    if ownerless.is_empty() {
        eprintln!("note: there is no secret without an owner {place}");
        return Ok(());
    }
    written(overview::print(&mut io::stdout().lock(), ownerless))?;
    eprintln!(
        "note: no pod gets any of these, because nobody knows whose they are. Give all of a hash to their user with \
         `keyporter secret adopt --owner USER --konduktor-owner HASH`, or name objects instead of the hash; with --dry-run \
         nothing is changed"
    );
    Ok(())
}

/// A line for the person at the terminal, at once.
fn print(line: std::fmt::Arguments<'_>) -> Result<(), Box<dyn Error>> {
    written(writeln!(io::stdout(), "{line}"))
}

fn object(name: &str) -> Result<String, String> {
    let inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if !name.is_empty() && name.len() <= 253 && name.bytes().all(inner) {
        Ok(name.to_owned())
    } else {
        Err("the name of an object has 1 to 253 characters a-z, 0-9, - and .".to_owned())
    }
}

fn hash(hash: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !hash.is_empty() && hash.bytes().all(inner) {
        Ok(hash.to_owned())
    } else {
        Err(
            "a hash is what the column HASH shows when this command is called without one"
                .to_owned(),
        )
    }
}
