//! Rows on JobSets: tried where their real controller runs, which is trusted by configuration.

use serde_json::{Value, json};

use super::{call::Call, people::People, table::workload};
use crate::{
    harness::Cluster,
    project::{Project, SHARED, secret_names, user_object, wait_until},
    support::{Result, control_plane::ADMIN, objects},
    workloads::run_once,
};

/// Who tries, and whose it is then; `None` for a refusal.
type Verdicts = [(&'static str, Option<&'static str>); 3];

const NAMED: Verdicts = [
    ("alice", Some("alice")),
    ("bob", None),
    (ADMIN, Some("alice")),
];
const DECIDED: Verdicts = [
    ("alice", Some("alice")),
    ("bob", Some("bob")),
    (ADMIN, Some("alice")),
];

/// Where the pod template of a JobSet stands.
const TEMPLATE: &str = "/spec/replicatedJobs/0/template/spec/template";

fn job_set(name: &str, annotations: &Value) -> Value {
    let mut template = run_once("job-set");
    template["metadata"]["labels"] = json!({"attack": name});
    template["metadata"]["annotations"] = annotations.clone();
    json!({"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": name}, "spec": {"suspend": true, "replicatedJobs": [
        {"name": "workers", "replicas": 1, "template": {"spec": {"template": template}}},
    ]}})
}

/// In a project that has the controller.
pub(crate) async fn attacks(cluster: &Cluster, project: &Project) -> Result<()> {
    let people = People::of(cluster, &project.name);
    answered(&people).await?;
    running(&people).await
}

/// A change of a template.
fn relabelled() -> Value {
    let path = format!("{TEMPLATE}/metadata/labels/attack");
    json!([{"op": "add", "path": path, "value": "changed"}])
}

/// Where the answer alone tells.
async fn answered(people: &People) -> Result<()> {
    let hers = Call::create("JobSet", job_set("hers", &json!({})));
    let hers = people.ask_as(Some("alice"), &hers).await??;
    let copied = &hers.pointer(TEMPLATE).ok_or("no template")?["metadata"]["annotations"];
    assert_eq!(copied["keyporter.dev/owner"], "alice");
    let forged = json!({"keyporter.dev/owner": "alice"});
    let made = |annotations| {
        let mut pod = run_once("job-set");
        pod["metadata"]["annotations"] = annotations;
        let mut job = workload("Job", "made", pod, true);
        job["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "name": "hers",
            "uid": hers["metadata"]["uid"],
            "controller": true,
        }]);
        Call::create("Job", job)
    };
    let mut on_object = job_set("other", &json!({}));
    on_object["metadata"]["annotations"] = forged.clone();
    let unstamped = [
        ("alice", Some("alice")),
        ("bob", Some("bob")),
        (ADMIN, Some(ADMIN)),
    ];
    for (what, call, verdicts) in [
        (
            "forged owner",
            Call::create("JobSet", job_set("other", &forged)),
            NAMED,
        ),
        (
            "stamp and proof of another",
            Call::create("JobSet", job_set("other", copied)),
            NAMED,
        ),
        ("Job as if made by hers", made(copied.clone()), DECIDED),
        ("the same without a stamp", made(json!({})), unstamped),
        (
            "another template in hers",
            Call::json("JobSet", relabelled()),
            DECIDED,
        ),
        (
            "forged owner on the object alone",
            Call::create("JobSet", on_object),
            [
                ("alice", Some("alice")),
                ("bob", None),
                (ADMIN, Some(ADMIN)),
            ],
        ),
    ] {
        let call = call.filled(&[("$NAME", "hers".to_owned())]).dry_run();
        for (user, owner) in verdicts {
            let user = Some(user).filter(|user| *user != ADMIN);
            let got = match people.ask_as(user, &call).await? {
                Ok(object) => {
                    let template = object
                        .pointer(TEMPLATE)
                        .or_else(|| object.pointer("/spec/template"));
                    let template = template.ok_or("no template")?;
                    Some(template["metadata"]["annotations"]["keyporter.dev/owner"].clone())
                }
                Err(sentence) => {
                    assert!(sentence.contains("keyporter.dev/owner names"), "{sentence}");
                    None
                }
            };
            assert_eq!(got, owner.map(Value::from), "{what} as {user:?}");
        }
    }
    Ok(())
}

/// What bob changed runs as his, and what he only lets run as alice's.
async fn running(people: &People) -> Result<()> {
    let untouched = Call::create("JobSet", job_set("untouched", &json!({})));
    people.ask_as(Some("alice"), &untouched).await??;
    let run = json!({"spec": {"suspend": false}});
    for (name, calls, label, owner) in [
        (
            "hers",
            vec![
                Call::json("JobSet", relabelled()),
                Call::merge("JobSet", run.clone()),
            ],
            "changed",
            "bob",
        ),
        (
            "untouched",
            vec![Call::merge("JobSet", run)],
            "untouched",
            "alice",
        ),
    ] {
        for call in calls {
            let call = call.filled(&[("$NAME", name.to_owned())]);
            people.ask_as(Some("bob"), &call).await??;
        }
        wait_until(&format!("the pod of {name}"), async || {
            let selector = format!("attack={label}");
            let pods = objects::pods(&people.admin, &people.namespace, &selector).await?;
            for pod in &pods {
                let expected = [SHARED.to_owned(), user_object(owner, "token")];
                assert_eq!(secret_names(pod), expected, "{name}");
            }
            Ok(!pods.is_empty())
        })
        .await?;
    }
    Ok(())
}
