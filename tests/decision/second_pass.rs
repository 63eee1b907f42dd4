//! Reinvocation: a second pass over a patched pod adds nothing but what other webhooks made necessary.

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

fn everything() -> Shelves {
    shelves([
        user("default", "files", &["k"]),
        project("env", "team", &["X", "SHARED"]).made(1),
        user("env", "mine", &["Y", "SHARED", "AUTH_SECRET"]).made(2),
        user("env", "mixed", &["Z", "a-b"]).made(3),
        user("git-ssh", "key", &["gitkey", "known_hosts"]),
        user("auth", "login", &["k"]).made(9),
        user("image-pull", "pull", &[".dockercfg"]),
    ])
}

#[test]
fn nothing_is_added_and_nothing_new_is_said() {
    let shelves = everything();
    let first = inject(&pod(json!({})), &shelves);
    let second = inject(first.pod(), &shelves);
    assert_eq!(second.skip().as_str(), "already-injected");
    assert_eq!(second.warnings, first.warnings);
    assert_eq!(second.in_effect, first.in_effect);
}

#[test]
fn a_variable_of_a_mixed_secret_does_not_look_like_the_containers_own() {
    let shelves = shelves([
        project("env", "mixed", &["A", "GIT_SSH", "a-b"]),
        user("git-ssh", "key", &["gitkey"]),
    ]);
    let first = inject(&pod(json!({})), &shelves);
    assert_eq!(first.in_effect, ["key", "mixed"]);
    assert_eq!(first.variable("GIT_SSH"), &Value::Null);
    assert_eq!(
        inject(first.pod(), &shelves).skip().as_str(),
        "already-injected"
    );
}

/// An admission that takes seconds keeps everybody else's pods waiting.
#[test]
fn hundreds_of_mixed_secrets_take_no_time_to_speak_of() {
    let mixed = |number: u32| {
        let keys = ["A", "B", "C"].map(|letter| format!("{letter}{number}"));
        let keys: Vec<_> = keys.iter().map(String::as_str).chain(["a-b"]).collect();
        user("env", &format!("mixed-{number}"), &keys)
    };
    let shelves = shelves((0..600).map(mixed));
    let first = inject(&pod(json!({})), &shelves);
    let begin = std::time::Instant::now();
    let second = inject(first.pod(), &shelves);
    assert_eq!(second.skip().as_str(), "already-injected");
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
}

#[test]
fn the_record_follows_a_change_of_the_secret() {
    let shelves_before = shelves([user("env", "token", &["T"])]);
    let first = inject(&pod(json!({})), &shelves_before);
    let mut changed = user("env", "token", &["T"]);
    changed.resource_version = "8".into();
    let second = inject(first.pod(), &shelves([changed]));
    assert_eq!(second.patch.as_array().unwrap().len(), 1);
    assert_eq!(
        second.patch[0]["path"],
        "/metadata/annotations/keyporter.dev~1injected"
    );
}

/// A container that another webhook inserts gets its share, and nothing else changes.
#[rstest]
#[case::at_the_end("containers", 1)]
#[case::at_the_head("containers", 0)]
#[case::as_an_init_container("initContainers", 0)]
fn a_container_added_later_gets_its_share(#[case] list: &str, #[case] index: usize) {
    let shelves = everything();
    let base = with_spec(
        pod(json!({})),
        json!({"initContainers": [container("setup")]}),
    );
    let insert = |pod: &Value| {
        let mut pod = pod.clone();
        pod["spec"][list]
            .as_array_mut()
            .unwrap()
            .insert(index, container("late"));
        pod
    };
    let first = inject(&base, &shelves);
    let second = inject(&insert(first.pod()), &shelves);
    let at_once = inject(&insert(&base), &shelves);
    assert_eq!(second.pod(), at_once.pod());
    let at = format!("/spec/{list}/{index}");
    for operation in second.patch.as_array().unwrap() {
        assert!(
            operation["path"].as_str().unwrap().starts_with(&at),
            "{operation}"
        );
    }
}

#[rstest]
#[case::the_lowest(&["b", "c"])]
#[case::the_middle(&["a", "c"])]
#[case::the_highest(&["a", "b"])]
#[case::two(&["b"])]
fn secrets_that_come_later_find_their_place(#[case] there: &[&str]) {
    let secrets = |names: &[&str]| {
        let made = |name: &&str| user("env", name, &["T"]).made(u32::from(name.as_bytes()[0]) - 96);
        shelves(names.iter().map(made))
    };
    let own = pod(json!({"envFrom": [{"configMapRef": {"name": "own"}}]}));
    let first = inject(&own, &secrets(there));
    let second = inject(first.pod(), &secrets(&["a", "b", "c"]));
    assert_eq!(second.env_from("containers", 0), ["a", "b", "c", "-"]);
}

#[test]
fn another_webhooks_source_in_front_stays_there() {
    let shelves = everything();
    let first = inject(&pod(json!({})), &shelves);
    let mut pod = first.pod().clone();
    let list = pod["spec"]["containers"][0]["envFrom"]
        .as_array_mut()
        .unwrap();
    list.insert(0, json!({"configMapRef": {"name": "late"}}));
    let second = inject(&pod, &shelves);
    assert_eq!(second.skip().as_str(), "already-injected");
}
