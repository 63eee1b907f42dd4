//! Everybody tries every row of the table.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    table::{FOREIGN, Verdict, annotate, owner, rows},
    town::{
        Answer, EVERYBODY, Person, Town, create, delete, delete_collection, ordinary, patch,
        project, secret, store, token,
    },
};
use crate::{
    harness::{Cluster, Harness},
    support::{Result, objects},
};

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial(
            "secret_guard::attacks_in_an_opted_in_namespace",
            async |cluster| {
                let labels = json!({"keyporter.dev/inject": "enabled"});
                every_row(cluster, "guard-opted-in", labels).await
            },
        ),
        harness.trial("secret_guard::attacks_before_an_opt_in", async |cluster| {
            every_row(cluster, "guard-not-opted-in", json!({})).await
        }),
        harness.trial("secret_guard::attacks_by_look_alike_names", look_alikes),
        harness.trial(
            "secret_guard::each_verb_on_project_secrets_is_a_right_of_its_own",
            verbs,
        ),
    ]
}

/// In a namespace with these labels.
pub(super) async fn every_row(cluster: &Cluster, namespace: &str, labels: Value) -> Result<()> {
    let town = Town::new(cluster, namespace, labels).await?;
    let rows = rows();
    let mut wrong = Vec::new();
    let (mut tries, mut refusals) = (0, 0);
    for (what, target, call, verdicts) in &rows {
        for (person, verdict) in EVERYBODY.into_iter().zip(*verdicts) {
            let object = target.make(&town).await?;
            let before = town.stored(&object).await?;
            let answer = town.ask(person, &object, call).await?;
            tries += 1;
            if !meets(&answer, verdict, &town.name) {
                wrong.push(format!(
                    "{what} as {person:?}: expected {verdict:?}, got {answer:?}"
                ));
            }
            if verdict.is_some() {
                refusals += 1;
                if town.stored(&object).await? != before {
                    wrong.push(format!("{what} as {person:?}: refused, and yet changed"));
                }
            }
        }
    }
    println!("{} rows, {tries} tries, {refusals} refused", rows.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A refusal names the secret and has no value.
fn meets(answer: &Answer, verdict: Verdict, namespace: &str) -> bool {
    match (answer, verdict) {
        (Answer::Done(_), None) => true,
        (Answer::Refused(sentence), Some(parts)) => {
            parts.split('|').any(|part| sentence.contains(part))
                && sentence.contains(&format!("secret {namespace}/"))
                && !answer.tells()
        }
        _ => false,
    }
}

/// Users whose names look like alice's or a controller's, with role `edit`, are neither.
async fn look_alikes(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-look-alikes", json!({})).await?;
    let long = format!("alice{}", "e".repeat(1019));
    for user in [
        "Alice",
        "ALICE",
        "ali\u{441}e",
        "alice\u{200b}",
        "al\u{ed}ce",
        "alice@example.com",
        "oidc:alice",
        // These pass by their exact names only.
        "system:kube-controller-manager2",
        "System:kube-controller-manager",
        "system:serviceaccount:vision:namespace-controller",
        "system:serviceaccount:kube-system:namespace-controller2",
        &long,
    ] {
        objects::allow_edit(&town.admin, &town.name, user).await?;
        let object = town.make(Some(Person::Alice), &token()).await?;
        for call in [
            patch(json!({})),
            delete(""),
            delete_collection(""),
            annotate(&owner("$WHO")),
        ] {
            let answer = town.ask_as(Some(user), &object, &call).await?;
            assert!(
                meets(&answer, FOREIGN, &town.name),
                "{user}: {call:?}: {answer:?}"
            );
        }
        // What they make is their own, under their whole name.
        let own = create(secret(
            "own",
            &json!({"keyporter.dev/kind": "env"}),
            &json!({}),
        ));
        match town.ask_as(Some(user), "own", &own).await? {
            Answer::Done(made) => assert_eq!(made["metadata"]["annotations"], owner(user)),
            Answer::Refused(sentence) => panic!("{user}: {sentence}"),
        }
        let answer = town.ask(Person::Alice, "own", &patch(json!({}))).await?;
        assert!(meets(&answer, FOREIGN, &town.name), "{user}: {answer:?}");
        let deleted = town.ask_as(Some(user), "own", &delete("")).await?;
        assert!(matches!(deleted, Answer::Done(_)), "{user}: {deleted:?}");
    }
    Ok(())
}

/// Labels that make or end a project secret are its creation and deletion.
async fn verbs(cluster: &Cluster) -> Result<()> {
    let town = Town::new(cluster, "guard-verbs", json!({})).await?;
    let shared = &project()["metadata"]["labels"];
    let share = patch(json!({"metadata": {"labels": shared}}));
    let hide = patch(
        json!({"metadata": {"labels": {"keyporter.dev/scope": null}, "annotations": owner("$WHO")}}),
    );
    for right in ["create", "update", "delete"] {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"namespace": town.name, "name": right},
            "rules": [{"apiGroups": ["keyporter.dev"], "resources": ["projectsecrets"], "verbs": [right]}],
        });
        objects::create(&town.admin, role).await?;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"namespace": town.name, "name": right},
            "roleRef": {"kind": "Role", "name": right, "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [objects::subject(right)],
        });
        objects::allow_edit(&town.admin, &town.name, right).await?;
        objects::create(&town.admin, binding).await?;
        let needed = (right, "keyporter.dev", "projectsecrets");
        objects::wait_until_allowed(&town.admin, &town.name, right, needed).await?;
        for (target, call, verb) in [
            (None, create(project()), "create"),
            (Some(ordinary()), share.clone(), "create"),
            (Some(project()), patch(json!({})), "update"),
            (Some(project()), hide.clone(), "delete"),
            (Some(project()), delete(""), "delete"),
            (Some(store()), patch(json!({})), "update"),
            (Some(store()), share.clone(), "update"),
            (Some(store()), delete(""), "delete"),
        ] {
            let object = match &target {
                Some(secret) => town.make(Some(Person::Carol), secret).await?,
                None => "shared".to_owned(),
            };
            if target.is_none() {
                town.ask(Person::Admin, &object, &delete("")).await?;
            }
            match town.ask_as(Some(right), &object, &call).await? {
                Answer::Done(_) => assert_eq!(verb, right, "{call:?}"),
                Answer::Refused(sentence) => {
                    assert_ne!(verb, right, "{call:?}: {sentence}");
                    let needed = format!("needs the right to {verb} projectsecrets.keyporter.dev");
                    assert!(sentence.contains(&needed), "{sentence}");
                }
            }
        }
    }
    Ok(())
}
