//! The stamp on workloads: who is written, where, and what leaves it as it is.

use keyporter::inject::object::{Kind, Object};
use keyporter::inject::proof::{KEY_LENGTH, Key, Keys, Proofs};
use keyporter::inject::settings::Settings;
use keyporter::inject::stamp::{Answers, Stamping, WorkloadRequest, stamp};
use keyporter::inject::template;
use keyporter::inject::{Request, identity};
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

const DEPLOYMENT_CONTROLLER: &str = "system:serviceaccount:kube-system:deployment-controller";
const CRONJOB_CONTROLLER: &str = "system:serviceaccount:kube-system:cronjob-controller";

/// The uid of [`NAMESPACE`].
pub(crate) const NAMESPACE_UID: &str = "4c4b2a5e-0000-4000-8000-000000000001";

/// The keys of this keyporter.
pub(crate) fn keys() -> Keys {
    Keys::single(Key::new([1; KEY_LENGTH]))
}

/// What a change is decided with, beside the object.
#[derive(Clone, Copy)]
struct Circumstances<'a> {
    settings: &'a Settings,
    keys: &'a Keys,
    namespace_uid: &'a str,
    /// For whom the requester may act.
    acts_for: &'a [&'a str],
    /// The owner of the object that this one was made from.
    followed: Option<&'a str>,
}

/// Decides, answering what is asked for.
fn decided<T>(
    requester: &str,
    new: &Value,
    old: Option<&Value>,
    with: Circumstances<'_>,
    told: impl FnOnce(Stamping<'_>) -> T,
) -> T {
    let mut answers = Answers::default();
    let person = with
        .settings
        .identity
        .person(requester, identity::user_id(new));
    loop {
        let text = |pointer| new.pointer(pointer).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or_default();
        let workload = WorkloadRequest {
            request: Request {
                requester,
                person: person.as_deref(),
                groups: &[],
                namespace: NAMESPACE,
            },
            object: Object {
                kind: Kind::new(text("/apiVersion").unwrap_or_default(), kind),
                name: text("/metadata/name").unwrap_or_default(),
                generate_name: text("/metadata/generateName").unwrap_or_default(),
            },
            new,
            old,
            proofs: Some(Proofs {
                keys: with.keys,
                namespace: with.namespace_uid,
            }),
            answers: &answers,
        };
        match stamp(workload, with.settings) {
            Stamping::Ask(names) => {
                let answer = |name: &str| (name.to_owned(), with.acts_for.contains(&name));
                answers.acts_for = names.into_iter().map(answer).collect();
            }
            Stamping::Follow(_) => answers.followed = with.followed.map(ToOwned::to_owned).into(),
            decided => return told(decided),
        }
    }
}

fn after(new: &Value, stamping: Stamping<'_>) -> Result<(Value, Value), &'static str> {
    match stamping {
        Stamping::Skip(skip) => Err(skip.as_str()),
        Stamping::Deny(denial) => Err(denial.as_str()),
        Stamping::Stamp(stamp) => {
            let patch = serde_json::to_value(&stamp.patch).expect("a patch is JSON");
            let after = applied(new, &patch);
            Ok((patch, after))
        }
        Stamping::Ask(_) | Stamping::Follow(_) => Err("asked again"),
    }
}

/// The patch and the object after it, or the word for why there is none.
pub(crate) fn stamped(
    requester: &str,
    new: &Value,
    old: Option<&Value>,
    settings: &Settings,
) -> Result<(Value, Value), &'static str> {
    let keys = keys();
    let with = Circumstances {
        settings,
        keys: &keys,
        namespace_uid: NAMESPACE_UID,
        acts_for: &[],
        followed: None,
    };
    decided(requester, new, old, with, |stamping| after(new, stamping))
}

/// The same by somebody who may act for others.
fn stamped_by_one_who_may(
    acts_for: &[&str],
    requester: &str,
    new: &Value,
    old: Option<&Value>,
) -> Result<Value, &'static str> {
    let (keys, settings) = (keys(), Settings::default());
    let with = Circumstances {
        settings: &settings,
        keys: &keys,
        namespace_uid: NAMESPACE_UID,
        acts_for,
        followed: None,
    };
    decided(requester, new, old, with, |stamping| after(new, stamping)).map(|(_, after)| after)
}

