//! The index: from watches and files to shelves.
//!
//! Writers and readers see different things. Writers keep what each [`Source`] said of each object, so that a late
//! deletion by one does not take away what another has. Of it readers see the shelves: each object once, on the shelf
//! of its owner or its project, ready for the selection. A change of one object edits one shelf; a new list of a source
//! is compared with the one before, and the namespaces that differ are built aside and put in place all at once. With the
//! stores of a namespace it is the same, but that they are few: whatever changes, readers get a new list of them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;

use super::counts::Counts;
use super::decode::WatchedSecret;
use super::item::{Item, same};
use super::progress::{Listed, number};
use super::shelves::{Namespace, Namespaces, Shelves};
use super::stores::StoreList;
use super::told::{Objects, Told};
use crate::inject::identity::Identity;
use crate::inject::secret::{Broken, Description};
use crate::inject::settings::Settings;
use crate::inject::store::{self, STORE};

/// Who tells of secrets, stores and domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The watch of Secrets with the label `keyporter.dev/kind`.
    OurLabel,
    /// The watch of Konduktor's Secrets without that label.
    KonduktorLabel,
    /// The watch of stores.
    Stores,
    /// The watch of Namespaces, for the domains that they belong to.
    Namespaces,
    /// Files.
    Files,
}

impl Source {
    /// All sources. Where two tell the same of an object, the earlier is believed.
    pub const ALL: [Self; 5] = [
        Self::OurLabel,
        Self::KonduktorLabel,
        Self::Stores,
        Self::Namespaces,
        Self::Files,
    ];

    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OurLabel => "keyporter",
            Self::KonduktorLabel => "konduktor",
            Self::Stores => "stores",
            Self::Namespaces => "namespaces",
            Self::Files => "files",
        }
    }

    /// Whether it tells of secrets that stand on shelves.
    const fn tells_of_shelves(self) -> bool {
        matches!(self, Self::OurLabel | Self::KonduktorLabel | Self::Files)
    }

    /// Whether it tells of stores.
    const fn tells_of_stores(self) -> bool {
        matches!(self, Self::Stores | Self::Files)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of secrets. A handle: clones share one catalog.
#[derive(Clone, Default)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    /// By what owners are told apart.
    identity: Identity,
    /// What a namespace's own store is called; `None` where nobody refers to stores.
    store: Option<Box<str>>,
    /// Taken first, and for as long as a change takes.
    told: Mutex<Told>,
    /// Taken for writing only while pointers are exchanged.
    namespaces: RwLock<Namespaces>,
    /// Told of every step of a watch.
    steps: watch::Sender<()>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            store: Some(STORE.into()),
            told: Mutex::default(),
            namespaces: RwLock::default(),
            steps: watch::channel(()).0,
        }
    }
}

