//! Which secrets a pod gets, and why not the others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::annotations::Wishes;
use super::git_ssh;
use super::secret::{Broken, Key, Kind, Scope, Secret};
use super::store::Stores;
use super::variable;
use super::warning::Warning;

/// What the catalogue holds for one owner, or for one project, in a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Secrets, older before newer ([`Secret::age_order`]).
    pub secrets: Vec<Arc<Secret>>,
    /// Secrets that cannot be injected, by object name.
    pub broken: Vec<Arc<Broken>>,
}

/// What a pod's owner may see in the pod's namespace.
#[derive(Debug, Clone, Copy)]
pub struct Visible<'a> {
    /// The project's secrets.
    pub project: &'a Shelf,
    /// The owner's secrets; empty without an owner.
    pub user: &'a Shelf,
    /// The stores of the pod's namespace.
    pub stores: &'a Stores,
}

impl<'a> Visible<'a> {
    /// All usable secrets, in rising precedence.
    fn rising(self) -> impl DoubleEndedIterator<Item = &'a Secret> {
        self.project
            .secrets
            .iter()
            .chain(&self.user.secrets)
            .map(AsRef::as_ref)
    }

    /// All usable secrets.
    pub fn secrets(self) -> impl Iterator<Item = &'a Secret> {
        self.rising()
    }

    /// All secrets that cannot be used.
    pub fn broken(self) -> impl Iterator<Item = &'a Broken> {
        self.project
            .broken
            .iter()
            .chain(&self.user.broken)
            .map(AsRef::as_ref)
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.project.secrets.is_empty() && self.user.secrets.is_empty()
    }
}

/// The secrets chosen for a pod, by the way in which they reach it.
#[derive(Debug, Default)]
pub struct Selection<'a> {
    /// Kind `default`, by name.
    pub directories: Vec<&'a Secret>,
    /// Kind `env`, in rising precedence.
    pub environments: Vec<Environment<'a>>,
    /// Kind `git-ssh`.
    pub git_ssh: Option<&'a Secret>,
    /// Kind `auth`.
    pub auth: Option<Auth<'a>>,
    /// Kind `image-pull`, in falling precedence: the kubelet takes the first that works.
    pub image_pull: Vec<&'a Secret>,
    /// The others.
    pub passed_over: Vec<(&'a Secret, Reason<'a>)>,
    /// What the requester is to know.
    pub warnings: Vec<Warning<'a>>,
}

/// A secret of kind `env`.
#[derive(Debug)]
pub struct Environment<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// `None`: it comes whole, by `envFrom`. Otherwise some of its keys may not be variables, and only these come, one
    /// by one; names that a secret of higher rank sets are not among them, because `env` wins over `envFrom`.
    pub variables: Option<Vec<&'a str>>,
}

/// The secret of kind `auth`.
#[derive(Debug, Clone, Copy)]
pub struct Auth<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// Its key.
    pub key: &'a str,
    /// Whether the pod asked for it by name, and must not start without it.
    pub required: bool,
}

/// Why a secret in reach was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// It comes only where a reference names it.
    OnReference,
    /// Another one of higher rank, or newer, has its place.
    Shadowed(&'a Secret),
    /// Several auth secrets and no choice.
    AuthAmbiguous,
    /// The pod's annotation chose another auth secret.
    AuthNotChosen,
    /// An auth secret with several keys, none of them `AUTH_SECRET`.
    AuthKey,
    /// An env secret of which nothing is left: its keys may not be variables, or secrets of higher rank set them.
    NoVariables,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnReference => {
                f.write_str("comes only where a reference names it (on-reference)")
            }
            Self::Shadowed(by) if by.scope == Scope::User => {
                write!(f, "the owner's {} comes before it", by.object)
            }
            Self::Shadowed(by) => write!(f, "the project's {} comes before it", by.object),
            Self::AuthAmbiguous => {
                f.write_str("several auth secrets; choose one with keyporter.dev/auth-secret")
            }
            Self::AuthNotChosen => f.write_str("keyporter.dev/auth-secret names another"),
            Self::AuthKey => f.write_str("several keys, and none is called AUTH_SECRET"),
            Self::NoVariables => f.write_str(
                "no key is left that may be a variable and is not set by a secret of higher rank",
            ),
        }
    }
}

