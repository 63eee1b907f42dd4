//! The stamp: whoever creates a workload is written into its pod templates, so that a pod that a controller makes from
//! them much later still has an owner.
//!
//! A stamp stands for the person who last decided what the pods do. So it goes to whoever changes a pod template, and
//! stays through everything else: scaling, labels, a controller's bookkeeping, an apply that drops annotations it does
//! not know. An update that leaves the templates as they are never adds a stamp to a place without one: that would roll
//! out a Deployment because somebody scaled it, and a Job would refuse it (its template is immutable).
//!
//! What a client writes there itself is not believed, but for their own name and for trusted controllers: otherwise
//! whoever may edit a workload could run it with anybody's secrets, and a rollback, which brings back the old stamp with
//! the old template, would run what one person chose with the secrets of another.

use std::collections::HashMap;

use serde_json::Value;

use super::annotations as names;
use super::patch::{Operation, Parents};
use super::settings::Settings;
use super::template::{self, Template};
use super::warning::Warning;
use super::{Denial, Skip};

/// A request that creates or updates a workload.
#[derive(Debug, Clone, Copy)]
pub struct WorkloadRequest<'a> {
    /// `request.userInfo.username`.
    pub requester: &'a str,
    /// `request.namespace`.
    pub namespace: &'a str,
    /// `request.object`.
    pub new: &'a Value,
    /// `request.oldObject`; `None` on create.
    pub old: Option<&'a Value>,
}

/// What becomes of a workload.
#[derive(Debug)]
pub enum Stamping<'a> {
    /// It is admitted as it is.
    Skip(Skip),
    /// Its owner is written.
    Stamp(Stamp<'a>),
    /// It is refused.
    Deny(Denial),
}

/// A name to write into a workload.
#[derive(Debug)]
pub struct Stamp<'a> {
    /// The owner of the pods to come.
    pub owner: &'a str,
    /// The patch.
    pub patch: Vec<Operation<'a>>,
    /// What the requester is to know.
    pub warnings: Vec<Warning<'a>>,
}

/// Decides about the creation or update of an object with pod templates.
#[must_use]
pub fn stamp<'a>(request: WorkloadRequest<'a>, settings: &Settings) -> Stamping<'a> {
    if settings.excluded_namespaces.contains(request.namespace) {
        return Stamping::Skip(Skip::ExcludedNamespace);
    }
    let new = template::find(request.new);
    if new.is_empty() {
        return Stamping::Skip(Skip::NoPodTemplate);
    }
    let old = request.old.map(template::find).unwrap_or_default();
    let old_by_pointer = by_pointer(&old);
    if let Some(denial) = new
        .iter()
        .find_map(|template| wrong_opt_out(template, &old_by_pointer))
    {
        return Stamping::Deny(denial);
    }
    let change = Change {
        requester: request.requester,
        trusted: settings.trusts(request.requester),
        // On create there is no old template.
        changed: old.len() != new.len()
            || !new
                .iter()
                .all(|template| is_same(template, &old_by_pointer)),
        inherited: stamp_of(request.new, &new)
            .or_else(|| stamp_of(request.old.unwrap_or(&Value::Null), &old)),
    };
    let before = request.old.and_then(owner_annotation);
    let mut places = vec![("", request.new, before)];
    places.extend(new.iter().map(|template| {
        let before = old_by_pointer
            .get(template.pointer.as_str())
            .and_then(|old| owner_annotation(old));
        (template.pointer.as_str(), template.value, before)
    }));
    let owners: Vec<_> = places
        .iter()
        .map(|(_, value, before)| change.owner(owner_annotation(value), *before))
        .collect();
    let mut patch = Vec::new();
    for ((pointer, value, _), owner) in places.iter().zip(&owners) {
        if let Some(owner) = owner {
            write(&mut patch, pointer, value, owner);
        }
    }
    // The object's own stands first; the pods get that of a template.
    match owners.iter().rev().find_map(|owner| *owner) {
        Some(owner) if !patch.is_empty() => {
            let stamps = places
                .iter()
                .map(|(_, value, before)| (owner_annotation(value), *before));
            let warnings = change.warnings(owner, stamps);
            Stamping::Stamp(Stamp {
                owner,
                patch,
                warnings,
            })
        }
        Some(_) => Stamping::Skip(Skip::AlreadyStamped),
        None if change.changed => Stamping::Skip(Skip::ControllersObject),
        None => Stamping::Skip(Skip::TemplateUnchanged),
    }
}

/// The pod templates that a request makes or changes.
#[must_use]
pub fn changed<'a>(new: &'a Value, old: Option<&'a Value>) -> Vec<Template<'a>> {
    let old = old.map(template::find).unwrap_or_default();
    let old = by_pointer(&old);
    let mut templates = template::find(new);
    templates.retain(|template| !is_same(template, &old));
    templates
}

