//! Where there are no policies that mutate, keyporter writes the owners of Secrets, exactly as the policy would.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    attacks::every_row,
    peaceful::stamped,
    table::annotate,
    town::{
        Answer, Call,
        Person::{self, Admin, Alice, Bob, Carol},
        Town, apply, create, delete, dry_run, json_patch, konduktors, ordinary, patch, project,
        replace, secret, token,
    },
};
use crate::{
    canary,
    harness::{Cluster, Harness},
    project::wait_until,
    support::{Result, policies::STAMPED_BY_WEBHOOK},
};

const OWNER: &str = "keyporter.dev/owner";

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial("secret_guard::before_1_36_the_webhook_does_the_same", same),
        harness.trial(
            "secret_guard::before_1_36_the_owner_is_written_on_create",
            async |cluster| {
                in_force(cluster, "guard-stamped-before-probe").await?;
                stamped(cluster, "guard-stamped-before", labels()).await
            },
        ),
        harness.trial("secret_guard::before_1_36_attacks", async |cluster| {
            in_force(cluster, "guard-attacks-before-probe").await?;
            every_row(cluster, "guard-attacks-before", labels()).await
        }),
    ]
}

fn labels() -> Value {
    json!({STAMPED_BY_WEBHOOK: ""})
}

/// A town where the webhook writes owners.
async fn in_force(cluster: &Cluster, namespace: &str) -> Result<Town> {
    cluster.keyporter().await?;
    let town = Town::new(cluster, namespace, labels()).await?;
    wait_until("the webhook to write owners", async || {
        let answer = town.ask(Alice, "", &dry_run(create(token()))).await?;
        Ok(matches!(answer, Answer::Done(_)))
    })
    .await?;
    Ok(town)
}

