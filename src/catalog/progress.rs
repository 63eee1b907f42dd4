//! How far each watch has come, and whether that is as far as a list that was read beside it.
//!
//! A watch tells of what its selector chooses in the order of resource versions, and these are whole numbers that grow
//! with every write of the cluster
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>). So one number for each watch says
//! of all objects at once what the catalogue knows of them, also of those that it keeps nothing of.

use std::collections::HashSet;
use std::time::Instant;

use super::decode::SecretHead;
use super::index::{Catalog, Source};
use super::told::Told;

/// The sources that tell of Secrets by a watch.
const WATCHED: [Source; 3] = [Source::OurLabel, Source::KonduktorLabel, Source::Stores];

/// A resource version as a number. What is none comes before all that are.
pub(super) fn number(version: &str) -> u128 {
    version.parse().unwrap_or(0)
}

/// How far all watches have come.
#[derive(Debug, Default)]
pub(super) struct Progress([Position; WATCHED.len()]);

/// How far one has come.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Position {
    /// Everything up to this resource version is in the catalogue.
    reached: u128,
    /// When the list was begun that came in last: all that was written before is in the catalogue.
    listed: Option<Instant>,
}

impl Progress {
    /// A change of this version is in the catalogue.
    pub(super) fn reach(&mut self, source: Source, version: u128) {
        if let Some(position) = self.of(source) {
            position.reached = position.reached.max(version);
        }
    }

    /// A list that was begun at this time is in the catalogue; the newest object in it has this version. It may be lower
    /// than before, as where a cluster was restored.
    pub(super) fn list(&mut self, source: Source, begun: Instant, newest: u128) {
        if let Some(position) = self.of(source) {
            *position = Position {
                reached: newest,
                listed: Some(begun),
            };
        }
    }

    fn of(&mut self, source: Source) -> Option<&mut Position> {
        let index = WATCHED.iter().position(|watched| *watched == source)?;
        self.0.get_mut(index)
    }
}

/// A consistent list of all Secrets of a namespace, as far as the catalogue is to be compared with it.
#[derive(Debug)]
pub(super) struct Listed {
    namespace: Box<str>,
    /// The resource version of the list: deletions that are missing in it are older.
    version: u128,
    /// When it was there.
    at: Instant,
    /// What each source must know of it.
    wanted: [Wanted; WATCHED.len()],
}

/// What one source must know.
#[derive(Debug, Default)]
struct Wanted {
    newest: u128,
    objects: HashSet<Box<str>>,
    /// What the catalogue held that the list has not: gone once the deletion is told. Unknown before all else is.
    leaving: Option<Vec<Box<str>>>,
}

impl Listed {
    /// An empty one.
    pub(super) fn new(namespace: &str, version: u128) -> Self {
        Self {
            namespace: namespace.into(),
            version,
            at: Instant::now(),
            wanted: Default::default(),
        }
    }

    /// Takes in an object of the list.
    pub(super) fn add(&mut self, head: &SecretHead, catalog: &Catalog) {
        let label = head.told_by_label();
        let store = catalog.is_store(head.object()).then_some(Source::Stores);
        for (source, wanted) in WATCHED.into_iter().zip(&mut self.wanted) {
            if label == Some(source) || store == Some(source) {
                wanted.newest = wanted.newest.max(number(head.version()));
                wanted.objects.insert(head.object().into());
            }
        }
    }

    /// The whole list is there now.
    pub(super) fn complete(mut self) -> Self {
        self.at = Instant::now();
        self
    }

    /// Whether all that the list shows is told, changes, creations and deletions, or what is newer.
    pub(super) fn is_known(&mut self, told: &Told) -> bool {
        let Self {
            namespace,
            version,
            at,
            wanted,
        } = self;
        let mut sources = WATCHED.into_iter().zip(&told.progress.0).zip(wanted);
        sources.all(|((source, position), wanted)| {
            if position.listed.is_some_and(|begun| begun >= *at) {
                return true;
            }
            if position.reached < wanted.newest {
                return false;
            }
            // Younger than the list is what was made after it.
            let old = |told: Option<&str>| told.is_some_and(|told| number(told) <= *version);
            let leaving = wanted.leaving.get_or_insert_with(|| {
                let known = told.versions(source, namespace).into_iter();
                let missing = known.filter(|(object, _)| !wanted.objects.contains(*object));
                let missing = missing.filter(|(_, version)| old(Some(version)));
                missing.map(|(object, _)| object.into()).collect()
            });
            leaving.retain(|object| old(told.version(source, namespace, object)));
            leaving.is_empty()
        })
    }
}
