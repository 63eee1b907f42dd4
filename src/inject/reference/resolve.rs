//! What a reference means for the owner of a pod.

use std::cell::Cell;
use std::collections::HashMap;

use thiserror::Error;

use super::iomete::Object;
use super::{Named, Stored};
use crate::inject::name::{self, OWNER_ID_IN_NAMES};
use crate::inject::secret::{Broken, Key, Secret};
use crate::inject::select::{Shelf, Visible};
use crate::inject::store::{self, Store};

/// A key for a secret that is not there and whose key nobody named.
const ANY_KEY: &str = "value";
/// The most names that a sentence lists.
const LISTED: usize = 10;
/// For how many names others are looked for that are like them.
const HINTS: usize = 20;
/// How many letters may be wrong in a name that is meant.
const WRONG_LETTERS: usize = 2;

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A secret of the owner or of the project.
    Secret(&'a Secret),
    /// A store of the namespace.
    Store(&'a Store),
}

impl<'a> Source<'a> {
    /// The name of the Kubernetes object.
    #[must_use]
    pub fn object(self) -> &'a str {
        match self {
            Self::Secret(secret) => &secret.object,
            Self::Store(store) => &store.object,
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Secret(secret) => &secret.name,
            Self::Store(store) => &store.object,
        }
    }

    /// The word for its kind in metrics and records.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Secret(secret) => secret.kind.as_str(),
            Self::Store(_) => "store",
        }
    }

    /// The word for its scope in metrics and records.
    #[must_use]
    pub fn scope(self) -> &'static str {
        match self {
            Self::Secret(secret) => secret.scope.as_str(),
            Self::Store(_) => "project",
        }
    }

    /// `metadata.resourceVersion`.
    #[must_use]
    pub fn resource_version(self) -> &'a str {
        match self {
            Self::Secret(secret) => &secret.resource_version,
            Self::Store(store) => &store.resource_version,
        }
    }
}

/// What a reference means.
#[derive(Debug, Clone)]
pub enum Target<'a> {
    /// A key that is there.
    There {
        /// Of this.
        source: Source<'a>,
        /// The key.
        key: &'a str,
        /// Whether the pod can do without it.
        optional: bool,
    },
    /// A key that is not there, and without which the pod can do.
    Absent {
        /// The Kubernetes object that would have it.
        object: String,
        /// The key.
        key: &'a str,
    },
}

/// Why a reference means nothing now. A secret that comes later may mend it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// Nobody's pod, and no secret of the project.
    #[error("the pod has no owner, and the project has no secret of that name{}", meant(.similar.as_deref()))]
    NotOfProject {
        /// A name that may be meant.
        similar: Option<String>,
    },
    /// Neither of the owner nor of the project.
    #[error("neither the owner nor the project has a secret of that name{}", meant(.similar.as_deref()))]
    NoSecret {
        /// A name that may be meant.
        similar: Option<String>,
    },
    /// The secret cannot be injected.
    #[error("the secret (object {object}) cannot be used: {problem}")]
    Broken {
        /// Its object.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Several keys and no choice.
    #[error("the secret has several keys, write one of {keys} behind the name (secret:NAME/KEY)")]
    KeyNeeded {
        /// The keys.
        keys: String,
    },
    /// A secret without keys.
    #[error("the secret has no keys")]
    NoKeys,
    /// Another key.
    #[error("the secret has no such key, it has {keys}")]
    NoKey {
        /// The keys.
        keys: String,
    },
    /// No store.
    #[error("the namespace has no store, which would be the Secret {object}")]
    NoStore {
        /// The name of the store.
        object: String,
    },
    /// No Vault.
    #[error("no Vault source {id} is configured")]
    NoVault {
        /// The id of the Vault configuration.
        id: String,
    },
    /// No store with this key.
    #[error("there is no such key in {stores}{}", meant(.similar.as_deref()))]
    NotInStore {
        /// The stores that were looked into.
        stores: String,
        /// A key that may be meant.
        similar: Option<String>,
    },
}

fn meant(similar: Option<&str>) -> String {
    similar.map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

/// Finds what references mean.
#[derive(Debug)]
pub struct Resolver<'a, 's> {
    visible: Visible<'a>,
    owner: Option<&'s str>,
    store: &'s str,
    user: Names<'a>,
    project: Names<'a>,
    /// How many names may still be looked for that are like another: that takes time, and nobody reads many.
    hints: Cell<usize>,
}

/// What a shelf has, by the name that people use.
#[derive(Debug, Default)]
struct Names<'a> {
    secrets: HashMap<&'a str, &'a Secret>,
    broken: HashMap<&'a str, &'a Broken>,
}

impl<'a, 's> Resolver<'a, 's> {
    /// For pods of this owner, who may see this, where the namespace's own store is called `store`.
    #[must_use]
    pub fn new(visible: Visible<'a>, owner: Option<&'s str>, store: &'s str) -> Self {
        Self {
            visible,
            owner,
            store,
            user: Names::of(visible.user),
            project: Names::of(visible.project),
            hints: Cell::new(HINTS),
        }
    }

