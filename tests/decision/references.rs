//! References in pods: what comes to stand in their place, and what is refused.

use keyporter::inject::secret::{Description, Key};
use keyporter::inject::settings::Settings;
use keyporter::inject::store::{STORE, Store, Stores};
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

/// A store of the namespace.
pub(crate) fn store(object: &str, keys: &[&str]) -> Store {
    let key = |name: &&str| Key {
        name: (*name).into(),
        length: 1,
    };
    Store {
        object: object.into(),
        resource_version: "9".into(),
        keys: keys.iter().map(key).collect(),
    }
}

/// The shelves with the stores of a namespace of the domain `finance`.
pub(crate) fn with_stores(mut shelves: Shelves) -> Shelves {
    shelves.stores = Stores {
        domain: Some("finance".into()),
        stores: vec![
            store(STORE, &["both", "general", "tls.key"]).into(),
            store("iomete-secret-store-finance", &["both", "finance"]).into(),
            store("iomete-secret-store-sales", &["sales"]).into(),
        ],
    };
    shelves
}

fn mine(kind: &str, name: &str, keys: &[&str]) -> Description {
    user(kind, name, keys).object(&format!("{name}-2bd806c9"))
}

fn everything() -> Shelves {
    with_stores(shelves([
        mine("env", "token", &["TOKEN"]).on_reference(),
        mine("default", "tls", &["tls.crt", "tls.key"]).on_reference(),
        project("env", "token", &["OF_PROJECT"]).on_reference(),
        project("env", "shared", &["A", "B"]).on_reference(),
    ]))
}

/// What a pod without owner may see.
fn of_nobody() -> Shelves {
    let mut shelves = everything();
    shelves.user.secrets.clear();
    shelves
}

fn with_env(value: &str) -> Value {
    pod(json!({"env": [{"name": "X", "value": value}]}))
}

fn key(object: &str, key: &str) -> Value {
    json!({"secretKeyRef": {"name": object, "key": key}})
}

#[track_caller]
fn refusal(pod: &Value, shelves: &Shelves) -> String {
    refusal_as("alice", pod, shelves)
}

#[track_caller]
fn refusal_as(requester: &str, pod: &Value, shelves: &Shelves) -> String {
    let outcome = inject_with(requester, NAMESPACE, pod, shelves, &Settings::default());
    let denial = outcome.expect_err("a denial");
    assert_eq!(denial.as_str(), "unresolved-references");
    denial.message()
}

#[rstest]
#[case::only_key("secret:token", "token-2bd806c9", "TOKEN")]
#[case::named_key("secret:tls/tls.crt", "tls-2bd806c9", "tls.crt")]
#[case::of_the_project("secret:shared/B", "shared", "B")]
#[case::store_of_the_domain("${secrets.both}", "iomete-secret-store-finance", "both")]
#[case::store_of_the_namespace("${secrets.tls.key}", STORE, "tls.key")]
fn a_whole_value_becomes_a_key(#[case] value: &str, #[case] object: &str, #[case] name: &str) {
    let outcome = inject(&with_env(value), &everything());
    let variable = json!({"name": "X", "value": "", "valueFrom": key(object, name)});
    assert_eq!(outcome.at("/spec/containers/0/env"), &json!([variable]));
    assert_eq!(outcome.in_effect, [object]);
    outcome.warns_nothing();
    assert_eq!(
        inject(outcome.pod(), &everything()).skip().as_str(),
        "already-injected"
    );
}

#[test]
fn switched_off_they_stay_what_they_are() {
    let settings = Settings {
        references: false,
        ..Settings::default()
    };
    let mut pod = pod(json!({
        "command": ["echo", "${secrets.both}"],
        "env": [{"name": "A", "value": "secret:token"}, {"name": "B", "value": "secret:none"}],
    }));
    pod["metadata"]["annotations"] = json!({"keyporter.dev/files": "secret:tls/tls.crt:relative"});
    let outcome = inject_with("alice", NAMESPACE, &pod, &everything(), &settings);
    assert_eq!(
        outcome.expect("no denial").skip().as_str(),
        "nothing-placed"
    );
}

