//! Which Secrets are keyporter's, how they are read, and what is wrong with the others.

use keyporter::inject::name::owner_id;
use keyporter::inject::secret::{Description, Kind, Problem, Scope};
use rstest::rstest;
use serde_json::json;

use crate::builders::*;

#[rstest]
#[case("default", Kind::Default)]
#[case("env", Kind::Env)]
#[case("git-ssh", Kind::GitSsh)]
fn konduktors_objects_count_as_they_are(#[case] word: &str, #[case] kind: Kind) {
    let description = konduktors(word).annotation("keyporter.dev/owner", "alice");
    let secret = secret(description);
    assert_eq!(
        (
            secret.kind,
            secret.scope,
            &*secret.name,
            secret.owner.as_deref()
        ),
        (kind, Scope::User, "wandb", Some("alice"))
    );
}

fn konduktors(kind: &str) -> Description {
    plain("wandb-1a2b3c4d", &["gitkey", "payload.zip"])
        .label("parent", "konduktor")
        .label("trainy.ai/secret-owner", "1a2b3c4d")
        .label("trainy.ai/secret-basename", "wandb")
        .label("trainy.ai/secret-kind", kind)
}

#[test]
fn konduktors_object_without_an_owner_is_broken_until_it_is_adopted() {
    assert_eq!(broken(konduktors("env")).problem, Problem::NoOwner);
}

#[rstest]
#[case::nobodys(plain("x", &["K"]))]
#[case::another_parent(plain("x", &["K"]).label("parent", "me").label("trainy.ai/secret-kind", "env"))]
#[case::only_a_name(plain("x", &["K"]).label("keyporter.dev/name", "x"))]
fn other_secrets_are_none_of_ours(#[case] description: Description) {
    assert!(description.read().is_none());
}

/// It is known whose they are, and nobody gets them or hears of them.
#[rstest]
#[case::no_kind(plain("konduktor-ssh-keys-1a2b3c4d", &["PRIVKEY"]).label("parent", "konduktor"))]
#[case::empty(konduktors(""))]
#[case::of_aws(konduktors("S3"))]
#[case::of_google(konduktors("GCS"))]
#[case::in_small_letters(konduktors("s3"))]
fn what_konduktor_keeps_for_itself_is_its_owners_and_injected_nowhere(
    #[case] description: Description,
) {
    let description = description.annotation("keyporter.dev/owner", "alice");
    let broken = broken(description.clone());
    assert_eq!(
        (&broken.problem, broken.owner.as_deref()),
        (&Problem::KonduktorsOwn, Some("alice"))
    );
    let outcome = inject(&pod(json!({})), &shelves([description]));
    assert_eq!(outcome.skip().as_str(), "no-secrets");
    outcome.warns_nothing();
}

#[test]
fn our_label_decides_over_konduktors() {
    let description = konduktors("env")
        .label("keyporter.dev/kind", "default")
        .annotation("keyporter.dev/owner", "alice");
    let secret = secret(description);
    assert_eq!(
        (secret.kind, &*secret.name),
        (Kind::Default, "wandb-1a2b3c4d")
    );
}

#[rstest]
#[case::kind(user("opaque", "x", &["K"]), "unknown-kind")]
#[case::kind_in_capitals(user("ENV", "x", &["K"]), "unknown-kind")]
#[case::konduktors_kind(konduktors("vault"), "unknown-kind")]
#[case::a_store_as_our_kind(user("S3", "x", &["K"]), "unknown-kind")]
#[case::scope(user("env", "x", &["K"]).label("keyporter.dev/scope", "global"), "unknown-scope")]
#[case::injection(user("env", "x", &["K"]).annotation("keyporter.dev/injection", "manual"), "unknown-injection")]
#[case::name(user("env", "x", &["K"]).object("y").label("keyporter.dev/name", "z"), "ok")]
#[case::bad_name(user("env", "A_b", &["K"]), "bad-name")]
#[case::long_name(user("env", &"x".repeat(64), &["K"]), "bad-name")]
#[case::no_owner(plain("x", &["K"]).label("keyporter.dev/kind", "env"), "no-owner")]
#[case::empty_owner(plain("x", &["K"]).label("keyporter.dev/kind", "env").annotation("keyporter.dev/owner", ""), "no-owner")]
#[case::no_such_owner_id(user("env", "x", &["K"]).label("keyporter.dev/owner-id", "0000"), "owner-id-mismatch")]
#[case::bobs_owner_id(user("env", "x", &["K"]).label("keyporter.dev/owner-id", &owner_id("bob")), "owner-id-mismatch")]
#[case::its_owner_id(user("env", "x", &["K"]).label("keyporter.dev/owner-id", &owner_id("alice")), "ok")]
#[case::layout(user("default", "x", &["K"]).annotation("keyporter.dev/layout", "[]"), "bad-layout")]
#[case::executable_is_no_list(user("default", "x", &["K"]).annotation("keyporter.dev/executable", "K"), "bad-layout")]
#[case::layout_upwards(user("default", "x", &["K"]).layout(&json!({"K": "../../etc/passwd"})), "bad-layout")]
#[case::git_key(user("git-ssh", "x", &["id_rsa"]), "no-git-key")]
#[case::credentials(user("image-pull", "x", &["config.json"]), "no-pull-credentials")]
fn problems(#[case] description: Description, #[case] expected: &str) {
    let found = match description.read().unwrap() {
        Ok(_) => "ok",
        Err(broken) => broken.problem.as_str(),
    };
    assert_eq!(found, expected);
    assert!(expected == "ok" || Problem::WORDS.contains(&expected));
}

#[test]
fn a_project_secret_needs_no_owner_and_has_none() {
    let secret = secret(project("env", "x", &["K"]).annotation("keyporter.dev/owner", "alice"));
    assert_eq!((secret.scope, secret.owner), (Scope::Project, None));
}

#[test]
fn keys_are_sorted_and_each_stands_there_once() {
    // data and stringData of a file: a key may stand in both.
    let secret = secret(user("auth", "x", &["Z", "A", "M", "A"]));
    let keys: Vec<_> = secret.keys.iter().map(|key| &*key.name).collect();
    assert_eq!(keys, ["A", "M", "Z"]);
    assert!(keys.iter().all(|key| secret.has_key(key)) && !secret.has_key("B"));
}

#[test]
fn a_layout_of_a_secret_with_a_key_in_data_and_string_data_is_fine() {
    assert!(
        secret(user("default", "x", &["a", "a"]).layout(&json!({"a": "b"})))
            .layout
            .is_some()
    );
}

#[test]
fn broken_secrets_are_said_and_never_stop_the_others() {
    let shelves = shelves([
        user("git-ssh", "no-key", &["x"]),
        project("default", "bad-layout", &["x"]).annotation("keyporter.dev/layout", "x"),
        user("env", "Bad_Name", &["x"]),
        user("env", "token", &["T"]),
        project("default", "files", &["k"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.env_from("containers", 0), ["token"]);
    assert_eq!(outcome.mounts(0), ["/konduktor/default-secrets/files"]);
    for object in ["no-key", "bad-layout", "Bad_Name"] {
        outcome.warns(&[&format!("{object:?}"), "is not injected"]);
    }
}

#[test]
fn broken_secrets_alone_are_said_too() {
    let outcome = inject(
        &pod(json!({})),
        &shelves([user("git-ssh", "no-key", &["x"])]),
    );
    assert_eq!(outcome.skip().as_str(), "no-secrets");
    outcome.warns(&["no-key", "needs the key gitkey or ssh-privatekey"]);
}