fn create(requester: &str, object: &Value) -> Result<Value, &'static str> {
    stamped(requester, object, None, &Settings::default()).map(|(_, after)| after)
}

fn update(requester: &str, old: &Value, new: &Value) -> Result<Value, &'static str> {
    stamped(requester, new, Some(old), &Settings::default()).map(|(_, after)| after)
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "train"}}, "spec": {"containers": [container("main")]}})
}

/// A workload of every kind, unstamped.
fn workload(kind: &str) -> Value {
    let spec = match kind {
        "CronJob" => {
            json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template()}}})
        }
        "JobSet" => json!({"replicatedJobs": [
            {"name": "driver", "template": {"spec": {"template": template()}}},
            {"name": "workers", "template": {"spec": {"template": template()}}},
        ]}),
        _ => json!({"replicas": 1, "template": template()}),
    };
    let version = match kind {
        "JobSet" => "jobset.x-k8s.io/v1alpha2",
        "Job" | "CronJob" => "batch/v1",
        "ReplicationController" => "v1",
        _ => "apps/v1",
    };
    let metadata = json!({"name": "train", "namespace": NAMESPACE});
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

fn stamp_at(object: &Value, pointer: &str) -> Option<String> {
    let owner = object.pointer(&format!(
        "{pointer}/metadata/annotations/keyporter.dev~1owner"
    ))?;
    owner.as_str().map(ToOwned::to_owned)
}

/// The stamps of the object and of each of its templates.
fn stamps(object: &Value) -> Vec<Option<String>> {
    let templates = template::find(object);
    let pointers = templates.iter().map(|template| template.pointer.as_str());
    std::iter::once("")
        .chain(pointers)
        .map(|pointer| stamp_at(object, pointer))
        .collect()
}

#[track_caller]
fn belongs_to(object: &Value, owner: &str) {
    let stamps = stamps(object);
    assert!(stamps.len() > 1, "no template in {object}");
    assert!(
        stamps.iter().all(|stamp| stamp.as_deref() == Some(owner)),
        "{stamps:?}"
    );
}

fn of(owner: &str, kind: &str) -> Value {
    create(owner, &workload(kind)).expect("a stamp")
}

/// Changes what each template's first container runs.
fn changed(object: &Value) -> Value {
    let mut changed = object.clone();
    let pointers: Vec<_> = template::find(object)
        .into_iter()
        .map(|template| template.pointer)
        .collect();
    for pointer in pointers {
        let template = changed.pointer_mut(&pointer).expect("a template");
        template["spec"]["containers"][0]["image"] = json!("other");
    }
    changed
}

/// Takes our annotations off, as server-side apply and `replace` do.
fn without_stamps(object: &Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, _| !name.starts_with("keyporter.dev/owner"));
                members.values_mut().for_each(strip);
            }
            Value::Array(entries) => entries.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut object = object.clone();
    strip(&mut object);
    object
}

const KINDS: [&str; 8] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "JobSet",
];

#[test]
fn a_new_one_belongs_to_who_creates_it() {
    for kind in KINDS {
        belongs_to(&of("alice", kind), "alice");
    }
}

#[test]
fn the_second_pass_is_a_skip() {
    for kind in KINDS {
        let once = of("alice", kind);
        assert_eq!(create("alice", &once), Err("already-stamped"), "{kind}");
    }
}

