//! `keyporter secret add`: one value, as Apolo's command of the same name takes it.
//!
//! It makes a secret of one key, of kind `default` and only on reference. That is what Apolo's users expect: a secret is
//! called like its key, a job gets it where it says `secret:NAME`, as a variable or as a file, and nowhere else. Another
//! value takes the place of the one before.

use std::{env, error::Error, fmt, path::PathBuf};

use clap::{
    Args,
    builder::{StringValueParser, TypedValueParser},
};
use zeroize::Zeroizing;

use super::{
    author::Author,
    draft::{Draft, Injection},
    limits,
    sources::{ask, read_file, typed_or_piped},
    value::Value,
    write::{Mode, write},
};
use crate::{
    cli::{UsageError, cluster::ClusterArguments},
    inject::{
        name::is_label,
        secret::{Kind, Scope},
    },
};

/// Add one value, or put it in the place of the one that is there
///
/// The secret is called like KEY, in small letters and with - for other characters, and holds VALUE under KEY. Pods get it
/// where they refer to it (secret:NAME), and nowhere else. @FILE is what is in a file, - standard input.
///
/// A VALUE on the command line is seen by other users in the list of processes, and stays in the history of the shell.
/// Without it you are asked, and what you type is not shown.
///
/// Exit codes: 0 done, or nothing to do; 1 failed; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter secret add WANDB_TOKEN
  keyporter secret add gcp-key @~/gcp-key.json
  printf %s \"$TOKEN\" | keyporter secret add HF_TOKEN -")]
pub(super) struct Add {
    /// The key, and the name in other letters: `HF_TOKEN` makes the secret `hf-token`
    #[arg(value_name = "KEY")]
    key: String,

    /// The value, @FILE, or - for standard input
    #[arg(value_name = "VALUE", value_parser = StringValueParser::new().map(Typed::new), allow_hyphen_values = true)]
    value: Option<Typed>,

    /// For every pod of the namespace, which takes rights on projectsecrets.keyporter.dev
    #[arg(long)]
    project: bool,

    /// Change nothing: only ask the API server, with its policies, what it would do
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// A word of the command line that may be a value: never shown.
#[derive(Clone)]
struct Typed(Zeroizing<String>);

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed")
    }
}

impl Typed {
    /// Of every text: what clap refuses, it quotes.
    fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Add {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let name = secret_called(&self.key)?;
        limits::check_key(&self.key)?;
        let value = match &self.value {
            None => ask(&format!("Value of {}: ", self.key), "@FILE or -")?,
            Some(Typed(text)) => match text.strip_prefix('@') {
                Some(path) => read_file(&at_home(path))?,
                None if text.as_str() == "-" => typed_or_piped(&self.key)?,
                None => Value::from(text.as_str()),
            },
        };
        let scope = if self.project {
            Scope::Project
        } else {
            Scope::User
        };
        let mut draft = Draft::new(name, scope, Kind::Default);
        draft.values.insert(self.key.clone(), value);
        draft.injection_when_new = Injection::OnReference;
        draft.is_all = true;
        let author = Author::new(self.cluster.client().await?, self.dry_run);
        let owner = author.owner(scope).await?;
        write(&author, draft, owner.as_deref(), Mode::Create).await
    }
}

/// The name of a secret for a key of Apolo's. A person is told where it is another.
pub(super) fn secret_called(key: &str) -> Result<String, UsageError> {
    let safe = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        }
    };
    let name: String = key.chars().map(safe).collect();
    let name = name.trim_matches('-').to_owned();
    if !is_label(&name) {
        return Err(UsageError(
            "no name of a secret can be made from this key; one has 1 to 63 letters, digits and -"
                .to_owned(),
        ));
    }
    if name != key {
        eprintln!(
            "note: the secret is called {name}, as names have a-z, 0-9 and - alone; pods refer to secret:{name}"
        );
    }
    Ok(name)
}

/// A shell expands `~` only where a word begins with it.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}
