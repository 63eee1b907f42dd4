//! Secrets from a cluster: two watches in all namespaces, one for keyporter's label and one for Konduktor's; and two for
//! stores and for the domains of namespaces, where there are references to stores.
//!
//! The catalog always holds complete lists. While a watch is down, or lists anew because it fell behind, the catalog
//! keeps what it held; a new list is built aside, page by page, and replaces the old one when it is complete.

mod failure;
mod stores;

use std::future::{Future, pending};
use std::pin::pin;

use futures::{Stream, StreamExt, future};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, debug, info, warn};

pub use self::failure::Failure;

use super::decode::{NamespaceHead, WatchedSecret};
use super::index::{Catalog, Relist, Source};

/// The watches by labels: who they are, and the Secrets that each wants. No Secret is wanted by both.
const LABELLED: [(Source, &str); 2] = [
    (Source::OurLabel, "keyporter.dev/kind"),
    (
        Source::KonduktorLabel,
        "parent=konduktor,!keyporter.dev/kind",
    ),
];

/// The watches for what references mean.
const OF_REFERENCES: usize = 2;

/// How many Secrets come in one answer to a list. With the values a Secret may have 1 MiB, and a page is in memory as a
/// whole.
const PAGE: u32 = 100;

/// Who wants to know how the watches fare, for metrics. The calls must not block.
pub trait Observer: Send + Sync {
    /// A complete list of this source is in the catalog.
    fn listed(&self, source: Source) {
        let _ = source;
    }

    /// A list or watch failed. It is tried again, with growing pauses.
    fn failed(&self, source: Source, failure: Failure) {
        let _ = (source, failure);
    }
}

/// For those who do not want to know.
impl Observer for () {}

/// Whether the catalog has been filled. It does not change back: an old list is better than none.
#[derive(Debug, Clone)]
pub struct Synced(watch::Receiver<usize>);

impl Synced {
    /// Whether all watches had their first complete list.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.0.borrow() == 0
    }

    /// Waits until all watches have had their first complete list; without end if they are no longer run.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|missing| *missing == 0).await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Fills and follows the catalog from a cluster, as long as the future is polled. It needs the runtime of tokio.
///
/// Errors do not end it; they are logged, once for each kind until something works again, and told to the observer.
pub fn watch(
    client: Client,
    catalog: Catalog,
    observer: impl Observer,
) -> (Synced, impl Future<Output = ()> + Send) {
    let with_references = catalog.has_stores();
    let of_references = if with_references { OF_REFERENCES } else { 0 };
    let (missing, synced) = watch::channel(LABELLED.len() + of_references);
    let run = async move {
        let follower = |source| Follower::new(source, catalog.clone(), &observer, &missing);
        let follow = |(source, labels): (Source, &str)| {
            let config = watcher::Config::default().labels(labels).page_size(PAGE);
            let events = watcher(Api::<WatchedSecret>::all(client.clone()), config);
            follower(source).follow(events.default_backoff())
        };
        let [ours, konduktors] = LABELLED.map(follow);
        let labelled = future::join(ours, konduktors);
        if !with_references {
            labelled.await;
            return;
        }
        // It tells of every Secret that there is.
        let stores = stores::events(client.clone(), catalog.clone());
        let stores = follower(Source::Stores).follow(stores.default_backoff());
        // The watch of ownership, for uids, is another: there nobody waits for the first list, and what is missing is
        // asked for.
        let namespaces = Api::<NamespaceHead>::all(client.clone());
        let namespaces = watcher(namespaces, watcher::Config::default());
        let namespaces = follower(Source::Namespaces).follow(namespaces.default_backoff());
        tokio::join!(labelled, stores, namespaces);
    };
    (Synced(synced), run)
}

/// What a watch tells of.
trait Told {
    /// Its resource version; of what is gone that of the deletion.
    fn version(&self) -> String;
    /// Into a new list.
    fn list(self, relist: &mut Relist);
    /// New or changed.
    fn apply(self, source: Source, catalog: &Catalog);
    /// Gone.
    fn delete(self, source: Source, catalog: &Catalog);
}

impl Told for WatchedSecret {
    fn version(&self) -> String {
        self.resource_version().to_owned()
    }

    fn list(self, relist: &mut Relist) {
        relist.add(self);
    }

    fn apply(self, source: Source, catalog: &Catalog) {
        catalog.apply(source, self);
    }

    fn delete(self, source: Source, catalog: &Catalog) {
        catalog.delete(source, self.namespace(), self.object());
    }
}

impl Told for NamespaceHead {
    /// Nobody compares namespaces.
    fn version(&self) -> String {
        String::new()
    }

