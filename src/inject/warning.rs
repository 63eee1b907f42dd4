//! What a person is told with the answer: short sentences that name the object and the way out.

use std::fmt;

use super::reference::Refused;
use super::secret::{Broken, Secret};

/// How many names a warning lists before it only counts.
const LISTED: usize = 5;

/// A sentence for the requester. Names and paths only, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning<'a> {
    /// A Secret in reach cannot be injected.
    Broken(&'a Broken),
    /// Two secrets of equal rank want the same place; the newer has it.
    SameRank {
        /// The one that is used.
        newer: &'a Secret,
        /// The one that is not.
        older: &'a Secret,
        /// What both want.
        place: &'static str,
    },
    /// Two env secrets of equal rank set the same variables; the newer one's count.
    SameVariables {
        /// The one whose values count.
        newer: &'a Secret,
        /// The other.
        older: &'a Secret,
        /// The variables.
        names: Vec<&'a str>,
    },
    /// Some keys of an env secret cannot be variables.
    RefusedVariables {
        /// The secret.
        secret: &'a Secret,
        /// The keys.
        names: Vec<&'a str>,
    },
    /// Several auth secrets and no choice.
    AuthAmbiguous(Vec<&'a str>),
    /// The annotation names no auth secret in reach.
    AuthUnknown {
        /// What the annotation says.
        wanted: &'a str,
        /// What it could say.
        candidates: Vec<&'a str>,
    },
    /// An auth secret with several keys, none of them `AUTH_SECRET`.
    AuthKey(&'a Secret),
    /// A container's own setting is in the way and stays.
    Kept {
        /// The secret.
        secret: &'a Secret,
        /// The container.
        container: &'a str,
        /// What is in the way.
        obstacle: Obstacle<'a>,
    },
    /// The container sets a variable that the secret holds, too.
    OwnVariable {
        /// The secret.
        secret: &'a Secret,
        /// The container.
        container: &'a str,
        /// The variable.
        variable: &'a str,
    },
    /// The container sets one of keyporter's own variables to something else, or one that a reference asks for.
    OwnRoot {
        /// The container.
        container: &'a str,
        /// The variable.
        variable: &'a str,
    },
    /// A key of Spark's configuration, which a reference asks for, has another value already.
    OwnConfiguration {
        /// The container that gives it; `None`: a `SparkApplication`.
        container: Option<&'a str>,
        /// The key.
        key: &'a str,
    },
    /// The annotation that chooses containers names some that are not there.
    UnknownContainers(Vec<&'a str>),
    /// A person wrote another owner into a pod or workload of theirs.
    StampIgnored {
        /// What the annotation said.
        stamp: &'a str,
        /// Who owns it.
        owner: &'a str,
    },
    /// A person changed the pod template of another's workload.
    OwnerChanged {
        /// Whose the pods were.
        before: &'a str,
        /// Whose they are from now on.
        owner: &'a str,
    },
    /// Nobody's workload now: the label that tells whose it is is not there.
    NoUserId,
    /// A file of an optional reference that means nothing.
    FileLeftOut {
        /// The name of the secret that is not there, or has no such key.
        name: &'a str,
        /// The file.
        path: &'a str,
    },
    /// A reference in a workload for which its pods would be refused now.
    PodsRefused(&'a Refused),
    /// The record of what the pod got did not fit into its annotations.
    RecordShortened(usize),
}

/// What of a container's own is in the way of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle<'a> {
    /// Something is mounted at the path.
    Mount(&'a str),
    /// A read-only mount lies above the path, so that no folder can be made in it.
    ReadOnlyAbove(&'a str),
    /// A mount lies below the path, which will be read-only.
    MountBelow(&'a str),
    /// A device lies at the path or below it.
    Device(&'a str),
    /// The container sets the variable.
    Variable(&'static str),
    /// The variables could only come one by one, and would then win over the container's own `envFrom`.
    EnvFrom,
    /// All that the secret would set is set already.
    AllSet,
    /// The pod has a volume of this name that is something else.
    VolumeName,
}

impl fmt::Display for Obstacle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(path) => write!(f, "it has a mount of its own at {path}"),
            Self::ReadOnlyAbove(path) => {
                write!(f, "its read-only mount at {path} leaves no room below")
            }
            Self::MountBelow(path) => {
                write!(f, "its mount at {path} lies inside the secret's folder")
            }
            Self::Device(path) => write!(f, "it has a device at {path}"),
            Self::Variable(name) => write!(f, "it sets {name} itself"),
            Self::EnvFrom => {
                f.write_str("its own envFrom must win over a secret with refused variable names")
            }
            Self::AllSet => f.write_str("all of its variables are set otherwise"),
            Self::VolumeName => {
                f.write_str("the pod has another volume with the name that the secret's would have")
            }
        }
    }
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => {
                let (object, problem) = (&broken.object, &broken.problem);
                write!(f, "secret object {object:?} is not injected: {problem}")
            }
            Self::SameRank {
                newer,
                older,
                place,
            } => {
                let (one, other, used) = (Named(older), Named(newer), &newer.object);
                write!(
                    f,
                    "secrets {one} and {other} are both for {place}; the newer, {used}, is used"
                )
            }
            Self::SameVariables {
                newer,
                older,
                names,
            } => {
                let (one, other, used) = (Named(older), Named(newer), &newer.object);
                let names = Names(names);
                write!(
                    f,
                    "secrets {one} and {other} both set {names}; the newer, {used}, counts"
                )
            }
            Self::RefusedVariables { secret, names } => {
                let (secret, names) = (Named(secret), Names(names));
                write!(
                    f,
                    "secret {secret}: {names} may not be set by a secret; rename the key"
                )
            }
            Self::AuthAmbiguous(_) | Self::AuthUnknown { .. } | Self::AuthKey(_) => {
                f.write_str("no AUTH_SECRET: ")?;
                self.write_auth(f)
            }
            Self::Kept { container, .. }
            | Self::OwnVariable { container, .. }
            | Self::OwnRoot { container, .. } => {
                write!(f, "container {container:?} ")?;
                self.write_container(f)
            }
            Self::OwnConfiguration { container, key } => {
                match container {
                    Some(container) => write!(f, "container {container:?}")?,
                    None => f.write_str("the application")?,
                }
                write!(
                    f,
                    " sets the Spark configuration {key} itself, and its own counts"
                )
            }
            Self::UnknownContainers(names) => {
                let names = Names(names);
                write!(
                    f,
                    "the annotation keyporter.dev/containers names {names}, which the pod does not have"
                )
            }
            Self::StampIgnored { stamp, owner } => write!(
                f,
                "the annotation keyporter.dev/owner {stamp:?} is not believed; the owner is {owner:?}"
            ),
            Self::OwnerChanged { before, owner } => write!(
                f,
                "you changed the pod template: new pods get the secrets of {owner:?}, no longer those of {before:?}"
            ),
            Self::NoUserId => f.write_str(
                "there is no label trainy.ai/user-id: new pods get the secrets of the project only",
            ),
            Self::FileLeftOut { name, path } => write!(
                f,
                "there is no file {path:?}: its secret {name:?} or the key in it is not there, and it is optional"
            ),
            Self::PodsRefused(refused) => {
                write!(f, "pods of this workload will be refused: {refused}")
            }
            Self::RecordShortened(omitted) => write!(
                f,
                "the annotation keyporter.dev/injected has no room for {omitted} of the secrets"
            ),
        }
    }
}

impl Warning<'_> {
    /// Why there is no `AUTH_SECRET`.
    fn write_auth(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthAmbiguous(names) => {
                let names = Names(names);
                write!(
                    f,
                    "choose one of {names} with the annotation keyporter.dev/auth-secret"
                )
            }
            Self::AuthUnknown { wanted, candidates } if candidates.is_empty() => {
                write!(f, "no auth secret {wanted:?} is in reach, nor any other")
            }
            Self::AuthUnknown { wanted, candidates } => {
                let candidates = Names(candidates);
                write!(
                    f,
                    "no auth secret {wanted:?} is in reach; there are {candidates}"
                )
            }
            Self::AuthKey(secret) => {
                let (keys, secret) = (secret.keys.len(), Named(secret));
                write!(
                    f,
                    "secret {secret} has {keys} keys and none is called AUTH_SECRET"
                )
            }
            _ => Ok(()),
        }
    }

    /// What a container keeps.
    fn write_container(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept {
                secret, obstacle, ..
            } => {
                let secret = Named(secret);
                write!(f, "does not get secret {secret}: {obstacle}")
            }
            Self::OwnVariable {
                secret, variable, ..
            } => {
                let secret = Named(secret);
                write!(
                    f,
                    "sets {variable} itself; the one of secret {secret} is not used"
                )
            }
            Self::OwnRoot { variable, .. } => {
                write!(f, "sets {variable} itself; its value is kept")
            }
            _ => Ok(()),
        }
    }
}

/// A secret as a person knows it: its name, and the object where that is called otherwise.
struct Named<'a>(&'a Secret);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Secret {
            name,
            object,
            scope,
            ..
        } = self.0;
        if name == object {
            write!(f, "{name:?} ({scope})")
        } else {
            write!(f, "{name:?} ({scope}, object {object})")
        }
    }
}

/// A list of names that stays short.
struct Names<'a>(&'a [&'a str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .0
                .iter()
                .take(LISTED)
                .copied()
                .collect::<Vec<_>>()
                .join(", "),
        )?;
        match self.0.len().checked_sub(LISTED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}