    /// `secret:NAME[?][/KEY]`: the owner's own secret, else the project's.
    pub fn named(&self, reference: Named<'a>) -> Result<Target<'a>, Unresolved> {
        let Named {
            name,
            key,
            optional,
        } = reference;
        let found = self.secret(name)?;
        let absent = |object: String| Target::Absent {
            object,
            key: key.unwrap_or(ANY_KEY),
        };
        match (found, key) {
            (None, _) if optional => Ok(absent(self.object_of(name))),
            (None, _) => Err(self.no_secret(name)),
            (Some(secret), Some(key)) => match key_of(&secret.keys, key) {
                Some(key) => Ok(Target::there(Source::Secret(secret), key, optional)),
                None if optional => Ok(absent(secret.object.to_string())),
                None if secret.keys.is_empty() => Err(Unresolved::NoKeys),
                None => Err(Unresolved::NoKey {
                    keys: listed(&secret.keys),
                }),
            },
            (Some(secret), None) => match &*secret.keys {
                [only] => Ok(Target::there(Source::Secret(secret), &only.name, optional)),
                [] if optional => Ok(absent(secret.object.to_string())),
                [] => Err(Unresolved::NoKeys),
                keys => Err(Unresolved::KeyNeeded { keys: listed(keys) }),
            },
        }
    }

    /// `${secrets.KEY[?]}`: the store of the namespace's domain, else the namespace's own.
    pub fn stored(&self, reference: Stored<'a>) -> Result<Target<'a>, Unresolved> {
        let Stored { key, optional } = reference;
        match self.visible.stores.with_key(self.store, key) {
            Some(store) => Ok(Target::there(Source::Store(store), key, optional)),
            None if optional => Ok(Target::Absent {
                object: self.store.to_owned(),
                key,
            }),
            None => Err(self.not_in_store(key)),
        }
    }

    /// This key of this one store, and of no other.
    pub fn of_store(&self, object: &str, key: &'a str) -> Result<Target<'a>, Unresolved> {
        let Some(store) = self.visible.stores.named(object) else {
            let object = object.to_owned();
            return Err(Unresolved::NoStore { object });
        };
        if store.has_key(key) {
            return Ok(Target::there(Source::Store(store), key, false));
        }
        Err(Unresolved::NotInStore {
            stores: object.to_owned(),
            similar: self.hint(key, names(&store.keys)),
        })
    }

    /// The secret of an entry of IOMETE's lists.
    pub fn object(&self, object: Object<'a>) -> Result<Target<'a>, Unresolved> {
        match object {
            Object::Kubernetes { key, domain: None } => self.of_store(self.store, key),
            Object::Kubernetes {
                key,
                domain: Some(domain),
            } => self.of_store(&store::of_domain(self.store, domain), key),
            Object::Vault { id } => Err(Unresolved::NoVault { id: id.to_owned() }),
            Object::Older(stored) => self.stored(stored),
        }
    }

    /// A broken one of the owner is no reason to take the project's, which may be something else.
    fn secret(&self, name: &str) -> Result<Option<&'a Secret>, Unresolved> {
        for shelf in [&self.user, &self.project] {
            if let Some(secret) = shelf.secrets.get(name) {
                return Ok(Some(secret));
            }
            if let Some(broken) = shelf.broken.get(name) {
                return Err(Unresolved::Broken {
                    object: broken.object.to_string(),
                    problem: broken.problem.to_string(),
                });
            }
        }
        Ok(None)
    }

    /// What the object would be called. Nobody has the empty name, so nobody's secret is called so.
    fn object_of(&self, name: &str) -> String {
        name::object(name, self.owner.unwrap_or_default())
    }

    fn no_secret(&self, name: &str) -> Unresolved {
        let names = self.user.secrets.keys().chain(self.project.secrets.keys());
        let similar = self.hint(name, names.copied());
        if self.owner.is_some() {
            Unresolved::NoSecret { similar }
        } else {
            Unresolved::NotOfProject { similar }
        }
    }

    /// A name that may be meant.
    fn hint<'n>(&self, name: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
        self.hints.set(self.hints.get().checked_sub(1)?);
        similar(name, names)
    }

    fn not_in_store(&self, key: &str) -> Unresolved {
        let stores = self.visible.stores;
        let domain = stores.domain.as_deref();
        let of_domain = domain.map(|domain| store::of_domain(self.store, domain));
        let objects = of_domain.as_deref().into_iter().chain([self.store]);
        let there: Vec<_> = objects.filter_map(|object| stores.named(object)).collect();
        if there.is_empty() {
            return Unresolved::NoStore {
                object: self.store.to_owned(),
            };
        }
        let similar = self.hint(key, there.iter().flat_map(|store| names(&store.keys)));
        let objects: Vec<_> = there.iter().map(|store| &*store.object).collect();
        Unresolved::NotInStore {
            stores: objects.join(" and "),
            similar,
        }
    }
}

impl<'a> Target<'a> {
    /// Whether this is a key of this object.
    pub(in crate::inject) fn is_key(&self, object: &str, name: &str) -> bool {
        match self {
            Self::There { source, key, .. } => source.object() == object && *key == name,
            Self::Absent { object: other, key } => other == object && *key == name,
        }
    }

    fn there(source: Source<'a>, key: &'a str, optional: bool) -> Self {
        Self::There {
            source,
            key,
            optional,
        }
    }
}

impl<'a> Names<'a> {
    fn of(shelf: &'a Shelf) -> Self {
        // Of equal names the newer one: it stands later.
        let secrets = shelf.secrets.iter().map(AsRef::as_ref);
        let broken = shelf.broken.iter().map(AsRef::as_ref);
        Self {
            secrets: secrets
                .map(|secret: &Secret| (&*secret.name, secret))
                .collect(),
            broken: broken
                .flat_map(|broken: &Broken| called(&broken.object).map(move |name| (name, broken)))
                .collect(),
        }
    }
}

/// What a broken secret may be called, whose own name is not known: as its object, or without the owner's id.
fn called(object: &str) -> impl Iterator<Item = &str> {
    let is_id =
        |id: &str| id.len() == OWNER_ID_IN_NAMES && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = object.rsplit_once('-').filter(|(_, id)| is_id(id));
    std::iter::once(object).chain(parts.map(|(name, _)| name))
}

fn key_of<'a>(keys: &'a [Key], name: &str) -> Option<&'a str> {
    let index = keys.binary_search_by(|key| (*key.name).cmp(name)).ok()?;
    keys.get(index).map(|key| &*key.name)
}