impl Catalog {
    /// An empty catalog.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty catalog in which owners are told apart, and stores called, as the settings say. Without references there are
    /// no stores.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let inner = Inner {
            identity: settings.identity,
            store: settings.references.then(|| settings.store.as_str().into()),
            ..Inner::default()
        };
        Self(Arc::new(inner))
    }

    /// What a pod of this namespace and owner may see. Without an owner that is the project's secrets only.
    #[must_use]
    pub fn shelves(&self, namespace: &str, owner: Option<&str>) -> Shelves {
        self.read(|namespaces| namespaces.shelves(namespace, owner))
    }

    /// The broken secrets of a namespace of which nobody knows whose they are, by object name. They are on no shelf.
    #[must_use]
    pub fn orphans(&self, namespace: &str) -> Vec<Arc<Broken>> {
        self.read(|namespaces| namespaces.orphans(namespace))
    }

    /// Whose the Secret of this name is, or would be by its name; nothing for a project's, for another unknown one and for
    /// one without an owner.
    #[must_use]
    pub fn owner_of(&self, namespace: &str, object: &str) -> Option<Arc<str>> {
        self.read(|namespaces| namespaces.owner_of(namespace, object))
    }

    /// Whether a Secret of this name is a store.
    #[must_use]
    pub fn is_store(&self, object: &str) -> bool {
        let own = self.0.store.as_deref();
        own.is_some_and(|own| store::is_store(own, object))
    }

    /// Whether there can be stores.
    #[must_use]
    pub(super) fn has_stores(&self) -> bool {
        self.0.store.is_some()
    }

    /// How many secrets there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.told().counts()
    }

    /// Takes in a secret that is new or has changed.
    pub fn apply(&self, source: Source, secret: WatchedSecret) {
        let namespace: Box<str> = secret.namespace().into();
        let object: Box<str> = secret.object().into();
        if source.tells_of_stores() && self.is_store(&object) {
            let store = secret.clone().into();
            self.change_stores(source, &namespace, |stores| stores.put(store));
        }
        if source.tells_of_shelves() {
            self.change(source, &namespace, &object, self.item(secret.into()));
        }
    }

    /// Takes out a secret, as far as this source is concerned.
    pub fn delete(&self, source: Source, namespace: &str, object: &str) {
        if source.tells_of_stores() && self.is_store(object) {
            self.change_stores(source, namespace, |stores| stores.remove(namespace, object));
        }
        if source.tells_of_shelves() {
            self.change(source, namespace, object, None);
        }
    }

    /// Sets the domain that a namespace belongs to, as far as this source is concerned; `None`: to none.
    pub fn set_domain(&self, source: Source, namespace: &str, domain: Option<&str>) {
        self.change_stores(source, namespace, |stores| {
            stores.set_domain(namespace, domain);
        });
    }

    /// Takes all of these for all that the source has. Readers see the old list or the new one, nothing between.
    pub fn replace(
        &self,
        source: Source,
        secrets: impl IntoIterator<Item = impl Into<Description>>,
    ) {
        let mut relist = self.relist(source);
        for secret in secrets {
            relist.add(secret);
        }
        relist.finish();
    }

    /// Begins a new list of a source. Nothing of it shows before it is finished; dropped unfinished, it never happened.
    #[must_use]
    pub fn relist(&self, source: Source) -> Relist {
        Relist {
            catalog: self.clone(),
            source,
            begun: Instant::now(),
            newest: 0,
            objects: Objects::default(),
            stores: StoreList::default(),
        }
    }

    /// A watch has told of this version, and all that it told is taken in.
    pub(super) fn reach(&self, source: Source, version: &str) {
        self.told().progress.reach(source, number(version));
        self.0.steps.send_replace(());
    }

    /// Returns when readers see all that the list shows, or what is newer.
    pub(super) async fn shows(&self, mut listed: Listed) {
        // Before the look, so that no step between the two is missed.
        let mut steps = self.0.steps.subscribe();
        while !listed.is_known(&self.told()) {
            if steps.changed().await.is_err() {
                return;
            }
        }
    }

    fn change(&self, source: Source, namespace: &str, object: &str, new: Option<Item>) {
        let mut told = self.told();
        let before = told.shown(namespace, object).cloned();
        told.of(source).set(namespace, object, new);
        let after = told.shown(namespace, object).cloned();
        if same(before.as_ref(), after.as_ref()) {
            return;
        }
        told.note(before.as_ref(), after.as_ref());
        self.write(|namespaces| namespaces.exchange(before.as_ref(), after.as_ref()));
    }

    fn change_stores(&self, source: Source, namespace: &str, change: impl FnOnce(&mut StoreList)) {
        let mut told = self.told();
        let Some(stores) = told.stores.of(source) else {
            return;
        };
        change(stores);
        let shown = told.stores.shown(namespace);
        self.write(|namespaces| namespaces.set_stores(namespace, shown));
    }

    fn item(&self, secret: Description) -> Option<Item> {
        let read = secret.read_by(self.0.identity)?;
        Some(match read {
            Ok(secret) => Item::Usable(Arc::new(secret)),
            Err(broken) => Item::Broken(Arc::new(broken)),
        })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&Namespaces) -> T) -> T {
        let namespaces = &self.0.namespaces;
        read(&namespaces.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Namespaces) -> T) -> T {
        let namespaces = &self.0.namespaces;
        write(&mut namespaces.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Numbers only: the whole catalog is no line for a log.
impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut catalog = f.debug_struct("Catalog");
        catalog.field("secrets", &self.counts().total()).finish()
    }
}

/// A new list of a source, in the making.
#[derive(Debug)]
pub struct Relist {
    catalog: Catalog,
    source: Source,
    begun: Instant,
    /// The highest resource version in it.
    newest: u128,
    objects: Objects,
    stores: StoreList,
}

impl Relist {
    /// Takes in a secret of the list. One that the catalog has already, unchanged, takes no memory again.
    pub fn add(&mut self, secret: impl Into<Description>) {
        let secret = secret.into();
        self.newest = self.newest.max(number(&secret.resource_version));
        if self.source.tells_of_stores() && self.catalog.is_store(&secret.object) {
            self.stores.put(secret.clone());
        }
        if !self.source.tells_of_shelves() {
            return;
        }
        if let Some(item) = self.catalog.item(secret) {
            let item = self.catalog.told().of(self.source).known(item);
            self.objects.insert(item);
        }
    }

