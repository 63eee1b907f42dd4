//! Stores, and the domains of namespaces: what each source told of them, and what readers see.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::index::Source;
use crate::inject::secret::Description;
use crate::inject::store::{Store, Stores};

/// What all sources told.
#[derive(Debug, Default)]
pub(super) struct StoresTold {
    cluster: StoreList,
    namespaces: StoreList,
    files: StoreList,
}

/// What one source told.
#[derive(Debug, Default)]
pub(super) struct StoreList(HashMap<Box<str>, Entry>);

/// What one source told of a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    domain: Option<Box<str>>,
    /// By object name.
    stores: BTreeMap<Box<str>, Arc<Store>>,
}

impl StoresTold {
    /// The list of a source; none of those that tell neither of stores nor of domains.
    pub(super) fn of(&mut self, source: Source) -> Option<&mut StoreList> {
        match source {
            Source::Stores => Some(&mut self.cluster),
            Source::Namespaces => Some(&mut self.namespaces),
            Source::Files => Some(&mut self.files),
            Source::OurLabel | Source::KonduktorLabel => None,
        }
    }

    /// The stores that a source told of in a namespace, with their resource versions.
    pub(super) fn versions(&self, source: Source, namespace: &str) -> Vec<(&str, &str)> {
        let entry = self.list(source).and_then(|list| list.0.get(namespace));
        let stores = entry.into_iter().flat_map(|entry| entry.stores.values());
        stores
            .map(|store| (&*store.object, &*store.resource_version))
            .collect()
    }

    /// The resource version of one of them; `None` if it is not there.
    pub(super) fn version(&self, source: Source, namespace: &str, object: &str) -> Option<&str> {
        let entry = self.list(source)?.0.get(namespace)?;
        entry
            .stores
            .get(object)
            .map(|store| &*store.resource_version)
    }

    fn list(&self, source: Source) -> Option<&StoreList> {
        match source {
            Source::Stores => Some(&self.cluster),
            Source::Namespaces => Some(&self.namespaces),
            Source::Files => Some(&self.files),
            Source::OurLabel | Source::KonduktorLabel => None,
        }
    }

    /// Puts a list in the place of the one before, and returns the namespaces that differ.
    pub(super) fn replace(&mut self, source: Source, list: StoreList) -> BTreeSet<Box<str>> {
        let Some(there) = self.of(source) else {
            return BTreeSet::new();
        };
        let before = std::mem::replace(there, list);
        let all = before.0.keys().chain(there.0.keys());
        let differing = all.filter(|name| before.0.get(*name) != there.0.get(*name));
        differing.cloned().collect()
    }

    /// What readers are to see of a namespace; nothing where there is nothing. Where two sources tell of the same, the
    /// cluster is believed.
    pub(super) fn shown(&self, namespace: &str) -> Option<Stores> {
        let lists = [&self.cluster, &self.namespaces, &self.files];
        let entries: Vec<_> = lists
            .into_iter()
            .filter_map(|list| list.0.get(namespace))
            .collect();
        let mut stores = BTreeMap::new();
        for (object, store) in entries.iter().rev().flat_map(|entry| &entry.stores) {
            stores.insert(object, store);
        }
        let domain = entries.iter().find_map(|entry| entry.domain.clone());
        (!entries.is_empty()).then(|| Stores {
            domain,
            stores: stores.into_values().cloned().collect(),
        })
    }
}

impl StoreList {
    /// Takes in a store that is new or has changed.
    pub(super) fn put(&mut self, secret: Description) {
        let Description {
            namespace,
            object,
            resource_version,
            keys,
            ..
        } = secret;
        let store = Store {
            object: object.into(),
            resource_version: resource_version.into(),
            keys: keys.into(),
        };
        let entry = self.0.entry(namespace.into()).or_default();
        entry.stores.insert(store.object.clone(), Arc::new(store));
    }

