//! The owner that is written into a Secret: what the policy keyporter-secret-owner-stamp would write.

use keyporter::inject::Skip;
use keyporter::inject::marks::Marks;
use keyporter::inject::secret_stamp::{SecretRequest, stamp};
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::applied;

/// The Secret after alice's request, or why it stays as it is.
fn stamped(new: &Value, old: Option<&Value>) -> Result<Value, Skip> {
    stamped_as("alice", new, old)
}

fn stamped_as(requester: &str, new: &Value, old: Option<&Value>) -> Result<Value, Skip> {
    let (new_text, old_text) = (new.to_string(), old.map(Value::to_string));
    let new_marks: Marks<'_> = serde_json::from_str(&new_text).expect("a Secret");
    let old_marks: Option<Marks<'_>> = old_text
        .as_deref()
        .map(|text| serde_json::from_str(text).expect("a Secret"));
    let stamp = stamp(SecretRequest {
        requester,
        new: &new_marks,
        old: old_marks.as_ref(),
    })?;
    Ok(applied(new, &json!(stamp.patch)))
}

fn secret(labels: Value, annotations: Value) -> Value {
    let mut secret = json!({"metadata": {"name": "s"}, "data": {"A": "dg=="}});
    for (field, map) in [("labels", labels), ("annotations", annotations)] {
        if !map.is_null() {
            secret["metadata"][field] = map;
        }
    }
    secret
}

fn ours() -> Value {
    json!({"keyporter.dev/kind": "env"})
}

fn konduktors() -> Value {
    json!({"parent": "konduktor", "trainy.ai/secret-kind": "env"})
}

fn shared() -> Value {
    json!({"keyporter.dev/kind": "env", "keyporter.dev/scope": "project"})
}

fn owner(name: &str) -> Value {
    json!({"keyporter.dev/owner": name})
}

#[rstest]
#[case::without_annotations(secret(ours(), Value::Null))]
#[case::with_no_annotation(secret(ours(), json!({})))]
#[case::with_another(secret(ours(), json!({"example.com/a~b": "x"})))]
#[case::with_an_empty_owner(secret(ours(), owner("")))]
#[case::konduktors(secret(konduktors(), Value::Null))]
#[case::with_an_empty_kind(secret(json!({"keyporter.dev/kind": ""}), Value::Null))]
#[case::with_an_unknown_scope(secret(json!({"keyporter.dev/kind": "env", "keyporter.dev/scope": "x"}), Value::Null))]
fn a_new_secret_is_the_requesters(#[case] new: Value) {
    let mut expected = new.clone();
    expected["metadata"]["annotations"]["keyporter.dev/owner"] = json!("alice");
    assert_eq!(stamped(&new, None), Ok(expected));
}

#[rstest]
#[case::a_name_stays(secret(ours(), owner("bob")), None, Skip::AlreadyStamped)]
#[case::a_projects(secret(shared(), Value::Null), None, Skip::NotConcerned)]
#[case::ordinary(secret(Value::Null, Value::Null), None, Skip::NotConcerned)]
#[case::another_parent(secret(json!({"parent": "helm"}), Value::Null), None, Skip::NotConcerned)]
#[case::an_old_one(
    secret(ours(), Value::Null),
    Some(secret(ours(), Value::Null)),
    Skip::NeverOwned
)]
#[case::an_empty_owner_before(
    secret(ours(), Value::Null),
    Some(secret(ours(), owner(""))),
    Skip::NeverOwned
)]
#[case::an_ordinary_one(
    secret(ours(), Value::Null),
    Some(secret(Value::Null, Value::Null)),
    Skip::NeverOwned
)]
#[case::a_projects_name(
    secret(ours(), Value::Null),
    Some(secret(shared(), owner("alice"))),
    Skip::NeverOwned
)]
#[case::the_name_changes(
    secret(ours(), owner("bob")),
    Some(secret(ours(), owner("alice"))),
    Skip::AlreadyStamped
)]
fn others_stay_as_they_are(#[case] new: Value, #[case] old: Option<Value>, #[case] skip: Skip) {
    assert_eq!(stamped(&new, old.as_ref()), Err(skip));
}

#[rstest]
#[case::dropped(secret(ours(), Value::Null), secret(ours(), owner("bob")))]
#[case::emptied(secret(ours(), owner("")), secret(ours(), owner("bob")))]
#[case::without_labels_before(secret(ours(), Value::Null), secret(Value::Null, owner("bob")))]
#[case::moved_to_konduktors_label(secret(konduktors(), Value::Null), secret(ours(), owner("bob")))]
fn the_owner_stays_through_a_change(#[case] new: Value, #[case] old: Value) {
    let after = stamped(&new, Some(&old)).expect("a stamp");
    assert_eq!(
        after["metadata"]["annotations"]["keyporter.dev/owner"],
        "bob"
    );
}

#[test]
fn kubernetes_itself_owns_nothing() {
    let requester = "system:kube-controller-manager";
    let outcome = stamped_as(requester, &secret(ours(), Value::Null), None);
    assert_eq!(outcome, Err(Skip::KubernetesItself));
}