fn names(keys: &[Key]) -> impl Iterator<Item = &str> {
    keys.iter().map(|key| &*key.name)
}

fn listed(keys: &[Key]) -> String {
    let list = names(keys).take(LISTED).collect::<Vec<_>>().join(", ");
    match keys.len().checked_sub(LISTED) {
        None | Some(0) => list,
        Some(more) => format!("{list} and {more} more"),
    }
}

/// The name that is most like this one, if any is like it. Of several the first in order.
fn similar<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let wanted = plain(name);
    let wrong = WRONG_LETTERS.min(wanted.len() / 2);
    let near = names.filter_map(|other| {
        if other.len().abs_diff(wanted.len()) > wrong {
            return None;
        }
        let distance = distance(wanted.as_bytes(), plain(other).as_bytes());
        (distance <= wrong).then_some((distance, other))
    });
    near.min().map(|(_, other)| other.to_owned())
}

/// How many letters have to be put in, taken out or changed to make one word of the other (Levenshtein).
fn distance(one: &[u8], other: &[u8]) -> usize {
    // Most words that are like each other are the same at both ends.
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (rest(one, same), rest(other, same));
    let ends = one.iter().rev().zip(other.iter().rev());
    let same = ends.take_while(|(a, b)| a == b).count();
    let (one, other) = (head(one, one.len() - same), head(other, other.len() - same));
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.iter().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for ((there, above), diagonal) in other.iter().zip(row.iter().skip(1)).zip(&row) {
            let changed = diagonal + usize::from(letter != there);
            left = changed.min(left + 1).min(above + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn rest(word: &[u8], from: usize) -> &[u8] {
    word.get(from..).unwrap_or_default()
}

fn head(word: &[u8], length: usize) -> &[u8] {
    word.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("token", "token", 0)]
    #[case("tokn", "token", 1)]
    #[case("", "abc", 3)]
    #[case("abc", "", 3)]
    #[case("kitten", "sitting", 3)]
    #[case("aab", "aaab", 1)]
    #[case("token", "token-token", 6)]
    fn distances(#[case] one: &str, #[case] other: &str, #[case] expected: usize) {
        assert_eq!(distance(one.as_bytes(), other.as_bytes()), expected);
    }

    #[rstest]
    #[case("tokn", Some("token"))]
    #[case("TOKEN", Some("token"))]
    #[case("hugging_face", Some("hugging-face"))]
    #[case("x", None)]
    #[case("database", None)]
    fn names_that_may_be_meant(#[case] name: &str, #[case] expected: Option<&str>) {
        let names = ["hugging-face", "token", "tokens"];
        assert_eq!(similar(name, names.into_iter()).as_deref(), expected);
    }

    #[rstest]
    #[case("token", &["token"])]
    #[case("token-2bd806c9", &["token-2bd806c9", "token"])]
    #[case("token-2bd806c", &["token-2bd806c"])]
    #[case("token-2bd806cx", &["token-2bd806cx"])]
    #[case("token2bd806c9", &["token2bd806c9"])]
    fn names_of_broken_secrets(#[case] object: &str, #[case] expected: &[&str]) {
        assert_eq!(called(object).collect::<Vec<_>>(), expected);
    }
}
