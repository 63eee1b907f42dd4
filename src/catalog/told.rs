//! What writers keep: what each source told of each object.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};

use tracing::warn;

use super::counts::Counts;
use super::index::Source;
use super::item::{Item, same};
use super::progress::{Progress, number};
use super::stores::StoresTold;

/// What all sources told.
#[derive(Debug, Default)]
pub(super) struct Told {
    ours: Objects,
    konduktors: Objects,
    files: Objects,
    /// Of those that tell of no secrets for shelves: always empty.
    none: Objects,
    counts: Counts,
    /// The other half, told of beside.
    pub(super) stores: StoresTold,
    /// How far the sources have come.
    pub(super) progress: Progress,
}

impl Told {
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn of(&mut self, source: Source) -> &mut Objects {
        match source {
            Source::OurLabel => &mut self.ours,
            Source::KonduktorLabel => &mut self.konduktors,
            Source::Files => &mut self.files,
            Source::Stores | Source::Namespaces => &mut self.none,
        }
    }

    /// What readers are to see of an object: the newest that any source told.
    pub(super) fn shown(&self, namespace: &str, object: &str) -> Option<&Item> {
        let told = self.sources().into_iter();
        let told = told.filter_map(|source| source.get(namespace, object));
        told.reduce(newer)
    }

    /// The same for all objects of a namespace, by name.
    pub(super) fn all_shown(&self, namespace: &str) -> HashMap<Box<str>, Item> {
        let mut shown: HashMap<Box<str>, Item> = HashMap::new();
        for item in self
            .sources()
            .into_iter()
            .flat_map(|source| source.all(namespace))
        {
            match shown.get_mut(item.object()) {
                Some(there) => *there = newer(there, item).clone(),
                None => drop(shown.insert(item.object().into(), item.clone())),
            }
        }
        shown
    }

    /// The objects that a source told of in a namespace, with their resource versions.
    pub(super) fn versions(&self, source: Source, namespace: &str) -> Vec<(&str, &str)> {
        match self.objects(source) {
            Some(objects) => {
                let items = objects.all(namespace);
                items
                    .map(|item| (item.object(), item.resource_version()))
                    .collect()
            }
            None => self.stores.versions(source, namespace),
        }
    }

    /// The resource version of one of them; `None` if it is not there.
    pub(super) fn version(&self, source: Source, namespace: &str, object: &str) -> Option<&str> {
        match self.objects(source) {
            Some(objects) => objects.get(namespace, object).map(Item::resource_version),
            None => self.stores.version(source, namespace, object),
        }
    }

    fn objects(&self, source: Source) -> Option<&Objects> {
        match source {
            Source::OurLabel => Some(&self.ours),
            Source::KonduktorLabel => Some(&self.konduktors),
            Source::Files => Some(&self.files),
            Source::Stores | Source::Namespaces => None,
        }
    }

    /// Counts a change, and logs a secret that has become broken or is so in another way.
    pub(super) fn note(&mut self, before: Option<&Item>, after: Option<&Item>) {
        if let Some(before) = before {
            self.counts.remove(before);
        }
        let Some(after) = after else { return };
        self.counts.add(after);
        let Item::Broken(broken) = after else { return };
        if !broken.problem.is_mistake() {
            return;
        }
        if !matches!(before, Some(Item::Broken(before)) if before.problem == broken.problem) {
            warn!(
                namespace = &*broken.namespace,
                object = &*broken.object,
                problem = broken.problem.as_str(),
                "this secret cannot be injected; `keyporter inject -o explain` tells what to change"
            );
        }
    }

    /// In falling order of belief.
    fn sources(&self) -> [&Objects; 3] {
        [&self.ours, &self.konduktors, &self.files]
    }
}

/// The one with the higher resource version; the first where they are equal or cannot be compared. An object whose
/// labels change moves from one watch to the other, and the events of the two come in any order.
///
/// Resource versions are whole numbers that grow
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).
fn newer<'a>(first: &'a Item, second: &'a Item) -> &'a Item {
    let age = |item: &Item| number(item.resource_version());
    if age(second) > age(first) {
        second
    } else {
        first
    }
}

/// The objects of one source, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Objects(HashMap<Box<str>, HashSet<ByName>>);

impl Objects {
    /// Sets or removes what is told of an object. What is equal to what is there already is not touched.
    pub(super) fn set(&mut self, namespace: &str, object: &str, new: Option<Item>) {
        match new {
            Some(new) if self.get(namespace, object) == Some(&new) => {}
            Some(new) => self.insert(new),
            None => self.remove(namespace, object),
        }
    }

    pub(super) fn insert(&mut self, item: Item) {
        if let Some(objects) = self.0.get_mut(item.namespace()) {
            objects.replace(ByName(item));
        } else {
            let namespace = item.namespace().into();
            self.0.insert(namespace, HashSet::from([ByName(item)]));
        }
    }

    /// What is there already, if it is equal to this.
    pub(super) fn known(&self, item: Item) -> Item {
        let there = self.get(item.namespace(), item.object());
        there
            .filter(|there| **there == item)
            .cloned()
            .unwrap_or(item)
    }

    /// The namespaces in which the other list has anything else.
    pub(super) fn differing_namespaces(&self, other: &Self) -> Vec<Box<str>> {
        let all: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differing = all.into_iter().filter(|name| {
            let (mine, others) = (self.0.get(*name), other.0.get(*name));
            let equal = mine.zip(others).is_some_and(|(mine, others)| {
                let equal =
                    |one: &ByName| same(others.get(one).map(|other| &other.0), Some(&one.0));
                mine.len() == others.len() && mine.iter().all(equal)
            });
            !equal
        });
        differing.cloned().collect()
    }

    fn remove(&mut self, namespace: &str, object: &str) {
        if let Some(objects) = self.0.get_mut(namespace) {
            objects.remove(object);
            if objects.is_empty() {
                self.0.remove(namespace);
            }
        }
    }

    fn get(&self, namespace: &str, object: &str) -> Option<&Item> {
        self.0.get(namespace)?.get(object).map(|named| &named.0)
    }

    fn all(&self, namespace: &str) -> impl Iterator<Item = &Item> {
        self.0
            .get(namespace)
            .into_iter()
            .flatten()
            .map(|named| &named.0)
    }
}

/// An item that is looked up by its object's name.
#[derive(Debug)]
struct ByName(Item);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.object()
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.object().hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.object() == other.0.object()
    }
}

impl Eq for ByName {}
