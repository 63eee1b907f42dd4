//! IOMETE's lists in annotations of pods: variables and Spark configuration from stores.

use keyporter::inject::settings::Settings;
use keyporter::inject::store::STORE;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;
use crate::references::with_stores;

const ENV: &str = "keyporter.dev/env-secrets";
const SPARK: &str = "keyporter.dev/spark-conf-secrets";
const FINANCE: &str = "iomete-secret-store-finance";

/// As IOMETE's API takes it.
fn of(key: &str, domain: &str, name: &str) -> Value {
    json!({"key": key, "secretObject": {"key": name, "source": {"type": "KUBERNETES", "id": domain}}})
}

fn vault(key: &str) -> Value {
    json!({"key": key, "secretObject": {"key": "x", "source": {"type": "VAULT", "id": "vault-config-id"}}})
}

fn listed(pod: Value, annotation: &str, entries: &[Value]) -> Value {
    annotated(pod, annotation, &json!(entries).to_string())
}

fn stores() -> Shelves {
    with_stores(shelves([]))
}

fn from(object: &str, key: &str) -> Value {
    json!({"secretKeyRef": {"name": object, "key": key}})
}

#[track_caller]
fn twice(outcome: &Outcome, shelves: &Shelves) {
    let second = inject(outcome.pod(), shelves);
    assert_eq!(second.skip().as_str(), "already-injected");
    assert_eq!(second.in_effect, outcome.in_effect);
    assert_eq!(second.warnings, outcome.warnings);
}

#[track_caller]
fn refusal(pod: &Value) -> String {
    let outcome = inject_with("alice", NAMESPACE, pod, &stores(), &Settings::default());
    let denial = outcome.expect_err("a denial");
    assert_eq!(denial.as_str(), "unresolved-references");
    denial.message()
}

#[test]
fn variables_come_from_the_store_of_the_domain_that_is_named() {
    let pod = listed(
        pod(json!({})),
        ENV,
        &[
            of("BOTH", "finance", "both"),
            of("SALES", "sales", "sales"),
            json!({"key": "GLOBAL", "secretObject": {"key": "both", "source": {"type": "KUBERNETES", "id": null}}}),
            json!({"key": "OLDER", "secretKey": "${secrets.general}"}),
            json!({"key": "OLDER_PLAIN", "secretKey": "finance"}),
            json!({"key": "MAYBE", "secretKey": "${secrets.none?}"}),
        ],
    );
    let outcome = inject(&pod, &stores());
    for (variable, expected) in [
        ("BOTH", from(FINANCE, "both")),
        ("SALES", from("iomete-secret-store-sales", "sales")),
        ("GLOBAL", from(STORE, "both")),
        ("OLDER", from(STORE, "general")),
        ("OLDER_PLAIN", from(FINANCE, "finance")),
        (
            "MAYBE",
            json!({"secretKeyRef": {"name": STORE, "key": "none", "optional": true}}),
        ),
    ] {
        assert_eq!(
            outcome.variable(variable)["valueFrom"],
            expected,
            "{variable}"
        );
    }
    outcome.warns_nothing();
    twice(&outcome, &stores());
}

#[test]
fn the_containers_own_variable_wins_and_references_beat_automatic_ones() {
    let members = json!({"env": [{"name": "OWN", "value": "mine"}]});
    let containers = pod_of([container("other")]);
    let mut pod = pod(members);
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(containers["spec"]["containers"][0].clone());
    let pod = listed(
        pod,
        ENV,
        &[
            of("OWN", "finance", "both"),
            of("AUTH_SECRET", "finance", "finance"),
        ],
    );
    let shelves = with_stores(shelves([user("auth", "key", &["AUTH_SECRET"])]));
    let outcome = inject(&pod, &shelves);
    assert_eq!(outcome.variable("OWN")["value"], "mine");
    outcome.warns(&["container \"main\"", "OWN"]);
    let auth = outcome.at("/spec/containers/1/env/1");
    assert_eq!(
        outcome.variable("AUTH_SECRET")["valueFrom"],
        from(FINANCE, "finance")
    );
    assert_eq!(auth["valueFrom"], from(FINANCE, "finance"));
    twice(&outcome, &shelves);
}

#[test]
fn only_chosen_containers_get_variables() {
    let pod = pod_of([container("a"), container("b")]);
    let pod = annotated(pod, "keyporter.dev/containers", "b");
    let outcome = inject(&listed(pod, ENV, &[of("X", "finance", "both")]), &stores());
    assert_eq!(outcome.at("/spec/containers/0/env"), &Value::Null);
    assert_eq!(outcome.env(1), ["X"]);
}

