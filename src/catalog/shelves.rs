//! What readers see: for each namespace the shelves of its project and of its owners.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::item::{Item, Place};
use crate::inject::name::{self, OWNER_ID_IN_NAMES};
use crate::inject::secret::{Broken, Secret};
use crate::inject::select::{Shelf, Visible};
use crate::inject::store::Stores;

static EMPTY: LazyLock<Arc<Shelf>> = LazyLock::new(Arc::default);
static NO_STORES: LazyLock<Arc<Stores>> = LazyLock::new(Arc::default);

/// What a pod of a namespace and owner may see, at one moment. Cheap to hold; later changes do not show in it.
#[derive(Debug, Clone)]
pub struct Shelves {
    project: Arc<Shelf>,
    user: Arc<Shelf>,
    stores: Arc<Stores>,
}

impl Shelves {
    /// The view that the selection takes.
    #[must_use]
    pub fn visible(&self) -> Visible<'_> {
        Visible {
            project: &self.project,
            user: &self.user,
            stores: &self.stores,
        }
    }
}

/// The shelves and stores of all namespaces. Those that are empty are not there.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    shelves: HashMap<Box<str>, Namespace>,
    /// Apart from the shelves: other sources tell of them.
    stores: HashMap<Box<str>, Arc<Stores>>,
}

#[derive(Debug, Default)]
pub(super) struct Namespace {
    project: Arc<Shelf>,
    users: HashMap<Arc<str>, Arc<Shelf>>,
    /// Whose each secret of a user is, by object name.
    owners: HashMap<Box<str>, Arc<str>>,
    /// The users, by what of their ids stands in names. Two may share that.
    ids: HashMap<Box<str>, Vec<Arc<str>>>,
    /// Broken secrets that say neither whose they are nor that they are the project's, by object name.
    orphans: Vec<Arc<Broken>>,
}

impl Namespaces {
    pub(super) fn shelves(&self, namespace: &str, owner: Option<&str>) -> Shelves {
        let stores = self.stores.get(namespace);
        let namespace = self.shelves.get(namespace);
        let project = namespace.map(|namespace| &namespace.project);
        let user = namespace
            .zip(owner)
            .and_then(|(namespace, owner)| namespace.users.get(owner));
        Shelves {
            project: Arc::clone(project.unwrap_or(&EMPTY)),
            user: Arc::clone(user.unwrap_or(&EMPTY)),
            stores: Arc::clone(stores.unwrap_or(&NO_STORES)),
        }
    }

    pub(super) fn owner_of(&self, namespace: &str, object: &str) -> Option<Arc<str>> {
        let namespace = self.shelves.get(namespace)?;
        let owner = namespace.owners.get(object).cloned();
        owner.or_else(|| namespace.reserved(object))
    }

    pub(super) fn orphans(&self, namespace: &str) -> Vec<Arc<Broken>> {
        let namespace = self.shelves.get(namespace);
        namespace.map_or_else(Vec::new, |namespace| namespace.orphans.clone())
    }

    /// Whether nothing is left, not even an empty shelf.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shelves.is_empty() && self.stores.is_empty()
    }

    /// Puts `new` where `old` was; `old` is gone after it.
    pub(super) fn exchange(&mut self, old: Option<&Item>, new: Option<&Item>) {
        let Some(name) = old.or(new).map(Item::namespace) else {
            return;
        };
        if !self.shelves.contains_key(name) {
            self.shelves.insert(name.into(), Namespace::default());
        }
        if let Some(namespace) = self.shelves.get_mut(name) {
            if let Some(old) = old {
                namespace.take(old);
            }
            if let Some(new) = new {
                namespace.put(new);
            }
            if namespace.is_empty() {
                self.shelves.remove(name);
            }
        }
    }

    /// Puts whole namespaces in the place of others, and gives back those.
    pub(super) fn replace(&mut self, namespaces: &mut [(Box<str>, Namespace)]) {
        for (name, namespace) in namespaces {
            if namespace.is_empty() {
                *namespace = self.shelves.remove(name).unwrap_or_default();
            } else if let Some(there) = self.shelves.get_mut(name) {
                std::mem::swap(there, namespace);
            } else {
                self.shelves.insert(name.clone(), std::mem::take(namespace));
            }
        }
    }

    /// Puts these stores in the place of those of a namespace. What is equal to what is there already is not touched.
    pub(super) fn set_stores(&mut self, namespace: &str, stores: Option<Stores>) {
        let there = self.stores.get(namespace);
        if there.map(AsRef::as_ref) == stores.as_ref() {
            return;
        }
        match stores {
            Some(stores) => drop(self.stores.insert(namespace.into(), Arc::new(stores))),
            None => drop(self.stores.remove(namespace)),
        }
    }
}