/// Chooses.
#[must_use]
pub fn select<'a>(visible: Visible<'a>, wishes: &Wishes<'a>) -> Selection<'a> {
    let mut selection = Selection::default();
    let mistakes = visible
        .broken()
        .filter(|broken| broken.problem.is_mistake());
    selection.warnings.extend(mistakes.map(Warning::Broken));
    let mut directories = BTreeMap::new();
    let mut environments = Vec::new();
    let mut auths = Vec::new();
    for secret in visible.rising() {
        if secret.on_reference && secret.kind != Kind::Auth {
            selection.passed_over.push((secret, Reason::OnReference));
            continue;
        }
        match secret.kind {
            Kind::Default => {
                let before = directories.insert(&*secret.name, secret);
                selection.shadow(before, secret, "the same folder");
            }
            Kind::GitSsh => {
                let before = selection.git_ssh.replace(secret);
                selection.shadow(before, secret, "GIT_SSH_COMMAND");
            }
            Kind::Env => environments.push(secret),
            Kind::Auth => auths.push(secret),
            Kind::ImagePull => selection.image_pull.push(secret),
        }
    }
    selection.directories = directories.into_values().collect();
    selection.choose_environments(&environments);
    selection.choose_auth(&auths, wishes.auth_secret);
    selection.image_pull.reverse();
    selection.settle_variables();
    selection
}

/// What an env secret may hold of its own: the variable of kind `auth`, and those that choose git's ssh.
const AUTH: &[&str] = &["AUTH_SECRET"];
const GIT_SSH: &[&str] = &[git_ssh::COMMAND_VARIABLE, git_ssh::PROGRAM_VARIABLE];