const CONF: &str = "spark.hadoop.fs.s3a.secret.key";
const OPTION: &str = "spark.hadoop.fs.s3a.secret.key=$(KEYPORTER_REF_1)";

#[rstest]
#[case::launcher_in_the_command(
    json!({"command": ["/opt/spark/bin/spark-submit", "--class", "Main"], "args": ["app.jar"]}),
    json!(["/opt/spark/bin/spark-submit", "--conf", OPTION, "--class", "Main"]),
    json!(["app.jar"]),
)]
#[case::launcher_behind_another_program(
    json!({"command": ["tini", "--"], "args": ["pyspark", "app.py"]}),
    json!(["tini", "--"]),
    json!(["pyspark", "--conf", OPTION, "app.py"]),
)]
#[case::entrypoint_of_the_image(
    json!({"args": ["driver", "--properties-file", "/opt/spark/conf/spark.properties", "local:///app.jar", "spark-submit"]}),
    Value::Null,
    json!(["driver", "--conf", OPTION, "--properties-file", "/opt/spark/conf/spark.properties", "local:///app.jar", "spark-submit"]),
)]
#[case::before_all(
    json!({"args": ["--class", "Main", "app.jar"]}),
    Value::Null,
    json!(["--conf", OPTION, "--class", "Main", "app.jar"]),
)]
#[case::nothing(json!({}), Value::Null, json!(["--conf", OPTION]))]
#[case::driver_later(
    json!({"args": ["app.jar", "driver"]}),
    Value::Null,
    json!(["--conf", OPTION, "app.jar", "driver"]),
)]
fn configuration_becomes_options(
    #[case] members: Value,
    #[case] command: Value,
    #[case] args: Value,
) {
    let pod = listed(pod(members), SPARK, &[of(CONF, "finance", "both")]);
    let outcome = inject(&pod, &stores());
    assert_eq!(outcome.at("/spec/containers/0/command"), &command);
    assert_eq!(outcome.at("/spec/containers/0/args"), &args);
    let hidden = json!([{"name": "KEYPORTER_REF_1", "valueFrom": from(FINANCE, "both")}]);
    assert_eq!(outcome.at("/spec/containers/0/env"), &hidden);
    assert_eq!(outcome.in_effect, [FINANCE]);
    for operation in outcome.patch.as_array().unwrap() {
        assert_eq!(operation["op"], "add");
    }
    twice(&outcome, &stores());
}

#[test]
fn options_and_references_in_arguments_stand_beside_each_other() {
    let members = json!({
        "env": [{"name": "KEYPORTER_REF_1", "value": "taken"}],
        "args": ["driver", "--conf", "spark.a=${secrets.both}", "app.jar"],
    });
    let entries = [
        of("spark.b", "finance", "both"),
        of("spark.c", "sales", "sales"),
        of("spark.a", "sales", "sales"),
        json!({"key": "spark.d", "secretKey": "${secrets.none?}"}),
    ];
    let outcome = inject(&listed(pod(members), SPARK, &entries), &stores());
    let args = json!([
        "driver",
        "--conf",
        "spark.b=$(KEYPORTER_REF_2)",
        "--conf",
        "spark.c=$(KEYPORTER_REF_3)",
        "--conf",
        "spark.a=$(KEYPORTER_REF_2)",
        "app.jar",
    ]);
    assert_eq!(outcome.at("/spec/containers/0/args"), &args);
    outcome.warns(&["sets the Spark configuration spark.a itself"]);
    twice(&outcome, &stores());
}

#[rstest]
#[case::separate(json!(["--conf", "spark.x=own", "app.jar"]))]
#[case::short(json!(["-c", "spark.x=own", "app.jar"]))]
#[case::joined(json!(["--conf=spark.x=own", "app.jar"]))]
fn the_containers_own_configuration_wins(#[case] args: Value) {
    let pod = pod(json!({"args": args, "env": [{"name": "A", "value": "${secrets.both}"}]}));
    let outcome = inject(
        &listed(pod, SPARK, &[of("spark.x", "finance", "both")]),
        &stores(),
    );
    assert_eq!(outcome.at("/spec/containers/0/args"), &args);
    outcome.warns(&["container \"main\"", "spark.x"]);
    twice(&outcome, &stores());
}

