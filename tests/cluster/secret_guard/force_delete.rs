//! Who may let a secret go while pods use it.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    table::{annotate, owner},
    town::{
        Answer, Call, Person, Town, apply, create, delete, dry_run, json_patch, konduktors,
        ordinary, patch, replace, secret, token,
    },
};
use crate::{
    harness::{Cluster, Harness},
    support::{Result, objects, wait_for},
};

/// May make and change Secrets, and delete none but `hers`.
const DORA: &str = "dora";
const SENTENCE: &str = "the annotation keyporter.dev/force-delete needs the right to delete secret";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial(
        "secret_guard::force_delete_is_for_who_may_delete",
        force_delete,
    )]
}

fn forced() -> Value {
    json!({"keyporter.dev/force-delete": "true"})
}

fn with(mut secret: Value, annotations: Value) -> Value {
    secret["metadata"]["annotations"] = annotations;
    secret
}

async fn force_delete(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-force-delete", json!({})).await?;
    let hers = secret("hers", &json!({"keyporter.dev/kind": "env"}), &json!({}));
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"namespace": town.name, "name": DORA},
        "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "get", "patch", "update"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"], "resourceNames": ["hers"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": town.name, "name": DORA},
        "roleRef": {"kind": "Role", "name": DORA, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [objects::subject(DORA)],
    });
    objects::create(&town.admin, role).await?;
    objects::create(&town.admin, binding).await?;
    objects::wait_until_allowed(&town.admin, &town.name, DORA, ("patch", "", "secrets")).await?;
    wait_for(
        "the policy to be in force",
        Duration::from_mins(1),
        async || {
            let probe = dry_run(create(with(token(), forced())));
            let answer = town.ask_as(Some(DORA), "", &probe).await?;
            Ok(matches!(answer, Answer::Refused(_)).then_some(()))
        },
    )
    .await?;

    let make = async |secret: &Value| -> Result<String> {
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        town.ask(Person::Admin, name, &delete("")).await?;
        match town
            .ask_as(Some(DORA), name, &create(secret.clone()))
            .await?
        {
            Answer::Done(_) => Ok(name.to_owned()),
            Answer::Refused(sentence) => Err(sentence.into()),
        }
    };
    let escaped = json!([{"op": "add", "path": "/metadata/annotations/keyporter.dev~1force-delete", "value": "true"}]);
    let mut generated = with(token(), forced());
    generated["metadata"]["name"] = Value::Null;
    generated["metadata"]["generateName"] = "generated-".into();
    let kind = json!({"metadata": {"labels": {"keyporter.dev/kind": "env"}, "annotations": owner("$WHO")}});
    let rows: [(&Value, Call, bool); 13] = [
        (&token(), annotate(&forced()), true),
        (&token(), dry_run(annotate(&forced())), true),
        (&token(), json_patch(escaped), true),
        (&token(), replace(with(token(), forced())), true),
        (&token(), apply(with(token(), forced())), true),
        (&konduktors(), annotate(&forced()), true),
        (&hers, annotate(&forced()), false),
        (&hers, create(generated), true),
        (
            &token(),
            annotate(&json!({"keyporter.dev/force-delete": "yes"})),
            false,
        ),
        // An ordinary Secret may have it, until it is one of keyporter's.
        (&ordinary(), annotate(&forced()), false),
        (&with(ordinary(), forced()), patch(kind.clone()), true),
        (&ordinary(), patch(kind), false),
        (&with(hers.clone(), forced()), patch(json!({})), false),
    ];
    for (secret, call, refused) in rows {
        let object = make(secret).await?;
        let before = town.stored(&object).await?;
        let answer = town.ask_as(Some(DORA), &object, &call).await?;
        match &answer {
            Answer::Done(_) => assert!(!refused, "{call:?} on {secret}"),
            Answer::Refused(sentence) => {
                assert!(
                    refused && sentence.contains(SENTENCE),
                    "{call:?}: {sentence}"
                );
                assert!(!answer.tells(), "{answer:?}");
                assert_eq!(town.stored(&object).await?, before, "{call:?}");
            }
        }
    }

    // Where another has set it, she works on, and may take it away.
    let object = make(&token()).await?;
    let set = town
        .ask(Person::Admin, &object, &annotate(&forced()))
        .await?;
    assert!(matches!(set, Answer::Done(_)), "{set:?}");
    for call in [
        patch(json!({"stringData": {"A": "1"}})),
        annotate(&json!({"keyporter.dev/force-delete": null})),
    ] {
        let answer = town.ask_as(Some(DORA), &object, &call).await?;
        assert!(matches!(answer, Answer::Done(_)), "{call:?}: {answer:?}");
    }
    Ok(())
}
