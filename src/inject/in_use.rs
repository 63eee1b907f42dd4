//! Secrets that live pods carry, and the pods.
//!
//! A pod that has its files and variables already would go on without the Secret, and fail at its next restart or find
//! itself without them, long after the person who deleted it has gone.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use super::carried::{carries, recorded};
use super::pod::Text;

/// A page of a list of pods, of which only some metadata is read.
#[derive(Debug, Deserialize)]
pub struct Page<'a> {
    #[serde(borrow, default)]
    metadata: PageMetadata<'a>,
    #[serde(borrow, default)]
    items: Option<Vec<Listed<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
struct PageMetadata<'a> {
    #[serde(borrow, default, rename = "continue")]
    next: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct Listed<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow, default)]
    deletion_timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    labels: Option<Labels<'a>>,
    #[serde(borrow, default)]
    annotations: Option<Annotations<'a>>,
    #[serde(borrow, default)]
    owner_references: Option<Vec<OwnerReference<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Labels<'a> {
    #[serde(borrow, default, rename = "pod-template-hash")]
    template_hash: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Annotations<'a> {
    #[serde(borrow, default, rename = "keyporter.dev/injected")]
    injected: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct OwnerReference<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(default)]
    controller: Option<bool>,
}

/// A live pod that carries a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Carrier {
    /// The pod.
    pub pod: String,
    /// Kind and name of what it belongs to.
    pub workload: Option<(String, String)>,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}", self.pod)?;
        match &self.workload {
            Some((kind, name)) => write!(f, " ({kind} {name})"),
            None => Ok(()),
        }
    }
}

impl Page<'_> {
    /// Adds the pods that carry the Secret `object` and are not on their way out.
    pub fn collect(&self, object: &str, carriers: &mut BTreeSet<Carrier>) {
        let listed = self.items.iter().flatten().map(|listed| &listed.metadata);
        carriers.extend(listed.filter_map(|metadata| metadata.carrier_of(object)));
    }

    /// Every Secret that a pod carries which is not on its way out: its namespace, its object name and the pod.
    pub fn carried(&self) -> impl Iterator<Item = (&str, String, Carrier)> {
        let listed = self.items.iter().flatten().map(|listed| &listed.metadata);
        listed.flat_map(|metadata| {
            let secrets = metadata.record().map(recorded).unwrap_or_default();
            secrets.into_iter().map(|recorded| {
                let object = recorded.secret.as_str().to_owned();
                (metadata.namespace.as_str(), object, metadata.carrier())
            })
        })
    }

    /// What asks for the next page; `None` after the last.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        Some(self.metadata.next.as_str()).filter(|next| !next.is_empty())
    }
}

impl Metadata<'_> {
    fn carrier_of(&self, object: &str) -> Option<Carrier> {
        carries(self.record()?, object).then(|| self.carrier())
    }

    /// What it carries, if it is not on its way out.
    fn record(&self) -> Option<&str> {
        let record = self.annotations.as_ref()?.injected.as_ref()?;
        let live = self.deletion_timestamp.is_none();
        live.then_some(record.as_str())
    }

    fn carrier(&self) -> Carrier {
        Carrier {
            pod: self.name.as_str().to_owned(),
            workload: self.workload(),
        }
    }

    /// What a person knows the pod by: a ReplicaSet has its Deployment's name and a hash, which the pod has as a label.
    fn workload(&self) -> Option<(String, String)> {
        let mut references = self.owner_references.iter().flatten();
        let controller = references.find(|reference| reference.controller == Some(true))?;
        let (kind, name) = (controller.kind.as_str(), controller.name.as_str());
        let hash = self
            .labels
            .as_ref()
            .and_then(|labels| labels.template_hash.as_ref());
        let deployment = hash
            .filter(|_| kind == "ReplicaSet")
            .and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        let (kind, name) = deployment.map_or((kind, name), |deployment| ("Deployment", deployment));
        Some((kind.to_owned(), name.to_owned()))
    }
}
