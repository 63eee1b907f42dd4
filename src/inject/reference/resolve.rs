//! What a reference means for the owner of a pod.

use std::collections::HashMap;

use thiserror::Error;

use super::iomete::Object;
use super::{Named, Stored};
use crate::inject::name::owner_id;
use crate::inject::secret::{Broken, Key, Secret};
use crate::inject::select::{Shelf, Visible};
use crate::inject::store::{self, Store};

/// How many digits of the owner id stand at the end of the name of a user's object.
const OWNER_ID_IN_NAMES: usize = 8;
/// A key for a secret that is not there and whose key nobody named.
const ANY_KEY: &str = "value";
/// The most names that a sentence lists.
const LISTED: usize = 10;
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
    user: HashMap<&'a str, &'a Secret>,
    project: HashMap<&'a str, &'a Secret>,
}

impl<'a, 's> Resolver<'a, 's> {
    /// For pods of this owner, who may see this, where the namespace's own store is called `store`.
    #[must_use]
    pub fn new(visible: Visible<'a>, owner: Option<&'s str>, store: &'s str) -> Self {
        Self {
            visible,
            owner,
            store,
            user: by_name(visible.user),
            project: by_name(visible.project),
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
            similar: similar(key, names(&store.keys)),
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
        let shelves = [
            (&self.user, self.visible.user),
            (&self.project, self.visible.project),
        ];
        for (by_name, shelf) in shelves {
            if let Some(secret) = by_name.get(name) {
                return Ok(Some(secret));
            }
            let is_meant = |broken: &&Broken| is_called(&broken.object, name);
            let mut broken = shelf.broken.iter().map(AsRef::as_ref);
            if let Some(broken) = broken.find(is_meant) {
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
        let mut id = owner_id(self.owner.unwrap_or_default());
        id.truncate(OWNER_ID_IN_NAMES);
        format!("{name}-{id}")
    }

    fn no_secret(&self, name: &str) -> Unresolved {
        let names = self.user.keys().chain(self.project.keys()).copied();
        let similar = similar(name, names);
        if self.owner.is_some() {
            Unresolved::NoSecret { similar }
        } else {
            Unresolved::NotOfProject { similar }
        }
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
        let similar = similar(key, there.iter().flat_map(|store| names(&store.keys)));
        let objects: Vec<_> = there.iter().map(|store| &*store.object).collect();
        Unresolved::NotInStore {
            stores: objects.join(" and "),
            similar,
        }
    }
}

impl<'a> Target<'a> {
    fn there(source: Source<'a>, key: &'a str, optional: bool) -> Self {
        Self::There {
            source,
            key,
            optional,
        }
    }
}

/// Of equal names the newer one: it stands later.
fn by_name(shelf: &Shelf) -> HashMap<&str, &Secret> {
    let secrets = shelf.secrets.iter().map(AsRef::as_ref);
    secrets
        .map(|secret: &Secret| (&*secret.name, secret))
        .collect()
}

/// Whether the object of a broken secret, whose own name is not known, is called as that of `name` would be.
fn is_called(object: &str, name: &str) -> bool {
    let Some(rest) = object.strip_prefix(name) else {
        return false;
    };
    let is_id =
        |id: &str| id.len() == OWNER_ID_IN_NAMES && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    rest.is_empty() || rest.strip_prefix('-').is_some_and(is_id)
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
    let wrong = WRONG_LETTERS.min(wanted.chars().count() / 2);
    let near = names.filter_map(|other| {
        let distance = distance(&wanted, &plain(other));
        (distance <= wrong).then_some((distance, other))
    });
    near.min().map(|(_, other)| other.to_owned())
}

/// How many letters have to be put in, taken out or changed to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for ((there, above), diagonal) in other.iter().zip(row.iter().skip(1)).zip(&row) {
            let changed = diagonal + usize::from(letter != *there);
            left = changed.min(left + 1).min(above + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
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
    fn distances(#[case] one: &str, #[case] other: &str, #[case] expected: usize) {
        assert_eq!(distance(one, other), expected);
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
    #[case("token", true)]
    #[case("token-2bd806c9", true)]
    #[case("token-2bd806c", false)]
    #[case("token-2bd806cx", false)]
    #[case("token2bd806c9", false)]
    #[case("tok", false)]
    fn objects(#[case] object: &str, #[case] expected: bool) {
        assert_eq!(is_called(object, "token"), expected);
    }
}
