//! Kind `auth`: which secret becomes `AUTH_SECRET`, and by which key.

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

fn choosing(name: &str) -> Value {
    annotated(pod(json!({})), "keyporter.dev/auth-secret", name)
}

fn key_of(object: &str, key: &str) -> Value {
    json!({"name": "AUTH_SECRET", "valueFrom": {"secretKeyRef": {"name": object, "key": key, "optional": true}}})
}

#[rstest]
#[case::the_only_key(&["anything"], "anything")]
#[case::the_only_key_may_be_no_variable_name(&["a.b"], "a.b")]
#[case::the_key_of_that_name(&["A", "AUTH_SECRET", "Z"], "AUTH_SECRET")]
fn the_only_secret_is_taken(#[case] keys: &[&str], #[case] key: &str) {
    let outcome = inject(&pod(json!({})), &shelves([user("auth", "login", keys)]));
    assert_eq!(outcome.variable("AUTH_SECRET"), &key_of("login", key));
    outcome.warns_nothing();
}

#[rstest]
#[case::several(&["A", "B"], "has 2 keys")]
#[case::none(&[], "has 0 keys")]
fn without_a_key_to_take_there_is_none(#[case] keys: &[&str], #[case] words: &str) {
    let outcome = inject(&pod(json!({})), &shelves([user("auth", "login", keys)]));
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["login", words, "none is called AUTH_SECRET"]);
}

#[test]
fn the_annotation_chooses_and_requires() {
    let shelves = shelves([user("auth", "one", &["k"]), user("auth", "two", &["k"])]);
    let outcome = inject(&choosing(" two "), &shelves);
    let reference = json!({"name": "two", "key": "k"});
    assert_eq!(
        outcome.variable("AUTH_SECRET")["valueFrom"]["secretKeyRef"],
        reference
    );
    assert_eq!(outcome.in_effect, ["two"]);
    outcome.warns_nothing();
}

#[test]
fn of_several_none_is_taken_and_the_warning_lists_them() {
    let shelves = shelves([
        user("auth", "one", &["k"]),
        project("auth", "two", &["k"]),
        user("env", "token", &["T"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.variable("AUTH_SECRET"), &Value::Null);
    assert_eq!(outcome.in_effect, ["token"]);
    outcome.warns(&["one, two", "keyporter.dev/auth-secret"]);
}

#[test]
fn a_long_list_of_candidates_is_counted() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let outcome = inject(
        &pod(json!({})),
        &shelves(names.map(|name| user("auth", name, &["k"]))),
    );
    outcome.warns(&["a, b, c, d, e and 2 more"]);
}

#[rstest]
#[case::with_candidates(&["one", "two"], "there are one, two")]
#[case::the_only_one_is_not_taken_instead(&["one"], "there are one")]
#[case::with_none(&[], "nor any other")]
fn an_unknown_name_in_the_annotation(#[case] there: &[&str], #[case] words: &str) {
    let auth = there.iter().map(|name| user("auth", name, &["k"]));
    let shelves = shelves(auth.chain([user("env", "token", &["T"])]));
    let outcome = inject(&choosing("thre"), &shelves);
    assert_eq!(outcome.variable("AUTH_SECRET"), &Value::Null);
    outcome.warns(&["\"thre\"", words]);
}

#[test]
fn the_annotation_names_a_secret_of_another_kind() {
    let outcome = inject(&choosing("token"), &shelves([user("env", "token", &["T"])]));
    assert_eq!(outcome.variable("AUTH_SECRET"), &Value::Null);
    outcome.warns(&["\"token\""]);
}

#[test]
fn the_users_comes_before_the_projects_of_the_same_name() {
    let mine = user("auth", "login", &["k"])
        .object("login-2bd806c9")
        .made(1);
    let shelves = shelves([mine, project("auth", "login", &["k"]).made(30)]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(
        outcome.variable("AUTH_SECRET"),
        &key_of("login-2bd806c9", "k")
    );
    assert_eq!(outcome.passed_over[0].0, "login");
    outcome.warns_nothing();
}

#[test]
fn the_newer_of_two_with_the_same_name_is_taken() {
    let older = user("auth", "login", &["k"]).object("login-old").made(1);
    let newer = user("auth", "login", &["k"]).object("login-new").made(2);
    let outcome = inject(&pod(json!({})), &shelves([newer, older]));
    assert_eq!(outcome.variable("AUTH_SECRET"), &key_of("login-new", "k"));
    outcome.warns(&["login-old", "login-new", "AUTH_SECRET"]);
}

#[test]
fn on_reference_comes_by_the_annotation_only() {
    let shelves = shelves([
        user("auth", "one", &["k"]),
        user("auth", "two", &["k"]).on_reference(),
    ]);
    let by_itself = inject(&pod(json!({})), &shelves);
    assert_eq!(by_itself.in_effect, ["one"]);
    by_itself.warns_nothing();
    assert_eq!(inject(&choosing("two"), &shelves).in_effect, ["two"]);
}

#[test]
fn the_containers_own_variable_stays() {
    let own = pod(json!({"env": [{"name": "AUTH_SECRET", "value": "mine"}]}));
    let outcome = inject(
        &own,
        &shelves([user("auth", "login", &["k"]), user("env", "token", &["T"])]),
    );
    assert_eq!(
        outcome.variable("AUTH_SECRET"),
        &json!({"name": "AUTH_SECRET", "value": "mine"})
    );
    outcome.warns(&["main", "login", "sets AUTH_SECRET itself"]);
}
