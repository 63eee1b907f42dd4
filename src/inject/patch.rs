//! Plan -> JSON Patch (RFC 6902), of `add` operations alone.
//!
//! A missing parent is added once, whole; where it is there, entries are inserted. `add` of an annotation that is there
//! replaces it, which happens to keyporter's own alone. An operation holds where it is and what it adds as the plan has
//! them: texts come of both only where the patch is written out.

mod path;
mod spec;

use std::borrow::Cow;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use super::Plan;
use super::annotations as names;
use super::changes::{ContainerChanges, Group, NewMount, NewValue, NewVariable, NewVolume};
use super::pod::{Container, Map};
use crate::json::write::append as append_value;
use path::{List, Path};
pub(super) use spec::ValueFrom;
use spec::{PullSecret, Source, Variable, Volume, VolumeMount};

/// One operation: it adds a value.
#[derive(Debug)]
pub struct Operation<'a> {
    path: Path<'a>,
    value: Value<'a>,
}

/// The value that an operation adds.
#[derive(Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Texts(&'a [Cow<'a, str>]),
    Json(serde_json::Value),
    ValueFrom(ValueFrom<'a>),
    Map(Entries<'a>),
    Metadata(NewMetadata<'a>),
    Volume(&'a NewVolume<'a>),
    Volumes(&'a [NewVolume<'a>]),
    PullSecret(&'a str),
    PullSecrets(&'a [&'a str]),
    Variable(&'a NewVariable<'a>),
    Variables(&'a [NewVariable<'a>]),
    Source(&'a str),
    Sources(&'a [(usize, &'a str)]),
    Mount(&'a NewMount<'a>),
    Mounts(&'a [NewMount<'a>]),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(to),
            Self::Texts(texts) => texts.serialize(to),
            Self::Json(value) => value.serialize(to),
            Self::ValueFrom(source) => source.serialize(to),
            Self::Map(entries) => entries.serialize(to),
            Self::Metadata(metadata) => metadata.serialize(to),
            Self::Volume(volume) => Volume::of(volume).serialize(to),
            Self::Volumes(volumes) => to.collect_seq(volumes.iter().map(Volume::of)),
            Self::PullSecret(name) => PullSecret { name }.serialize(to),
            Self::PullSecrets(names) => {
                to.collect_seq(names.iter().map(|name| PullSecret { name }))
            }
            Self::Variable(variable) => Variable::of(variable).serialize(to),
            Self::Variables(variables) => to.collect_seq(variables.iter().map(Variable::of)),
            Self::Source(name) => Source::of(name).serialize(to),
            Self::Sources(names) => to.collect_seq(names.iter().map(|(_, name)| Source::of(name))),
            Self::Mount(mount) => VolumeMount::of(mount).serialize(to),
            Self::Mounts(mounts) => to.collect_seq(mounts.iter().map(VolumeMount::of)),
        }
    }
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
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Writes the patch of a plan. `base` is the JSON Pointer (RFC 6901) of the pod in the document: empty for a pod,
/// `/spec/template` for the template of a Deployment.
#[must_use]
pub fn write<'a>(plan: &'a Plan<'a>, base: &'a str) -> Vec<Operation<'a>> {
    let changes = &plan.changes;
    let mut patch = Vec::with_capacity(3 + changes.size());
    write_metadata(&mut patch, plan, base);
    append(
        &mut patch,
        List::of_pod(base, "volumes"),
        plan.spec.volumes.is_some(),
        &changes.volumes,
        Value::Volume,
        Value::Volumes,
    );
    append(
        &mut patch,
        List::of_pod(base, "imagePullSecrets"),
        plan.spec.image_pull_secrets.is_some(),
        &changes.image_pull_secrets,
        |name| Value::PullSecret(name),
        Value::PullSecrets,
    );
    for change in &changes.containers {
        let there = match change.group {
            Group::Init => &plan.spec.init_containers,
            Group::Main => &plan.spec.containers,
        };
        if let Some(container) = there.as_ref().and_then(|list| list.get(change.index)) {
            write_container(&mut patch, change, container, base);
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
            pointer.into(),
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
        patch.push(Operation::add(
            pointer.to_owned().into(),
            Value::Map(entries),
        ));
        return;
    }
    let adds = entries
        .0
        .into_iter()
        .map(|(key, value)| Operation::add(member(pointer, key).into(), Value::Text(value)));
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
    base: &'a str,
) {
    let list = |member| List::of_container(base, change.group, change.index, member);
    // Before anything is inserted: places are those of the container as it is.
    write_references(patch, change, list);
    insert(
        patch,
        list("env"),
        container.env.is_some(),
        &change.variables,
        |place, _| place,
        Value::Variable,
        Value::Variables,
    );
    insert(
        patch,
        list("envFrom"),
        container.env_from.is_some(),
        &change.env_from,
        |_, (place, _)| *place,
        |(_, name)| Value::Source(name),
        Value::Sources,
    );
    append(
        patch,
        list("volumeMounts"),
        container.volume_mounts.is_some(),
        &change.mounts,
        Value::Mount,
        Value::Mounts,
    );
}

