use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::Uri;
use axum::response::Response;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::catalog::{Source, WatchedSecret};

fn object(name: &str, version: u32) -> Value {
    json!({"metadata": {
        "namespace": "team", "name": name, "resourceVersion": version.to_string(),
        "labels": {"keyporter.dev/kind": "env", "keyporter.dev/scope": "project"},
    }})
}

fn secret(name: &str, version: u32) -> WatchedSecret {
    serde_json::from_value(object(name, version)).unwrap()
}

fn store(version: u32) -> Value {
    json!({"metadata": {
        "namespace": "team", "name": "iomete-secret-store", "resourceVersion": version.to_string(),
    }})
}

/// A consistent list at version 100.
fn list(items: &[Value]) -> String {
    page(items, "")
}

fn page(items: &[Value], next: &str) -> String {
    json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "100", "continue": next}, "items": items,
    })
    .to_string()
}

/// An API server that answers lists by the number of those before, and what it is asked.
fn cluster(
    answer: impl Fn(usize, &Uri) -> (u16, String) + Clone + Send + Sync + 'static,
    go_on: Option<Arc<Notify>>,
) -> (Client, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Router::new().fallback(move |uri: Uri| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let (answer, go_on) = (answer.clone(), go_on.clone());
        async move {
            if let Some(go_on) = go_on {
                go_on.notified().await;
            }
            let (code, body) = answer(number, &uri);
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = code.try_into().unwrap();
            response
        }
    });
    (Client::new(server, "default"), asked)
}

fn confirmations(catalog: &Catalog, client: Client) -> Confirmations {
    Confirmations::new(client, catalog.clone(), Metrics::new())
}

/// What a catalogue must know of the list before anybody goes on, and what of it is enough.
#[rstest]
#[case::nothing_there(&[], &[], true)]
#[case::known(&[("a", 5)], &[("a", 5)], true)]
#[case::not_known(&[("a", 5)], &[], false)]
#[case::older(&[("a", 7)], &[("a", 5)], false)]
#[case::newer(&[("a", 5)], &[("a", 7)], true)]
#[case::newer_than_the_list(&[("a", 5)], &[("a", 105)], true)]
#[case::deleted(&[], &[("a", 5)], false)]
#[case::made_after_the_list(&[], &[("a", 105)], true)]
#[case::one_of_several(&[("a", 5), ("b", 6)], &[("a", 5)], false)]
#[case::made_anew(&[("a", 9)], &[("a", 5)], false)]
#[tokio::test(start_paused = true)]
async fn the_catalogue_is_compared_with_the_list(
    #[case] listed: &'static [(&'static str, u32)],
    #[case] told: &[(&str, u32)],
    #[case] expected: bool,
) {
    let catalog = Catalog::new();
    for (name, version) in told {
        catalog.apply(Source::OurLabel, secret(name, *version));
        catalog.reach(Source::OurLabel, &version.to_string());
    }
    let items = move || {
        let items = listed.iter().map(|(name, version)| object(name, *version));
        list(&items.collect::<Vec<_>>())
    };
    let (client, _) = cluster(move |_, _| (200, items()), None);
    let outcome = confirmations(&catalog, client).confirm("team").await;
    assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
}

/// What of a list is told while somebody waits ends the waiting.
#[rstest]
#[case::change(&[object("a", 9)], "apply")]
#[case::deletion(&[], "delete")]
#[case::deleted_after_the_list(&[object("a", 9)], "delete")]
#[case::relist(&[object("a", 9)], "relist")]
#[case::relist_after_a_deletion(&[object("a", 9)], "empty-relist")]
#[tokio::test]
async fn the_watch_is_waited_for(#[case] items: &[Value], #[case] step: &str) {
    let catalog = Catalog::new();
    catalog.apply(Source::OurLabel, secret("a", 5));
    catalog.reach(Source::OurLabel, "5");
    let body = list(items);
    let (client, asked) = cluster(move |_, _| (200, body.clone()), None);
    let confirmations = confirmations(&catalog, client);
    let waiting = tokio::spawn(async move { confirmations.confirm("team").await });
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished());
    match step {
        "apply" => {
            catalog.apply(Source::OurLabel, secret("a", 9));
            catalog.reach(Source::OurLabel, "9");
        }
        "delete" => {
            catalog.delete(Source::OurLabel, "team", "a");
            catalog.reach(Source::OurLabel, "120");
        }
        "relist" => catalog.replace(Source::OurLabel, [secret("a", 9)]),
        _ => catalog.replace(Source::OurLabel, Vec::<WatchedSecret>::new()),
    }
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

