//! What is known of a secret: its metadata and the names of its keys, never a value.

use std::fmt;

use thiserror::Error;

use super::annotations as names;
use super::identity::Identity;
use super::layout::{Layout, LayoutError};
use super::name::{is_label, owner_id};

/// Kinds of Secrets that Konduktor's client makes for its own use: keys for ssh into pods have none, and those for clouds
/// have that of their storage.
const KONDUKTORS_OWN: [&str; 3] = ["", "S3", "GCS"];

/// How a secret reaches a pod. Immutable once set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Files below the mount root.
    Default,
    /// Environment variables, one for each key.
    Env,
    /// A private key for git over ssh.
    GitSsh,
    /// The variable `AUTH_SECRET`.
    Auth,
    /// Credentials for pulling images.
    ImagePull,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Default,
        Self::Env,
        Self::GitSsh,
        Self::Auth,
        Self::ImagePull,
    ];

    /// The word for it in labels, logs, metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Env => "env",
            Self::GitSsh => "git-ssh",
            Self::Auth => "auth",
            Self::ImagePull => "image-pull",
        }
    }

    /// The kind that this word is for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who gets a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Pods of one owner.
    User,
    /// Every pod of the project.
    Project,
}

impl Scope {
    /// The word for it in labels, logs, metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One key of a Secret's data: its name and the length of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: Box<str>,
    /// Length of the value in bytes.
    pub length: u64,
}

/// The metadata of a Kubernetes Secret as read from a watch or a file, before any rule was applied to it.
///
/// `labels` and `annotations` need to hold only those that [`super::annotations`] names. In particular
/// `kubectl.kubernetes.io/last-applied-configuration` must not be here: it repeats the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub object: String,
    /// `metadata.resourceVersion`; empty for a Secret from a file.
    pub resource_version: String,
    /// `metadata.creationTimestamp` as Kubernetes writes it (RFC 3339, UTC, whole seconds: text order is time order);
    /// empty for a Secret from a file.
    pub created: String,
    /// Labels, by name.
    pub labels: Vec<(String, String)>,
    /// Annotations, by name.
    pub annotations: Vec<(String, String)>,
    /// The keys of `data`, then those of `stringData`, in any order.
    pub keys: Vec<Key>,
}

/// A secret that can be injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The namespace of the object.
    pub namespace: Box<str>,
    /// The name of the Kubernetes object.
    pub object: Box<str>,
    /// What the user calls it.
    pub name: Box<str>,
    /// How it reaches a pod.
    pub kind: Kind,
    /// Who gets it.
    pub scope: Scope,
    /// The owner's username: there exactly for scope user.
    pub owner: Option<Box<str>>,
    /// Whether it comes only where a reference names it.
    pub on_reference: bool,
    /// Its keys, sorted by name.
    pub keys: Box<[Key]>,
    /// Where the files lie that do not lie at their key's name, and which of them may be run.
    pub layout: Option<Layout>,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
    /// `metadata.creationTimestamp`, RFC 3339 in UTC.
    pub created: Box<str>,
}

impl Secret {
    /// Whether it has a key of this name.
    #[must_use]
    pub fn has_key(&self, name: &str) -> bool {
        self.keys
            .binary_search_by(|key| (*key.name).cmp(name))
            .is_ok()
    }

    /// What decides between secrets of equal rank: the newer wins. Where both were made in the same second, or come from
    /// files, the object's name decides, so that the choice is the same every time.
    #[must_use]
    pub fn age_order(&self) -> (&str, &str) {
        (&self.created, &self.object)
    }
}

/// A Secret that is somebody's and cannot be injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The namespace of the object.
    pub namespace: Box<str>,
    /// The name of the Kubernetes object.
    pub object: Box<str>,
    /// Whose it is; `None` for a project secret, and where the owner is what is missing.
    pub owner: Option<Box<str>>,
    /// Whether it says that it is a project secret.
    pub project: bool,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What keeps a Secret from being injected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The kind is none of the known ones.
    #[error("unknown kind {0:?}; known are default, env, git-ssh, auth and image-pull")]
    UnknownKind(String),
    /// Konduktor keeps it for itself: no mistake.
    #[error("Konduktor's own, of none of the kinds default, env and git-ssh")]
    KonduktorsOwn,
    /// The scope is none of the known ones.
    #[error("unknown scope {0:?}; known are user and project")]
    UnknownScope(String),
    /// The injection mode is none of the known ones.
    #[error("unknown injection {0:?}; known are automatic and on-reference")]
    UnknownInjection(String),
    /// The secret name cannot be a path component and a part of volume names.
    #[error(
        "bad name {0:?}; a name has 1 to 63 characters a-z, 0-9 and -, and starts and ends with a letter or digit"
    )]
    BadName(String),
    /// A Secret of scope user without an owner.
    #[error("no owner; a user's secret needs the annotation keyporter.dev/owner")]
    NoOwner,
    /// The owner id label contradicts the owner annotation.
    #[error(
        "the label keyporter.dev/owner-id does not match the annotation keyporter.dev/owner; remove the label or set it to {0}"
    )]
    OwnerIdMismatch(String),
    /// The layout cannot be used.
    #[error("bad layout: {0}")]
    BadLayout(#[from] LayoutError),
    /// A git-ssh secret without a key file.
    #[error("no private key; kind git-ssh needs the key gitkey or ssh-privatekey")]
    NoGitKey,
    /// An image-pull secret without credentials.
    #[error(
        "no registry credentials; kind image-pull needs the key .dockerconfigjson or .dockercfg"
    )]
    NoPullCredentials,
}

