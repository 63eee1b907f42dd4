//! Variables that a secret of kind env may not set.

use std::{fs, path::Path};

use keyporter::{
    documents::Documents,
    inject::variable::{LOADER_PREFIXES, LOADER_VARIABLES},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::town::{Answer, Person, Town, create, dry_run, konduktors, patch, secret};
use crate::{
    harness::{Cluster, Harness},
    support::Result,
};

const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/deploy/helm/keyporter/policies/env-names.yaml"
);

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        // Needs no cluster, so nothing leaves it out.
        Trial::test(
            "secret_guard::the_policy_lists_the_variables_of_the_program",
            || Ok(same_lists()?),
        ),
        harness.trial(
            "secret_guard::env_secrets_cannot_set_refused_variables",
            refused,
        ),
        harness.trial("secret_guard::refused_variables_of_old_secrets", older),
    ]
}

fn same_lists() -> Result<()> {
    let text = fs::read_to_string(Path::new(POLICY))?;
    let documents = Documents::split(&text);
    let policy = documents.iter().next().ok_or("no policy")?.value(POLICY)?;
    let variables = policy["spec"]["variables"]
        .as_array()
        .ok_or("no variables")?;
    let list = |name: &str| -> Result<Vec<String>> {
        let variable = variables.iter().find(|variable| variable["name"] == name);
        let expression = variable.and_then(|variable| variable["expression"].as_str());
        // A list of CEL in single quotes is one of JSON in double quotes.
        Ok(serde_json::from_str(
            &expression.ok_or("no such list")?.replace('\'', "\""),
        )?)
    };
    assert_eq!(list("loaderVariables")?, LOADER_VARIABLES);
    assert_eq!(list("loaderPrefixes")?, LOADER_PREFIXES);
    Ok(())
}

fn of(kind: &str, keys: &[&str]) -> Value {
    let mut secret = secret(
        "variables",
        &json!({"keyporter.dev/kind": kind}),
        &json!({}),
    );
    secret["data"] = keys
        .iter()
        .map(|key| ((*key).to_owned(), json!("")))
        .collect();
    secret
}

async fn refused(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-variables", json!({})).await?;
    let konduktors = |keys: Value| {
        let mut secret = konduktors();
        secret["data"] = Value::Null;
        secret["stringData"] = keys;
        secret
    };
    let many: Vec<String> = (10..30).map(|number| format!("{number}-th")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let ten = "10-th, 11-th, 12-th, 13-th, 14-th, 15-th, 16-th, 17-th, 18-th, 19-th and others: a";
    for (secret, names) in [
        (of("env", &["TOKEN", "_x9", "path"]), None),
        (of("env", &[]), None),
        (of("env", &["PATH"]), Some("cannot set PATH: a variable")),
        (
            of("env", &["LD_PRELOAD", "TOKEN", "9A", "a.b", "a-b"]),
            Some("cannot set 9A, LD_PRELOAD, a-b, a.b: a"),
        ),
        (
            of("env", &["BASH_FUNC_ls", "DYLD_X", "LD_"]),
            Some("cannot set BASH_FUNC_ls, DYLD_X, LD_: a"),
        ),
        (of("env", &many), Some(ten)),
        // Files may be called anything.
        (of("default", &["PATH", "9A"]), None),
        (of("auth", &["PATH"]), None),
        (konduktors(json!({"TOKEN": ""})), None),
        (
            konduktors(json!({"NODE_OPTIONS": ""})),
            Some("cannot set NODE_OPTIONS: a"),
        ),
    ] {
        // For nobody, whatever their rights.
        for person in [Person::Alice, Person::Admin] {
            let call = dry_run(create(secret.clone()));
            let answer = town.ask(person, "", &call).await?;
            match (&answer, names) {
                (Answer::Done(_), None) => {}
                (Answer::Refused(sentence), Some(names)) if sentence.contains(names) => {}
                _ => panic!("{}: expected {names:?}, got {answer:?}", secret["data"]),
            }
        }
    }
    for name in LOADER_VARIABLES {
        let answer = town
            .ask(Person::Alice, "", &dry_run(create(of("env", &[name]))))
            .await?;
        assert!(matches!(answer, Answer::Refused(_)), "{name}: {answer:?}");
    }

    let object = town
        .make(Some(Person::Alice), &of("env", &["TOKEN"]))
        .await?;
    let call = patch(json!({"stringData": {"LD_PRELOAD": ""}}));
    let answer = town.ask(Person::Alice, &object, &call).await?;
    assert!(
        matches!(&answer, Answer::Refused(sentence) if sentence.contains("LD_PRELOAD")),
        "{answer:?}"
    );
    Ok(())
}

/// What is there already hinders neither adoption nor taking it out, and nothing is added to it.
async fn older(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-old-variables", json!({})).await?;
    let object = town
        .make(None, &of("env", &["PATH", "LD_PRELOAD", "TOKEN"]))
        .await?;
    for (person, call, refused) in [
        (
            Person::Admin,
            json!({"metadata": {"annotations": {"keyporter.dev/owner": "alice"}}}),
            false,
        ),
        (Person::Alice, json!({"data": {"LD_PRELOAD": null}}), false),
        (Person::Alice, json!({"stringData": {"OTHER": ""}}), false),
        (
            Person::Alice,
            json!({"stringData": {"LD_PRELOAD": ""}}),
            true,
        ),
    ] {
        let answer = town.ask(person, &object, &patch(call)).await?;
        assert_eq!(matches!(answer, Answer::Refused(_)), refused, "{answer:?}");
    }
    Ok(())
}
