//! The stamp on workloads: who is written, where, and what leaves it as it is.

use keyporter::inject::settings::Settings;
use keyporter::inject::stamp::{Stamping, WorkloadRequest, stamp};
use keyporter::inject::template;
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

const DEPLOYMENT_CONTROLLER: &str = "system:serviceaccount:kube-system:deployment-controller";
const CRONJOB_CONTROLLER: &str = "system:serviceaccount:kube-system:cronjob-controller";

/// The patch and the object after it, or the word for why there is none.
pub(crate) fn stamped(
    requester: &str,
    new: &Value,
    old: Option<&Value>,
    settings: &Settings,
) -> Result<(Value, Value), &'static str> {
    let request = WorkloadRequest {
        requester,
        namespace: NAMESPACE,
        new,
        old,
    };
    match stamp(request, settings) {
        Stamping::Skip(skip) => Err(skip.as_str()),
        Stamping::Deny(denial) => Err(denial.as_str()),
        Stamping::Stamp(stamp) => {
            let patch = serde_json::to_value(&stamp.patch).expect("a patch is JSON");
            let after = applied(new, &patch);
            Ok((patch, after))
        }
    }
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
    json!({"kind": kind, "metadata": {"name": "train", "namespace": NAMESPACE}, "spec": spec})
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
                members.retain(|name, _| name != "keyporter.dev/owner");
                if members
                    .get("annotations")
                    .is_some_and(|all| *all == json!({"keyporter.dev/owner": ""}))
                {
                    members.remove("annotations");
                }
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

#[test]
fn what_a_non_controller_writes_on_create_never_counts() {
    let mut forged = of("alice", "Deployment");
    belongs_to(&create("mallory", &forged).unwrap(), "mallory");
    forged["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    belongs_to(&create("mallory", &forged).unwrap(), "mallory");
}

#[test]
fn what_a_non_controller_writes_on_update_never_counts() {
    let old = of("mallory", "Deployment");
    let annotation = "/metadata/annotations/keyporter.dev~1owner";
    for pointer in [annotation.to_owned(), format!("/spec/template{annotation}")] {
        let mut forged = old.clone();
        *forged.pointer_mut(&pointer).unwrap() = json!("alice");
        belongs_to(&update("mallory", &old, &forged).unwrap(), "mallory");
        belongs_to(
            &update("mallory", &old, &changed(&forged)).unwrap(),
            "mallory",
        );
    }
    let forged = of("alice", "Deployment");
    belongs_to(&update("mallory", &old, &forged).unwrap(), "mallory");
    belongs_to(
        &update("mallory", &workload("Deployment"), &forged).unwrap(),
        "mallory",
    );
}

#[test]
fn another_who_writes_somebody_elses_name_changes_nothing() {
    let old = of("alice", "Deployment");
    belongs_to(
        &update("bob", &old, &of("carol", "Deployment")).unwrap(),
        "alice",
    );
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
    let cron_job = of("alice", "CronJob");
    let mut job = workload("Job");
    job["spec"]["template"] = cron_job["spec"]["jobTemplate"]["spec"]["template"].clone();
    belongs_to(&create("bob", &job).unwrap(), "bob");
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

#[test]
fn a_trusted_controller_keeps_what_the_template_carries() {
    let replica_set = json!({
        "kind": "ReplicaSet",
        "metadata": {"name": "train-1"},
        "spec": {"template": of("alice", "Deployment")["spec"]["template"]},
    });
    belongs_to(
        &create(DEPLOYMENT_CONTROLLER, &replica_set).unwrap(),
        "alice",
    );
    let mut job = workload("Job");
    job["spec"]["template"] =
        of("alice", "CronJob")["spec"]["jobTemplate"]["spec"]["template"].clone();
    belongs_to(&create(CRONJOB_CONTROLLER, &job).unwrap(), "alice");
}

#[test]
fn a_trusted_controllers_templates_each_keep_their_own() {
    let mut job_set = of("alice", "JobSet");
    let owner =
        "/spec/replicatedJobs/1/template/spec/template/metadata/annotations/keyporter.dev~1owner";
    *job_set.pointer_mut(owner).unwrap() = json!("bob");
    assert_eq!(
        create(DEPLOYMENT_CONTROLLER, &job_set),
        Err("already-stamped")
    );
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
fn system_namespaces_are_left_alone() {
    let object = workload("Deployment");
    let request = WorkloadRequest {
        requester: "alice",
        namespace: "kube-system",
        new: &object,
        old: None,
    };
    let Stamping::Skip(skip) = stamp(request, &Settings::default()) else {
        panic!("not a skip")
    };
    assert_eq!(skip.as_str(), "excluded-namespace");
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
    let request = WorkloadRequest {
        requester,
        namespace: NAMESPACE,
        new,
        old,
    };
    match stamp(request, &Settings::default()) {
        Stamping::Stamp(stamp) => stamp.warnings.iter().map(ToString::to_string).collect(),
        Stamping::Skip(_) | Stamping::Deny(_) => vec![],
    }
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
fn whoever_writes_anothers_name_is_told() {
    let mut job = workload("Job");
    job["metadata"]["annotations"] = json!({"keyporter.dev/owner": "alice"});
    let told = warnings("bob", &job, None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("\"alice\" is not believed"), "{told:?}");
    assert_eq!(warnings("alice", &workload("Job"), None), [""; 0]);
}