    fn list(self, relist: &mut Relist) {
        relist.set_domain(self.name(), self.domain());
    }

    fn apply(self, source: Source, catalog: &Catalog) {
        catalog.set_domain(source, self.name(), self.domain());
    }

    fn delete(self, source: Source, catalog: &Catalog) {
        catalog.set_domain(source, self.name(), None);
    }
}

/// Carries the events of one watch into the catalog.
struct Follower<'a, O> {
    source: Source,
    catalog: Catalog,
    observer: &'a O,
    /// How many watches have not had their first list.
    missing: &'a watch::Sender<usize>,
    listed: bool,
    /// The list that is coming in.
    relist: Option<Relist>,
    /// What was complained of last, until something works again.
    complaint: Option<Failure>,
}

impl<'a, O: Observer> Follower<'a, O> {
    fn new(
        source: Source,
        catalog: Catalog,
        observer: &'a O,
        missing: &'a watch::Sender<usize>,
    ) -> Self {
        Self {
            source,
            catalog,
            observer,
            missing,
            listed: false,
            relist: None,
            complaint: None,
        }
    }

    async fn follow<T: Told>(
        mut self,
        events: impl Stream<Item = watcher::Result<Event<T>>> + Send,
    ) {
        let mut events = pin!(events);
        // kube logs the whole of an answer that it cannot read, so nothing that it does in here reaches the log.
        while let Some(event) = events.next().with_subscriber(Dispatch::none()).await {
            match event {
                Ok(event) => self.take(event).await,
                Err(error) => self.complain(&error),
            }
        }
    }

    async fn take<T: Told>(&mut self, event: Event<T>) {
        match event {
            Event::Init => {
                self.relist = Some(self.catalog.relist(self.source));
                return;
            }
            Event::InitApply(told) => {
                if let Some(relist) = &mut self.relist {
                    told.list(relist);
                }
                return;
            }
            Event::InitDone => self.finish().await,
            Event::Apply(told) => {
                let version = told.version();
                told.apply(self.source, &self.catalog);
                self.reach(&version);
            }
            Event::Delete(told) => {
                let version = told.version();
                told.delete(self.source, &self.catalog);
                self.reach(&version);
            }
        }
        if self.complaint.take().is_some() {
            let (watch, what) = (self.source.as_str(), failure::resource(self.source));
            info!(watch, "the watch of {what} works again");
        }
    }

    /// A store is read when the watch tells of it, and may be newer then than all that the watch told: there the reader
    /// says how far it has come.
    fn reach(&self, version: &str) {
        if self.source != Source::Stores {
            self.catalog.reach(self.source, version);
        }
    }

    async fn finish(&mut self) {
        let Some(relist) = self.relist.take() else {
            return;
        };
        // A large list takes longer than other tasks should wait.
        if let Err(error) = spawn_blocking(|| relist.finish()).await {
            warn!(watch = self.source.as_str(), %error, "a list was not taken in");
            return;
        }
        if !self.listed {
            self.listed = true;
            self.missing
                .send_modify(|missing| *missing = missing.saturating_sub(1));
        }
        self.observer.listed(self.source);
        debug!(watch = self.source.as_str(), "listed");
    }