#[test]
fn what_is_optional_stays_so() {
    let outcome = inject(&with_env("secret:token?"), &everything());
    let source =
        json!({"secretKeyRef": {"name": "token-2bd806c9", "key": "TOKEN", "optional": true}});
    assert_eq!(outcome.variable("X")["valueFrom"], source);
}

#[rstest]
#[case::of_the_owner("alice", "secret:none?/K", "none-2bd806c9", "K")]
#[case::without_a_key("alice", "secret:none?", "none-2bd806c9", "value")]
#[case::another_key("alice", "secret:token?/K", "token-2bd806c9", "K")]
#[case::in_no_store("alice", "${secrets.none?}", STORE, "none")]
#[case::of_nobody(JOB_CONTROLLER, "secret:none?/K", "none-e3b0c442", "K")]
fn what_is_optional_and_not_there_is_left_unset(
    #[case] requester: &str,
    #[case] value: &str,
    #[case] object: &str,
    #[case] name: &str,
) {
    let outcome = inject_as(requester, &with_env(value), &everything());
    let source = json!({"secretKeyRef": {"name": object, "key": name, "optional": true}});
    assert_eq!(outcome.variable("X")["valueFrom"], source);
    assert_eq!(outcome.in_effect, Vec::<String>::new());
    assert_eq!(outcome.at("/metadata/annotations"), &Value::Null);
    inject_as(requester, outcome.pod(), &everything()).skip();
}

#[test]
fn a_pod_without_owner_has_the_projects() {
    let outcome = inject_as(JOB_CONTROLLER, &with_env("secret:token"), &of_nobody());
    assert_eq!(
        outcome.variable("X")["valueFrom"],
        key("token", "OF_PROJECT")
    );
}

#[test]
fn of_equal_names_the_newer_counts() {
    let shelves = shelves([
        user("env", "token", &["A"]).object("newer").made(30),
        user("auth", "token", &["B"]).object("older").made(20),
        project("env", "token", &["C"]).object("newest").made(50),
    ]);
    let outcome = inject(&with_env("secret:token"), &shelves);
    assert_eq!(outcome.variable("X")["valueFrom"], key("newer", "A"));
}

#[test]
fn text_around_a_reference_has_a_hidden_variable() {
    let pod = pod(json!({
        "command": ["sh", "-c", "x=$(curl -H \"${secrets.finance}\" $$ ${secrets.none?}$URL)"],
        "args": ["${secrets.general}", "plain ${HOME}"],
        "env": [
            {"name": "URL", "value": "https://${secrets.finance}:${secrets.general}@host/$(PATH)"},
            {"name": "KEYPORTER_REF_2", "value": "own"},
        ],
    }));
    let outcome = inject(&pod, &everything());
    insta::assert_json_snapshot!(outcome.patch);
    assert_eq!(outcome.in_effect, [STORE, "iomete-secret-store-finance"]);
    assert_eq!(
        inject(outcome.pod(), &everything()).skip().as_str(),
        "already-injected"
    );
}

/// Without `env` the list is made, and automatic variables stand in it, too.
#[test]
fn hidden_variables_stand_beside_automatic_ones() {
    let mut shelves = everything();
    shelves
        .user
        .secrets
        .push(secret(mine("auth", "login", &["k"])).into());
    let outcome = inject(&pod(json!({"args": ["${secrets.general}"]})), &shelves);
    assert_eq!(outcome.env(0), ["KEYPORTER_REF_1", "AUTH_SECRET"]);
    assert_eq!(
        outcome.at("/spec/containers/0/args"),
        &json!(["$(KEYPORTER_REF_1)"])
    );
}