/// A pod with this label would be denied where its author does not see it, so the workload is. Not where it stands there
/// already: whoever scales or deletes the workload is not to blame.
fn wrong_opt_out(template: &Template<'_>, old: &HashMap<&str, &Value>) -> Option<Denial> {
    let value = opt_out(template.value)?;
    let before = old.get(template.pointer.as_str());
    let known = before.and_then(|old| opt_out(old)) == Some(value);
    if known || value == "enabled" || value == "disabled" {
        return None;
    }
    Some(Denial::InvalidOptOut {
        value: value.to_owned(),
    })
}

fn opt_out(template: &Value) -> Option<&str> {
    let labels = template.get("metadata")?.get("labels")?;
    labels.get(names::INJECT)?.as_str()
}

/// Templates by their place.
fn by_pointer<'t, 'a>(templates: &'t [Template<'a>]) -> HashMap<&'t str, &'a Value> {
    let place = |template: &'t Template<'a>| (template.pointer.as_str(), template.value);
    templates.iter().map(place).collect()
}

/// What decides about every stamp of a workload.
struct Change<'a> {
    requester: &'a str,
    trusted: bool,
    /// Whether a pod template is new or other than before.
    changed: bool,
    /// The stamp for places of a controller's object that have none.
    inherited: Option<&'a str>,
}

impl<'a> Change<'a> {
    /// Whose name is to stand at a place where `now` stands, and `before` stood.
    fn owner(&self, now: Option<&'a str>, before: Option<&'a str>) -> Option<&'a str> {
        if self.trusted {
            let inherited = self.inherited.filter(|_| self.changed);
            return now.or(before).or(inherited);
        }
        if self.changed || now == Some(self.requester) {
            return Some(self.requester);
        }
        before.or(now.map(|_| self.requester))
    }

    /// Each once, however many places there are, and nothing to a controller: nobody reads it there.
    fn warnings(
        &self,
        owner: &'a str,
        stamps: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)> + Clone,
    ) -> Vec<Warning<'a>> {
        if self.trusted {
            return vec![];
        }
        let others = |stamp: &&str| *stamp != owner;
        let claimed = stamps
            .clone()
            .filter_map(|(now, before)| now.filter(|now| before != Some(now)))
            .find(others)
            .map(|stamp| Warning::StampIgnored { stamp, owner });
        let previous = stamps
            .filter_map(|(_, before)| before)
            .find(others)
            .map(|before| Warning::OwnerChanged { before, owner });
        claimed.into_iter().chain(previous).collect()
    }
}

/// The stamp of an object: its own, else that of its first template that has one.
fn stamp_of<'a>(object: &'a Value, templates: &[Template<'a>]) -> Option<&'a str> {
    owner_annotation(object).or_else(|| {
        templates
            .iter()
            .find_map(|template| owner_annotation(template.value))
    })
}

fn owner_annotation(object: &Value) -> Option<&str> {
    annotations(object)?
        .get(names::OWNER)?
        .as_str()
        .filter(|owner| !owner.is_empty())
}

fn annotations(object: &Value) -> Option<&serde_json::Map<String, Value>> {
    object.get("metadata")?.get("annotations")?.as_object()
}

fn write<'a>(patch: &mut Vec<Operation<'a>>, pointer: &str, object: &Value, owner: &'a str) {
    if owner_annotation(object) == Some(owner) || !template::can_be_annotated(object) {
        return;
    }
    let parents = match object.get("metadata") {
        None | Some(Value::Null) => Parents::NoMetadata,
        Some(_) if annotations(object).is_none() => Parents::NoAnnotations,
        Some(_) => Parents::Annotations,
    };
    patch.push(Operation::annotation(
        &format!("{pointer}/metadata"),
        parents,
        names::OWNER,
        owner,
    ));
}

/// Whether a template stood at its place before, the same but for keyporter's own annotations: server-side apply and
/// `replace` drop those, and dropping them changes nothing of what the pods do.
fn is_same(template: &Template<'_>, old: &HashMap<&str, &Value>) -> bool {
    let before = old.get(template.pointer.as_str());
    before.is_some_and(|before| without_ours(before) == without_ours(template.value))
}

fn without_ours(template: &Value) -> Value {
    let mut template = template.clone();
    let Some(members) = template.as_object_mut() else {
        return template;
    };
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.retain(|name, _| {
                !name.starts_with(names::PREFIX) || names::WISHES.contains(&name.as_str())
            });
        }
        remove_empty(metadata, "annotations");
        remove_empty(metadata, "creationTimestamp");
    }
    remove_empty(members, "metadata");
    template
}

/// Absent, null and empty mean the same.
fn remove_empty(object: &mut serde_json::Map<String, Value>, name: &str) {
    let empty =
        |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    if object.get(name).is_some_and(empty) {
        object.remove(name);
    }
}