/// Nobody makes pods from it, and what is written into the object's own annotations may take its place.
#[rstest]
#[case::in_metadata(json!({"template": template()}))]
#[case::in_annotations(json!({"annotations": {"keyporter.dev/owner": {"template": template()}}}))]
fn a_template_in_the_objects_own_metadata_is_none(#[case] metadata: Value) {
    let mut deployment = workload("Deployment");
    deployment["metadata"] = metadata;
    let after = create("alice", &deployment).expect("a stamp that applies");
    belongs_to(&after, "alice");
    let inner = &after["metadata"]["template"];
    assert!(inner.is_null() || *inner == template(), "{inner}");
    assert_eq!(create("alice", &after), Err("already-stamped"));
}

#[test]
fn a_template_without_metadata_gets_some() {
    let mut deployment = workload("Deployment");
    for metadata in [
        json!(null),
        json!({}),
        json!({"annotations": null}),
        json!({"annotations": {}}),
    ] {
        deployment["spec"]["template"]["metadata"] = metadata;
        belongs_to(&create("alice", &deployment).unwrap(), "alice");
    }
    deployment["spec"]["template"]
        .as_object_mut()
        .unwrap()
        .remove("metadata");
    belongs_to(&create("alice", &deployment).unwrap(), "alice");
}

#[test]
fn scaling_by_another_keeps_it() {
    for kind in KINDS {
        let old = of("alice", kind);
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(3);
        new["metadata"]["labels"] = json!({"by": "bob"});
        assert_eq!(update("bob", &old, &new), Err("already-stamped"), "{kind}");
    }
}

#[test]
fn a_changed_template_belongs_to_who_changed_it() {
    for kind in KINDS {
        let old = of("alice", kind);
        belongs_to(&update("bob", &old, &changed(&old)).expect(kind), "bob");
    }
}