#[test]
fn a_later_pass_counts_on() {
    let first = inject(&pod(json!({"args": ["${secrets.general}"]})), &everything());
    let mut between = first.pod().clone();
    between["spec"]["containers"][0]["command"] = json!(["${secrets.finance}"]);
    let second = inject(&between, &everything());
    assert_eq!(second.env(0), ["KEYPORTER_REF_2", "KEYPORTER_REF_1"]);
    assert_eq!(
        second.at("/spec/containers/0/command"),
        &json!(["$(KEYPORTER_REF_2)"])
    );
    assert_eq!(second.in_effect, [STORE, "iomete-secret-store-finance"]);
}

#[test]
fn a_number_that_stands_in_a_text_is_not_taken() {
    let args = json!(["$(KEYPORTER_REF_1) ${secrets.general}"]);
    let outcome = inject(&pod(json!({ "args": args })), &everything());
    let expected = json!(["$(KEYPORTER_REF_1) $(KEYPORTER_REF_2)"]);
    assert_eq!(outcome.at("/spec/containers/0/args"), &expected);
}

#[rstest]
#[case::escaped("$${secrets.none}")]
#[case::another_word("${secret.none} ${secrets.} secrets:x Secret:x ${SECRETS.x}")]
#[case::a_url("secret://vault/none")]
#[case::a_sentence("secret: of life")]
#[case::inside("my secret:none")]
#[case::nothing("secret:")]
#[case::empty("")]
fn other_text_stays(#[case] text: &str) {
    let pod = pod(json!({
        "env": [{"name": "X", "value": text}],
        "command": [text],
        "args": [text, "secret:none"],
    }));
    assert_eq!(
        inject(&pod, &everything()).skip().as_str(),
        "nothing-placed"
    );
}

/// The API server refuses such a pod, and no patch makes it a good one.
#[test]
fn a_value_beside_a_source_is_not_looked_at() {
    let source = json!({"fieldRef": {"fieldPath": "metadata.name"}});
    let env = json!([{"name": "X", "value": "secret:none", "valueFrom": source}]);
    inject(&pod(json!({ "env": env })), &everything()).skip();
}

#[test]
fn references_count_in_every_container() {
    let with_reference =
        |name: &str| json!({"name": name, "env": [{"name": "X", "value": "secret:token"}]});
    let pod = pod_of([with_reference("main"), with_reference("istio-proxy")]);
    let init = json!({"initContainers": [with_reference("setup")]});
    let pod = annotated(with_spec(pod, init), "keyporter.dev/containers", "main");
    let outcome = inject(&pod, &everything());
    for place in ["initContainers/0", "containers/0", "containers/1"] {
        let pointer = format!("/spec/{place}/env/0/valueFrom");
        assert_eq!(outcome.at(&pointer), &key("token-2bd806c9", "TOKEN"));
    }
}

#[rstest]
#[case::opted_out(labelled(with_env("secret:none"), "keyporter.dev/inject", "disabled"))]
#[case::of_windows(with_spec(with_env("secret:none"), json!({"os": {"name": "windows"}})))]
fn what_is_left_alone_keeps_its_text(#[case] pod: Value) {
    inject(&pod, &everything()).skip();
}

#[test]
fn what_is_native_is_no_reference() {
    let env = json!([{"name": "X", "valueFrom": key("token-2bd806c9", "TOKEN")}]);
    let outcome = inject(&pod(json!({ "env": env })), &everything());
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
}

/// The variable is what the automatic one would be.
#[test]
fn a_reference_to_what_comes_anyway_is_no_conflict() {
    let shelves = shelves([
        mine("auth", "login", &["k"]),
        mine("env", "token", &["TOKEN"]),
    ]);
    let pod = pod(json!({"env": [
        {"name": "AUTH_SECRET", "value": "secret:login"},
        {"name": "TOKEN", "value": "secret:token"},
    ]}));
    let outcome = inject(&pod, &shelves);
    outcome.warns_nothing();
    let second = inject(outcome.pod(), &shelves);
    assert_eq!(second.skip().as_str(), "already-injected");
    second.warns_nothing();
}

