//! `SparkApplication`s: what stores give to driver, executors and Spark configuration.

use keyporter::inject::Denial;
use keyporter::inject::object::Kind;
use keyporter::inject::settings::Settings;
use keyporter::inject::spark_application::{Filled, fill};
use keyporter::inject::store::STORE;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;
use crate::references::with_stores;

const VERSION: &str = "sparkoperator.k8s.io/v1beta2";
const ENV: &str = "keyporter.dev/env-secrets";
const SPARK: &str = "keyporter.dev/spark-conf-secrets";
const FINANCE: &str = "iomete-secret-store-finance";

fn of(key: &str, domain: &str, name: &str) -> Value {
    json!({"key": key, "secretObject": {"key": name, "source": {"type": "KUBERNETES", "id": domain}}})
}

fn application(annotations: Value, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": VERSION,
        "kind": "SparkApplication",
        "metadata": {"name": "pi", "namespace": NAMESPACE},
    });
    object["metadata"]["annotations"] = annotations;
    object["spec"] = spec;
    object
}

fn annotations(env: &[Value], spark: &[Value]) -> Value {
    json!({ENV: json!(env).to_string(), SPARK: json!(spark).to_string()})
}

/// The application with its secrets, and the warnings; `None`: nothing was added.
#[track_caller]
fn filled(object: &Value) -> (Option<Value>, Vec<String>) {
    filled_as("SparkApplication", object, None).expect("no denial")
}

fn filled_as(
    kind: &str,
    object: &Value,
    old: Option<&Value>,
) -> Result<(Option<Value>, Vec<String>), Denial> {
    filled_with(&Settings::default(), kind, object, old)
}

fn filled_with(
    settings: &Settings,
    kind: &str,
    object: &Value,
    old: Option<&Value>,
) -> Result<(Option<Value>, Vec<String>), Denial> {
    let shelves = with_stores(shelves([]));
    let kind = Kind::new(VERSION, kind);
    let Filled {
        patch, warnings, ..
    } = fill(kind, (object, old), NAMESPACE, shelves.visible(), settings)?;
    let warnings = warnings.iter().map(ToString::to_string).collect();
    let patch = serde_json::to_value(patch).expect("JSON");
    let operations = patch.as_array().expect("a list");
    for operation in operations {
        assert_eq!(operation["op"], "add");
    }
    if operations.is_empty() {
        return Ok((None, warnings));
    }
    let mut after = object.clone();
    json_patch::patch(
        &mut after,
        &serde_json::from_value::<json_patch::Patch>(patch).expect("a patch"),
    )
    .expect("a patch that applies");
    Ok((Some(after), warnings))
}

/// As Go writes what it does not know the type of.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().cloned().collect();
            names.sort();
            let members = names
                .into_iter()
                .map(|name| (name.clone(), sorted(&members[&name])));
            Value::Object(members.collect())
        }
        Value::Array(entries) => entries.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[track_caller]
fn refusal(object: &Value) -> String {
    let outcome = filled_as("SparkApplication", object, None);
    outcome.expect_err("a denial").message()
}

fn everything() -> Value {
    application(
        annotations(
            &[of("TOKEN", "finance", "both"), of("OWN", "finance", "both")],
            &[
                of("spark.hadoop.fs.s3a.secret.key", "finance", "both"),
                of("spark.ssl.keyPassword", "sales", "sales"),
                of("spark.own", "finance", "both"),
            ],
        ),
        json!({
            "sparkConf": {
                "spark.own": "mine",
                "spark.url": "https://${secrets.both}@${secrets.none?}host",
                "spark.hadoop.a": "${secrets.general}",
                "spark.plain": "$${secrets.both}",
            },
            "driver": {"cores": 1, "env": [
                {"name": "OWN", "value": "mine"},
                {"name": "WHOLE", "value": "${secrets.general}"},
                {"name": "PART", "value": "x-${secrets.finance}-${secrets.none?}"},
            ]},
            "executor": {"cores": 1},
        }),
    )
}

#[test]
fn references_that_are_switched_off_stay_what_they_are() {
    let settings = Settings {
        references: false,
        ..Settings::default()
    };
    let known = annotations(&[of("DB", "finance", "finance")], &[]);
    let unknown = annotations(&[of("DB", "finance", "none")], &[]);
    for annotations in [known, unknown] {
        let object = application(annotations, json!({"driver": {}}));
        let outcome = filled_with(&settings, "SparkApplication", &object, None);
        assert_eq!(outcome.expect("no denial"), (None, vec![]));
    }
}

#[test]
fn everything_at_once() {
    let (after, warnings) = filled(&everything());
    let after = after.expect("something");
    insta::assert_yaml_snapshot!((&after["spec"], &warnings));
    for after in [&after, &sorted(&after)] {
        assert_eq!(filled(after), (None, warnings.clone()));
    }
}

