//! A second secret of kind git-ssh.

use keyporter::inject::identity::Identity;
use keyporter::inject::marks::Marks;
use keyporter::inject::single_key::{owner_of_new, second};
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::{Describe, shelves, user};

const HASH: &str = "bc65ee65";

fn git(name: &str) -> keyporter::inject::secret::Description {
    user("git-ssh", name, &["gitkey"])
}

#[rstest]
#[case::ours(json!({"keyporter.dev/kind": "git-ssh"}), json!({}), Some("bob"))]
#[case::for_another(json!({"keyporter.dev/kind": "git-ssh"}), json!({"keyporter.dev/owner": "alice"}), Some("alice"))]
#[case::konduktors(json!({"parent": "konduktor", "trainy.ai/secret-kind": "git-ssh"}), json!({}), Some("bob"))]
#[case::konduktors_with_a_hash(
    json!({"parent": "konduktor", "trainy.ai/secret-kind": "git-ssh", "trainy.ai/secret-owner": HASH}),
    json!({"keyporter.dev/owner": "alice"}),
    Some("alice")
)]
#[case::a_projects(json!({"keyporter.dev/kind": "git-ssh", "keyporter.dev/scope": "project"}), json!({}), None)]
#[case::another_kind(json!({"keyporter.dev/kind": "env", "trainy.ai/secret-kind": "git-ssh"}), json!({}), None)]
#[case::nobodys(json!({"trainy.ai/secret-kind": "git-ssh"}), json!({}), None)]
fn owners(#[case] labels: Value, #[case] annotations: Value, #[case] expected: Option<&str>) {
    let hash = labels.get("trainy.ai/secret-owner");
    let secret = json!({"metadata": {"labels": labels, "annotations": annotations}}).to_string();
    let marks: Marks<'_> = serde_json::from_str(&secret).expect("a Secret");
    let owner = owner_of_new("bob", &marks, Identity::Authenticated);
    assert_eq!(owner, expected);
    // Where Konduktor's labels tell owners apart.
    let labelled = expected.map(|owner| if hash.is_some() { HASH } else { owner });
    assert_eq!(owner_of_new("bob", &marks, Identity::Konduktor), labelled);
}

#[test]
fn the_oldest_is_named_and_the_way_out() {
    let shelves = shelves([
        git("newer").made(2),
        git("git").object("git-2bd806c9").made(1),
        user("env", "token", &["TOKEN"]).made(0),
    ]);
    let denial = second("another", &shelves.user).expect("a denial");
    assert_eq!(
        denial.to_string(),
        "a second secret of kind git-ssh: pods of its owner use \"git\" (secret vision/git-2bd806c9) already; delete that \
         one first, or replace the key in it"
    );
}

#[test]
fn neither_a_broken_one_counts_nor_one_of_the_same_object_name() {
    let shelves = shelves([
        git("same"),
        user("git-ssh", "keyless", &["id_rsa"]),
        git("renamed").label("keyporter.dev/owner-id", "another"),
    ]);
    assert_eq!(shelves.user.broken.len(), 2);
    assert_eq!(second("same", &shelves.user), None);
    assert!(second("other", &shelves.user).is_some());
}