#[test]
fn one_changed_template_of_several_is_enough() {
    let old = of("alice", "JobSet");
    let mut new = old.clone();
    new["spec"]["replicatedJobs"][1]["template"]["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("other");
    belongs_to(&update("bob", &old, &new).unwrap(), "bob");
}

#[test]
fn an_added_template_is_a_change() {
    let old = of("alice", "JobSet");
    let mut new = old.clone();
    let added = json!({"name": "late", "template": {"spec": {"template": template()}}});
    new["spec"]["replicatedJobs"]
        .as_array_mut()
        .unwrap()
        .push(added);
    belongs_to(&update("bob", &old, &new).unwrap(), "bob");
}

#[rstest]
#[case::a_restart("kubectl.kubernetes.io/restartedAt")]
#[case::a_choice_of_containers("keyporter.dev/containers")]
#[case::a_choice_of_a_secret("keyporter.dev/auth-secret")]
fn an_annotation_in_the_template_is_a_change(#[case] name: &str) {
    let old = of("alice", "Deployment");
    let mut new = old.clone();
    new["spec"]["template"]["metadata"]["annotations"][name] = json!("x");
    belongs_to(&update("bob", &old, &new).unwrap(), "bob");
}

#[test]
fn an_apply_that_drops_our_annotations_has_them_put_back() {
    for kind in KINDS {
        let old = of("alice", kind);
        let new = without_stamps(&old);
        belongs_to(&update("bob", &old, &new).expect(kind), "alice");
    }
}

#[test]
fn an_apply_that_drops_the_templates_metadata_with_them_is_no_change() {
    let mut unstamped = workload("Deployment");
    unstamped["spec"]["template"]
        .as_object_mut()
        .unwrap()
        .remove("metadata");
    let old = create("alice", &unstamped).unwrap();
    for metadata in [
        None,
        Some(json!(null)),
        Some(json!({})),
        Some(json!({"annotations": {}, "creationTimestamp": null})),
    ] {
        let mut new = old.clone();
        let template = new["spec"]["template"].as_object_mut().unwrap();
        template.remove("metadata");
        template.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
        belongs_to(&update("bob", &old, &new).unwrap(), "alice");
    }
}

#[test]
fn an_unstamped_one_that_does_not_change_stays_unstamped() {
    for kind in KINDS {
        let old = workload(kind);
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(3);
        assert_eq!(
            update("bob", &old, &new),
            Err("template-unchanged"),
            "{kind}"
        );
    }
}

#[test]
fn an_unstamped_one_whose_template_changes_belongs_to_who_changed_it() {
    let old = workload("Deployment");
    belongs_to(&update("bob", &old, &changed(&old)).unwrap(), "bob");
}

/// Another name on the object, and one on the template.
fn forgeries(object: &Value, name: &str) -> Vec<Value> {
    let forge = |pointer: &str| {
        let mut forged = object.clone();
        let place = forged.pointer_mut(pointer).expect("a place");
        if place.get("metadata").is_none() {
            place["metadata"] = json!({});
        }
        place["metadata"]["annotations"]["keyporter.dev/owner"] = json!(name);
        forged
    };
    vec![forge(""), forge("/spec/template")]
}

#[test]
fn another_name_is_refused_on_create() {
    for forged in forgeries(&workload("Deployment"), "alice") {
        assert_eq!(create("mallory", &forged), Err("foreign-stamp"));
        belongs_to(&create("alice", &forged).unwrap(), "alice");
    }
}

#[test]
fn another_name_is_refused_on_update() {
    for old in [
        of("mallory", "Deployment"),
        of("bob", "Deployment"),
        workload("Deployment"),
    ] {
        for forged in forgeries(&old, "alice") {
            assert_eq!(update("mallory", &old, &forged), Err("foreign-stamp"));
            assert_eq!(
                update("mallory", &old, &changed(&forged)),
                Err("foreign-stamp")
            );
        }
    }
}

#[test]
fn who_may_act_for_another_names_them() {
    let old = of("admin", "Deployment");
    for forged in forgeries(&workload("Deployment"), "alice") {
        let after = stamped_by_one_who_may(&["alice"], "admin", &forged, None).unwrap();
        assert!(stamps(&after).contains(&Some("alice".to_owned())));
        assert_eq!(
            stamped_by_one_who_may(&["bob"], "admin", &forged, None),
            Err("foreign-stamp")
        );
    }
    for forged in forgeries(&old, "alice") {
        let after = stamped_by_one_who_may(&["alice"], "admin", &changed(&forged), Some(&old));
        assert!(stamps(&after.unwrap()).contains(&Some("alice".to_owned())));
    }
}

#[test]
fn who_acts_for_another_keeps_doing_so() {
    // As a deployer does that sends the name along with each version.
    let old = of("alice", "Deployment");
    let new = changed(&old);
    let after = stamped_by_one_who_may(&["alice"], "deployer", &new, Some(&old));
    assert_eq!(after, Err("already-stamped"));
    belongs_to(&update("deployer", &old, &new).unwrap(), "deployer");
    // Who does not send it, changes it.
    let after = stamped_by_one_who_may(&["alice"], "deployer", &without_stamps(&new), Some(&old));
    belongs_to(&after.unwrap(), "deployer");
}

#[test]
fn a_copy_of_stamp_and_proof_to_another_object_is_refused() {
    let alices = of("alice", "Deployment");
    let mut renamed = alices.clone();
    renamed["metadata"]["name"] = json!("other");
    let mut of_another_kind = alices.clone();
    of_another_kind["kind"] = json!("StatefulSet");
    for copy in [&renamed, &of_another_kind] {
        assert_eq!(create("mallory", copy), Err("foreign-stamp"));
    }
    // What keyporter wrote on this very object is brought along by a rollback, and replaced.
    belongs_to(&create("mallory", &alices).unwrap(), "mallory");
}

#[test]
fn a_rollback_belongs_to_who_rolls_back() {
    // kubectl copies template and annotations of the old ReplicaSet, with the stamp of whoever made that.
    let first = of("alice", "Deployment");
    let second = update("bob", &first, &changed(&first)).unwrap();
    belongs_to(&update("carol", &second, &first).unwrap(), "carol");
}

#[test]
fn a_job_made_by_hand_from_anothers_cron_job_belongs_to_who_made_it() {
    // As kubectl makes it, with an owner reference to the CronJob.
    belongs_to(
        &create("bob", &made_from(&of("alice", "CronJob"))).unwrap(),
        "bob",
    );
}

#[rstest]
#[case::on_the_template(true)]
#[case::on_the_object(false)]
fn somebody_may_take_over_in_their_own_name(#[case] template: bool) {
    let old = of("alice", "Deployment");
    let pointer = if template { "/spec/template" } else { "" };
    let annotation = format!("{pointer}/metadata/annotations/keyporter.dev~1owner");
    let mut new = old.clone();
    *new.pointer_mut(&annotation).unwrap() = json!("bob");
    let after = update("bob", &old, &new).unwrap_or(new);
    assert_eq!(stamp_at(&after, pointer).as_deref(), Some("bob"));
}

/// The Job that is made from a CronJob.
fn made_from(cron_job: &Value) -> Value {
    let mut job = workload("Job");
    job["metadata"]["name"] = json!("train-29012345");
    job["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "name": "train", "uid": "7", "controller": true,
    }]);
    job["spec"]["template"] = cron_job["spec"]["jobTemplate"]["spec"]["template"].clone();
    job
}