impl Namespace {
    /// A namespace of these secrets.
    pub(super) fn of<'a>(items: impl Iterator<Item = &'a Item>) -> Self {
        let mut namespace = Self::default();
        for item in items {
            match (item, namespace.shelf(item)) {
                (Item::Usable(secret), Some(target)) => target.secrets.push(Arc::clone(secret)),
                (Item::Broken(broken), Some(target)) => target.broken.push(Arc::clone(broken)),
                (Item::Broken(broken), None) => namespace.orphans.push(Arc::clone(broken)),
                (Item::Usable(_), None) => {}
            }
            namespace.own(item);
        }
        for shelf in namespace.users.values_mut().chain([&mut namespace.project]) {
            let shelf = Arc::make_mut(shelf);
            shelf
                .secrets
                .sort_unstable_by(|one, other| by_age(one, other));
            shelf.secrets.shrink_to_fit();
            shelf
                .broken
                .sort_unstable_by(|one, other| by_object(one, other));
        }
        namespace
            .orphans
            .sort_unstable_by(|one, other| by_object(one, other));
        namespace
    }

    fn put(&mut self, item: &Item) {
        match (item, self.shelf(item)) {
            (Item::Usable(secret), Some(target)) => insert(&mut target.secrets, secret, by_age),
            (Item::Broken(broken), Some(target)) => insert(&mut target.broken, broken, by_object),
            (Item::Broken(broken), None) => insert(&mut self.orphans, broken, by_object),
            (Item::Usable(_), None) => {}
        }
        self.own(item);
    }

    /// Notes whose a secret is that stands on a shelf.
    fn own(&mut self, item: &Item) {
        if let Place::User(owner) = item.place()
            && let Some((owner, _)) = self.users.get_key_value(owner)
        {
            self.owners.insert(item.object().into(), Arc::clone(owner));
        }
    }

    fn take(&mut self, item: &Item) {
        self.owners.remove(item.object());
        match (item, self.shelf(item)) {
            (Item::Usable(secret), Some(target)) => remove(&mut target.secrets, secret),
            (Item::Broken(broken), Some(target)) => remove(&mut target.broken, broken),
            (Item::Broken(broken), None) => remove(&mut self.orphans, broken),
            (Item::Usable(_), None) => {}
        }
        if let Place::User(owner) = item.place()
            && self.users.get(owner).is_some_and(|shelf| is_bare(shelf))
        {
            self.users.remove(owner);
            let id = id_in_names(owner);
            if let Some(owners) = self.ids.get_mut(id.as_str()) {
                owners.retain(|one| **one != *owner);
                if owners.is_empty() {
                    self.ids.remove(id.as_str());
                }
            }
        }
    }

    /// Whose secret an object of this name would be: the names `<NAME>-<first 8 of owner id>` are those of that owner. So
    /// whoever asks for another's learns nothing of which there are.
    fn reserved(&self, object: &str) -> Option<Arc<str>> {
        let (_, id) = object.rsplit_once('-')?;
        let owner = self.ids.get(id)?.first()?;
        (!self.is_projects(object)).then(|| Arc::clone(owner))
    }

    fn is_projects(&self, object: &str) -> bool {
        let Shelf { secrets, broken } = &*self.project;
        secrets.iter().any(|secret| *secret.object == *object)
            || broken.iter().any(|broken| *broken.object == *object)
    }

    /// The shelf on which a secret stands, made if it is not there, and copied if a reader holds it.
    fn shelf(&mut self, item: &Item) -> Option<&mut Shelf> {
        let found = match item.place() {
            Place::Project => &mut self.project,
            Place::User(owner) => {
                if !self.users.contains_key(owner) {
                    let name: Arc<str> = owner.into();
                    let ids = self.ids.entry(id_in_names(owner).into()).or_default();
                    ids.push(Arc::clone(&name));
                    self.users.insert(name, Arc::default());
                }
                self.users.get_mut(owner)?
            }
            Place::Nowhere => return None,
        };
        Some(Arc::make_mut(found))
    }

    fn is_empty(&self) -> bool {
        is_bare(&self.project) && self.users.is_empty() && self.orphans.is_empty()
    }
}

/// What of an owner's id stands in the names of secrets.
fn id_in_names(owner: &str) -> String {
    let mut id = name::owner_id(owner);
    id.truncate(OWNER_ID_IN_NAMES);
    id
}

fn is_bare(shelf: &Shelf) -> bool {
    shelf.secrets.is_empty() && shelf.broken.is_empty()
}

/// Inserts into a sorted list.
fn insert<T>(list: &mut Vec<Arc<T>>, item: &Arc<T>, order: impl Fn(&T, &T) -> Ordering) {
    let place = list.partition_point(|one| order(one, item).is_lt());
    list.insert(place, Arc::clone(item));
}

fn remove<T>(list: &mut Vec<Arc<T>>, item: &Arc<T>) {
    list.retain(|one| !Arc::ptr_eq(one, item));
}

fn by_age(one: &Secret, other: &Secret) -> Ordering {
    one.age_order().cmp(&other.age_order())
}

fn by_object(one: &Broken, other: &Broken) -> Ordering {
    one.object.cmp(&other.object)
}
