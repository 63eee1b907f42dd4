//! Owners by Konduktor's labels: where all share one kubeconfig, they tell people apart.

use keyporter::inject::identity::Identity;
use keyporter::inject::object::{Kind, Object};
use keyporter::inject::owner::{self, Ownership};
use keyporter::inject::pod::Pod;
use keyporter::inject::proof::Proofs;
use keyporter::inject::secret::{Description, Problem};
use keyporter::inject::settings::Settings;
use keyporter::inject::stamp::{Answers, Stamping, WorkloadRequest, stamp};
use keyporter::inject::{Denial, Request};
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;
use crate::stamps::{NAMESPACE_UID, keys, stamped};

const USER_ID: &str = "trainy.ai/user-id";
/// The hash of `alice-982b`.
const ALICE: &str = "bc65ee65";
/// The hash of `bob-982b`.
const BOB: &str = "cb00a8bc";

fn by_labels() -> Settings {
    Settings {
        identity: Identity::Konduktor,
        ..Settings::default()
    }
}

/// An object that `user_id` makes; nobody, where it is empty.
fn of(user_id: &str, mut object: Value) -> Value {
    if !user_id.is_empty() {
        object["metadata"]["labels"] = json!({USER_ID: user_id});
    }
    object
}

fn job_set() -> Value {
    let template = json!({"spec": {"containers": [container("main")]}});
    json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "train", "namespace": NAMESPACE},
        "spec": {"replicatedJobs": [{"name": "workers", "template": {"spec": {"template": template}}}]},
    })
}

/// The same with another pod template.
fn changed(mut job_set: Value) -> Value {
    *job_set
        .pointer_mut("/spec/replicatedJobs/0/template/spec/template/spec/containers/0/image")
        .expect("a place") = json!("another");
    job_set
}

/// The names on the object and on its template.
fn names(object: &Value) -> [&str; 2] {
    let places = ["", "/spec/replicatedJobs/0/template/spec/template"];
    places.map(|place| {
        let name = object.pointer(&format!(
            "{place}/metadata/annotations/keyporter.dev~1owner"
        ));
        name.and_then(Value::as_str).unwrap_or("-")
    })
}

fn create(object: &Value) -> Result<Value, &'static str> {
    stamped("shared", object, None, &by_labels()).map(|(_, after)| after)
}

fn update(old: &Value, new: &Value) -> Result<Value, &'static str> {
    stamped("shared", new, Some(old), &by_labels()).map(|(_, after)| after)
}

fn inject_by(requester: &str, pod: &Value) -> Result<Outcome, Denial> {
    let shelves = shelves([project("env", "team", &["T"])]);
    inject_with(requester, NAMESPACE, pod, &shelves, &by_labels())
}

#[rstest]
#[case::of_alice("alice-982b", Some(ALICE), "user-id")]
#[case::of_bob("bob-982b", Some(BOB), "user-id")]
#[case::of_nobody("", None, "no-user-id")]
fn a_pod_is_whose_label_it_has(
    #[case] user_id: &str,
    #[case] expected: Option<&str>,
    #[case] rule: &str,
) {
    let pod = of(user_id, pod(json!({})));
    let outcome = inject_by("shared", &pod).expect("no denial");
    assert_eq!(outcome.owner.as_deref(), expected);
    assert_eq!(outcome.env_from("containers", 0), ["team"]);

    let text = pod.to_string();
    let view: Pod<'_> = serde_json::from_str(&text).expect("a pod");
    let request = Request {
        requester: "shared",
        person: expected,
        groups: &[],
        namespace: NAMESPACE,
    };
    let Ownership::Known(owner) = owner::of_pod(request, &view, None, &by_labels()) else {
        panic!("not known")
    };
    assert_eq!(owner.rule.as_str(), rule);
}

/// The label counts where it was chosen to, and nowhere else.
#[test]
fn a_label_is_nothing_where_usernames_count() {
    let pod = of("bob-982b", pod(json!({})));
    let outcome = inject(&pod, &shelves([user("env", "token", &["T"])]));
    assert_eq!(outcome.owner.as_deref(), Some("alice"));
    let job_set = of("bob-982b", job_set());
    let (_, after) = stamped("alice", &job_set, None, &Settings::default()).expect("a stamp");
    assert_eq!(names(&after), ["alice", "alice"]);
}

#[rstest]
#[case::of_bob("bob-982b")]
#[case::of_nobody("")]
fn a_pod_cannot_name_another(#[case] user_id: &str) {
    let pod = annotated(of(user_id, pod(json!({}))), "keyporter.dev/owner", ALICE);
    let denial = inject_by("shared", &pod).expect_err("a denial");
    assert_eq!(denial.as_str(), "foreign-stamp");
}

