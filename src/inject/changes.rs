//! What placing the secrets changes in a pod's `spec`, before it is written as a patch.

use std::borrow::Cow;

use super::reference::Target;
use super::secret::Secret;
use super::warning::Obstacle;

/// Which list of the pod a container stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// `spec.initContainers`.
    Init,
    /// `spec.containers`.
    Main,
}

/// What changes in a pod's `spec`.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Volumes to add.
    pub volumes: Vec<NewVolume<'a>>,
    /// Names to add to `imagePullSecrets`.
    pub image_pull_secrets: Vec<&'a str>,
    /// Containers to which something is added.
    pub containers: Vec<ContainerChanges<'a>>,
    /// Each secret in each container, for explanations.
    pub placements: Vec<Placement<'a>>,
}

impl Changes<'_> {
    /// How many entries there are to add.
    pub(super) fn size(&self) -> usize {
        let containers = self.containers.iter().map(|one| {
            2 * one.values.len() + 2 + one.variables.len() + one.env_from.len() + one.mounts.len()
        });
        self.volumes.len() + self.image_pull_secrets.len() + containers.sum::<usize>()
    }
}

/// A volume to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewVolume<'a> {
    /// A Secret as a folder.
    Directory {
        /// The volume's name.
        name: String,
        /// The secret.
        secret: &'a Secret,
    },
    /// A Secret with a key for git.
    GitKey {
        /// The volume's name.
        name: String,
        /// The secret.
        secret: &'a Secret,
    },
    /// A Secret of which single keys are mounted as files.
    Files {
        /// The volume's name.
        name: String,
        /// The Secret object.
        object: &'a str,
    },
    /// The emptyDir for private copies of that key.
    GitWork,
}

/// What is added to one container.
#[derive(Debug)]
pub struct ContainerChanges<'a> {
    /// Its list.
    pub group: Group,
    /// Its place there.
    pub index: usize,
    /// New values of its own variables, by their place.
    pub values: Vec<(usize, NewValue<'a>)>,
    /// Its command with variables for references.
    pub command: Option<Vec<Cow<'a, str>>>,
    /// Its arguments with variables for references.
    pub args: Option<Vec<Cow<'a, str>>>,
    /// Variables, to stand before its own, so that its own may refer to them as `$(NAME)`.
    pub variables: Vec<NewVariable<'a>>,
    /// Secrets for `envFrom`, each with the place at which to insert it.
    pub env_from: Vec<(usize, &'a str)>,
    /// Mounts.
    pub mounts: Vec<NewMount<'a>>,
}

impl ContainerChanges<'_> {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            group: _,
            index: _,
            values,
            command,
            args,
            variables,
            env_from,
            mounts,
        } = self;
        values.is_empty()
            && command.is_none()
            && args.is_none()
            && variables.is_empty()
            && env_from.is_empty()
            && mounts.is_empty()
    }
}

/// A variable to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVariable<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: NewValue<'a>,
}

/// The value of a variable to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewValue<'a> {
    /// A text that holds no secret.
    Plain(Cow<'a, str>),
    /// A key of a Secret.
    Key {
        /// The Secret object.
        object: Cow<'a, str>,
        /// The key.
        key: &'a str,
        /// Whether the container starts without it.
        optional: bool,
    },
}

impl<'a> NewValue<'a> {
    /// What a reference means.
    pub(super) fn of(target: Target<'a>) -> Self {
        match target {
            Target::There {
                source,
                key,
                optional,
            } => Self::Key {
                object: source.object().into(),
                key,
                optional,
            },
            Target::Absent { object, key } => Self::Key {
                object: object.into(),
                key,
                optional: true,
            },
        }
    }
}

/// A mount to add, read-only unless it is the work folder of git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMount<'a> {
    /// The volume.
    pub volume: String,
    /// The one file of the volume that is mounted.
    pub file: Option<&'a str>,
    /// The path.
    pub path: String,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// One secret in one container, or in the pod (`imagePullSecrets`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// The container; `None` for the pod as a whole.
    pub container: Option<&'a str>,
    /// What came of it.
    pub result: Result<Way<'a>, Obstacle<'a>>,
}

/// How a secret reaches a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way<'a> {
    /// Files below this path.
    Files(String),
    /// The file at this path, by reference.
    KeyFile(&'a str),
    /// All keys as variables.
    Variables,
    /// These keys as variables.
    SomeVariables(Vec<&'a str>),
    /// `GIT_SSH_COMMAND`.
    GitSsh,
    /// `AUTH_SECRET`.
    Auth,
    /// `imagePullSecrets`.
    ImagePull,
}