/// The ReplicaSet that is made from a Deployment.
fn rolled_out(deployment: &Value) -> Value {
    let mut replica_set = workload("ReplicaSet");
    replica_set["metadata"] = json!({
        "name": "train-6d4f8b7c9d",
        "annotations": deployment["metadata"]["annotations"],
        "labels": {"pod-template-hash": "6d4f8b7c9d"},
        "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "train", "uid": "7", "controller": true,
        }],
    });
    replica_set["spec"]["template"] = deployment["spec"]["template"].clone();
    replica_set
}

fn proof_at(object: &Value, pointer: &str) -> Value {
    let annotation = format!("{pointer}/metadata/annotations/keyporter.dev~1owner-proof");
    object.pointer(&annotation).cloned().unwrap_or_default()
}

#[test]
fn what_a_controller_makes_belongs_to_whom_the_template_names() {
    let cron_job = of("alice", "CronJob");
    let job = create(CRONJOB_CONTROLLER, &made_from(&cron_job)).unwrap();
    belongs_to(&job, "alice");
    // With a proof of its own, which does for its pods.
    let template = "/spec/template";
    assert_ne!(
        proof_at(&job, template),
        proof_at(&cron_job, "/spec/jobTemplate/spec/template")
    );
    assert_eq!(create(CRONJOB_CONTROLLER, &job), Err("already-stamped"));
}

/// What rolls it out would see a difference, and make another.
#[test]
fn a_replica_set_that_is_rolled_out_is_left_as_it_is() {
    let replica_set = rolled_out(&of("alice", "Deployment"));
    assert_eq!(
        create(DEPLOYMENT_CONTROLLER, &replica_set),
        Err("already-stamped")
    );
    let mut scaled = replica_set.clone();
    scaled["spec"]["replicas"] = json!(3);
    assert_eq!(
        update(DEPLOYMENT_CONTROLLER, &replica_set, &scaled),
        Err("already-stamped")
    );
    let unstamped = rolled_out(&workload("Deployment"));
    assert_eq!(
        create(DEPLOYMENT_CONTROLLER, &unstamped),
        Err("controllers-object")
    );
}

/// A name that nothing proves stays as worthless as it is.
#[rstest]
#[case::another_owner("/spec/template/metadata/annotations/keyporter.dev~1owner", json!("bob"))]
#[case::no_proof("/spec/template/metadata/annotations/keyporter.dev~1owner-proof", json!(null))]
#[case::another_cron_job("/metadata/ownerReferences/0/name", json!("other"))]
#[case::another_kind("/metadata/ownerReferences/0/kind", json!("Deployment"))]
#[case::no_controller("/metadata/ownerReferences", json!(null))]
fn what_a_controller_makes_from_an_unproved_template(#[case] pointer: &str, #[case] value: Value) {
    let mut job = made_from(&of("alice", "CronJob"));
    *job.pointer_mut(pointer).expect("a place") = value;
    assert_eq!(create(CRONJOB_CONTROLLER, &job), Err("controllers-object"));
}

