//! Kind `env`: `envFrom` in rising precedence, the container's own settings, and keys that may not be variables.

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

fn by_key(object: &str, key: &str) -> Value {
    json!({"name": key, "valueFrom": {"secretKeyRef": {"name": object, "key": key, "optional": true}}})
}

#[test]
fn a_secret_comes_whole_and_optional() {
    let outcome = inject(
        &pod(json!({})),
        &shelves([user("env", "token", &["TOKEN"])]),
    );
    let expected = json!([{"secretRef": {"name": "token", "optional": true}}]);
    assert_eq!(outcome.at("/spec/containers/0/envFrom"), &expected);
    assert_eq!(outcome.at("/spec/containers/0/env"), &Value::Null);
}

#[test]
fn the_order_rises_and_the_containers_own_comes_last() {
    let shelves = shelves([
        user("env", "mine-new", &["A"]).made(9),
        user("env", "mine-old", &["B"]).made(5),
        project("env", "ours-new", &["C"]).made(30),
        project("env", "ours-old", &["D"]).made(20),
    ]);
    let own = pod(json!({"envFrom": [{"configMapRef": {"name": "own"}}]}));
    let outcome = inject(&own, &shelves);
    assert_eq!(
        outcome.env_from("containers", 0),
        ["ours-old", "ours-new", "mine-old", "mine-new", "-"]
    );
    outcome.warns_nothing();
}

#[test]
fn of_two_made_in_the_same_second_the_name_decides() {
    let shelves = shelves([user("env", "b", &["X"]), user("env", "a", &["Y"])]);
    assert_eq!(
        inject(&pod(json!({})), &shelves).env_from("containers", 0),
        ["a", "b"]
    );
}

#[test]
fn the_same_variable_at_equal_rank_is_said() {
    let shelves = shelves([
        user("env", "old", &["A", "X", "Y"]).made(1),
        user("env", "new", &["B", "X", "Y"]).made(2),
        project("env", "team", &["X"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.env_from("containers", 0), ["team", "old", "new"]);
    outcome.warns(&["\"old\"", "\"new\"", "X, Y", "the newer, new, counts"]);
    assert_eq!(outcome.warnings.len(), 1, "{:?}", outcome.warnings);
}

#[test]
fn a_key_that_both_may_not_set_is_no_clash() {
    let shelves = shelves([
        user("env", "old", &["A", "PATH"]).made(1),
        user("env", "new", &["B", "PATH"]).made(2),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert!(
        !outcome
            .warnings
            .iter()
            .any(|warning| warning.contains("both set")),
        "{:?}",
        outcome.warnings
    );
}

#[test]
fn the_containers_own_variable_wins_with_a_warning() {
    let own = pod(json!({"env": [{"name": "TOKEN", "value": "mine"}]}));
    let outcome = inject(&own, &shelves([user("env", "token", &["TOKEN", "OTHER"])]));
    assert_eq!(outcome.env_from("containers", 0), ["token"]);
    assert_eq!(
        outcome.at("/spec/containers/0/env"),
        &json!([{"name": "TOKEN", "value": "mine"}])
    );
    outcome.warns(&["\"main\"", "sets TOKEN itself", "\"token\""]);
}

#[test]
fn ours_stand_before_the_containers_own_so_that_those_may_refer_to_them() {
    let own = pod(json!({"env": [{"name": "URL", "value": "https://$(AUTH_SECRET)@host"}]}));
    let outcome = inject(&own, &shelves([user("auth", "login", &["k"])]));
    assert_eq!(outcome.env(0), ["AUTH_SECRET", "URL"]);
}

#[rstest]
#[case::a_dot("tls.key")]
#[case::a_dash("a-b")]
#[case::a_digit_first("1A")]
#[case::the_path("PATH")]
#[case::the_loader("LD_PRELOAD")]
#[case::the_interpreter("PYTHONPATH")]
fn only_refused_keys_are_left_out(#[case] refused: &str) {
    let outcome = inject(
        &pod(json!({})),
        &shelves([user("env", "mixed", &["GOOD", refused])]),
    );
    assert_eq!(
        outcome.at("/spec/containers/0/env"),
        &json!([by_key("mixed", "GOOD")])
    );
    assert_eq!(outcome.at("/spec/containers/0/envFrom"), &Value::Null);
    outcome.warns(&["\"mixed\"", refused, "rename the key"]);
}

#[test]
fn a_secret_whose_keys_are_all_refused_is_not_in_effect() {
    let shelves = shelves([
        user("env", "certificate", &["tls.crt", "tls.key"]),
        user("env", "token", &["T"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.in_effect, ["token"]);
    assert_eq!(outcome.passed_over[0].0, "certificate");
    let alone = inject(
        &pod(json!({})),
        &crate::builders::shelves([user("env", "certificate", &["tls.crt"])]),
    );
    assert_eq!(alone.skip().as_str(), "nothing-placed");
}

#[test]
fn a_container_that_sets_all_of_them_itself_has_nothing_of_the_secret() {
    let own = pod(json!({"env": [{"name": "GOOD", "value": "mine"}]}));
    let outcome = inject(&own, &shelves([user("env", "mixed", &["GOOD", "a-b"])]));
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["sets GOOD itself"]);
}

#[rstest]
#[case::a_config_map(json!({"configMapRef": {"name": "own"}}))]
#[case::a_secret_of_its_own(json!({"secretRef": {"name": "own"}}))]
#[case::ours_under_a_prefix(json!({"prefix": "MY_", "secretRef": {"name": "whole"}}))]
fn beside_the_containers_own_env_from_a_mixed_secret_is_left_out(#[case] own: Value) {
    let shelves = shelves([
        user("env", "mixed", &["GOOD", "a-b"]),
        user("env", "whole", &["W"]),
    ]);
    let outcome = inject(&pod(json!({"envFrom": [own.clone()]})), &shelves);
    assert_eq!(outcome.at("/spec/containers/0/env"), &Value::Null);
    assert_eq!(outcome.at("/spec/containers/0/envFrom/1"), &own);
    assert_eq!(outcome.in_effect, ["whole"]);
    outcome.warns(&["\"main\"", "\"mixed\"", "its own envFrom must win"]);
}

#[test]
fn single_variables_never_hide_those_of_higher_rank() {
    // env wins over envFrom: the project's X would win over the user's.
    let shelves = shelves([
        project("env", "team", &["X", "Y", "a-b"]),
        user("env", "mine", &["X"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(
        outcome.at("/spec/containers/0/env"),
        &json!([by_key("team", "Y")])
    );
    assert_eq!(outcome.env_from("containers", 0), ["mine"]);
}

#[test]
fn of_two_mixed_secrets_the_higher_sets_the_variable() {
    let shelves = shelves([
        project("env", "team", &["X", "a-b"]),
        user("env", "mine", &["X", "c-d"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(
        outcome.at("/spec/containers/0/env"),
        &json!([by_key("mine", "X")])
    );
    assert_eq!(outcome.in_effect, ["mine"]);
}

#[test]
fn on_reference_does_not_come_by_itself() {
    let shelves = shelves([
        user("env", "token", &["T"]).on_reference(),
        user("env", "other", &["O"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.env_from("containers", 0), ["other"]);
    assert!(outcome.passed_over[0].1.contains("on-reference"));
}