#[test]
fn sparks_own_driver_is_found_among_containers() {
    let spark = [of("spark.x", "finance", "both")];
    let of_spark = || pod_of([container("logs"), container("spark-kubernetes-driver")]);
    let outcome = inject(&listed(of_spark(), SPARK, &spark), &stores());
    assert_eq!(outcome.at("/spec/containers/0/args"), &Value::Null);
    assert_eq!(outcome.at("/spec/containers/1/args/0"), "--conf");

    let named = annotated(of_spark(), "keyporter.dev/containers", "logs");
    let outcome = inject(&listed(named, SPARK, &spark), &stores());
    assert_eq!(outcome.at("/spec/containers/0/args/0"), "--conf");
    assert_eq!(outcome.at("/spec/containers/1/args"), &Value::Null);

    // A sidecar of another injector is none that could be meant.
    let pod = pod_of([container("main"), container("istio-proxy")]);
    let outcome = inject(&listed(pod, SPARK, &spark), &stores());
    assert_eq!(outcome.at("/spec/containers/0/args/0"), "--conf");
}

#[test]
fn several_containers_and_no_choice_are_refused() {
    let pod = pod_of([container("a"), container("b")]);
    let pod = listed(pod, SPARK, &[of("spark.x", "finance", "both")]);
    insta::assert_snapshot!(refusal(&pod));
}

#[test]
fn a_shell_is_refused() {
    let pod = pod(json!({"command": ["/bin/sh", "-c", "spark-submit app.jar"]}));
    let pod = listed(pod, SPARK, &[of("spark.x", "finance", "both")]);
    insta::assert_snapshot!(refusal(&pod));
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let pod = listed(
        pod(json!({"env": [{"name": "A", "value": "${secrets.none}"}]})),
        ENV,
        &[
            of("GOOD", "finance", "both"),
            vault("VAULT"),
            of("NO_STORE", "robots", "both"),
            of("NO_KEY", "finance", "general"),
            of("GOOD", "finance", "finance"),
            of("9", "finance", "both"),
            json!({"key": "PLAINTEXT", "secretKey": "hunter2 canary"}),
            json!("hunter2 canary"),
        ],
    );
    let told = refusal(&listed(pod, SPARK, &[vault("spark.x")]));
    assert!(!told.contains("hunter2"), "{told}");
    insta::assert_snapshot!(told);
}

#[rstest]
#[case::env(ENV)]
#[case::spark(SPARK)]
fn what_is_no_json_is_refused(#[case] annotation: &str) {
    let told = refusal(&annotated(pod(json!({})), annotation, "[hunter2"));
    assert!(
        told.contains(&format!("{annotation:?} (annotation of the pod): not JSON")),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn nothing_is_asked_for_by_empty_lists() {
    let pod = pod_of([container("a"), container("b")]);
    let pod = annotated(annotated(pod, ENV, "[]"), SPARK, "[]");
    assert_eq!(inject(&pod, &stores()).skip().as_str(), "no-secrets");
}

fn entries(keys: &'static [&'static str]) -> impl Strategy<Value = String> {
    let secrets = prop::sample::select(vec![
        ("finance", "both"),
        ("finance", "finance"),
        ("sales", "sales"),
    ]);
    let entries = prop::collection::btree_map(prop::sample::select(keys), secrets, 0..4);
    entries.prop_map(|entries| {
        let entries = entries.into_iter();
        let entries: Value = entries
            .map(|(key, (domain, name))| of(key, domain, name))
            .collect();
        entries.to_string()
    })
}

fn words() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "driver",
        "spark-submit",
        "/opt/spark/bin/pyspark",
        "--conf",
        "-c",
        "spark.a=own",
        "--conf=spark.b=own",
        "spark.a=$(KEYPORTER_REF_1)",
        "${secrets.both}",
        "x ${secrets.none?}",
        "app.jar",
        "$(A)",
    ]);
    let list = prop::collection::vec(words, 0..5).prop_map(Value::from);
    prop_oneof![Just(Value::Null), list]
}

proptest! {
    #[test]
    fn the_patch_only_adds_and_a_second_pass_nothing(
        (command, args) in (words(), words()),
        own in prop::collection::btree_map("A|B|KEYPORTER_REF_[12]", "x|\\$\\{secrets.both\\}", 0..3),
        (env, spark) in (entries(&["A", "B", "AUTH_SECRET"]), entries(&["spark.a", "spark.b", "spark.c"])),
    ) {
        let own: Value = own.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let pod = pod(json!({"command": command, "args": args, "env": own}));
        let pod = annotated(annotated(pod, ENV, &env), SPARK, &spark);
        let shelves = with_stores(shelves([user("auth", "key", &["AUTH_SECRET"])]));
        let first = inject(&pod, &shelves);
        for operation in first.patch.as_array().into_iter().flatten() {
            prop_assert_eq!(&operation["op"], "add");
        }
        if let Ok(after) = &first.result {
            let second = inject(after, &shelves);
            prop_assert!(second.result.is_err(), "{:#}\n{:#}", after, second.patch);
            prop_assert_eq!(&second.in_effect, &first.in_effect);
        }
    }
}
