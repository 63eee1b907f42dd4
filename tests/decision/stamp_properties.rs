//! What holds for the stamp on every JSON document.

use keyporter::inject::settings::Settings;
use keyporter::inject::template;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::builders::JOB_CONTROLLER;
use crate::stamps::stamped;

const OWNER: &str = "keyporter.dev/owner";

fn metadata() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"annotations": null})),
        Just(json!({"annotations": {}, "labels": {"a": "b"}})),
        Just(json!({"annotations": {"note": "日本"}})),
        select(vec!["alice", "bob", ""]).prop_map(|owner| json!({"annotations": {OWNER: owner}})),
        Just(json!({"annotations": {OWNER: 7}})),
        Just(json!({"annotations": ["no", "map"]})),
        Just(json!("no map")),
    ]
}

fn pod_template() -> impl Strategy<Value = Value> {
    (metadata(), any::<bool>(), "[a-z]{1,2}").prop_map(|(metadata, there, image)| {
        let mut template = json!({"spec": {"containers": [{"name": "main", "image": image}]}});
        if there {
            template["metadata"] = metadata;
        }
        template
    })
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("text")),
        Just(json!(7)),
        pod_template(),
        metadata(),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let names = select(vec![
            "template",
            "spec",
            "metadata",
            "a/b~c",
            "",
            "containers",
            "jobTemplate",
        ]);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((names, inner.clone()), 0..4).prop_map(|members| {
                let members = members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(members.collect::<Map<_, _>>())
            }),
            pod_template().prop_map(|template| json!({"template": template})),
        ]
    })
}

/// The document without our annotation and what may have been made to hold it.
fn without_ours(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                let value = without_ours(value);
                let holder = name == "annotations" || name == "metadata";
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if !(name.starts_with(OWNER) || holder && empty) {
                    kept.insert(name.clone(), value);
                }
            }
            Value::Object(kept)
        }
        Value::Array(entries) => entries.iter().map(without_ours).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn only_our_annotation_is_added(
        new in document(),
        old in proptest::option::of(document()),
        same in any::<bool>(),
        requester in select(vec!["alice", "bob", JOB_CONTROLLER]),
    ) {
        let old = if same { old.map(|_| new.clone()) } else { old };
        if let Ok((patch, after)) = stamped(requester, &new, old.as_ref(), &Settings::default()) {
            for operation in patch.as_array().unwrap() {
                prop_assert_eq!(&operation["op"], "add");
            }
            prop_assert_eq!(without_ours(&after), without_ours(&new));
            let second = stamped(requester, &after, old.as_ref(), &Settings::default());
            prop_assert_eq!(second, Err("already-stamped"));
        }
    }

    #[test]
    fn a_person_writes_no_name_but_their_own(
        new in document(),
        old in proptest::option::of(document()),
    ) {
        let names = |document: &Value| -> Vec<String> {
            let templates = template::find(document);
            let owners = templates
                .iter()
                .filter_map(|template| template.value.pointer("/metadata/annotations/keyporter.dev~1owner"));
            owners.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let before = old.as_ref().map(&names).unwrap_or_default();
        let after = match stamped("mallory", &new, old.as_ref(), &Settings::default()) {
            Ok((_, after)) => after,
            Err("foreign-stamp") => return Ok(()),
            Err(_) => new,
        };
        for name in names(&after) {
            prop_assert!(name.is_empty() || name == "mallory" || before.contains(&name), "{}", name);
        }
    }
}