#[test]
fn a_controllers_pod_is_whom_its_proved_stamp_names() {
    let pod = labelled(of_job(pod(json!({})), ALICE), USER_ID, "bob-982b");
    let outcome = inject_by(JOB_CONTROLLER, &pod).expect("no denial");
    assert_eq!(outcome.owner.as_deref(), Some(ALICE));
    let unproved = annotated(pod, "keyporter.dev/owner-proof", "v1.1.AAAA");
    let outcome = inject_by(JOB_CONTROLLER, &unproved).expect("no denial");
    assert_eq!(outcome.owner, None);
}

#[test]
fn a_workload_gets_the_name_that_its_own_label_stands_for() {
    let after = create(&of("alice-982b", job_set())).expect("a stamp");
    assert_eq!(names(&after), [ALICE, ALICE]);
    assert_eq!(create(&job_set()), Err("no-user-id"));
    let mut on_template = job_set();
    on_template["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["metadata"] =
        json!({"labels": {USER_ID: "alice-982b"}});
    assert_eq!(create(&on_template), Err("no-user-id"));
}

#[test]
fn whoever_changes_the_template_is_whose_label_is_there_then() {
    let old = create(&of("alice-982b", job_set())).expect("a stamp");
    // The label alone changes nothing.
    let relabelled = labelled(old.clone(), USER_ID, "bob-982b");
    assert_eq!(update(&old, &relabelled), Err("already-stamped"));
    let after = update(&old, &changed(relabelled)).expect("a stamp");
    assert_eq!(names(&after), [BOB, BOB]);
    let after = update(&old, &changed(labelled(old.clone(), USER_ID, "")));
    assert_eq!(names(&after.expect("a patch")), ["", ""]);
    // A client that writes whole objects drops what keyporter wrote.
    assert_eq!(
        update(&old, &of("alice-982b", job_set())).map(|after| names(&after).map(str::to_owned)),
        Ok([ALICE, ALICE].map(str::to_owned))
    );
    let without = update(&old, &changed(job_set()));
    assert!(
        without
            .as_ref()
            .map_or(true, |after| names(after) == ["-", "-"]),
        "{without:?}"
    );
}

/// There is nobody to be asked about: nobody is called by a hash.
#[test]
fn another_name_is_refused_without_a_question() {
    let forged = annotated(of("bob-982b", job_set()), "keyporter.dev/owner", ALICE);
    let (keys, settings, answers) = (keys(), by_labels(), Answers::default());
    let workload = WorkloadRequest {
        request: Request {
            requester: "shared",
            person: Some(BOB),
            groups: &[],
            namespace: NAMESPACE,
        },
        object: Object {
            kind: Kind::new("jobset.x-k8s.io/v1alpha2", "JobSet"),
            name: "train",
            generate_name: "",
        },
        new: &forged,
        old: None,
        proofs: Some(Proofs {
            keys: &keys,
            namespace: NAMESPACE_UID,
        }),
        answers: &answers,
    };
    let Stamping::Deny(denial) = stamp(workload, &settings) else {
        panic!("not refused")
    };
    assert_eq!(denial.as_str(), "foreign-stamp");
}

/// `owner` of a Secret by its label, and where usernames count.
#[rstest]
#[case::konduktors(konduktors(ALICE).annotation("keyporter.dev/owner", "shared"), Some(ALICE), Some("shared"))]
#[case::older_than_keyporter(konduktors(ALICE), Some(ALICE), None)]
#[case::no_hash(konduktors("alice").annotation("keyporter.dev/owner", "shared"), Some("shared"), Some("shared"))]
#[case::ours(user("env", "x", &["K"]).label("trainy.ai/secret-owner", BOB), Some(BOB), Some("alice"))]
#[case::ours_with_its_owner_id(
    user("env", "x", &["K"])
        .label("keyporter.dev/owner-id", "2bd806c97f0e00af1a1fc3328fa763a9")
        .label("trainy.ai/secret-owner", BOB),
    Some(BOB),
    Some("alice")
)]
#[case::ours_without(user("env", "x", &["K"]), Some("alice"), Some("alice"))]
#[case::a_projects(project("env", "x", &["K"]).label("trainy.ai/secret-owner", BOB), None, None)]
fn secrets(
    #[case] secret: Description,
    #[case] by_label: Option<&str>,
    #[case] by_name: Option<&str>,
) {
    for (identity, expected) in [
        (Identity::Konduktor, by_label),
        (Identity::Authenticated, by_name),
    ] {
        let read = secret
            .clone()
            .read_by(identity)
            .expect("one of keyporter's");
        let owner = match read {
            Ok(secret) => secret.owner,
            Err(broken) => {
                assert_eq!(broken.problem, Problem::NoOwner);
                broken.owner
            }
        };
        assert_eq!(owner.as_deref(), expected, "{identity:?}");
    }
}

fn konduktors(hash: &str) -> Description {
    plain("wandb-bc65ee65", &["WANDB_TOKEN"])
        .label("parent", "konduktor")
        .label("trainy.ai/secret-owner", hash)
        .label("trainy.ai/secret-basename", "wandb")
        .label("trainy.ai/secret-kind", "env")
}