impl<'a> Selection<'a> {
    /// Whether nothing was chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
            && self.environments.is_empty()
            && self.git_ssh.is_none()
            && self.auth.is_none()
            && self.image_pull.is_empty()
    }

    /// How many entries each container gets.
    pub(super) fn size(&self) -> usize {
        let variables = self.environments.iter().map(|environment| {
            let some = environment.variables.as_ref();
            some.map_or(1, Vec::len)
        });
        self.directories.len()
            + variables.sum::<usize>()
            + usize::from(self.git_ssh.is_some())
            + usize::from(self.auth.is_some())
    }

    /// A variable that has a kind of its own may be a key of an env secret, too: the higher rank has it, or the newer.
    /// Without this the variable of the kind would always win, as `env` does over `envFrom`.
    fn settle_variables(&mut self) {
        let automatic = self.auth.filter(|auth| !auth.required);
        if let Some(auth) = automatic
            && self.yields(auth.secret, AUTH, "AUTH_SECRET")
        {
            self.auth = None;
        }
        if let Some(secret) = self.git_ssh
            && self.yields(secret, GIT_SSH, "GIT_SSH_COMMAND")
        {
            self.git_ssh = None;
        }
        if self.auth.is_some() {
            self.keep_from_environments(AUTH);
        }
        if self.git_ssh.is_some() {
            self.keep_from_environments(GIT_SSH);
        }
    }

    /// These variables have a better source. Set one by one they would look like the container's own to a second pass.
    fn keep_from_environments(&mut self, names: &[&str]) {
        let passed_over = &mut self.passed_over;
        self.environments
            .retain_mut(|Environment { secret, variables }| {
                let Some(variables) = variables else {
                    return true;
                };
                variables.retain(|name| !names.contains(name));
                if variables.is_empty() {
                    passed_over.push((secret, Reason::NoVariables));
                }
                !variables.is_empty()
            });
    }

    /// Whether an env secret that sets one of these variables stands before `secret`.
    fn yields(&mut self, secret: &'a Secret, names: &[&str], place: &'static str) -> bool {
        let mut falling = self.environments.iter().rev().map(|one| one.secret);
        let Some(rival) = falling.find(|one| names.iter().any(|name| one.has_key(name))) else {
            return false;
        };
        let yields = if rival.scope == secret.scope {
            rival.age_order() > secret.age_order()
        } else {
            rival.scope == Scope::User
        };
        if yields {
            self.shadow(Some(secret), rival, place);
        } else if rival.scope == secret.scope {
            self.warnings.push(Warning::SameRank {
                newer: secret,
                older: rival,
                place,
            });
        }
        yields
    }

    /// Notes that `winner` took the place of `loser`, and says so where they are of equal rank.
    fn shadow(&mut self, loser: Option<&'a Secret>, winner: &'a Secret, place: &'static str) {
        let Some(loser) = loser else { return };
        self.passed_over.push((loser, Reason::Shadowed(winner)));
        if loser.scope == winner.scope {
            self.warnings.push(Warning::SameRank {
                newer: winner,
                older: loser,
                place,
            });
        }
    }

    fn choose_environments(&mut self, rising: &[&'a Secret]) {
        self.warn_of_same_variables(rising);
        let mut taken: HashSet<&str> = HashSet::new();
        for secret in rising.iter().rev() {
            let (good, bad): (Vec<_>, Vec<_>) = secret
                .keys
                .iter()
                .map(|key| &*key.name)
                .partition(|name| variable::check(name).is_ok());
            let variables = if bad.is_empty() {
                None
            } else {
                self.warnings
                    .push(Warning::RefusedVariables { secret, names: bad });
                let free = good.iter().copied().filter(|name| !taken.contains(name));
                Some(free.collect::<Vec<_>>())
            };
            if rising.len() > 1 {
                taken.extend(good);
            }
            if variables.as_ref().is_some_and(Vec::is_empty) {
                self.passed_over.push((secret, Reason::NoVariables));
            } else {
                self.environments.push(Environment { secret, variables });
            }
        }
        self.environments.reverse();
    }

    fn warn_of_same_variables(&mut self, rising: &[&'a Secret]) {
        if rising.len() < 2 {
            return;
        }
        let mut holders: HashMap<(Scope, &str), &Secret> = HashMap::new();
        let mut clashes: BTreeMap<(&str, &str), (&Secret, &Secret, Vec<&str>)> = BTreeMap::new();
        for &secret in rising {
            let good = |key: &&Key| variable::check(&key.name).is_ok();
            for key in secret.keys.iter().filter(good) {
                if let Some(older) = holders.insert((secret.scope, &key.name), secret) {
                    let clash = clashes.entry((&older.object, &secret.object));
                    clash
                        .or_insert_with(|| (older, secret, Vec::new()))
                        .2
                        .push(&key.name);
                }
            }
        }
        let warn = |(older, newer, names)| Warning::SameVariables {
            newer,
            older,
            names,
        };
        self.warnings.extend(clashes.into_values().map(warn));
    }

    /// The one that the annotation names; else the only visible one; else none. A secret of the user stands before one
    /// of the project that has the same name.
    fn choose_auth(&mut self, rising: &[&'a Secret], wanted: Option<&'a str>) {
        let mut by_name = BTreeMap::new();
        for &secret in rising {
            if secret.on_reference && wanted != Some(&secret.name) {
                self.passed_over.push((secret, Reason::OnReference));
                continue;
            }
            let before = by_name.insert(&*secret.name, secret);
            self.shadow(before, secret, "AUTH_SECRET");
        }
        let chosen = match wanted {
            Some(name) => by_name.get(name).copied(),
            None if by_name.len() == 1 => by_name.values().next().copied(),
            None => None,
        };
        let candidates = || by_name.keys().copied().collect::<Vec<_>>();
        match (chosen, wanted) {
            (Some(secret), _) => self.take_auth(secret, wanted.is_some()),
            (None, Some(wanted)) => self.warnings.push(Warning::AuthUnknown {
                wanted,
                candidates: candidates(),
            }),
            (None, None) if by_name.is_empty() => {}
            (None, None) => self.warnings.push(Warning::AuthAmbiguous(candidates())),
        }
        let why = if wanted.is_some() {
            Reason::AuthNotChosen
        } else {
            Reason::AuthAmbiguous
        };
        let others = by_name
            .into_values()
            .filter(|secret| !chosen.is_some_and(|one| std::ptr::eq(one, *secret)));
        self.passed_over.extend(others.map(|secret| (secret, why)));
    }

    fn take_auth(&mut self, secret: &'a Secret, required: bool) {
        let key = match &*secret.keys {
            [only] => Some(&*only.name),
            _ if secret.has_key("AUTH_SECRET") => Some("AUTH_SECRET"),
            _ => None,
        };
        if let Some(key) = key {
            self.auth = Some(Auth {
                secret,
                key,
                required,
            });
        } else {
            self.warnings.push(Warning::AuthKey(secret));
            self.passed_over.push((secret, Reason::AuthKey));
        }
    }
}