#[test]
fn a_reference_comes_before_an_automatic_variable() {
    let shelves = shelves([
        mine("auth", "login", &["k"]),
        mine("env", "token", &["TOKEN"]).on_reference(),
    ]);
    let pod = pod(json!({"env": [{"name": "AUTH_SECRET", "value": "secret:token"}]}));
    let outcome = inject(&pod, &shelves);
    assert_eq!(
        outcome.variable("AUTH_SECRET")["valueFrom"],
        key("token-2bd806c9", "TOKEN")
    );
    outcome.warns(&["\"login\"", "sets AUTH_SECRET itself"]);
}

fn with_files(list: &str) -> Value {
    annotated(pod(json!({})), "keyporter.dev/files", list)
}

#[test]
fn files_lie_at_exactly_their_path() {
    let pod = pod_of([
        container("main"),
        container("other"),
        container("istio-proxy"),
    ]);
    let pod = annotated(pod, "keyporter.dev/containers", "main,istio-proxy");
    let list =
        "secret:tls/tls.crt:/etc/tls/crt\nsecret:tls?/tls.key:/etc/tls/key, secret:token:/token";
    let outcome = inject(&annotated(pod, "keyporter.dev/files", list), &everything());
    insta::assert_json_snapshot!(outcome.patch);
    outcome.warns_nothing();
    assert_eq!(
        inject(outcome.pod(), &everything()).skip().as_str(),
        "already-injected"
    );
}

#[test]
fn a_file_and_a_folder_of_one_secret_have_two_volumes() {
    let shelves = shelves([mine("default", "tls", &["tls.crt"])]);
    let outcome = inject(&with_files("secret:tls:/etc/tls.crt"), &shelves);
    assert_eq!(outcome.mounts(0), ["/etc/tls.crt", &format!("{ROOT}/tls")]);
    let volumes = outcome.at("/spec/volumes").as_array().unwrap();
    assert_eq!(volumes.len(), 2, "{volumes:#?}");
    assert_ne!(volumes[0]["name"], volumes[1]["name"]);
}

#[rstest]
#[case::at_the_folder("/konduktor/default-secrets/tls", "has a mount of its own")]
#[case::inside_the_folder("/konduktor/default-secrets/tls/x", "lies inside")]
#[case::above_the_folder("/konduktor", "leaves no room below")]
fn a_file_comes_before_an_automatic_folder(#[case] path: &str, #[case] why: &str) {
    let shelves = shelves([mine("default", "tls", &["tls.crt"])]);
    let outcome = inject(&with_files(&format!("secret:tls:{path}")), &shelves);
    assert_eq!(outcome.mounts(0), [path]);
    outcome.warns(&["\"tls\"", why, path]);
    let second = inject(outcome.pod(), &shelves);
    assert_eq!(second.skip().as_str(), "already-injected");
    assert_eq!(second.warnings, outcome.warnings);
}

#[test]
fn the_containers_own_mount_stays() {
    let own = json!([{"name": "data", "mountPath": "/token"}]);
    let volumes = json!({"volumes": [{"name": "data", "emptyDir": {}}]});
    let pod = with_spec(pod(json!({ "volumeMounts": own })), volumes);
    let pod = annotated(pod, "keyporter.dev/files", "secret:token:/token");
    let outcome = inject(&pod, &everything());
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["\"token\"", "has a mount of its own at /token"]);
}

#[test]
fn an_optional_file_is_left_out() {
    let outcome = inject(
        &with_files("secret:none?:/a\nsecret:token?/K:/b"),
        &everything(),
    );
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["no file \"/a\"", "\"none\""]);
    outcome.warns(&["no file \"/b\"", "\"token\""]);
}

#[test]
fn a_reference_is_recorded() {
    let pod = pod(json!({
        "env": [{"name": "X", "value": "secret:shared/A"}],
        "args": ["${secrets.general}"],
    }));
    let outcome = inject(
        &annotated(pod, "keyporter.dev/files", "secret:token:/t"),
        &everything(),
    );
    insta::assert_snapshot!(
        outcome
            .at("/metadata/annotations/keyporter.dev~1injected")
            .as_str()
            .unwrap()
    );
}