#[test]
fn a_proof_is_worth_nothing_in_another_namespace_and_under_another_key() {
    let job = made_from(&of("alice", "CronJob"));
    let (settings, keys) = (Settings::default(), keys());
    let other = Keys::single(Key::new([2; KEY_LENGTH]));
    for (keys, namespace_uid) in [(&keys, "another"), (&other, NAMESPACE_UID)] {
        let with = Circumstances {
            settings: &settings,
            keys,
            namespace_uid,
            acts_for: &[],
            followed: None,
        };
        let outcome = decided(CRONJOB_CONTROLLER, &job, None, with, |stamping| {
            after(&job, stamping)
        });
        assert_eq!(outcome, Err("controllers-object"));
    }
}

#[test]
fn a_rotated_key_keeps_honest_stamps() {
    let cron_job = of("alice", "CronJob");
    let rotated = Keys::new(vec![
        (1, Key::new([1; KEY_LENGTH])),
        (2, Key::new([2; KEY_LENGTH])),
    ])
    .unwrap();
    let settings = Settings::default();
    let with = Circumstances {
        settings: &settings,
        keys: &rotated,
        namespace_uid: NAMESPACE_UID,
        acts_for: &[],
        followed: None,
    };
    let made = made_from(&cron_job);
    let (_, job) = decided(CRONJOB_CONTROLLER, &made, None, with, |stamping| {
        after(&made, stamping)
    })
    .unwrap();
    belongs_to(&job, "alice");
    assert!(proof_at(&job, "").as_str().unwrap().starts_with("v1.2."));
    // What is rolled out anyway is signed anew, so that the old key can go; nothing is rolled out for that alone.
    let restarted = changed(&cron_job);
    let (_, restarted) = decided("alice", &restarted, Some(&cron_job), with, |stamping| {
        after(&restarted, stamping)
    })
    .unwrap();
    belongs_to(&restarted, "alice");
    for pointer in ["", "/spec/jobTemplate/spec/template"] {
        let proof = proof_at(&restarted, pointer);
        assert!(proof.as_str().unwrap().starts_with("v1.2."), "{pointer}");
    }
    let again = decided("alice", &cron_job, Some(&cron_job), with, |stamping| {
        after(&cron_job, stamping)
    });
    assert_eq!(again, Err("already-stamped"));
}

/// Settings with an operator for a kind of its own.
fn with_operator() -> Settings {
    let mut settings = Settings::default();
    settings
        .trust
        .user(format!("{OPERATOR}=Training.example.com").parse().unwrap());
    settings
}

const OPERATOR: &str = "system:serviceaccount:training-system:operator";

fn training() -> Value {
    json!({
        "apiVersion": "example.com/v1",
        "kind": "Training",
        "metadata": {"name": "train", "namespace": NAMESPACE},
        "spec": {"entrypoint": "train.py", "workers": {"replicas": 2}, "suspend": false},
    })
}

#[test]
fn an_object_without_templates_is_stamped_where_something_makes_pods_from_it() {
    let (_, training) = stamped("alice", &training(), None, &with_operator()).unwrap();
    assert_eq!(stamp_at(&training, "").as_deref(), Some("alice"));
    assert_eq!(create("alice", &self::training()), Err("no-pod-template"));
}

#[test]
fn what_an_operator_makes_without_a_stamp_is_its_objects_owners() {
    let (settings, keys) = (with_operator(), keys());
    let mut job = workload("Job");
    job["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "example.com/v1", "kind": "Training", "name": "train", "uid": "7", "controller": true,
    }]);
    let with = Circumstances {
        settings: &settings,
        keys: &keys,
        namespace_uid: NAMESPACE_UID,
        acts_for: &[],
        followed: Some("alice"),
    };
    let (_, made) = decided(OPERATOR, &job, None, with, |stamping| after(&job, stamping)).unwrap();
    belongs_to(&made, "alice");
    // Not for anything else that it says it was made from.
    job["metadata"]["ownerReferences"][0]["kind"] = json!("Deployment");
    let outcome = decided(OPERATOR, &job, None, with, |stamping| after(&job, stamping));
    assert_eq!(outcome, Err("controllers-object"));
}

