//! What placing the secrets changes in a pod's `spec`, before it is written as a patch.

use super::git_ssh;
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
    /// The emptyDir for private copies of that key.
    GitWork,
}

impl NewVolume<'_> {
    /// The volume's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Directory { name, .. } | Self::GitKey { name, .. } => name,
            Self::GitWork => git_ssh::WORK_VOLUME,
        }
    }
}

/// What is added to one container.
#[derive(Debug)]
pub struct ContainerChanges<'a> {
    /// Its list.
    pub group: Group,
    /// Its place there.
    pub index: usize,
    /// Variables, to stand before its own, so that its own may refer to them as `$(NAME)`.
    pub variables: Vec<NewVariable<'a>>,
    /// Secrets for `envFrom`, each with the place at which to insert it.
    pub env_from: Vec<(usize, &'a str)>,
    /// Mounts.
    pub mounts: Vec<NewMount>,
}

/// A variable to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVariable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: NewValue<'a>,
}

/// The value of a variable to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewValue<'a> {
    /// A text that holds no secret.
    Plain(String),
    /// A key of a Secret.
    Key {
        /// The Secret object.
        object: &'a str,
        /// The key.
        key: &'a str,
        /// Whether the container starts without it.
        optional: bool,
    },
}

/// A mount to add, read-only unless it is the work folder of git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMount {
    /// The volume.
    pub volume: String,
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