#[test]
fn what_is_not_there_is_made() {
    let object = application(
        annotations(
            &[of("A", "finance", "both")],
            &[of("spark.a", "finance", "both")],
        ),
        json!({"driver": {}, "sparkConf": null, "mainClass": "Pi"}),
    );
    let (after, warnings) = filled(&object);
    let from = json!({"secretKeyRef": {"name": FINANCE, "key": "both"}});
    let env = json!([
        {"name": "A", "valueFrom": from},
        {"name": "KEYPORTER_REF_1", "valueFrom": from},
    ]);
    let spec = json!({
        "driver": {"env": env},
        "sparkConf": {"spark.a": "${env:KEYPORTER_REF_1}"},
        "mainClass": "Pi",
        "executor": {"env": env},
    });
    assert_eq!(after.expect("something")["spec"], spec);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn lists_of_a_role_are_for_that_role() {
    let list = json!([of("A", "finance", "both")]).to_string();
    let conf = json!([of("spark.a", "finance", "both")]).to_string();
    let object = application(
        json!({}),
        json!({
            "driver": {"annotations": {ENV: list}},
            "executor": {"annotations": {SPARK: conf}},
        }),
    );
    let (after, _) = filled(&object);
    let after = after.expect("something");
    let names = |role: &str| -> Vec<String> {
        let env = after["spec"][role]["env"].as_array().expect("a list");
        env.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("driver"), ["A", "KEYPORTER_REF_1"]);
    assert_eq!(names("executor"), ["KEYPORTER_REF_1"]);
    assert_eq!(
        after["spec"]["sparkConf"]["spark.a"],
        "${env:KEYPORTER_REF_1}"
    );
}

#[test]
fn older_ways_to_set_a_variable_or_hadoops_configuration_count() {
    let object = application(
        annotations(
            &[of("A", "finance", "both"), of("B", "finance", "both")],
            &[of("spark.hadoop.a", "finance", "both")],
        ),
        json!({
            "driver": {"envVars": {"A": "mine"}},
            "executor": {"envSecretKeyRefs": {"B": {"name": "mine", "key": "k"}}},
            "hadoopConf": {"a": "mine"},
        }),
    );
    let (after, warnings) = filled(&object);
    let after = after.expect("something");
    assert_eq!(after["spec"]["driver"]["env"][0]["name"], "B");
    assert_eq!(after["spec"]["executor"]["env"][0]["name"], "A");
    assert_eq!(after["spec"]["sparkConf"], Value::Null);
    assert_eq!(
        warnings,
        [
            "container \"driver\" sets A itself; its value is kept",
            "container \"executor\" sets B itself; its value is kept",
            "the application sets the Spark configuration spark.hadoop.a itself, and its own counts",
        ]
    );
}

#[test]
fn a_scheduled_application_has_it_in_its_template() {
    let spec =
        json!({"schedule": "@daily", "template": {"sparkConf": {"spark.a": "${secrets.general}"}}});
    let mut object = application(json!({}), spec);
    object["kind"] = "ScheduledSparkApplication".into();
    let (after, _) = filled_as("ScheduledSparkApplication", &object, None).expect("no denial");
    let template = &after.expect("something")["spec"]["template"];
    assert_eq!(template["sparkConf"]["spark.a"], "${env:KEYPORTER_REF_1}");
    let from = &template["driver"]["env"][0]["valueFrom"]["secretKeyRef"]["name"];
    assert_eq!(from, STORE);
}

#[test]
fn numbers_that_stand_anywhere_are_not_taken_and_what_is_there_is_used() {
    let general = json!({"secretKeyRef": {"name": STORE, "key": "general"}});
    let object = application(
        json!({}),
        json!({
            "sparkConf": {"spark.a": "${secrets.general}", "spark.b": "${secrets.both} KEYPORTER_REF_2"},
            "driver": {"env": [
                {"name": "KEYPORTER_REF_3", "valueFrom": general},
                {"name": "KEYPORTER_REF_1", "value": "mine"},
            ]},
            "executor": {},
        }),
    );
    let (after, _) = filled(&object);
    let spec = &after.expect("something")["spec"];
    assert_eq!(spec["sparkConf"]["spark.a"], "${env:KEYPORTER_REF_3}");
    assert_eq!(
        spec["sparkConf"]["spark.b"],
        "${env:KEYPORTER_REF_4} KEYPORTER_REF_2"
    );
    let names: Vec<_> = spec["executor"]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["KEYPORTER_REF_3", "KEYPORTER_REF_4"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let object = application(
        json!({
            ENV: json!([of("A", "robots", "x"), of("9", "finance", "both")]).to_string(),
            SPARK: json!([{"key": "spark.a", "secretObject": {"key": "x", "source": {"type": "VAULT", "id": "vault-config-id"}}}]).to_string(),
        }),
        json!({
            "driver": {"env": [{"name": "X", "value": "a ${secrets.non}"}]},
            "sparkConf": {"spark.b": "${secrets.nothing}"},
        }),
    );
    insta::assert_snapshot!(refusal(&object));
}

#[rstest]
#[case::opted_out(json!({"labels": {"keyporter.dev/inject": "disabled"}}))]
#[case::going(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}))]
fn some_are_left_alone(#[case] metadata: Value) {
    let mut object = application(json!({}), json!({"sparkConf": {"a": "${secrets.none}"}}));
    refusal(&object);
    object["metadata"] = metadata;
    assert_eq!(filled(&object), (None, vec![]));
}

#[test]
fn an_update_that_changes_nothing_of_it_is_not_held_up() {
    let object = application(json!({}), json!({"sparkConf": {"a": "${secrets.none}"}}));
    let mut new = object.clone();
    new["metadata"]["finalizers"] = json!(["example.com/a"]);
    let unchanged = filled_as("SparkApplication", &new, Some(&object)).expect("no denial");
    assert_eq!(unchanged, (None, vec![]));
    new["spec"]["mode"] = "cluster".into();
    filled_as("SparkApplication", &new, Some(&object)).expect_err("a denial");
}

#[rstest]
#[case::no_spec(json!(null))]
#[case::a_text(json!("${secrets.none}"))]
#[case::odd_roles(json!({"driver": "${secrets.none}", "sparkConf": {"a": "${secrets.none}"}}))]
#[case::odd_configuration(json!({"sparkConf": ["${secrets.none}"]}))]
#[case::odd_variables(json!({"driver": {"env": "${secrets.none}"}, "sparkConf": {"a": 5}}))]
#[case::odder_variables(json!({"driver": {"env": [5, {"value": 5}, {"name": 5}]}}))]
fn what_is_no_application_is_for_the_api_server(#[case] spec: Value) {
    assert_eq!(filled(&application(json!({}), spec)), (None, vec![]));
}

#[test]
fn other_kinds_get_nothing() {
    let object = everything();
    for (version, kind) in [(VERSION, "SparkConnect"), ("v1", "SparkApplication")] {
        let shelves = with_stores(shelves([]));
        let settings = Settings::default();
        let kind = Kind::new(version, kind);
        let filled = fill(
            kind,
            (&object, None),
            NAMESPACE,
            shelves.visible(),
            &settings,
        );
        assert!(filled.expect("no denial").patch.is_empty());
    }
}

fn text() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "${secrets.both}",
        "${secrets.none?}",
        "${sec",
        "rets.both}",
        "$",
        "$(",
        ")",
        "x",
        "KEYPORTER_REF_1",
        "${env:KEYPORTER_REF_2}",
    ]);
    prop::collection::vec(parts, 0..5).prop_map(|parts| parts.concat())
}