    pub(super) fn remove(&mut self, namespace: &str, object: &str) {
        self.change(namespace, |entry| drop(entry.stores.remove(object)));
    }

    pub(super) fn set_domain(&mut self, namespace: &str, domain: Option<&str>) {
        if domain.is_some() && !self.0.contains_key(namespace) {
            self.0.insert(namespace.into(), Entry::default());
        }
        self.change(namespace, |entry| entry.domain = domain.map(Into::into));
    }

    fn change(&mut self, namespace: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.0.get_mut(namespace) {
            change(entry);
            if *entry == Entry::default() {
                self.0.remove(namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::catalog::{Catalog, Shelves, WatchedSecret};
    use crate::inject::settings::Settings;
    use crate::inject::store::STORE;

    const OF_FINANCE: &str = "iomete-secret-store-finance";

    fn secret(namespace: &str, object: &str, keys: &[&str]) -> WatchedSecret {
        let data: serde_json::Map<_, _> = keys
            .iter()
            .map(|key| ((*key).to_owned(), json!("dmFsdWU=")))
            .collect();
        let metadata = json!({"namespace": namespace, "name": object, "resourceVersion": "1"});
        serde_json::from_value(json!({ "metadata": metadata, "data": data })).unwrap()
    }

    fn stores(shelves: &Shelves) -> &Stores {
        shelves.visible().stores
    }

    /// `domain | store: key key, store: key`
    fn seen(catalog: &Catalog, namespace: &str) -> String {
        let shelves = catalog.shelves(namespace, None);
        let stores = stores(&shelves);
        let keys = |store: &Arc<Store>| {
            let keys: Vec<_> = store.keys.iter().map(|key| &*key.name).collect();
            format!("{}: {}", store.object, keys.join(" "))
        };
        let list: Vec<_> = stores.stores.iter().map(keys).collect();
        let domain = stores.domain.as_deref().unwrap_or("-");
        format!("{domain} | {}", list.join(", "))
    }

    #[test]
    fn each_namespace_sees_its_own_stores_and_its_domain() {
        let catalog = Catalog::new();
        catalog.apply(Source::Stores, secret("team", OF_FINANCE, &["B", "A"]));
        catalog.apply(Source::Stores, secret("team", STORE, &["C"]));
        catalog.apply(Source::Stores, secret("other", STORE, &[]));
        catalog.set_domain(Source::Namespaces, "team", Some("finance"));
        catalog.set_domain(Source::Namespaces, "empty", Some("sales"));
        let both = "iomete-secret-store: C, iomete-secret-store-finance: A B";
        assert_eq!(seen(&catalog, "team"), format!("finance | {both}"));
        assert_eq!(seen(&catalog, "other"), "- | iomete-secret-store: ");
        assert_eq!(seen(&catalog, "empty"), "sales | ");
        assert_eq!(seen(&catalog, "nowhere"), "- | ");

        catalog.apply(Source::Stores, secret("team", STORE, &["C", "D"]));
        catalog.delete(Source::Stores, "team", OF_FINANCE);
        catalog.set_domain(Source::Namespaces, "team", Some("sales"));
        assert_eq!(seen(&catalog, "team"), "sales | iomete-secret-store: C D");
        catalog.delete(Source::Stores, "team", STORE);
        catalog.set_domain(Source::Namespaces, "team", None);
        assert_eq!(seen(&catalog, "team"), "- | ");
    }

    #[test]
    fn only_names_of_stores_make_stores_and_only_where_stores_are_looked_for() {
        let settings = Settings {
            store: "vault".to_owned(),
            ..Settings::default()
        };
        let catalog = Catalog::of(&settings);
        for (source, object) in [
            (Source::Stores, STORE),
            (Source::Stores, "vaults"),
            (Source::OurLabel, "vault"),
            (Source::KonduktorLabel, "vault"),
            (Source::Namespaces, "vault"),
        ] {
            catalog.apply(source, secret("team", object, &["A"]));
            catalog.replace(source, vec![secret("team", object, &["A"])]);
            assert_eq!(seen(&catalog, "team"), "- | ", "{source} {object}");
        }
        catalog.apply(Source::Files, secret("team", "vault", &["A"]));
        catalog.apply(Source::Stores, secret("team", "vault-x", &["B"]));
        assert_eq!(seen(&catalog, "team"), "- | vault: A, vault-x: B");
    }

    #[test]
    fn a_store_of_the_cluster_stands_on_no_shelf() {
        let catalog = Catalog::new();
        let metadata = json!({
            "namespace": "team", "name": STORE,
            "labels": {"keyporter.dev/kind": "env", "keyporter.dev/scope": "project"},
        });
        let labelled: WatchedSecret =
            serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        catalog.apply(Source::Stores, labelled.clone());
        let on_shelf = |catalog: &Catalog| {
            let shelves = catalog.shelves("team", None);
            shelves.visible().project.secrets.len()
        };
        assert_eq!(on_shelf(&catalog), 0);
        // The label's own watch puts it there.
        catalog.apply(Source::OurLabel, labelled);
        assert_eq!(on_shelf(&catalog), 1);
        catalog.delete(Source::Stores, "team", STORE);
        assert_eq!(on_shelf(&catalog), 1);
    }

    #[test]
    fn a_new_list_replaces_what_its_source_had_and_nothing_else() {
        let catalog = Catalog::new();
        let list = vec![secret("team", STORE, &["A"]), secret("gone", STORE, &["B"])];
        catalog.replace(Source::Stores, list);
        let mut domains = catalog.relist(Source::Namespaces);
        domains.set_domain("team", Some("finance"));
        domains.finish();
        let held = catalog.shelves("team", None);
        catalog.replace(Source::Stores, vec![secret("team", OF_FINANCE, &["C"])]);
        assert_eq!(seen(&catalog, "team"), format!("finance | {OF_FINANCE}: C"));
        assert_eq!(seen(&catalog, "gone"), "- | ");
        assert!(
            stores(&held).named(STORE).is_some(),
            "what a reader holds does not change"
        );
        catalog.relist(Source::Namespaces).finish();
        assert_eq!(seen(&catalog, "team"), format!("- | {OF_FINANCE}: C"));
        drop(catalog.relist(Source::Stores));
        assert_eq!(seen(&catalog, "team"), format!("- | {OF_FINANCE}: C"));
    }

    #[test]
    fn what_is_equal_does_not_churn_and_is_not_copied_for_readers() {
        let catalog = Catalog::new();
        let store = || secret("team", STORE, &["A"]);
        catalog.apply(Source::Stores, store());
        let before = catalog.shelves("team", None);
        catalog.apply(Source::Stores, store());
        catalog.replace(Source::Stores, vec![store()]);
        catalog.set_domain(Source::Namespaces, "team", None);
        let after = catalog.shelves("team", None);
        assert!(std::ptr::eq(stores(&before), stores(&after)));
        catalog.set_domain(Source::Namespaces, "team", Some("finance"));
        let after = catalog.shelves("team", None);
        assert!(!std::ptr::eq(stores(&before), stores(&after)));
    }

    #[test]
    fn the_cluster_is_believed_before_files() {
        let catalog = Catalog::new();
        catalog.apply(Source::Files, secret("team", STORE, &["FILE"]));
        catalog.set_domain(Source::Files, "team", Some("of-file"));
        catalog.apply(Source::Stores, secret("team", STORE, &["CLUSTER"]));
        catalog.set_domain(Source::Namespaces, "team", Some("of-cluster"));
        assert_eq!(
            seen(&catalog, "team"),
            "of-cluster | iomete-secret-store: CLUSTER"
        );
        catalog.delete(Source::Stores, "team", STORE);
        catalog.set_domain(Source::Namespaces, "team", None);
        assert_eq!(
            seen(&catalog, "team"),
            "of-file | iomete-secret-store: FILE"
        );
    }

    #[derive(Debug, Clone)]
    enum Change {
        Apply(Source, u8, u8, u8),
        Delete(Source, u8, u8),
        Domain(Source, u8, Option<u8>),
        Replace(Source, Vec<(u8, u8, u8)>, Vec<(u8, u8)>),
    }

    const OBJECTS: [&str; 3] = [STORE, OF_FINANCE, "ordinary"];
    const SOURCES: [Source; 3] = [Source::Stores, Source::Namespaces, Source::Files];

    fn made((namespace, object, key): (u8, u8, u8)) -> WatchedSecret {
        let object = OBJECTS.get(usize::from(object)).copied().unwrap();
        secret(&format!("n{namespace}"), object, &[&format!("K{key}")])
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let source = || prop::sample::select(SOURCES.to_vec());
        let one = || (0..2u8, 0..3u8, 0..3u8);
        let change = prop_oneof![
            4 => (source(), one()).prop_map(|(source, (n, o, k))| Change::Apply(source, n, o, k)),
            2 => (source(), 0..2u8, 0..3u8).prop_map(|(source, n, o)| Change::Delete(source, n, o)),
            2 => (source(), 0..2u8, prop::option::of(0..2u8)).prop_map(|(source, n, d)| Change::Domain(source, n, d)),
            1 => (source(), prop::collection::vec(one(), 0..5), prop::collection::vec((0..2u8, 0..2u8), 0..3))
                .prop_map(|(source, list, domains)| Change::Replace(source, list, domains)),
        ];
        prop::collection::vec(change, 0..40)
    }

    proptest! {
        /// However it came about, the view is the one that a catalog has which learns only the end.
        #[test]
        fn the_view_depends_on_what_is_told_and_not_on_how(changes in changes()) {
            let catalog = Catalog::new();
            let mut told = BTreeMap::new();
            let mut domains = BTreeMap::new();
            for change in changes {
                match change {
                    Change::Apply(source, n, o, k) => {
                        catalog.apply(source, made((n, o, k)));
                        told.insert((source.as_str(), n, o), k);
                    }
                    Change::Delete(source, n, o) => {
                        let object = OBJECTS.get(usize::from(o)).copied().unwrap();
                        catalog.delete(source, &format!("n{n}"), object);
                        told.remove(&(source.as_str(), n, o));
                    }
                    Change::Domain(source, n, d) => {
                        let domain = d.map(|d| format!("d{d}"));
                        catalog.set_domain(source, &format!("n{n}"), domain.as_deref());
                        domains.insert((source.as_str(), n), domain);
                    }
                    Change::Replace(source, list, of) => {
                        told.retain(|(name, _, _), _| *name != source.as_str());
                        domains.retain(|(name, _), _| *name != source.as_str());
                        let mut relist = catalog.relist(source);
                        for (n, o, k) in list {
                            relist.add(made((n, o, k)));
                            told.insert((source.as_str(), n, o), k);
                        }
                        for (n, d) in of {
                            relist.set_domain(&format!("n{n}"), Some(&format!("d{d}")));
                            domains.insert((source.as_str(), n), Some(format!("d{d}")));
                        }
                        relist.finish();
                    }
                }
            }
            let fresh = Catalog::new();
            for source in SOURCES {
                let mut relist = fresh.relist(source);
                for ((_, n, o), k) in told.iter().filter(|((of, _, _), _)| *of == source.as_str()) {
                    relist.add(made((*n, *o, *k)));
                }
                for ((_, n), domain) in domains.iter().filter(|((of, _), _)| *of == source.as_str()) {
                    relist.set_domain(&format!("n{n}"), domain.as_deref());
                }
                relist.finish();
            }
            for namespace in ["n0", "n1"] {
                prop_assert_eq!(seen(&catalog, namespace), seen(&fresh, namespace));
            }
        }
    }
}
