use std::net::TcpListener;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Config;

use super::*;
use crate::inject::guard::Foreign;

/// A client of a cluster that is not there.
fn client() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = Config::new(format!("http://{address}").parse().unwrap());
    Client::try_from(config).unwrap()
}

pub(super) fn denied(uid: &str, denial: &Denial) -> Report {
    let owner = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "ReplicaSet".to_owned(),
        name: "train-7d4b9".to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    Report::denied(
        "vision",
        Reference::of_controller(vec![owner]).unwrap(),
        denial,
    )
}

fn count(metrics: &Metrics, outcome: &str) -> Option<usize> {
    let series = format!("keyporter_events_total{{outcome=\"{outcome}\"}} ");
    let page = metrics.encode();
    let line = page.lines().find_map(|line| line.strip_prefix(&series))?;
    line.parse().ok()
}

#[tokio::test]
async fn what_has_no_room_in_the_queue_is_dropped_and_counted() {
    let metrics = Metrics::new();
    let (events, _nobody_writes) = Events::new(client(), metrics.clone());
    for _ in 0..QUEUE + 3 {
        events.report(denied("1", &Denial::ForeignPod));
    }
    assert_eq!(count(&metrics, "dropped"), Some(3));
}

#[tokio::test]
async fn what_failed_is_not_tried_again_at_once() {
    let metrics = Metrics::new();
    let (events, writing) = Events::new(client(), metrics.clone());
    let unknown = Denial::EntryUnknown { why: String::new() };
    for (uid, denial) in [
        ("1", &Denial::ForeignPod),
        ("1", &Denial::ForeignPod),
        ("2", &Denial::ForeignPod),
        ("1", &unknown),
    ] {
        events.report(denied(uid, denial));
    }
    drop(events);
    writing.await;
    assert_eq!(count(&metrics, "failed"), Some(3));
    assert_eq!(count(&metrics, "repeated"), Some(1));
}

#[test]
fn without_a_cluster_nothing_comes_of_a_report() {
    Events::default().report(denied("1", &Denial::ForeignPod));
}

#[test]
fn a_long_sentence_is_cut_before_its_rule() {
    let references = (0..10)
        .map(|number| Foreign {
            object: format!("{number}{}", "ä".repeat(200)),
            place: "imagePullSecrets".to_owned(),
            owner: "alice".to_owned(),
        })
        .collect();
    let Note(note) = Note::from(&Denial::ForeignSecrets { references });
    assert!(
        note.starts_with("a pod is denied: refers to secrets of another user: \"0ä"),
        "{note}"
    );
    assert!(note.ends_with("ä… [rule: foreign-secrets]"), "{note}");
    assert!(note.len() <= NOTE_LENGTH, "{}", note.len());
}

#[test]
fn a_short_sentence_is_whole() {
    let denial = Denial::InvalidOptOut {
        value: "off".to_owned(),
    };
    let Note(note) = Note::from(&denial);
    assert_eq!(note, format!("a pod is denied: {}", denial.message()));
}
