//! Every label and annotation that keyporter reads or writes, in one place.
//!
//! The names are a contract with users, charts and other tools: they change only with a new major version.

use super::Denial;
use super::pod::{Metadata, Text};

/// The prefix of all labels and annotations of keyporter.
pub const PREFIX: &str = "keyporter.dev/";

/// Label of a Namespace (`enabled`) or of a pod (`disabled` opts it out).
pub const INJECT: &str = "keyporter.dev/inject";

/// Label of a Secret: how it reaches a pod. Its presence makes a Secret one of keyporter's.
pub const KIND: &str = "keyporter.dev/kind";
/// Label of a Secret: the secret name; the object's name where it is absent.
pub const NAME: &str = "keyporter.dev/name";
/// Label of a Secret: `user` (also where absent) or `project`.
pub const SCOPE: &str = "keyporter.dev/scope";
/// Label of a Secret of user scope: the owner id, for selectors. The annotation [`OWNER`] decides.
pub const OWNER_ID: &str = "keyporter.dev/owner-id";

/// Annotation of a Secret: its owner's username. Annotation of a workload, of its pod templates and of a pod: the
/// stamp, the username whose secrets the pods get.
pub const OWNER: &str = "keyporter.dev/owner";
/// Annotation of a workload and of its pod templates: the proof that keyporter wrote [`OWNER`] there.
pub const OWNER_PROOF: &str = "keyporter.dev/owner-proof";
/// Annotation of a Secret: JSON map from data key to relative path.
pub const LAYOUT: &str = "keyporter.dev/layout";
/// Annotation of a Secret: JSON list of the data keys whose files may be run.
pub const EXECUTABLE: &str = "keyporter.dev/executable";
/// Annotation of a Secret: JSON list of the data keys that keyporter unpacked from an archive.
pub const EXPANDED: &str = "keyporter.dev/expanded";
/// Annotation of a Secret: `automatic` (also where absent) or `on-reference`.
pub const INJECTION: &str = "keyporter.dev/injection";
/// Annotation of a Secret: what it is for, such as `HuggingFace`. It is shown in lists and changes nothing.
pub const USE_CASE: &str = "keyporter.dev/use-case";
/// Annotation of a Secret: JSON map from data key to the length of its value in bytes, as keyporter's own command line
/// writes both. It is shown in lists and changes nothing.
pub const SIZES: &str = "keyporter.dev/sizes";
/// Annotation of a Secret: `true` lets it be deleted while pods use it.
pub const FORCE_DELETE: &str = "keyporter.dev/force-delete";

/// Annotation of a pod: names of the containers that get secrets, comma-separated; all where it is absent.
pub const CONTAINERS: &str = "keyporter.dev/containers";
/// Annotation of a pod: the name of the secret of kind `auth` that becomes `AUTH_SECRET`.
pub const AUTH_SECRET: &str = "keyporter.dev/auth-secret";
/// Annotation of a pod, the record of what it got: JSON list of `{secret, name, kind, scope, resourceVersion}`.
/// Label of a pod: `true` where it got anything.
pub const INJECTED: &str = "keyporter.dev/injected";

/// Annotations by which a pod's author chooses. They are the author's, not keyporter's own marks: changing one changes
/// what the pod gets.
pub const WISHES: [&str; 2] = [CONTAINERS, AUTH_SECRET];

/// Konduktor's label that marks its Secrets (value [`KONDUKTOR_PARENT`]).
pub const KONDUKTOR_MARK: &str = "parent";
/// The value of [`KONDUKTOR_MARK`].
pub const KONDUKTOR_PARENT: &str = "konduktor";
/// Konduktor's label for the secret name.
pub const KONDUKTOR_NAME: &str = "trainy.ai/secret-basename";
/// Konduktor's label for the kind: `default`, `env` or `git-ssh`.
pub const KONDUKTOR_KIND: &str = "trainy.ai/secret-kind";
/// Konduktor's label of a Secret for the hash of the workstation's user that made it: 8 hex digits.
pub const KONDUKTOR_OWNER: &str = "trainy.ai/secret-owner";
/// Konduktor's label of a JobSet for the workstation's user that made it.
pub const KONDUKTOR_USER_ID: &str = "trainy.ai/user-id";

/// Labels by which a pod knows the template that its ReplicaSet was rolled out with: of Deployments, and of Argo's
/// Rollouts. <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label>
pub const TEMPLATE_HASHES: [&str; 2] = ["pod-template-hash", "rollouts-pod-template-hash"];

/// Annotation that the kubelet puts on mirror pods of static pods.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror>
pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// Node selector key for the operating system.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-os>
pub const OPERATING_SYSTEM: &str = "kubernetes.io/os";

/// What the author of a pod asks of keyporter in labels and annotations. All of it narrows or chooses; nothing of it
/// widens what the owner may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes<'a> {
    /// The pod wants no injection.
    pub opted_out: bool,
    /// Only these containers; `None` means all.
    pub containers: Option<Vec<&'a str>>,
    /// The secret that becomes `AUTH_SECRET`.
    pub auth_secret: Option<&'a str>,
}

impl<'a> Wishes<'a> {
    /// Reads the wishes of a pod.
    ///
    /// A value of [`INJECT`] that is neither `enabled` nor `disabled` is a denial: it is most likely meant as an opt-out,
    /// and handing secrets to a pod that asked for none is the one mistake that cannot be undone.
    pub fn of(metadata: &'a Metadata<'a>) -> Result<Self, Denial> {
        let opted_out = match metadata.labels.get(INJECT) {
            None | Some("enabled") => false,
            Some("disabled") => true,
            Some(value) => {
                return Err(Denial::InvalidOptOut {
                    value: value.to_owned(),
                });
            }
        };
        let containers = metadata.annotations.get(CONTAINERS).map(|list| {
            list.split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .collect::<Vec<_>>()
        });
        let auth_secret = metadata
            .annotations
            .get(AUTH_SECRET)
            .map(str::trim)
            .filter(|name| !name.is_empty());
        Ok(Self {
            opted_out,
            containers,
            auth_secret,
        })
    }

    /// Whether the wishes let a container of this name take part.
    #[must_use]
    pub fn choose(&self, container: &Text<'_>) -> bool {
        self.containers
            .as_ref()
            .is_none_or(|names| names.contains(&container.as_str()))
    }
}