impl Problem {
    /// The word for it in logs and metrics: a closed list.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownKind(_) => "unknown-kind",
            Self::KonduktorsOwn => "konduktors-own",
            Self::UnknownScope(_) => "unknown-scope",
            Self::UnknownInjection(_) => "unknown-injection",
            Self::BadName(_) => "bad-name",
            Self::NoOwner => "no-owner",
            Self::OwnerIdMismatch(_) => "owner-id-mismatch",
            Self::BadLayout(_) => "bad-layout",
            Self::NoGitKey => "no-git-key",
            Self::NoPullCredentials => "no-pull-credentials",
        }
    }

    /// All words of [`Self::as_str`].
    pub const WORDS: [&'static str; 10] = [
        "unknown-kind",
        "konduktors-own",
        "unknown-scope",
        "unknown-injection",
        "bad-name",
        "no-owner",
        "owner-id-mismatch",
        "bad-layout",
        "no-git-key",
        "no-pull-credentials",
    ];

    /// Whether a person made a mistake, and is to be told.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        *self != Self::KonduktorsOwn
    }
}

impl Description {
    /// Applies keyporter's rules. `None`: the Secret is not one of keyporter's and none of Konduktor's.
    #[must_use]
    pub fn read(self) -> Option<Result<Secret, Broken>> {
        self.read_by(Identity::Authenticated)
    }

    /// The same where persons are told apart by this.
    #[must_use]
    pub fn read_by(mut self, identity: Identity) -> Option<Result<Secret, Broken>> {
        // A key may stand in data and in stringData, where it counts.
        self.keys.reverse();
        self.keys.sort_by(|one, other| one.name.cmp(&other.name));
        self.keys.dedup_by(|one, other| one.name == other.name);
        let (kind, name) = self.kind_and_name()?;
        let scope = match self.label(names::SCOPE) {
            None | Some("user") => Ok(Scope::User),
            Some("project") => Ok(Scope::Project),
            Some(other) => Err(Problem::UnknownScope(other.to_owned())),
        };
        let owner = identity
            .secret_owner(self.label(names::KONDUKTOR_OWNER))
            .or_else(|| self.written_owner())
            .map(Box::from);
        let project = scope == Ok(Scope::Project);
        Some(match self.check(kind, name, scope, owner.as_deref()) {
            Ok((kind, scope, layout)) => Ok(Secret {
                name: name.into(),
                kind,
                scope,
                on_reference: self.annotation(names::INJECTION) == Some("on-reference"),
                owner: owner.filter(|_| !project),
                layout,
                namespace: self.namespace.into(),
                object: self.object.into(),
                keys: self.keys.into(),
                resource_version: self.resource_version.into(),
                created: self.created.into(),
            }),
            Err(problem) => Err(Broken {
                owner: owner.filter(|_| !project),
                project,
                namespace: self.namespace.into(),
                object: self.object.into(),
                resource_version: self.resource_version.into(),
                problem,
            }),
        })
    }

    /// Our labels, else Konduktor's.
    fn kind_and_name(&self) -> Option<(Result<Kind, Problem>, &str)> {
        let known = |kind| Kind::of(kind).ok_or_else(|| Problem::UnknownKind(kind.to_owned()));
        let named = |name| self.label(name).unwrap_or(&self.object);
        if let Some(kind) = self.label(names::KIND) {
            return Some((known(kind), named(names::NAME)));
        }
        if self.label(names::KONDUKTOR_MARK) != Some(names::KONDUKTOR_PARENT) {
            return None;
        }
        let kind = self.label(names::KONDUKTOR_KIND).unwrap_or_default();
        let own = KONDUKTORS_OWN
            .iter()
            .any(|own| own.eq_ignore_ascii_case(kind));
        let kind = if own {
            Err(Problem::KonduktorsOwn)
        } else {
            known(kind)
        };
        Some((kind, named(names::KONDUKTOR_NAME)))
    }

    fn check(
        &self,
        kind: Result<Kind, Problem>,
        name: &str,
        scope: Result<Scope, Problem>,
        owner: Option<&str>,
    ) -> Result<(Kind, Scope, Option<Layout>), Problem> {
        let kind = kind?;
        let scope = scope?;
        if !is_label(name) {
            return Err(Problem::BadName(name.to_owned()));
        }
        if scope == Scope::User {
            let owner = owner.ok_or(Problem::NoOwner)?;
            let owner_id = owner_id(self.written_owner().unwrap_or(owner));
            if self
                .label(names::OWNER_ID)
                .is_some_and(|label| label != owner_id)
            {
                return Err(Problem::OwnerIdMismatch(owner_id));
            }
        }
        match self.annotation(names::INJECTION) {
            None | Some("automatic" | "on-reference") => {}
            Some(other) => return Err(Problem::UnknownInjection(other.to_owned())),
        }
        let has = |wanted: &[&str]| self.keys.iter().any(|key| wanted.contains(&&*key.name));
        match kind {
            Kind::GitSsh if !has(&super::git_ssh::KEY_NAMES) => return Err(Problem::NoGitKey),
            Kind::ImagePull if !has(&[".dockerconfigjson", ".dockercfg"]) => {
                return Err(Problem::NoPullCredentials);
            }
            _ => {}
        }
        let layout = match (
            self.annotation(names::LAYOUT),
            self.annotation(names::EXECUTABLE),
        ) {
            (None, None) => None,
            (layout, executable) => Some(Layout::read(layout, executable, &self.keys)?),
        };
        Ok((kind, scope, layout))
    }

    fn written_owner(&self) -> Option<&str> {
        let owner = self.annotation(names::OWNER);
        owner.filter(|owner| !owner.is_empty())
    }

    fn label(&self, name: &str) -> Option<&str> {
        find(&self.labels, name)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        find(&self.annotations, name)
    }
}

fn find<'a>(map: &'a [(String, String)], name: &str) -> Option<&'a str> {
    map.iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}