    /// Takes in the domain that a namespace belongs to.
    pub fn set_domain(&mut self, namespace: &str, domain: Option<&str>) {
        self.stores.set_domain(namespace, domain);
    }

    /// Puts the list in the place of the one before. This takes some time for a large list (milliseconds for each ten
    /// thousand secrets); readers wait only for the exchange of pointers at the end.
    pub fn finish(self) {
        let mut told = self.catalog.told();
        let changed = told.of(self.source).differing_namespaces(&self.objects);
        let shown_before: Vec<_> = changed.iter().map(|name| told.all_shown(name)).collect();
        let list_before = std::mem::replace(told.of(self.source), self.objects);
        let mut namespaces = Vec::with_capacity(changed.len());
        for (name, before) in changed.into_iter().zip(shown_before) {
            let after = told.all_shown(&name);
            for (object, item) in &before {
                told.note(Some(item), after.get(object));
            }
            for (_, item) in after
                .iter()
                .filter(|(object, _)| !before.contains_key(*object))
            {
                told.note(None, Some(item));
            }
            namespaces.push((name, Namespace::of(after.values())));
        }
        let changed = told.stores.replace(self.source, self.stores);
        let stores = changed.into_iter().map(|name| {
            let shown = told.stores.shown(&name);
            (name, shown)
        });
        let stores: Vec<_> = stores.collect();
        self.catalog.write(|shown| {
            shown.replace(&mut namespaces);
            for (name, stores) in stores {
                shown.set_stores(&name, stores);
            }
        });
        told.progress.list(self.source, self.begun, self.newest);
        // What is no longer needed is freed when nobody waits.
        drop(told);
        self.catalog.0.steps.send_replace(());
        drop((list_before, namespaces));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::testing::Lines;
    use super::*;
    use crate::inject::annotations as names;

    /// A secret of kind env; `who` is its owner, `project`, or nobody.
    fn secret(namespace: &str, object: &str, who: &str, version: u32) -> WatchedSecret {
        let (scope, owner) = match who {
            "project" => ("project", json!({})),
            "nobody" => ("user", json!({})),
            owner => ("user", json!({ names::OWNER: owner })),
        };
        let metadata = json!({
            "namespace": namespace,
            "name": object,
            "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {names::KIND: "env", names::SCOPE: scope},
            "annotations": owner,
        });
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    fn labelled(mut secret: WatchedSecret, label: &str, value: &str) -> WatchedSecret {
        let labels = &mut kube::Resource::meta_mut(&mut secret).labels;
        labels
            .as_mut()
            .unwrap()
            .insert(label.to_owned(), value.to_owned());
        secret
    }

    /// The objects that a pod may see, `project | user`, broken ones with an exclamation mark.
    fn seen(catalog: &Catalog, namespace: &str, owner: Option<&str>) -> String {
        let shelves = catalog.shelves(namespace, owner);
        let visible = shelves.visible();
        let shelf = |shelf: &crate::inject::select::Shelf| {
            let usable = shelf.secrets.iter().map(|one| one.object.to_string());
            let broken = shelf.broken.iter().map(|one| format!("!{}", one.object));
            usable.chain(broken).collect::<Vec<_>>().join(" ")
        };
        format!("{} | {}", shelf(visible.project), shelf(visible.user))
    }

    #[test]
    fn everybody_sees_the_project_and_themselves() {
        let catalog = Catalog::new();
        for (namespace, object, who) in [
            ("team", "b", "alice"),
            ("team", "a", "alice"),
            ("team", "c", "bob"),
            ("team", "shared", "project"),
            ("other", "d", "alice"),
        ] {
            catalog.apply(Source::OurLabel, secret(namespace, object, who, 1));
        }
        assert_eq!(seen(&catalog, "team", Some("alice")), "shared | a b");
        assert_eq!(seen(&catalog, "team", Some("bob")), "shared | c");
        assert_eq!(seen(&catalog, "team", Some("carol")), "shared | ");
        assert_eq!(seen(&catalog, "team", Some("project")), "shared | ");
        assert_eq!(seen(&catalog, "team", None), "shared | ");
        assert_eq!(seen(&catalog, "other", Some("alice")), " | d");
        assert_eq!(seen(&catalog, "nowhere", Some("alice")), " | ");
    }

    #[test]
    fn older_comes_before_newer() {
        let catalog = Catalog::new();
        for (object, created) in [
            ("a", "2026-03-01"),
            ("b", "2026-01-01"),
            ("c", "2026-02-01"),
            ("d", "2026-02-01"),
        ] {
            let metadata = json!({
                "namespace": "team", "name": object, "creationTimestamp": format!("{created}T00:00:00Z"),
                "labels": {names::KIND: "env", names::SCOPE: "project"},
            });
            let secret = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
            catalog.apply(Source::OurLabel, secret);
        }
        assert_eq!(seen(&catalog, "team", None), "b c d a | ");
    }

    #[test]
    fn an_update_moves_a_secret_to_its_new_place() {
        let catalog = Catalog::new();
        catalog.apply(Source::OurLabel, secret("team", "a", "alice", 1));
        catalog.apply(Source::OurLabel, secret("team", "a", "bob", 2));
        assert_eq!(seen(&catalog, "team", Some("alice")), " | ");
        assert_eq!(seen(&catalog, "team", Some("bob")), " | a");
        catalog.apply(Source::OurLabel, secret("team", "a", "project", 3));
        assert_eq!(seen(&catalog, "team", Some("bob")), "a | ");
        assert_eq!(catalog.counts().total(), 1);
        catalog.delete(Source::OurLabel, "team", "a");
        assert_eq!(seen(&catalog, "team", None), " | ");
        assert_eq!(catalog.counts(), Counts::default());
    }

    #[rstest]
    #[case::project("project", "!a | ", 0)]
    #[case::owner("alice", " | !a", 0)]
    #[case::nobody("nobody", " | ", 1)]
    fn broken_ones_stand_where_they_say(
        #[case] who: &str,
        #[case] expected: &str,
        #[case] orphans: usize,
    ) {
        let catalog = Catalog::new();
        catalog.apply(
            Source::OurLabel,
            labelled(secret("team", "a", who, 1), names::KIND, "rocket"),
        );
        assert_eq!(seen(&catalog, "team", Some("alice")), expected);
        assert_eq!(catalog.orphans("team").len(), orphans);
        let broken: Vec<_> = catalog
            .counts()
            .broken()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(broken, [("unknown-kind", 1)]);

        catalog.apply(Source::OurLabel, secret("team", "a", "alice", 2));
        assert_eq!(seen(&catalog, "team", Some("alice")), " | a");
        assert_eq!(catalog.orphans("team").len(), 0);
        assert_eq!(
            catalog
                .counts()
                .broken()
                .map(|(_, count)| count)
                .sum::<u64>(),
            0
        );
    }

    #[test]
    fn a_late_deletion_by_one_source_takes_nothing_from_the_other() {
        let catalog = Catalog::new();
        let konduktors = |version| {
            let metadata = json!({
                "namespace": "team", "name": "a", "resourceVersion": version,
                "labels": {names::KONDUKTOR_MARK: "konduktor", names::KONDUKTOR_KIND: "env"},
                "annotations": {names::OWNER: "alice"},
            });
            serde_json::from_value::<WatchedSecret>(json!({ "metadata": metadata })).unwrap()
        };
        catalog.apply(Source::KonduktorLabel, konduktors("9"));
        // It gets our label.
        catalog.apply(Source::OurLabel, secret("team", "a", "bob", 10));
        assert_eq!(seen(&catalog, "team", Some("bob")), " | a");
        assert_eq!(seen(&catalog, "team", Some("alice")), " | ");
        assert_eq!(catalog.counts().total(), 1);
        catalog.delete(Source::KonduktorLabel, "team", "a");
        assert_eq!(seen(&catalog, "team", Some("bob")), " | a");
        // It loses our label, and the other watch is faster.
        catalog.apply(Source::KonduktorLabel, konduktors("11"));
        assert_eq!(seen(&catalog, "team", Some("alice")), " | a");
        catalog.delete(Source::OurLabel, "team", "a");
        assert_eq!(seen(&catalog, "team", Some("alice")), " | a");
        assert_eq!(catalog.counts().total(), 1);
    }

    #[test]
    fn a_secret_that_is_no_longer_ours_goes() {
        let catalog = Catalog::new();
        catalog.apply(Source::Files, secret("team", "a", "alice", 1));
        let mut other = secret("team", "a", "alice", 2);
        kube::Resource::meta_mut(&mut other).labels = None;
        catalog.apply(Source::Files, other);
        assert_eq!(seen(&catalog, "team", Some("alice")), " | ");
    }

    #[test]
    fn a_new_list_replaces_what_the_source_had_and_nothing_else() {
        let catalog = Catalog::new();
        catalog.replace(
            Source::OurLabel,
            vec![
                secret("team", "a", "alice", 1),
                secret("team", "b", "project", 1),
                secret("gone", "c", "alice", 1),
            ],
        );
        catalog.apply(Source::Files, secret("team", "f", "alice", 1));
        let held = catalog.shelves("team", Some("alice"));
        catalog.replace(
            Source::OurLabel,
            vec![
                secret("team", "a2", "alice", 2),
                secret("new", "d", "nobody", 2),
            ],
        );
        assert_eq!(seen(&catalog, "team", Some("alice")), " | a2 f");
        assert_eq!(seen(&catalog, "gone", Some("alice")), " | ");
        assert_eq!(catalog.orphans("new").len(), 1);
        assert_eq!(catalog.counts().total(), 3);
        assert_eq!(
            held.visible().user.secrets.len(),
            2,
            "what a reader holds does not change"
        );
    }

    #[test]
    fn an_unfinished_list_never_happened() {
        let catalog = Catalog::new();
        catalog.apply(Source::OurLabel, secret("team", "a", "alice", 1));
        let mut relist = catalog.relist(Source::OurLabel);
        relist.add(secret("team", "b", "alice", 2));
        drop(relist);
        assert_eq!(seen(&catalog, "team", Some("alice")), " | a");
    }

    #[test]
    fn what_is_equal_does_not_churn() {
        let catalog = Catalog::new();
        let list = || {
            vec![
                secret("team", "a", "alice", 1),
                secret("team", "b", "project", 1),
            ]
        };
        catalog.replace(Source::OurLabel, list());
        let before = catalog.shelves("team", Some("alice"));
        let all_the_same = || {
            let now = catalog.shelves("team", Some("alice"));
            std::ptr::eq(now.visible().user, before.visible().user)
                && std::ptr::eq(now.visible().project, before.visible().project)
        };
        catalog.replace(Source::OurLabel, list());
        assert!(all_the_same());
        catalog.apply(Source::OurLabel, secret("team", "a", "alice", 1));
        assert!(all_the_same());
        catalog.apply(Source::OurLabel, secret("team", "a", "alice", 2));
        assert!(!all_the_same());
    }

    #[test]
    fn a_broken_secret_is_logged_once_for_each_problem() {
        let (lines, _guard) = Lines::listen();
        let broken =
            |version, kind| labelled(secret("team", "a", "alice", version), names::KIND, kind);
        let catalog = Catalog::new();
        catalog.apply(Source::OurLabel, broken(1, "hunter2"));
        catalog.apply(Source::OurLabel, broken(1, "hunter2"));
        catalog.apply(Source::OurLabel, broken(2, "hunter2"));
        catalog.replace(Source::OurLabel, vec![broken(3, "hunter2")]);
        catalog.apply(Source::OurLabel, secret("team", "a", "nobody", 4));
        catalog.apply(Source::OurLabel, secret("team", "a", "alice", 5));
        let lines = lines.text();
        let problems: Vec<_> = lines.lines().filter(|line| line.contains("WARN")).collect();
        assert_eq!(problems.len(), 2, "{lines}");
        for (line, problem) in problems.iter().zip(["unknown-kind", "no-owner"]) {
            let fields = format!("namespace=\"team\" object=\"a\" problem=\"{problem}\"");
            assert!(line.contains(&fields), "{line}");
        }
        assert!(!lines.contains("hunter2"));
    }

    #[test]
    fn konduktors_hashes_are_owners_where_they_tell_them_apart() {
        for (identity, owner, other) in [
            (Identity::Konduktor, "bc65ee65", "shared"),
            (Identity::Authenticated, "shared", "bc65ee65"),
        ] {
            let settings = Settings {
                identity,
                ..Settings::default()
            };
            let catalog = Catalog::of(&settings);
            let secret = secret("team", "a", "shared", 1);
            let secret = labelled(secret, names::KONDUKTOR_OWNER, "bc65ee65");
            catalog.apply(Source::OurLabel, secret.clone());
            catalog.replace(Source::OurLabel, vec![secret]);
            assert_eq!(seen(&catalog, "team", Some(owner)), " | a");
            assert_eq!(seen(&catalog, "team", Some(other)), " | ");
            assert_eq!(catalog.owner_of("team", "a").as_deref(), Some(owner));
        }
    }

    /// Keys for ssh into pods, and credentials for clouds.
    #[rstest]
    #[case::no_kind(json!({}))]
    #[case::of_a_store(json!({names::KONDUKTOR_KIND: "S3"}))]
    #[case::in_small_letters(json!({names::KONDUKTOR_KIND: "gcs"}))]
    fn what_konduktor_keeps_for_itself_is_its_owners_and_no_mistake(#[case] mut labels: Value) {
        labels[names::KONDUKTOR_MARK] = "konduktor".into();
        let metadata = json!({
            "namespace": "team", "name": "a", "labels": labels, "annotations": {names::OWNER: "alice"},
        });
        let (lines, _guard) = Lines::listen();
        let catalog = Catalog::new();
        let secret = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        catalog.apply(Source::KonduktorLabel, secret);
        assert_eq!(seen(&catalog, "team", Some("alice")), " | !a");
        assert_eq!(catalog.owner_of("team", "a").as_deref(), Some("alice"));
        let counts = catalog.counts();
        let mut broken = counts.broken().filter(|(_, count)| *count > 0);
        assert_eq!(broken.next(), Some(("konduktors-own", 1)));
        assert_eq!(lines.text(), "");
    }

    #[derive(Debug, Clone)]
    enum Change {
        Apply(Source, u8, u8, u8, u32),
        Delete(Source, u8, u8),
        Replace(Source, Vec<(u8, u8, u8, u32)>),
    }

    const OWNERS: [&str; 5] = ["alice", "bob", "project", "nobody", "broken"];

    fn made((namespace, object, who, version): (u8, u8, u8, u32)) -> WatchedSecret {
        let who = OWNERS.get(usize::from(who)).copied().unwrap();
        let (namespace, object) = (format!("n{namespace}"), format!("o{object}"));
        match who {
            "broken" => labelled(
                secret(&namespace, &object, "alice", version),
                names::SCOPE,
                "all",
            ),
            who => secret(&namespace, &object, who, version),
        }
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let source = || prop::sample::select(Source::ALL.to_vec());
        let one = || (0..2u8, 0..4u8, 0..5u8, 1..6u32);
        let change = prop_oneof![
            4 => (source(), one()).prop_map(|(source, (n, o, w, v))| Change::Apply(source, n, o, w, v)),
            2 => (source(), 0..2u8, 0..4u8).prop_map(|(source, n, o)| Change::Delete(source, n, o)),
            1 => (source(), prop::collection::vec(one(), 0..6)).prop_map(|(source, list)| Change::Replace(source, list)),
        ];
        prop::collection::vec(change, 0..40)
    }

    proptest! {
        /// However it came about, the view is the one that a catalog has which learns only the end.
        #[test]
        fn the_view_depends_on_what_is_told_and_not_on_how(changes in changes()) {
            let catalog = Catalog::new();
            let mut told = std::collections::BTreeMap::new();
            for change in changes {
                match change {
                    Change::Apply(source, n, o, w, v) => {
                        catalog.apply(source, made((n, o, w, v)));
                        told.insert((source.as_str(), n, o), (source, (n, o, w, v)));
                    }
                    Change::Delete(source, n, o) => {
                        catalog.delete(source, &format!("n{n}"), &format!("o{o}"));
                        told.remove(&(source.as_str(), n, o));
                    }
                    Change::Replace(source, list) => {
                        catalog.replace(source, list.iter().copied().map(made));
                        told.retain(|(name, _, _), _| *name != source.as_str());
                        for one in list {
                            told.insert((source.as_str(), one.0, one.1), (source, one));
                        }
                    }
                }
            }
            let fresh = Catalog::new();
            for source in Source::ALL {
                let list = told.values().filter(|(of, _)| *of == source).map(|(_, one)| made(*one));
                fresh.replace(source, list);
            }
            prop_assert_eq!(catalog.counts(), fresh.counts());
            for namespace in ["n0", "n1"] {
                prop_assert_eq!(catalog.orphans(namespace), fresh.orphans(namespace));
                for owner in OWNERS {
                    prop_assert_eq!(
                        seen(&catalog, namespace, Some(owner)),
                        seen(&fresh, namespace, Some(owner))
                    );
                }
            }
            for source in Source::ALL {
                catalog.replace(source, Vec::<WatchedSecret>::new());
            }
            prop_assert_eq!(catalog.counts(), Counts::default());
            prop_assert!(catalog.read(Namespaces::is_empty));
        }
    }
}