/// What pods of a custom resource do may stand anywhere in it; how many there are does not matter.
#[rstest]
#[case::the_entrypoint("/spec/entrypoint", json!("steal.py"), Some("bob"))]
#[case::the_number("/spec/workers/replicas", json!(9), Some("alice"))]
#[case::a_pause("/spec/suspend", json!(true), Some("alice"))]
#[case::a_label("/metadata/labels", json!({"a": "b"}), Some("alice"))]
#[case::the_status("/status", json!({"phase": "Running"}), Some("alice"))]
fn a_changed_custom_resource(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] owner: Option<&str>,
) {
    let settings = with_operator();
    let (_, old) = stamped("alice", &training(), None, &settings).unwrap();
    let mut new = old.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    new.pointer_mut(parent).unwrap()[name] = value;
    let after = stamped("bob", &new, Some(&old), &settings).map_or(new, |(_, after)| after);
    assert_eq!(stamp_at(&after, "").as_deref(), owner);
}

#[test]
fn a_trusted_controllers_templates_each_keep_their_own() {
    let mut settings = Settings::default();
    settings.trust.user(
        format!("{OPERATOR}=JobSet.jobset.x-k8s.io")
            .parse()
            .unwrap(),
    );
    let old = of("alice", "JobSet");
    let update = stamped(OPERATOR, &changed(&old), Some(&old), &settings);
    assert_eq!(update.map(|_| ()), Err("already-stamped"));
}

#[test]
fn a_trusted_controllers_unstamped_object_has_no_owner() {
    let object = workload("ReplicaSet");
    assert_eq!(
        create(DEPLOYMENT_CONTROLLER, &object),
        Err("controllers-object")
    );
    assert_eq!(
        update(DEPLOYMENT_CONTROLLER, &object, &changed(&object)),
        Err("controllers-object")
    );
}

#[test]
fn a_trusted_controllers_update_keeps_the_stamp() {
    let old = of("alice", "Deployment");
    assert_eq!(
        update(DEPLOYMENT_CONTROLLER, &old, &changed(&old)),
        Err("already-stamped")
    );
    for dropped in [without_stamps(&old), without_stamps(&changed(&old))] {
        belongs_to(
            &update(DEPLOYMENT_CONTROLLER, &old, &dropped).unwrap(),
            "alice",
        );
    }
}

#[test]
fn the_template_of_a_job_is_never_touched_by_an_update_that_leaves_it() {
    // It is immutable: the API server would refuse the update of whoever sets a label.
    let mut half = workload("Job");
    half["metadata"]["annotations"] = json!({"keyporter.dev/owner": "alice"});
    for old in [half, workload("Job"), of("alice", "Job")] {
        let mut new = old.clone();
        new["metadata"]["labels"] = json!({"a": "b"});
        for requester in ["alice", "bob", JOB_CONTROLLER] {
            let after = update(requester, &old, &new).unwrap_or_else(|_| new.clone());
            assert_eq!(after["spec"], old["spec"], "{requester}");
        }
    }
}

#[test]
fn a_wrong_opt_out_in_a_template_is_refused_where_its_author_sees_it() {
    let mut wrong = workload("CronJob");
    let labels = "/spec/jobTemplate/spec/template/metadata/labels";
    wrong.pointer_mut(labels).unwrap()["keyporter.dev/inject"] = json!("off");
    assert_eq!(create("alice", &wrong), Err("invalid-opt-out"));
    assert_eq!(
        update("alice", &workload("CronJob"), &wrong),
        Err("invalid-opt-out")
    );
    // Whoever scales or deletes one that is there already is not to blame for it.
    let mut scaled = wrong.clone();
    scaled["metadata"]["finalizers"] = json!([]);
    assert_eq!(update("bob", &wrong, &scaled), Err("template-unchanged"));
}