/// A store is told of by another watch; that one alone counts for it.
#[tokio::test(start_paused = true)]
async fn a_store_waits_for_the_watch_of_stores() {
    let catalog = Catalog::new();
    catalog.reach(Source::OurLabel, "90");
    let (client, _) = cluster(|_, _| (200, list(&[store(50)])), None);
    let confirmations = confirmations(&catalog, client);
    assert_eq!(
        confirmations.confirm("team").await,
        Err(Unconfirmed::Slow),
        "the caller's second and the watch's end together"
    );
    catalog.apply(Source::Stores, serde_json::from_value(store(50)).unwrap());
    catalog.reach(Source::Stores, "50");
    assert_eq!(confirmations.confirm("team").await, Ok(()));
}

/// Whoever comes while a list runs may have written after it began.
#[tokio::test]
async fn all_who_come_before_a_list_share_it_and_nobody_a_running_one() {
    let go_on = Arc::new(Notify::new());
    let (client, asked) = cluster(|_, _| (200, list(&[])), Some(Arc::clone(&go_on)));
    let confirmations = confirmations(&Catalog::new(), client);
    let confirm = || {
        let confirmations = confirmations.clone();
        tokio::spawn(async move { confirmations.confirm("team").await })
    };
    let asks = async |number: usize| {
        while asked.load(Ordering::SeqCst) < number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let first = confirm();
    asks(1).await;
    let later: Vec<_> = (0..50).map(|_| confirm()).collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one at a time");
    go_on.notify_one();
    assert_eq!(first.await.unwrap(), Ok(()));
    asks(2).await;
    assert!(later.iter().all(|one| !one.is_finished()));
    go_on.notify_one();
    for one in later {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "shared by fifty");
}

#[tokio::test]
async fn who_settles_asks_nobody_and_waits_for_what_runs() {
    let go_on = Arc::new(Notify::new());
    let (client, asked) = cluster(|_, _| (200, list(&[])), Some(Arc::clone(&go_on)));
    let confirmations = confirmations(&Catalog::new(), client);
    assert_eq!(confirmations.settle("team").await, Ok(()));
    assert_eq!(asked.load(Ordering::SeqCst), 0);

    confirmations.begin("team");
    assert_eq!(confirmations.settle("other").await, Ok(()));
    let settling = {
        let confirmations = confirmations.clone();
        tokio::spawn(async move { confirmations.settle("team").await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!settling.is_finished());
    go_on.notify_one();
    assert_eq!(settling.await.unwrap(), Ok(()));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn pages_are_one_list_without_a_resource_version() {
    let answer = |number: usize, uri: &Uri| {
        let query = uri.query().unwrap();
        assert_eq!(uri.path(), "/api/v1/namespaces/team/secrets");
        assert!(
            query.contains("limit=500") && !query.contains("resourceVersion"),
            "{query}"
        );
        assert_eq!(query.contains("continue=more"), number == 1);
        match number {
            0 => (200, page(&[object("a", 5)], "more")),
            _ => (200, page(&[object("b", 6)], "")),
        }
    };
    let catalog = Catalog::new();
    for (name, version) in [("a", 5), ("b", 6)] {
        catalog.apply(Source::OurLabel, secret(name, version));
    }
    catalog.reach(Source::OurLabel, "6");
    let (client, asked) = cluster(answer, None);
    assert_eq!(
        confirmations(&catalog, client).confirm("team").await,
        Ok(())
    );
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[rstest]
#[case::forbidden(
    403,
    r#"{"kind": "Status", "status": "Failure", "code": 403, "message": "no"}"#,
    Unconfirmed::Forbidden
)]
#[case::server(
    500,
    r#"{"kind": "Status", "status": "Failure", "code": 500, "message": "no"}"#,
    Unconfirmed::Failed
)]
#[case::unreadable(200, r#"{"items": [{"data": "hunter2"#, Unconfirmed::Failed)]
#[case::not_comparable(
    200,
    r#"{"metadata": {"resourceVersion": "abc"}, "items": []}"#,
    Unconfirmed::Failed
)]
#[tokio::test]
async fn failures_are_told_and_counted(
    #[case] code: u16,
    #[case] body: &'static str,
    #[case] expected: Unconfirmed,
) {
    let (lines, _guard) = crate::catalog::testing::Lines::listen();
    let (client, _) = cluster(move |_, _| (code, body.to_owned()), None);
    let metrics = Metrics::new();
    let confirmations = Confirmations::new(client, Catalog::new(), metrics.clone());
    assert_eq!(confirmations.confirm("team").await, Err(expected));
    let line = format!(
        "keyporter_confirmations_total{{outcome=\"{}\"}} 1",
        expected.as_str()
    );
    assert!(metrics.encode().contains(&line));
    let text = lines.text();
    assert!(text.contains("namespace=\"team\""), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn without_a_cluster_all_is_confirmed() {
    let confirmations = Confirmations::default();
    confirmations.begin("team");
    assert_eq!(confirmations.confirm("team").await, Ok(()));
    assert_eq!(confirmations.settle("team").await, Ok(()));
}
