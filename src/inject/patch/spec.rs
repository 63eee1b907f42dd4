//! Entries of a pod's `spec`, as Kubernetes writes them.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

use serde::Serialize;

use crate::inject::changes::{NewMount, NewValue, NewVariable, NewVolume};
use crate::inject::git_ssh;
use crate::inject::secret::Secret;

/// An entry of `imagePullSecrets`.
#[derive(Debug, Serialize)]
pub(super) struct PullSecret<'a> {
    pub(super) name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<SecretSource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    empty_dir: Option<EmptyDir>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretSource<'a> {
    secret_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Item<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_mode: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
}

#[derive(Debug, Serialize)]
struct Item<'a> {
    key: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
}

/// The mode of files that may be run: the mode of the others, and that.
const EXECUTABLE_MODE: u32 = 0o755;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EmptyDir {
    medium: &'static str,
    size_limit: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Variable<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_from: Option<ValueFrom<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::inject) struct ValueFrom<'a> {
    secret_key_ref: KeyReference<'a>,
}

#[derive(Debug, Serialize)]
struct KeyReference<'a> {
    name: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source<'a> {
    secret_ref: SecretReference<'a>,
}

#[derive(Debug, Serialize)]
struct SecretReference<'a> {
    name: &'a str,
    optional: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount<'a> {
    name: &'a str,
    mount_path: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_path: Option<&'a str>,
}

impl<'a> Volume<'a> {
    pub(super) fn of(volume: &'a NewVolume<'a>) -> Self {
        match volume {
            NewVolume::Directory { name, secret } => Self {
                name,
                secret: Some(SecretSource::directory(secret)),
                empty_dir: None,
            },
            NewVolume::GitKey { name, secret } => Self {
                name,
                secret: Some(SecretSource::git_key(secret)),
                empty_dir: None,
            },
            NewVolume::Files { name, object } => Self {
                name,
                secret: Some(SecretSource {
                    secret_name: object,
                    items: None,
                    default_mode: None,
                    optional: false,
                }),
                empty_dir: None,
            },
            NewVolume::GitWork => {
                let empty_dir = Some(EmptyDir {
                    medium: "Memory",
                    size_limit: "1Mi",
                });
                Self {
                    name: git_ssh::WORK_VOLUME,
                    secret: None,
                    empty_dir,
                }
            }
        }
    }
}

impl<'a> SecretSource<'a> {
    fn directory(secret: &'a Secret) -> Self {
        let items = secret.layout.as_ref().map(|layout| {
            layout
                .items()
                .iter()
                .map(|item| Item {
                    key: &item.key,
                    path: &item.path,
                    mode: item.executable.then_some(EXECUTABLE_MODE),
                })
                .collect()
        });
        Self {
            secret_name: &secret.object,
            items,
            default_mode: None,
            optional: true,
        }
    }

    fn git_key(secret: &'a Secret) -> Self {
        let mut items = vec![Item {
            key: git_ssh::key_name(secret),
            path: git_ssh::KEY_FILE,
            mode: None,
        }];
        if secret.has_key(git_ssh::KNOWN_HOSTS) {
            items.push(Item {
                key: git_ssh::KNOWN_HOSTS,
                path: git_ssh::KNOWN_HOSTS,
                mode: None,
            });
        }
        Self {
            secret_name: &secret.object,
            items: Some(items),
            default_mode: Some(git_ssh::KEY_MODE),
            optional: true,
        }
    }
}

impl<'a> Source<'a> {
    /// All keys of a Secret object.
    pub(super) fn of(name: &'a str) -> Self {
        let optional = true;
        Self {
            secret_ref: SecretReference { name, optional },
        }
    }
}

impl<'a> Variable<'a> {
    pub(super) fn of(NewVariable { name, value }: &'a NewVariable<'a>) -> Self {
        let plain = match value {
            NewValue::Plain(value) => Some(value.as_ref()),
            NewValue::Key { .. } => None,
        };
        Self {
            name,
            value: plain,
            value_from: ValueFrom::of(value),
        }
    }
}

impl<'a> ValueFrom<'a> {
    /// `None` for a plain text.
    pub(in crate::inject) fn of(value: &'a NewValue<'a>) -> Option<Self> {
        let NewValue::Key {
            object,
            key,
            optional,
        } = value
        else {
            return None;
        };
        let secret_key_ref = KeyReference {
            name: object,
            key,
            optional: *optional,
        };
        Some(Self { secret_key_ref })
    }
}

impl<'a> VolumeMount<'a> {
    pub(super) fn of(
        NewMount {
            volume,
            file,
            path,
            read_only,
        }: &'a NewMount<'a>,
    ) -> Self {
        Self {
            name: volume,
            mount_path: path,
            read_only: *read_only,
            sub_path: *file,
        }
    }
}