fn env() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["A", "B", "KEYPORTER_REF_1", "KEYPORTER_REF_2"]);
    let from = json!({"secretKeyRef": {"name": FINANCE, "key": "both"}});
    let variables = prop::collection::btree_map(name, (text(), any::<bool>()), 0..4);
    variables.prop_map(move |variables| {
        let variable = |(name, (value, refers)): (&str, (String, bool))| {
            if refers {
                json!({"name": name, "valueFrom": from})
            } else {
                json!({"name": name, "value": value})
            }
        };
        variables.into_iter().map(variable).collect()
    })
}

fn an_application() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec!["spark.a", "spark.hadoop.b", "c/d", "c/d~e"]);
    let conf = prop::collection::vec((keys, text()), 0..4).prop_map(|entries| {
        let entries = entries
            .into_iter()
            .map(|(key, text)| (key.to_owned(), text.into()));
        Value::Object(entries.collect())
    });
    (env(), env(), conf, any::<[bool; 3]>()).prop_map(|(driver, executor, conf, [a, b, c])| {
        let annotations = annotations(
            &[of("A", "finance", "both"), of("Z", "sales", "sales")],
            &[
                of("spark.a", "finance", "both"),
                of("c/d", "sales", "sales"),
            ],
        );
        let mut spec =
            json!({"sparkConf": conf, "driver": {"env": driver}, "executor": {"env": executor}});
        if a {
            spec["driver"] = json!({});
        }
        if b {
            spec.as_object_mut().unwrap().remove("sparkConf");
        }
        application(if c { annotations } else { json!({}) }, spec)
    })
}

proptest! {
    #[test]
    fn the_patch_applies_and_a_second_pass_adds_nothing(object in an_application()) {
        let (after, warnings) = filled(&object);
        if let Some(after) = after {
            prop_assert_eq!(filled(&sorted(&after)), (None, warnings));
        }
    }
}
