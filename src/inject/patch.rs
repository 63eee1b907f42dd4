//! Plan -> JSON Patch (RFC 6902), of `add` operations alone.
//!
//! A missing parent is added once, whole; where it is there, entries are inserted. `add` of an annotation that is there
//! replaces it, which happens to keyporter's own alone.

use std::borrow::Cow;

use serde::Serialize;

use super::Plan;
use super::annotations as names;
use super::changes::{ContainerChanges, Group, NewMount, NewValue, NewVariable, NewVolume};
use super::git_ssh;
use super::pod::{Container, Map};
use super::secret::Secret;

/// One operation.
#[derive(Debug, Serialize)]
pub struct Operation<'a> {
    op: &'static str,
    path: String,
    value: Value<'a>,
}

/// The value that an operation adds.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Texts(&'a [Cow<'a, str>]),
    Json(serde_json::Value),
    ValueFrom(ValueFrom<'a>),
    Map(Entries<'a>),
    Metadata(NewMetadata<'a>),
    Volume(Volume<'a>),
    Volumes(Vec<Volume<'a>>),
    PullSecret(Name<'a>),
    PullSecrets(Vec<Name<'a>>),
    Variable(Variable<'a>),
    Variables(Vec<Variable<'a>>),
    Source(Source<'a>),
    Sources(Vec<Source<'a>>),
    Mount(VolumeMount<'a>),
    Mounts(Vec<VolumeMount<'a>>),
}

#[derive(Debug, Default, Serialize)]
struct NewMetadata<'a> {
    #[serde(skip_serializing_if = "Entries::is_empty")]
    labels: Entries<'a>,
    #[serde(skip_serializing_if = "Entries::is_empty")]
    annotations: Entries<'a>,
}

/// A map in the order of its entries.
#[derive(Debug, Default)]
struct Entries<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl Entries<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[derive(Debug, Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Volume<'a> {
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
struct Variable<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_from: Option<ValueFrom<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom<'a> {
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
struct Source<'a> {
    secret_ref: SecretReference<'a>,
}

#[derive(Debug, Serialize)]
struct SecretReference<'a> {
    name: &'a str,
    optional: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMount<'a> {
    name: &'a str,
    mount_path: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_path: Option<&'a str>,
}

/// Writes the patch of a plan. `base` is the JSON Pointer (RFC 6901) of the pod in the document: empty for a pod,
/// `/spec/template` for the template of a Deployment.
#[must_use]
pub fn write<'a>(plan: &'a Plan<'a>, base: &str) -> Vec<Operation<'a>> {
    let mut patch = Vec::new();
    write_metadata(&mut patch, plan, base);
    let changes = &plan.changes;
    append(
        &mut patch,
        &[base, "/spec/volumes"].concat(),
        plan.spec.volumes.is_some(),
        changes.volumes.iter().map(Volume::of).collect(),
        Value::Volume,
        Value::Volumes,
    );
    append(
        &mut patch,
        &[base, "/spec/imagePullSecrets"].concat(),
        plan.spec.image_pull_secrets.is_some(),
        changes
            .image_pull_secrets
            .iter()
            .map(|name| Name { name })
            .collect(),
        Value::PullSecret,
        Value::PullSecrets,
    );
    for change in &changes.containers {
        let (list, there) = match change.group {
            Group::Init => ("initContainers", &plan.spec.init_containers),
            Group::Main => ("containers", &plan.spec.containers),
        };
        if let Some(container) = there.as_ref().and_then(|list| list.get(change.index)) {
            write_container(
                &mut patch,
                change,
                container,
                &[base, "/spec/", list, "/", &change.index.to_string()].concat(),
            );
        }
    }
    patch
}

fn write_metadata<'a>(patch: &mut Vec<Operation<'a>>, plan: &'a Plan<'a>, base: &str) {
    let mut labels = Entries::default();
    if plan.marks.label {
        labels.0.push((names::INJECTED, Cow::Borrowed("true")));
    }
    let mut annotations = Entries::default();
    if let Some(owner) = plan.marks.owner {
        annotations.0.push((names::OWNER, Cow::Borrowed(owner)));
    }
    if let Some(record) = &plan.marks.record {
        annotations
            .0
            .push((names::INJECTED, Cow::Borrowed(record.as_str())));
    }
    let pointer = [base, "/metadata"].concat();
    match plan.metadata {
        None => patch.push(Operation::add(
            pointer,
            Value::Metadata(NewMetadata {
                labels,
                annotations,
            }),
        )),
        Some(metadata) => {
            write_map(
                patch,
                &[&pointer, "/labels"].concat(),
                &metadata.labels,
                labels,
            );
            write_map(
                patch,
                &[&pointer, "/annotations"].concat(),
                &metadata.annotations,
                annotations,
            );
        }
    }
}

fn write_map<'a>(
    patch: &mut Vec<Operation<'a>>,
    pointer: &str,
    there: &Map<'_>,
    entries: Entries<'a>,
) {
    if entries.is_empty() {
        return;
    }
    if !there.present {
        patch.push(Operation::add(pointer.to_owned(), Value::Map(entries)));
        return;
    }
    let adds = entries
        .0
        .into_iter()
        .map(|(key, value)| Operation::add(member(pointer, key), Value::Text(value)));
    patch.extend(adds);
}

/// The pointer to a member of an object, its name escaped (RFC 6901, section 3).
#[must_use]
pub(crate) fn member(pointer: &str, name: &str) -> String {
    let mut path = String::with_capacity(pointer.len() + name.len() + 4);
    path.push_str(pointer);
    path.push('/');
    for character in name.chars() {
        match character {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            other => path.push(other),
        }
    }
    path
}

fn write_container<'a>(
    patch: &mut Vec<Operation<'a>>,
    change: &'a ContainerChanges<'a>,
    container: &Container<'_>,
    base: &str,
) {
    // Before anything is inserted: places are those of the container as it is.
    write_references(patch, change, base);
    insert(
        patch,
        &[base, "/env"].concat(),
        container.env.is_some(),
        change
            .variables
            .iter()
            .map(Variable::of)
            .enumerate()
            .collect(),
        Value::Variable,
        Value::Variables,
    );
    let source = |name| Source {
        secret_ref: SecretReference {
            name,
            optional: true,
        },
    };
    insert(
        patch,
        &[base, "/envFrom"].concat(),
        container.env_from.is_some(),
        change
            .env_from
            .iter()
            .map(|(at, name)| (*at, source(name)))
            .collect(),
        Value::Source,
        Value::Sources,
    );
    append(
        patch,
        &[base, "/volumeMounts"].concat(),
        container.volume_mounts.is_some(),
        change.mounts.iter().map(VolumeMount::of).collect(),
        Value::Mount,
        Value::Mounts,
    );
}

/// Replaces what references stand in: an `add` of a member that is there does so.
fn write_references<'a>(
    patch: &mut Vec<Operation<'a>>,
    change: &'a ContainerChanges<'a>,
    base: &str,
) {
    for (place, value) in &change.values {
        let pointer = [base, "/env/", &place.to_string()].concat();
        // The API server takes an empty value beside `valueFrom` for none.
        let text = match value {
            NewValue::Plain(text) => text.as_str(),
            NewValue::Key { .. } => "",
        };
        patch.push(Operation::add(
            [&pointer, "/value"].concat(),
            Value::Text(text.into()),
        ));
        if let Some(source) = ValueFrom::of(value) {
            patch.push(Operation::add(
                [&pointer, "/valueFrom"].concat(),
                Value::ValueFrom(source),
            ));
        }
    }
    for (member, texts) in [("command", &change.command), ("args", &change.args)] {
        if let Some(texts) = texts {
            patch.push(Operation::add(
                [base, "/", member].concat(),
                Value::Texts(texts),
            ));
        }
    }
}

/// Adds entries at the end of a list, or the list.
fn append<'a, T>(
    patch: &mut Vec<Operation<'a>>,
    pointer: &str,
    there: bool,
    entries: Vec<T>,
    one: fn(T) -> Value<'a>,
    all: fn(Vec<T>) -> Value<'a>,
) {
    if there {
        patch.extend(
            entries
                .into_iter()
                .map(|entry| Operation::add([pointer, "/-"].concat(), one(entry))),
        );
    } else if !entries.is_empty() {
        patch.push(Operation::add(pointer.to_owned(), all(entries)));
    }
}

/// Inserts entries into a list, each at the place where it is to stand when those before it are in, or adds the list.
fn insert<'a, T>(
    patch: &mut Vec<Operation<'a>>,
    pointer: &str,
    there: bool,
    entries: Vec<(usize, T)>,
    one: fn(T) -> Value<'a>,
    all: fn(Vec<T>) -> Value<'a>,
) {
    if there {
        let adds = entries.into_iter().map(|(at, entry)| {
            Operation::add([pointer, "/", &at.to_string()].concat(), one(entry))
        });
        patch.extend(adds);
    } else if !entries.is_empty() {
        let list = entries.into_iter().map(|(_, entry)| entry).collect();
        patch.push(Operation::add(pointer.to_owned(), all(list)));
    }
}

impl<'a> Operation<'a> {
    fn add(path: String, value: Value<'a>) -> Self {
        Self {
            op: "add",
            path,
            value,
        }
    }

    /// Adds any JSON.
    pub(super) fn json(path: String, value: serde_json::Value) -> Self {
        Self::add(path, Value::Json(value))
    }

    /// Adds annotations to the object whose `metadata` is at `path`.
    pub(super) fn annotations(
        path: &str,
        parents: Parents,
        entries: Vec<(&'static str, Cow<'a, str>)>,
    ) -> Vec<Self> {
        if entries.is_empty() {
            return vec![];
        }
        match parents {
            Parents::NoMetadata => {
                let metadata = NewMetadata {
                    annotations: Entries(entries),
                    ..NewMetadata::default()
                };
                vec![Self::add(path.to_owned(), Value::Metadata(metadata))]
            }
            Parents::NoAnnotations => {
                let annotations = Value::Map(Entries(entries));
                vec![Self::add([path, "/annotations"].concat(), annotations)]
            }
            Parents::Annotations => {
                let path = [path, "/annotations"].concat();
                let add = |(key, value)| Self::add(member(&path, key), Value::Text(value));
                entries.into_iter().map(add).collect()
            }
        }
    }
}

/// What there is of an object's metadata to put annotations into.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parents {
    NoMetadata,
    NoAnnotations,
    Annotations,
}

impl<'a> Volume<'a> {
    fn of(volume: &'a NewVolume<'a>) -> Self {
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

impl<'a> Variable<'a> {
    fn of(NewVariable { name, value }: &'a NewVariable<'a>) -> Self {
        let plain = match value {
            NewValue::Plain(value) => Some(value.as_str()),
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
    fn of(value: &'a NewValue<'a>) -> Option<Self> {
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
    fn of(
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
