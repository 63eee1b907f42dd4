//! Everybody tries every row of the table.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::{
    call::Call,
    people::{Answer, EVERYBODY, People, Person},
    table::{Row, Target, Verdict, pod, rows, template_of, workload},
};
use crate::{
    harness::{Cluster, Harness},
    project::{SHARED, secret_names, user_object},
    support::{Result, objects, wait_for},
};

const NAMESPACE: &str = "attacks";
const ELSEWHERE: &str = "attacks-elsewhere";
/// How many try at the same time.
const AT_ONCE: usize = 12;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![harness.trial_with_controllers("attacks::on_pods_and_workloads", every_row)]
}

/// A row, as one person tries it.
struct Try<'a> {
    row: &'a Row,
    person: Person,
    verdict: Verdict,
    /// Its pods bear it as the label `try`.
    name: String,
}

/// What became of one.
struct Tried<'a> {
    of: Try<'a>,
    answer: Answer,
}

async fn every_row(cluster: &Cluster) -> Result<()> {
    let (people, elsewhere) = futures::try_join!(
        People::new(cluster, NAMESPACE),
        People::new(cluster, ELSEWHERE)
    )?;
    let rows = rows();
    let tries = rows.iter().enumerate().flat_map(|(number, row)| {
        let tries = EVERYBODY.into_iter().zip(row.verdicts);
        tries.map(move |(person, verdict)| Try {
            row,
            person,
            verdict,
            name: format!("t{number}-{}", format!("{person:?}").to_lowercase()),
        })
    });
    let tries: Vec<_> = tries.filter(|of| of.verdict != Verdict::Skip).collect();
    let count = tries.len();
    let outcomes: Vec<_> = stream::iter(tries)
        .map(|of| attempt(&people, &elsewhere, of))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let wrong: Vec<_> = outcomes
        .iter()
        .filter_map(|tried| wrong_answer(&people, tried))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} rows, {count} tries", rows.len());
    assert_pods(&people, &outcomes).await
}

async fn attempt<'a>(people: &People, elsewhere: &People, of: Try<'a>) -> Result<Tried<'a>> {
    let words = words(people, elsewhere, &of).await?;
    let mut answer = Ok(Value::Null);
    for call in &of.row.calls {
        answer = people.ask(of.person, &call.filled(&words)).await?;
        if answer.is_err() {
            break;
        }
    }
    Ok(Tried { of, answer })
}

/// Makes the target, and gives what the calls name of it.
async fn words(
    people: &People,
    elsewhere: &People,
    of: &Try<'_>,
) -> Result<Vec<(&'static str, String)>> {
    let name = format!("{}-of", of.name);
    let mut words = vec![
        ("$TRY", of.name.clone()),
        ("$NAME", name.clone()),
        ("$WHO", people.username(of.person)),
        ("$TOKEN", user_object("alice", "token")),
    ];
    let (place, person, kind) = match of.row.target {
        Target::Nothing => {
            words.push(("$UID", "b0a7c1de-0000-4000-8000-000000000000".to_owned()));
            return Ok(words);
        }
        Target::Alices(kind) => (people, Person::Alice, kind),
        Target::Elsewhere(kind) => (elsewhere, Person::Alice, kind),
        Target::Bobs(kind) => (people, Person::Bob, kind),
        Target::Own(kind) => (people, of.person, kind),
    };
    let object = if kind == "Pod" {
        let mut pod = pod(&json!({}));
        pod["metadata"] = json!({"name": name});
        pod
    } else {
        workload(kind, &name, pod(&json!({})), false)
    };
    let made = place
        .ask(person, &Call::create(kind, object).filled(&words))
        .await?;
    let made = made.map_err(|sentence| format!("{}: {sentence}", of.row.what))?;
    let template = made.pointer(template_of(kind)).unwrap_or(&made);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let annotation = |name: &str| text(&template["metadata"]["annotations"][name]);
    words.push(("$OWNER", annotation("keyporter.dev/owner")));
    words.push(("$PROOF", annotation("keyporter.dev/owner-proof")));
    words.push(("$UID", text(&made["metadata"]["uid"])));
    Ok(words)
}