    fn complain(&mut self, error: &watcher::Error) {
        let failure = Failure::of(error);
        self.observer.failed(self.source, failure);
        if self.complaint.replace(failure) == Some(failure) {
            return;
        }
        let (watch, word) = (self.source.as_str(), failure.as_str());
        let advice = failure.advice(failure::resource(self.source));
        if failure == Failure::Expired {
            info!(watch, failure = word, "{advice}");
        } else {
            warn!(
                watch,
                failure = word,
                error = failure::detail(error),
                "{advice}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::{HeaderMap, Uri};
    use axum::{Router, response};
    use futures::stream;
    use kube::core::Status;
    use serde_json::{Value, json};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::super::testing::Lines;
    use super::*;
    use crate::inject::settings::Settings;

    const CANARY: &str = "hunter2-canary";

    fn object(name: &str, version: &str) -> Value {
        json!({
            "metadata": {
                "namespace": "team", "name": name, "resourceVersion": version,
                "labels": {"keyporter.dev/kind": "env", "keyporter.dev/scope": "project"},
            },
            "data": {"TOKEN": CANARY},
        })
    }

    fn secret(name: &str) -> WatchedSecret {
        serde_json::from_value(object(name, "1")).unwrap()
    }

    fn objects(catalog: &Catalog) -> Vec<String> {
        let shelves = catalog.shelves("team", None);
        let secrets = shelves.visible().project.secrets.iter();
        secrets.map(|secret| secret.object.to_string()).collect()
    }

    fn failed(code: u16) -> watcher::Error {
        let status = Status::failure("told by the server", "").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Observer for Seen {
        fn listed(&self, source: Source) {
            self.0.lock().unwrap().push(format!("{source} listed"));
        }

        fn failed(&self, source: Source, failure: Failure) {
            self.0
                .lock()
                .unwrap()
                .push(format!("{source} {}", failure.as_str()));
        }
    }

    impl Seen {
        fn failures(&self, source: &str) -> usize {
            let told = self.0.lock().unwrap();
            let failures = told.iter().filter(|one| !one.ends_with(" listed"));
            failures.filter(|one| one.starts_with(source)).count()
        }
    }

    impl Observer for Arc<Seen> {
        fn listed(&self, source: Source) {
            (**self).listed(source);
        }

        fn failed(&self, source: Source, failure: Failure) {
            (**self).failed(source, failure);
        }
    }

    /// One watch that sees these events, and then is still.
    struct Scene {
        catalog: Catalog,
        seen: Seen,
        missing: watch::Sender<usize>,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                catalog: Catalog::new(),
                seen: Seen::default(),
                missing: watch::channel(2).0,
            }
        }

        async fn follow(&self, events: Vec<watcher::Result<Event<WatchedSecret>>>) {
            let source = Source::OurLabel;
            let follower = Follower::new(source, self.catalog.clone(), &self.seen, &self.missing);
            follower.follow(stream::iter(events)).await;
        }
    }

    #[tokio::test]
    async fn a_list_shows_when_it_is_complete() {
        let scene = Scene::new();
        scene
            .follow(vec![Ok(Event::Init), Ok(Event::InitApply(secret("a")))])
            .await;
        assert!(objects(&scene.catalog).is_empty());
        assert_eq!(*scene.missing.borrow(), 2);

        let list = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(secret("a"))),
            Ok(Event::InitDone),
        ];
        scene.follow(list).await;
        assert_eq!(objects(&scene.catalog), ["a"]);
        assert_eq!(*scene.missing.borrow(), 1);
    }

    #[tokio::test]
    async fn changes_are_followed() {
        let scene = Scene::new();
        scene
            .follow(vec![
                Ok(Event::Init),
                Ok(Event::InitApply(secret("a"))),
                Ok(Event::InitApply(secret("b"))),
                Ok(Event::InitDone),
                Ok(Event::Delete(secret("a"))),
                Ok(Event::Apply(secret("c"))),
            ])
            .await;
        assert_eq!(objects(&scene.catalog), ["b", "c"]);
    }

    #[tokio::test]
    async fn an_error_amid_a_new_list_keeps_the_old_one() {
        let scene = Scene::new();
        let first = [
            Ok(Event::Init),
            Ok(Event::InitApply(secret("a"))),
            Ok(Event::InitDone),
        ];
        let broken = [
            Ok(Event::Init),
            Ok(Event::InitApply(secret("b"))),
            Err(failed(500)),
        ];
        let again = [Ok(Event::Init), Ok(Event::InitApply(secret("c")))];
        let events: Vec<_> = first.into_iter().chain(broken).chain(again).collect();
        scene.follow(events).await;
        assert_eq!(objects(&scene.catalog), ["a"]);

        scene
            .follow(vec![
                Ok(Event::Init),
                Ok(Event::InitApply(secret("d"))),
                Ok(Event::InitDone),
            ])
            .await;
        assert_eq!(objects(&scene.catalog), ["d"]);
        let seen = scene.seen.0.lock().unwrap().clone();
        assert_eq!(
            seen,
            ["keyporter listed", "keyporter server", "keyporter listed"]
        );
    }

