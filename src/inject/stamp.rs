//! The stamp: whoever creates a workload is written into its pod templates, so that a pod that a controller makes from
//! them much later still has an owner.
//!
//! A stamp stands for the person who last decided what the pods do. So it goes to whoever changes a pod template, and
//! stays through everything else: scaling, labels, a controller's bookkeeping, an apply that drops annotations it does
//! not know. An update that leaves the templates as they are never adds a stamp to a workload without one: that would
//! roll out a Deployment because somebody scaled it, and a Job would refuse it (its template is immutable).

use serde_json::Value;

use super::annotations as names;
use super::patch::{Operation, Parents};
use super::settings::Settings;
use super::template::{self, Template};
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
}

/// Decides about the creation or update of an object with pod templates.
#[must_use]
pub fn stamp<'a>(request: WorkloadRequest<'a>, settings: &Settings) -> Stamping<'a> {
    if settings.excluded_namespaces.contains(request.namespace) {
        return Stamping::Skip(Skip::ExcludedNamespace);
    }
    let templates = template::find(request.new);
    if templates.is_empty() {
        return Stamping::Skip(Skip::NoPodTemplate);
    }
    if let Some(denial) = templates
        .iter()
        .find_map(|template| wrong_opt_out(template.value))
    {
        return Stamping::Deny(denial);
    }
    let owner = match owner_to_be(request, &templates, settings) {
        Ok(owner) => owner,
        Err(skip) => return Stamping::Skip(skip),
    };
    let mut patch = Vec::new();
    write(&mut patch, "", request.new, owner);
    for template in &templates {
        write(&mut patch, &template.pointer, template.value, owner);
    }
    if patch.is_empty() {
        Stamping::Skip(Skip::AlreadyStamped)
    } else {
        Stamping::Stamp(Stamp { owner, patch })
    }
}

/// A pod with this label would be denied where its author does not see it, so the workload is.
fn wrong_opt_out(template: &Value) -> Option<Denial> {
    match template
        .get("metadata")?
        .get("labels")?
        .get(names::INJECT)?
    {
        Value::String(value) if value != "enabled" && value != "disabled" => {
            Some(Denial::InvalidOptOut {
                value: value.clone(),
            })
        }
        _ => None,
    }
}

fn owner_to_be<'a>(
    request: WorkloadRequest<'a>,
    templates: &[Template<'a>],
    settings: &Settings,
) -> Result<&'a str, Skip> {
    let written = stamp_of(request.new, templates);
    let Some(old) = request.old else {
        return match written {
            // Whether a stamp was written by who may write it is not asked here: see the module of its proof, to come.
            Some(written) => Ok(written),
            None if settings.trusts(request.requester) => Err(Skip::ControllersObject),
            None => Ok(request.requester),
        };
    };
    let old_templates = template::find(old);
    let before = stamp_of(old, &old_templates);
    let rewritten = written.filter(|written| before != Some(written));
    let changed = !same(&old_templates, templates);
    match (rewritten, before) {
        (Some(written), _) => Ok(written),
        (None, _) if changed && !settings.trusts(request.requester) => Ok(request.requester),
        (None, Some(before)) => Ok(before),
        (None, None) if changed => Err(Skip::ControllersObject),
        (None, None) => Err(Skip::TemplateUnchanged),
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
    if owner_annotation(object) == Some(owner) {
        return;
    }
    let metadata = object.get("metadata").and_then(Value::as_object);
    let parents = match metadata {
        None => Parents::NoMetadata,
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

/// Whether two lists of templates are the same but for keyporter's own annotations: server-side apply and `replace` drop
/// those, and dropping them changes nothing of what the pods do.
fn same(old: &[Template<'_>], new: &[Template<'_>]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| {
            old.pointer == new.pointer && without_ours(old.value) == without_ours(new.value)
        })
}

fn without_ours(template: &Value) -> Value {
    let mut template = template.clone();
    let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) else {
        return template;
    };
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.retain(|name, _| {
            !name.starts_with(names::PREFIX) || names::WISHES.contains(&name.as_str())
        });
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    if metadata
        .get("creationTimestamp")
        .is_some_and(Value::is_null)
    {
        metadata.remove("creationTimestamp");
    }
    if metadata.is_empty()
        && let Some(template) = template.as_object_mut()
    {
        template.remove("metadata");
    }
    template
}