/// What is done one after the other to one object, called `new`; nothing is there before.
type Row = (&'static str, Vec<(Person, Call)>);

#[rustfmt::skip]
fn creating() -> Vec<Row> {
    let (token, konduktors) = (named(token()), named(konduktors()));
    let galaxy = json!({"keyporter.dev/kind": "env", "keyporter.dev/scope": "galaxy"});
    let galactic = secret("new", &galaxy, &json!({}));
    vec![
        ("create", vec![(Alice, create(token.clone()))]),
        ("create without annotations", vec![(Alice, create(bare(&token)))]),
        ("create with another annotation", vec![(Alice, create(owned(&token, None)))]),
        ("create with an empty owner", vec![(Alice, create(owned(&token, Some(""))))]),
        ("create by server-side apply", vec![(Bob, apply(token.clone()))]),
        ("create by a dry run", vec![(Alice, dry_run(create(token.clone())))]),
        ("create Konduktor's", vec![(Alice, create(konduktors.clone()))]),
        ("create Konduktor's without annotations", vec![(Alice, create(bare(&konduktors)))]),
        ("create of an unknown scope", vec![(Alice, create(galactic))]),
        ("create a project secret", vec![(Carol, create(named(project())))]),
        ("create an ordinary Secret", vec![(Alice, create(named(ordinary())))]),
        ("create in one's own name", vec![(Alice, create(owned(&token, Some("alice"))))]),
        ("create in another's name", vec![(Bob, create(owned(&token, Some("alice"))))]),
        ("create Konduktor's in another's name", vec![(Bob, create(owned(&konduktors, Some("alice"))))]),
        ("create in another's name as who may", vec![(Admin, create(owned(&token, Some("alice"))))]),
    ]
}

#[rustfmt::skip]
fn dropping() -> Vec<Row> {
    let token = named(token());
    let made = || (Alice, create(token.clone()));
    let noted = || (Alice, create(owned(&token, Some("alice"))));
    let remove = |path: &str| json_patch(json!([{"op": "remove", "path": path}]));
    let owner = "/metadata/annotations/keyporter.dev~1owner";
    let applied = || (Alice, apply(bare(&token)));
    vec![
        ("drop the owner by merge patch", vec![made(), (Alice, annotate(&json!({OWNER: null})))]),
        ("drop all annotations by merge patch", vec![noted(), (Alice, annotate(&Value::Null))]),
        ("drop the owner by an empty one", vec![made(), (Alice, annotate(&json!({OWNER: ""})))]),
        ("drop the owner by JSON patch", vec![made(), (Alice, remove(owner))]),
        ("drop all annotations by JSON patch", vec![noted(), (Alice, remove("/metadata/annotations"))]),
        ("drop the owner by replace", vec![made(), (Alice, replace(token.clone()))]),
        ("drop all annotations by replace", vec![noted(), (Alice, replace(bare(&token)))]),
        ("drop the owner by server-side apply", vec![(Alice, apply(owned(&token, Some("alice")))), applied()]),
        ("apply twice what has no owner", vec![applied(), applied()]),
        ("drop the owner as who may act for alice", vec![made(), (Admin, replace(bare(&token)))]),
        ("drop another's owner", vec![made(), (Bob, annotate(&json!({OWNER: null})))]),
        ("drop the owner and the labels", vec![made(), (Alice, replace(named(ordinary())))]),
        ("drop the owner and move to Konduktor's label", vec![made(), (Alice, replace(named(konduktors())))]),
        ("change nothing", vec![made(), (Alice, patch(json!({})))]),
        ("take it over", vec![made(), (Bob, annotate(&json!({OWNER: "bob"})))]),
    ]
}

#[rustfmt::skip]
fn converting() -> Vec<Row> {
    let (token, project, ordinary) = (named(token()), named(project()), named(ordinary()));
    let label = |name: &str, value: Value| patch(json!({"metadata": {"labels": {name: value}}}));
    let to_users = label("keyporter.dev/scope", Value::Null);
    let to_projects = label("keyporter.dev/scope", json!("project"));
    let to_ours = label("keyporter.dev/kind", json!("env"));
    vec![
        ("make a project secret a user's", vec![(Carol, create(project.clone())), (Carol, to_users)]),
        ("make a project secret with a name a user's, and drop the name",
            vec![(Admin, create(owned(&project, Some("alice")))), (Admin, replace(bare(&token)))]),
        ("make an ordinary Secret a user's", vec![(Alice, create(ordinary)), (Alice, to_ours)]),
        ("make a user's a project secret", vec![(Alice, create(token)), (Admin, to_projects)]),
    ]
}

fn named(mut secret: Value) -> Value {
    secret["metadata"]["name"] = "new".into();
    secret
}

fn owned(secret: &Value, owner: Option<&str>) -> Value {
    let mut secret = secret.clone();
    secret["metadata"]["annotations"] = json!({OWNER: owner, "example.com/note": "x"});
    secret
}

fn bare(secret: &Value) -> Value {
    let mut secret = secret.clone();
    if let Some(metadata) = secret["metadata"].as_object_mut() {
        metadata.remove("annotations");
    }
    secret
}

/// Every row comes out as where the policy writes the owners.
async fn same(cluster: &Cluster) -> Result<()> {
    let webhooks = in_force(cluster, "guard-before-1-36").await?;
    let policys = Town::new(cluster, "guard-since-1-36", json!({})).await?;
    let (mut wrong, mut written) = (Vec::new(), 0);
    for (what, steps) in [creating(), dropping(), converting()].concat() {
        let mut outcomes = Vec::new();
        for town in [&policys, &webhooks] {
            town.ask(Admin, "new", &delete("")).await?;
            let mut outcome = Vec::new();
            for (person, call) in &steps {
                let answer = town.ask(*person, "new", call).await?;
                outcome.push(comparable(answer, &town.name));
            }
            outcomes.push(outcome);
        }
        if outcomes[0] != outcomes[1] {
            wrong.push(format!(
                "{what}:\n  policy  {:?}\n  webhook {:?}",
                outcomes[0], outcomes[1]
            ));
        }
        written += outcomes[1]
            .iter()
            .filter(|answer| answer.pointer(POINTER).is_some())
            .count();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(written >= 30, "only {written} answers with an owner");

    let log = cluster.keyporter().await?.log();
    let stamped = |namespace: &str| {
        let of_namespace = |line: &&str| line.contains("\"stamped\"") && line.contains(namespace);
        log.lines().filter(of_namespace).count()
    };
    assert!(stamped(&webhooks.name) > 10, "{}", stamped(&webhooks.name));
    assert_eq!(stamped(&policys.name), 0);
    assert!(!canary::is_in(&log));
    Ok(())
}

/// Where the owner stands.
const POINTER: &str = "/metadata/annotations/keyporter.dev~1owner";

/// An answer without what is never the same twice.
fn comparable(answer: Answer, namespace: &str) -> Value {
    let mut object = match answer {
        Answer::Done(object) => object,
        Answer::Refused(sentence) => json!({"refused": sentence}),
    };
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in ["uid", "resourceVersion", "creationTimestamp"] {
            metadata.remove(name);
        }
        for entry in metadata
            .get_mut("managedFields")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            entry["time"] = Value::Null;
        }
    }
    let text = object.to_string().replace(namespace, "NAMESPACE");
    serde_json::from_str(&text).unwrap_or_default()
}
