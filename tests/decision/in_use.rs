//! Which pods of a list carry a secret, and how they are named.

use std::collections::BTreeSet;

use keyporter::inject::Denial;
use keyporter::inject::in_use::{Carrier, Page};
use rstest::rstest;
use serde_json::{Value, json};

/// A pod as a list has it, with the record of what it got.
fn pod(name: &str, record: &Value) -> Value {
    let annotations =
        json!({"keyporter.dev/injected": record.to_string(), "example.com/note": "a\nb"});
    json!({"metadata": {"name": name, "annotations": annotations, "managedFields": []}})
}

fn record(objects: &[&str]) -> Value {
    let entry = |object: &&str| json!({"secret": object, "name": "n", "kind": "env", "scope": "user", "resourceVersion": "1"});
    objects.iter().map(entry).collect()
}

fn controlled(mut pod: Value, kind: &str, name: &str) -> Value {
    pod["metadata"]["ownerReferences"] = json!([
        {"kind": "ConfigMap", "name": "watched", "controller": null},
        {"kind": kind, "name": name, "apiVersion": "x/v1", "controller": true},
    ]);
    pod
}

/// The pods of a list that carry the Secret `token`.
fn carriers(items: &Value) -> Vec<String> {
    let page =
        json!({"kind": "PartialObjectMetadataList", "metadata": {"continue": "x"}, "items": items})
            .to_string();
    let page: Page<'_> = serde_json::from_str(&page).expect("a page");
    assert_eq!(page.next(), Some("x"));
    let mut carriers = BTreeSet::new();
    page.collect("token", &mut carriers);
    carriers.iter().map(ToString::to_string).collect()
}

#[rstest]
#[case::it(record(&["other", "token"]), true)]
#[case::another(record(&["token-2", "oken"]), false)]
#[case::nothing(record(&[]), false)]
#[case::damaged(json!({"secret": "token"}), false)]
fn records(#[case] record: Value, #[case] carries: bool) {
    let found = carriers(&json!([pod("a", &record)]));
    assert_eq!(found, if carries { &["pod a"][..] } else { &[] });
}

#[test]
fn a_pod_that_is_going_holds_nothing() {
    let mut going = pod("going", &record(&["token"]));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let unmarked = json!({"metadata": {"name": "unmarked"}});
    assert_eq!(carriers(&json!([going, unmarked])), [""; 0]);
    assert_eq!(carriers(&Value::Null), [""; 0]);
}

#[rstest]
#[case::a_job("Job", "train", None, "Job train")]
#[case::a_deployment("ReplicaSet", "web-5d8f", Some("5d8f"), "Deployment web")]
#[case::a_replica_set("ReplicaSet", "web-5d8f", None, "ReplicaSet web-5d8f")]
#[case::another_hash("ReplicaSet", "web-5d8f", Some("8f"), "ReplicaSet web-5d8f")]
#[case::another_kind("Rollout", "web-5d8f", Some("5d8f"), "Rollout web-5d8f")]
fn workloads(
    #[case] kind: &str,
    #[case] name: &str,
    #[case] hash: Option<&str>,
    #[case] expected: &str,
) {
    let mut pod = controlled(pod("p", &record(&["token"])), kind, name);
    if let Some(hash) = hash {
        pod["metadata"]["labels"] = json!({"pod-template-hash": hash});
    }
    assert_eq!(carriers(&json!([pod])), [format!("pod p ({expected})")]);
}

#[test]
fn the_list_is_sorted_whatever_page_a_pod_was_on() {
    let items = ["b", "c", "a"].map(|name| pod(name, &record(&["token"])));
    assert_eq!(carriers(&json!(items)), ["pod a", "pod b", "pod c"]);
}

#[test]
fn ten_pods_are_named_and_the_others_counted() {
    let carrier = |number| Carrier {
        pod: format!("p{number:02}"),
        workload: None,
    };
    let denial = Denial::SecretInUse {
        object: "vision/token".to_owned(),
        carriers: (0..13).map(carrier).collect(),
    };
    assert_eq!(
        denial.to_string(),
        "secret vision/token is in use by pod p00, pod p01, pod p02, pod p03, pod p04, pod p05, pod p06, pod p07, pod p08, \
         pod p09, and 3 more; delete it when they have ended, or set its annotation keyporter.dev/force-delete to \"true\" \
         first, as somebody who may delete it"
    );
}