#[rstest]
#[case::a_config_map(json!({"kind": "ConfigMap", "data": {"template": "x"}}))]
#[case::nothing(json!({}))]
#[case::no_object(json!([{"template": {"spec": {"containers": []}}}]))]
#[case::a_text(json!("x"))]
fn objects_without_a_pod_template(#[case] object: Value) {
    assert_eq!(create("alice", &object), Err("no-pod-template"));
}

#[test]
fn excluded_namespaces_are_left_alone() {
    let mut settings = Settings::default();
    settings.excluded_namespaces.insert(NAMESPACE.to_owned());
    let skip = stamped("alice", &workload("Deployment"), None, &settings).unwrap_err();
    assert_eq!(skip, "excluded-namespace");
}

/// What the API server really sends.
#[rstest]
#[case("deployment-create-by-alice", Ok("alice"))]
#[case("job-create-generate-name-by-alice", Ok("alice"))]
#[case("deployment-rollout-restart-by-bob", Ok("bob"))]
#[case("deployment-server-side-apply-by-bob", Err("template-unchanged"))]
#[case("job-create-by-cronjob-controller", Err("controllers-object"))]
fn real_reviews(#[case] name: &str, #[case] expected: Result<&str, &str>) {
    let review = review(name);
    let request = &review["request"];
    let requester = request["userInfo"]["username"].as_str().unwrap();
    let old = Some(&request["oldObject"]).filter(|old| !old.is_null());
    let result = stamped(requester, &request["object"], old, &Settings::default());
    match (result, expected) {
        (Ok((_, after)), Ok(owner)) => belongs_to(&after, owner),
        (result, expected) => assert_eq!(result.map(|_| ""), expected.map(|_| "")),
    }
}

/// The same, had the Deployment been stamped before.
#[rstest]
#[case("deployment-rollout-restart-by-bob", "bob")]
#[case("deployment-server-side-apply-by-bob", "alice")]
fn real_updates_of_a_stamped_deployment(#[case] name: &str, #[case] owner: &str) {
    let review = review(name);
    let request = &review["request"];
    let old = create("alice", &request["oldObject"]).unwrap();
    belongs_to(&update("bob", &old, &request["object"]).unwrap(), owner);
}

/// What the requester of a change is told.
fn warnings(requester: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let (keys, settings) = (keys(), Settings::default());
    let with = Circumstances {
        settings: &settings,
        keys: &keys,
        namespace_uid: NAMESPACE_UID,
        acts_for: &[],
        followed: None,
    };
    decided(requester, new, old, with, |stamping| match stamping {
        Stamping::Stamp(stamp) => stamp.warnings.iter().map(ToString::to_string).collect(),
        _ => vec![],
    })
}

#[test]
fn whoever_changes_anothers_template_is_told() {
    let alices = create("alice", &workload("JobSet")).unwrap();
    let mut changed = alices.clone();
    let pointer = "/spec/replicatedJobs/0/template/spec/template/metadata/labels";
    changed.pointer_mut(pointer).unwrap()["app"] = json!("other");
    let told = warnings("bob", &changed, Some(&alices));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("\"bob\", no longer those of \"alice\""),
        "{told:?}"
    );
    assert_eq!(warnings("alice", &changed, Some(&alices)), [""; 0]);
    assert_eq!(
        warnings(DEPLOYMENT_CONTROLLER, &changed, Some(&alices)),
        [""; 0]
    );
}

#[test]
fn whoever_brings_anothers_name_along_is_told() {
    let told = warnings("bob", &made_from(&of("alice", "CronJob")), None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("\"alice\" is not believed"), "{told:?}");
    assert_eq!(warnings("alice", &workload("Job"), None), [""; 0]);
}