    #[tokio::test]
    async fn only_the_first_list_counts_for_readiness() {
        let scene = Scene::new();
        let list = || [Ok(Event::Init), Ok(Event::InitDone)];
        scene
            .follow(list().into_iter().chain(list()).collect())
            .await;
        assert_eq!(*scene.missing.borrow(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_logged_once_until_it_works_again() {
        let (lines, _guard) = Lines::listen();
        let scene = Scene::new();
        scene
            .follow(vec![
                Err(failed(403)),
                Err(failed(403)),
                Ok(Event::Init),
                Err(failed(403)),
                Err(failed(500)),
                Ok(Event::Apply(secret("a"))),
                Err(failed(403)),
            ])
            .await;
        let text = lines.text();
        let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
        assert_eq!(warnings.len(), 3, "{text}");
        let first = warnings.first().unwrap();
        assert!(
            first.contains("a ClusterRole with the verbs list and watch on secrets"),
            "{first}"
        );
        assert!(first.contains("told by the server"), "{first}");
        assert_eq!(scene.seen.0.lock().unwrap().len(), 5);
    }

    /// What an API server answers to each list of Secrets with their data; watches stay open and silent.
    type Script = fn(query: &str, number: usize) -> (u16, String);

    struct Cluster {
        catalog: Catalog,
        seen: Arc<Seen>,
        queries: Arc<Mutex<Vec<String>>>,
        synced: Synced,
        run: JoinHandle<()>,
    }

    /// The same for all other paths.
    type OtherScript = fn(path: &str, query: &str, number: usize) -> (u16, String);

    fn cluster(script: Script) -> Cluster {
        cluster_with_stores(script, |_, _, _| page(&[], ""))
    }

    fn cluster_with_stores(script: Script, others: OtherScript) -> Cluster {
        cluster_of(Catalog::new(), script, others)
    }

    fn cluster_of(catalog: Catalog, script: Script, others: OtherScript) -> Cluster {
        let queries = Arc::new(Mutex::new(Vec::new()));
        let asked = queries.clone();
        let server = Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
            let query = uri.query().unwrap_or_default().to_owned();
            let whole = format!("{}?{query}", uri.path());
            let number = asked
                .lock()
                .unwrap()
                .iter()
                .filter(|before| **before == whole)
                .count();
            asked.lock().unwrap().push(whole);
            async move {
                let path = uri.path();
                // Nobody asks for the values of Secrets that may be anybody's.
                let selected = query.contains("labelSelector=") || query.contains("fieldSelector=");
                let accept = headers
                    .get("Accept")
                    .map_or("", |accept| accept.to_str().unwrap());
                assert_eq!(accept.contains("as=PartialObjectMetadata"), !selected);
                if query.contains("watch=true") {
                    return response::Response::new(Body::from_stream(stream::pending::<
                        Result<Vec<u8>, std::io::Error>,
                    >()));
                }
                let (code, body) = match (path, selected) {
                    ("/api/v1/secrets", true) => script(&query, number),
                    _ => others(path, &query, number),
                };
                let mut response = response::Response::new(Body::from(body));
                *response.status_mut() = code.try_into().unwrap();
                response
            }
        });
        let seen = Arc::new(Seen::default());
        let (synced, run) = watch(
            Client::new(server, "default"),
            catalog.clone(),
            seen.clone(),
        );
        Cluster {
            catalog,
            seen,
            queries,
            synced,
            run: tokio::spawn(run),
        }
    }

    impl Cluster {
        async fn synced(&mut self) {
            timeout(Duration::from_secs(20), self.synced.wait())
                .await
                .unwrap();
            assert!(self.synced.is_synced());
        }
    }

    impl Drop for Cluster {
        fn drop(&mut self) {
            self.run.abort();
        }
    }

    fn page(names: &[&str], next: &str) -> (u16, String) {
        let items: Vec<_> = names.iter().map(|name| object(name, "5")).collect();
        let metadata = json!({"resourceVersion": "5", "continue": next});
        (
            200,
            json!({"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": items})
                .to_string(),
        )
    }

    fn heads(names: &[&str], next: &str) -> (u16, String) {
        let head = |name: &&str| json!({"metadata": {"namespace": "team", "name": name}});
        let items: Vec<_> = names.iter().map(head).collect();
        let metadata = json!({"resourceVersion": "5", "continue": next});
        (200, json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items}).to_string())
    }

    fn domains(namespaces: &[(&str, &str)]) -> (u16, String) {
        let head = |(name, domain): &(&str, &str)| json!({"metadata": {"name": name, "labels": {"keyporter.dev/domain": domain}}});
        let items: Vec<_> = namespaces.iter().map(head).collect();
        (200, json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "5"}, "items": items}).to_string())
    }

    #[tokio::test]
    async fn both_watches_ask_for_what_is_theirs_page_by_page() {
        let mut cluster = cluster(|query, _| match query {
            _ if query.contains("parent") => page(&[], ""),
            _ if query.contains("continue=more") => page(&["b"], ""),
            _ => page(&["a"], "more"),
        });
        cluster.synced().await;
        assert_eq!(objects(&cluster.catalog), ["a", "b"]);
        let queries = cluster.queries.lock().unwrap().join("\n");
        assert!(
            queries.contains("labelSelector=keyporter.dev%2Fkind&limit=100"),
            "{queries}"
        );
        assert!(
            queries
                .contains("labelSelector=parent%3Dkonduktor%2C%21keyporter.dev%2Fkind&limit=100"),
            "{queries}"
        );
    }

    #[tokio::test]
    async fn without_references_nobody_asks_for_all_secrets() {
        let settings = Settings {
            references: false,
            ..Settings::default()
        };
        let script: Script = |query, _| match query {
            _ if query.contains("parent") => page(&[], ""),
            _ => page(&["a"], ""),
        };
        let others: OtherScript = |path, _, _| panic!("asked for {path}");
        let mut cluster = cluster_of(Catalog::of(&settings), script, others);
        cluster.synced().await;
        assert_eq!(objects(&cluster.catalog), ["a"]);
        let queries = cluster.queries.lock().unwrap();
        let labelled = |one: &String| one.contains("labelSelector=");
        assert!(queries.iter().all(labelled), "{queries:?}");
    }

    #[tokio::test]
    async fn it_is_not_synced_while_one_watch_is_refused() {
        let mut cluster = cluster(|query, number| {
            match number {
            0 | 1 if query.contains("parent") => {
                (403, json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"}).to_string())
            }
            _ => page(&[], ""),
        }
        });
        while cluster.seen.failures("konduktor") < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!cluster.synced.is_synced());
        cluster.synced().await;
        let seen = cluster.seen.0.lock().unwrap().clone();
        assert_eq!(
            seen.iter()
                .filter(|one| *one == "konduktor forbidden")
                .count(),
            2,
            "{seen:?}"
        );
    }

    #[tokio::test]
    async fn stores_are_found_by_name_and_read_until_they_can_be() {
        let (lines, _guard) = Lines::listen();
        let mut cluster = cluster_with_stores(
            |_, _| page(&[], ""),
            |path, query, number| match (path, number) {
                ("/api/v1/secrets", 0) if query.contains("continue") => {
                    heads(&["iomete-secret-store-sales", "z"], "")
                }
                ("/api/v1/secrets", 0) => heads(&["a", "iomete-secret-store"], "more"),
                ("/api/v1/namespaces", _) => domains(&[("team", "finance"), ("other", "sales")]),
                ("/api/v1/namespaces/team/secrets", 0 | 1) if !query.contains("sales") => {
                    (500, "{}".to_owned())
                }
                // This one is deleted meanwhile.
                ("/api/v1/namespaces/team/secrets", _) if query.contains("sales") => page(&[], ""),
                ("/api/v1/namespaces/team/secrets", _) => page(&["iomete-secret-store"], ""),
                _ => (404, "{}".to_owned()),
            },
        );
        while cluster.seen.failures("stores") < 2 {
            assert!(!cluster.synced.is_synced());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cluster.synced().await;
        let shelves = cluster.catalog.shelves("team", None);
        let stores = shelves.visible().stores;
        assert_eq!(stores.domain.as_deref(), Some("finance"));
        let list: Vec<_> = stores.stores.iter().map(|store| &*store.object).collect();
        assert_eq!(list, ["iomete-secret-store"]);
        assert!(
            stores
                .named("iomete-secret-store")
                .unwrap()
                .has_key("TOKEN")
        );
        let queries = cluster.queries.lock().unwrap().join("\n");
        assert!(
            queries.contains(
                "/api/v1/namespaces/team/secrets?&fieldSelector=metadata.name%3Diomete-secret-store\n"
            ),
            "{queries}"
        );
        assert!(!lines.text().contains("hunter2"));
    }

    #[tokio::test]
    async fn it_is_not_synced_while_namespaces_are_refused() {
        let (lines, _guard) = Lines::listen();
        let mut cluster = cluster_with_stores(
            |_, _| page(&[], ""),
            |path, _, number| {
                match (path, number) {
                ("/api/v1/namespaces", 0) => (
                    403,
                    json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"}).to_string(),
                ),
                _ => page(&[], ""),
            }
            },
        );
        while cluster.seen.failures("namespaces") < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!cluster.synced.is_synced());
        cluster.synced().await;
        let text = lines.text();
        let advice = "a ClusterRole with the verbs list and watch on namespaces";
        assert!(text.contains(advice), "{text}");
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_not_logged() {
        let (lines, _guard) = Lines::listen();
        let mut cluster = cluster(|_, number| match number {
            0 => {
                let (code, mut body) = page(&["a"], "");
                body.truncate(body.find(CANARY).unwrap() + CANARY.len());
                (code, body)
            }
            _ => page(&["a"], ""),
        });
        cluster.synced().await;
        let seen = cluster.seen.0.lock().unwrap().clone();
        assert!(
            seen.contains(&"keyporter unreadable".to_owned()),
            "{seen:?}"
        );
        let text = lines.text();
        assert!(text.contains("failure=\"unreadable\""), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
