//! The pod's record of what it got.

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

const LIMIT: usize = 256 * 1024;

fn record(outcome: &Outcome) -> Value {
    let text = outcome.at("/metadata/annotations/keyporter.dev~1injected");
    serde_json::from_str(text.as_str().unwrap_or("null")).expect("JSON")
}

fn annotation_bytes(pod: &Value) -> usize {
    let annotations = pod["metadata"]["annotations"].as_object();
    annotations
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.as_str().unwrap().len())
        .sum()
}

#[test]
fn it_names_each_secret_once() {
    let shelves = shelves([
        user("env", "token", &["T"]).object("token-2bd806c9"),
        project("default", "files", &["k"]),
    ]);
    let outcome = inject(&pod_of(["a", "b"].map(container)), &shelves);
    let expected = json!([
        {"secret": "files", "name": "files", "kind": "default", "scope": "project", "resourceVersion": "7"},
        {"secret": "token-2bd806c9", "name": "token", "kind": "env", "scope": "user", "resourceVersion": "7"},
    ]);
    assert_eq!(record(&outcome), expected);
    assert_eq!(
        outcome.at("/metadata/labels"),
        &json!({"keyporter.dev/injected": "true"})
    );
}

#[test]
fn a_forged_record_is_replaced() {
    let forged = annotated(pod(json!({})), "keyporter.dev/injected", "[\"forged\"]");
    let outcome = inject(&forged, &shelves([user("env", "token", &["T"])]));
    assert_eq!(record(&outcome)[0]["secret"], "token");
}

fn thousands() -> Shelves {
    let names = (0..4000).map(|number| format!("secret-{number:04}-{}", "x".repeat(40)));
    shelves(names.map(|name| user("env", &name, &["T"])))
}

#[rstest]
#[case::beside_nothing(0)]
#[case::beside_much(200_000)]
#[case::at_the_edge(LIMIT - 100)]
#[case::one_byte_left(LIMIT - 4)]
#[case::no_room_at_all(LIMIT - 3)]
fn it_never_outgrows_the_limit_of_annotations(#[case] others: usize) {
    let pod = annotated(pod(json!({})), "big", &"x".repeat(others));
    let shelves = thousands();
    let outcome = inject(&pod, &shelves);
    assert!(
        annotation_bytes(outcome.pod()) <= LIMIT,
        "{}",
        annotation_bytes(outcome.pod())
    );
    assert_eq!(outcome.env_from("containers", 0).len(), 4000);
    outcome.warns(&["keyporter.dev/injected", "no room for"]);
    assert_eq!(
        inject(outcome.pod(), &shelves).skip().as_str(),
        "already-injected"
    );
}

#[test]
fn a_record_with_room_for_all_is_complete() {
    let names: Vec<_> = (0..500).map(|number| format!("secret-{number}")).collect();
    let outcome = inject(
        &pod(json!({})),
        &shelves(
            names
                .iter()
                .map(|name| user("image-pull", name, &[".dockercfg"])),
        ),
    );
    assert_eq!(record(&outcome).as_array().unwrap().len(), 500);
    outcome.warns_nothing();
}