/// All of a pod's mistakes are in one message.
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let pod = pod(json!({
        "env": [
            {"name": "NONE", "value": "secret:nothing-like-it"},
            {"name": "NEAR", "value": "secret:tokn"},
            {"name": "WRITTEN_WRONG", "value": "secret:HF_TOKEN"},
            {"name": "QUESTION", "value": "secret:token/TOKEN?"},
            {"name": "GOOD", "value": "secret:token"},
            {"name": "WHICH", "value": "secret:tls"},
            {"name": "KEY", "value": "secret:tls/ca.crt"},
            {"name": "STORE", "value": "${secrets.Finance}"},
            {"name": "ANOTHER_DOMAIN", "value": "key ${secrets.sales}"},
            {"name": "BROKEN", "value": "secret:broken"},
        ],
        "command": ["${secrets.none}", "${secrets.none} ${secrets.nil}"],
    }));
    let files = "secret:token:relative,secret:token:/a,secret:tls/tls.crt:/a,\
                 secret:token:/b/../c,secret:none:/d,nonsense,secret:token:/a/b";
    let mut shelves = everything();
    let layout = json!({"k": "/etc/passwd"});
    let broken = broken(mine("default", "broken", &["k"]).layout(&layout));
    shelves.user.broken.push(broken.into());
    let message = refusal(&annotated(pod, "keyporter.dev/files", files), &shelves);
    insta::assert_snapshot!(message.replace("; ", ";\n"));
}

#[test]
fn a_pod_without_owner_is_told_so() {
    let message = refusal_as(
        JOB_CONTROLLER,
        &with_env("secret:tls/tls.crt"),
        &of_nobody(),
    );
    insta::assert_snapshot!(message);
}

#[test]
fn a_namespace_without_a_store_is_told_its_name() {
    let message = refusal(&with_env("${secrets.k}"), &Shelves::default());
    insta::assert_snapshot!(message);
}

/// Whether somebody else has such a secret shows in nothing.
#[test]
fn the_secrets_of_others_are_not_told_of() {
    let names = ["secret:bobs", "secret:bobs-81b637d8", "secret:bobs/TOKEN"];
    for name in names {
        let message = refusal(&with_env(name), &everything());
        let nobodys = refusal(&with_env(&name.replace("bobs", "xyzz")), &everything());
        assert_eq!(message.replace("bobs", "xyzz"), nobodys);
    }
}

/// A pod as large as the API server takes, of somebody with many secrets.
#[test]
fn many_mistakes_are_no_way_to_keep_others_waiting() {
    let name = |number: usize| format!("{}-{number}", "x".repeat(50));
    let secrets = (0..1000).map(|number| mine("env", &name(number), &["k"]));
    let shelves = shelves(secrets);
    let variable =
        |number: usize| json!({"name": "X", "value": format!("secret:{}y", name(number))});
    let env: Vec<_> = (0..20_000).map(variable).collect();
    let message = refusal(&pod(json!({ "env": env })), &shelves);
    assert!(message.contains("did you mean"), "{message}");
    assert!(message.contains("and 19900 more"), "{message}");
}

/// What costs more than it can bring.
#[test]
fn deep_paths_in_many_containers_are_too_many() {
    let files: Vec<_> = (0..100)
        .map(|number| format!("secret:token:{}/{number}", "/x".repeat(100)))
        .collect();
    let containers = (0..20).map(|number| container(&format!("c-{number}")));
    let pod = annotated(pod_of(containers), "keyporter.dev/files", &files.join(","));
    let settings = Settings::default();
    let denial = inject_with("alice", NAMESPACE, &pod, &everything(), &settings);
    assert_eq!(denial.expect_err("a denial").as_str(), "too-large");
}

#[test]
fn an_answer_is_not_endless() {
    let variable = |number: usize| json!({"name": "X", "value": format!("secret:none-{number}")});
    let env: Vec<_> = (0..1000).map(variable).collect();
    let message = refusal(&pod(json!({ "env": env })), &everything());
    assert!(message.contains("and 900 more"), "{message}");
}