/// Replaces what references stand in: an `add` of a member that is there does so.
fn write_references<'a>(
    patch: &mut Vec<Operation<'a>>,
    change: &'a ContainerChanges<'a>,
    list: impl Fn(&'static str) -> List<'a>,
) {
    let variables = list("env");
    for (place, value) in &change.values {
        // The API server takes an empty value beside `valueFrom` for none.
        let text = match value {
            NewValue::Plain(text) => text,
            NewValue::Key { .. } => "",
        };
        patch.push(Operation::add(
            variables.member(*place, "value"),
            Value::Text(text.into()),
        ));
        if let Some(source) = ValueFrom::of(value) {
            patch.push(Operation::add(
                variables.member(*place, "valueFrom"),
                Value::ValueFrom(source),
            ));
        }
    }
    for (member, texts) in [("command", &change.command), ("args", &change.args)] {
        if let Some(texts) = texts {
            patch.push(Operation::add(list(member).whole(), Value::Texts(texts)));
        }
    }
}

/// Adds entries at the end of a list, or the list.
fn append<'a, T>(
    patch: &mut Vec<Operation<'a>>,
    list: List<'a>,
    there: bool,
    entries: &'a [T],
    one: fn(&'a T) -> Value<'a>,
    all: fn(&'a [T]) -> Value<'a>,
) {
    if there {
        let adds = entries.iter();
        patch.extend(adds.map(|entry| Operation::add(list.end(), one(entry))));
    } else if !entries.is_empty() {
        patch.push(Operation::add(list.whole(), all(entries)));
    }
}

/// Inserts entries into a list, each at the place where it is to stand when those before it are in, or adds the list.
fn insert<'a, T>(
    patch: &mut Vec<Operation<'a>>,
    list: List<'a>,
    there: bool,
    entries: &'a [T],
    place: fn(usize, &T) -> usize,
    one: fn(&'a T) -> Value<'a>,
    all: fn(&'a [T]) -> Value<'a>,
) {
    if there {
        let adds = entries.iter().enumerate();
        patch.extend(
            adds.map(|(number, entry)| Operation::add(list.at(place(number, entry)), one(entry))),
        );
    } else if !entries.is_empty() {
        patch.push(Operation::add(list.whole(), all(entries)));
    }
}

/// For whoever wants it as a value; an answer is appended to.
impl Serialize for Operation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Vec::new();
        self.append(&mut text).map_err(S::Error::custom)?;
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'a> Operation<'a> {
    /// Appends it as JSON.
    pub(crate) fn append(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        out.extend_from_slice(br#"{"op":"add","path":""#);
        self.path.append(out);
        out.extend_from_slice(br#"","value":"#);
        append_value(out, &self.value)?;
        out.push(b'}');
        Ok(())
    }

    fn add(path: Path<'a>, value: Value<'a>) -> Self {
        Self { path, value }
    }

    /// Adds any JSON.
    pub(super) fn json(path: String, value: serde_json::Value) -> Self {
        Self::add(path.into(), Value::Json(value))
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
                vec![Self::add(path.to_owned().into(), Value::Metadata(metadata))]
            }
            Parents::NoAnnotations => {
                let annotations = Value::Map(Entries(entries));
                vec![Self::add(
                    [path, "/annotations"].concat().into(),
                    annotations,
                )]
            }
            Parents::Annotations => {
                let path = [path, "/annotations"].concat();
                let add = |(key, value)| Self::add(member(&path, key).into(), Value::Text(value));
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
