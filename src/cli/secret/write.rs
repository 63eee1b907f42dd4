//! Making and changing a secret.

use std::{collections::BTreeMap, error::Error, io::Write as _};

use super::{
    author::Author,
    draft::Draft,
    limits,
    merge::{Changes, Merge},
    present::Answer,
    refusal::Refusal,
};
use crate::{
    cli::{cluster::RequestError, written},
    inject::{
        git_ssh::KEY_NAMES,
        secret::{Kind, Scope},
    },
};

/// How often a Secret that others change at the same time is tried.
pub(super) const ATTEMPTS: usize = 5;
/// In the refusal of a second key for git.
const SECOND_KEY: &str = "[rule: second-git-ssh]";

/// How far a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Makes it, or changes the one that is there.
    Create,
    /// The same; another key for git gives its place up.
    Replace,
    /// Changes it.
    Update,
}

/// What became of a secret, which may be called otherwise than it was asked for.
struct Done {
    name: String,
    fate: &'static str,
    changes: Changes,
}

/// Makes the secret what the draft says, and tells what was done.
pub(super) async fn write(
    author: &Author,
    draft: Draft,
    owner: Option<&str>,
    mode: Mode,
) -> Result<(), Box<dyn Error>> {
    for warning in limits::warnings(draft.kind, &draft.values) {
        eprintln!("warning: {warning}");
    }
    let object = draft.object(owner);
    let done = match mode {
        Mode::Update => change(author, &draft, &object).await?,
        Mode::Create | Mode::Replace => match create(author, &draft, &object, owner).await {
            Err(Refusal::SecondKey(sentence)) if mode == Mode::Replace => {
                replace(author, draft, &sentence).await?
            }
            outcome => outcome?,
        },
    };
    tell(author, &done)
}

/// Makes the secret. If it is there already, it is changed.
async fn create(
    author: &Author,
    draft: &Draft,
    object: &str,
    owner: Option<&str>,
) -> Result<Done, Refusal> {
    let content = draft.content(crate::folder::Present::default())?;
    for _ in 0..ATTEMPTS {
        let secret = draft.write(object, owner, &content)?;
        match author.create(&secret).await {
            Ok(()) => {
                return Ok(Done {
                    name: draft.name.clone(),
                    fate: "created",
                    changes: Changes::created(&content),
                });
            }
            Err(RequestError::Refused { code: 409, .. }) => {}
            Err(RequestError::Refused { sentence, .. }) if sentence.contains(SECOND_KEY) => {
                return Err(Refusal::SecondKey(sentence));
            }
            Err(error) => return Err(error.into()),
        }
        match change(author, draft, object).await {
            // Deleted in between.
            Err(Refusal::NotThere { .. }) => {}
            outcome => return outcome,
        }
    }
    Err(Refusal::Restless(draft.name.clone()))
}

/// Changes the secret that is there.
async fn change(author: &Author, draft: &Draft, object: &str) -> Result<Done, Refusal> {
    for _ in 0..ATTEMPTS {
        let answer = present(author, draft, object).await?;
        let merge = Merge::plan(draft, object, &answer)?;
        // No values are kept while others are on their way.
        drop(answer);
        let fate = if merge.changes.is_empty() {
            "unchanged"
        } else {
            "updated"
        };
        if !merge.is_empty() {
            match author.change(object, &merge.write()).await {
                Ok(()) => {}
                // Another version, or gone.
                Err(error) if matches!(error.code(), Some(404 | 409)) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(Done {
            name: draft.name.clone(),
            fate,
            changes: merge.changes,
        });
    }
    Err(Refusal::Restless(draft.name.clone()))
}

/// The secret as it is.
pub(super) async fn present(
    author: &Author,
    draft: &Draft,
    object: &str,
) -> Result<Answer, Refusal> {
    match author.present(object).await {
        Err(error) if error.code() == Some(404) => Err(Refusal::NotThere {
            name: draft.name.clone(),
            whose: match draft.scope {
                Scope::User => "of yours",
                Scope::Project => "of the project's",
            },
            namespace: author.namespace.clone(),
        }),
        outcome => Ok(outcome?),
    }
}

/// Writes the key into the secret that has one already. Which that is, the refusal tells: nobody who may only write could
/// look for it, and it may be called anything, and be Konduktor's.
async fn replace(author: &Author, mut draft: Draft, sentence: &str) -> Result<Done, Refusal> {
    let refused = || Refusal::SecondKey(sentence.to_owned());
    let object = first_key(sentence, &author.namespace).ok_or_else(refused)?;
    let present = present(author, &draft, object)
        .await?
        .compare(&BTreeMap::new())?;
    if present.kind() != Some(Kind::GitSsh.as_str()) {
        return Err(refused());
    }
    present.name().unwrap_or(object).clone_into(&mut draft.name);
    // Where the key lies under the name of another convention, it stays there.
    let [ours, ..] = KEY_NAMES;
    let key = KEY_NAMES
        .into_iter()
        .find(|key| present.keys.contains_key(*key));
    if let Some(value) = draft.values.remove(ours) {
        draft.values.insert(key.unwrap_or(ours).to_owned(), value);
    }
    change(author, &draft, object).await
}

/// The object of which the refusal says that it holds the first key.
fn first_key<'a>(sentence: &'a str, namespace: &str) -> Option<&'a str> {
    let (_, rest) = sentence.split_once(&format!("(secret {namespace}/"))?;
    let (object, _) = rest.split_once(')')?;
    // It becomes a part of a path.
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (object.chars().all(inner) && object.starts_with(|c| c != '.')).then_some(object)
}

fn tell(author: &Author, done: &Done) -> Result<(), Box<dyn Error>> {
    let Done {
        name,
        fate,
        changes,
    } = done;
    let dry_run = if author.dry_run { " (dry run)" } else { "" };
    print(format_args!("secret {name} {fate}{dry_run}: {changes}"))
}

/// A line for the person at the terminal, at once.
pub(super) fn print(line: std::fmt::Arguments<'_>) -> Result<(), Box<dyn Error>> {
    written(writeln!(std::io::stdout(), "{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_found_in_the_refusal() {
        let denial = crate::inject::Denial::SecondGitSsh {
            name: "git".to_owned(),
            object: "vision/git-0a1b2c3d".to_owned(),
        };
        let sentence = format!(
            "admission webhook \"x\" denied the request: {}",
            denial.message()
        );
        assert!(sentence.contains(SECOND_KEY), "{sentence}");
        assert_eq!(first_key(&sentence, "vision"), Some("git-0a1b2c3d"));
        assert_eq!(first_key(&sentence, "speech"), None);
        assert_eq!(first_key("(secret vision/a/../b)", "vision"), None);
    }
}