/// What is wrong with an answer, as far as it tells.
fn wrong_answer(people: &People, tried: &Tried<'_>) -> Option<String> {
    let Try {
        row,
        person,
        verdict,
        ..
    } = &tried.of;
    let is_dry_run = row.calls.last().is_some_and(Call::is_dry_run);
    let right = match (&tried.answer, verdict) {
        (Err(sentence), Verdict::Refused(parts)) => {
            parts.split('|').any(|part| sentence.contains(part))
        }
        (Ok(object), _) if is_dry_run => match owner_and_secrets(people, object) {
            Some((name, secrets)) => {
                *verdict == Verdict::Done
                    || Some(&secrets) == expected(people, *verdict, *person).as_ref()
                        && (!secrets.is_empty() || name.is_none() || *verdict == Verdict::Bare)
            }
            None => *verdict == Verdict::Done,
        },
        (Ok(_), verdict) => !matches!(verdict, Verdict::Refused(_)),
        (Err(_), _) => false,
    };
    (!right).then(|| {
        let answer = match &tried.answer {
            Ok(object) => format!("{:?}", owner_and_secrets(people, object)),
            Err(sentence) => sentence.clone(),
        };
        format!(
            "{} as {person:?}: expected {verdict:?}, got {answer}",
            row.what
        )
    })
}

/// Whose a pod is and what it has, or what the pods of a workload would have.
fn owner_and_secrets(people: &People, object: &Value) -> Option<(Option<String>, Vec<String>)> {
    let owner = |object: &Value| {
        let owner = &object["metadata"]["annotations"]["keyporter.dev/owner"];
        owner.as_str().map(str::to_owned)
    };
    let kind = object["kind"].as_str()?;
    if kind == "Pod" {
        let pod: Pod = serde_json::from_value(object.clone()).ok()?;
        return Some((owner(object), secret_names(&pod)));
    }
    let owner = owner(object.pointer(template_of(kind))?);
    let known = EVERYBODY.into_iter().find(|person| {
        *person != Person::Controller && owner.as_deref() == Some(&people.username(*person))
    });
    let secrets = expected(people, Verdict::Own, known.unwrap_or(Person::Controller))?;
    Some((owner, secrets))
}

/// The secrets of a person's pods under a verdict, weakest first.
fn expected(people: &People, verdict: Verdict, person: Person) -> Option<Vec<String>> {
    let token = |person| user_object(&people.username(person), "token");
    let shared = SHARED.to_owned();
    match verdict {
        Verdict::Own if person == Person::Controller => Some(vec![shared]),
        Verdict::Own => Some(vec![shared, token(person)]),
        Verdict::Alices => Some(vec![shared, token(Person::Alice)]),
        Verdict::Nobodys => Some(vec![shared]),
        Verdict::Bare => Some(vec![]),
        Verdict::Refused(_) | Verdict::Done | Verdict::Skip => None,
    }
}

/// Waits until every try that was allowed has its pods, and looks at all of them.
async fn assert_pods(people: &People, tried: &[Tried<'_>]) -> Result<()> {
    let stored = |tried: &&Tried<'_>| {
        let is_dry_run = tried.of.row.calls.last().is_some_and(Call::is_dry_run);
        !is_dry_run && expected(people, tried.of.verdict, tried.of.person).is_some()
    };
    let by_name: BTreeMap<&str, &Tried<'_>> = tried
        .iter()
        .map(|tried| (tried.of.name.as_str(), tried))
        .collect();
    let mut missing = Vec::new();
    let outcome = wait_for("pods", Duration::from_secs(30), async || {
        let pods = objects::pods(&people.admin, &people.namespace, "try").await?;
        let there = |name: &str| pods.iter().any(|pod| pod.labels()["try"] == name);
        let awaited = tried.iter().filter(stored);
        missing = awaited
            .filter(|tried| !there(&tried.of.name))
            .map(|tried| format!("{} as {:?}", tried.of.row.what, tried.of.person))
            .collect();
        Ok(missing.is_empty().then_some(pods))
    })
    .await;
    let pods = outcome.map_err(|error| format!("{error} of {}", missing.join(", ")))?;
    let mut wrong = Vec::new();
    for pod in &pods {
        let tried = by_name
            .get(pod.labels()["try"].as_str())
            .ok_or("a pod of no try")?;
        let Try {
            row,
            person,
            verdict,
            ..
        } = &tried.of;
        let secrets = secret_names(pod);
        let right = expected(people, *verdict, *person).is_some_and(|expected| expected == secrets);
        if !right {
            wrong.push(format!(
                "{} as {person:?}: expected {verdict:?}, and {} has {secrets:?}",
                row.what,
                pod.name_any()
            ));
        }
    }
    println!("{} pods came of it", pods.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
