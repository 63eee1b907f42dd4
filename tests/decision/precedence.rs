//! Precedence across kinds: the pod's own, references, the user's, the project's; at equal rank the newer.

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

#[test]
fn the_users_folder_stands_before_the_projects_of_the_same_name() {
    let mine = user("default", "data", &["k"])
        .object("data-2bd806c9")
        .made(1);
    let shelves = shelves([mine, project("default", "data", &["k"]).made(30)]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(
        outcome.at("/spec/volumes/0/secret/secretName"),
        "data-2bd806c9"
    );
    assert_eq!(outcome.mounts(0), ["/konduktor/default-secrets/data"]);
    assert_eq!(
        outcome.passed_over,
        [(
            "data".into(),
            "the owner's data-2bd806c9 comes before it".into()
        )]
    );
    outcome.warns_nothing();
}

#[rstest]
#[case::made_later("2026-11-23T20:01:00Z", "2026-11-23T20:02:00Z", "two")]
#[case::made_earlier("2026-11-23T20:02:00Z", "2026-11-23T20:01:00Z", "one")]
#[case::in_the_same_second("2026-11-23T20:01:00Z", "2026-11-23T20:01:00Z", "two")]
#[case::from_files("", "", "two")]
fn at_equal_rank_the_newer_folder_wins_and_the_warning_names_both(
    #[case] one: &str,
    #[case] two: &str,
    #[case] winner: &str,
) {
    let secret = |object: &str, created: &str| {
        let mut secret = user("default", "data", &["k"]).object(object);
        secret.created = created.into();
        secret
    };
    for turned in [false, true] {
        let mut both = vec![secret("one", one), secret("two", two)];
        if turned {
            both.reverse();
        }
        let outcome = inject(&pod(json!({})), &shelves(both));
        assert_eq!(outcome.in_effect, [winner]);
        outcome.warns(&[
            "object one",
            "object two",
            "same folder",
            &format!("the newer, {winner},"),
        ]);
    }
}

fn auth_key(object: &str) -> Value {
    json!({"name": object, "key": "k", "optional": true})
}

/// `AUTH_SECRET` can come from an `env` secret, too.
#[rstest]
#[case::the_users_env(user("env", "e", &["AUTH_SECRET"]), project("auth", "a", &["k"]).made(50), "e", false)]
#[case::the_users_auth(project("env", "e", &["AUTH_SECRET"]).made(50), user("auth", "a", &["k"]), "a", false)]
#[case::the_newer_env(user("env", "e", &["AUTH_SECRET"]).made(2), user("auth", "a", &["k"]).made(1), "e", true)]
#[case::the_newer_auth(user("env", "e", &["AUTH_SECRET"]).made(1), user("auth", "a", &["k"]).made(2), "a", true)]
fn auth_against_env(
    #[case] env: keyporter::inject::secret::Description,
    #[case] auth: keyporter::inject::secret::Description,
    #[case] winner: &str,
    #[case] said: bool,
) {
    let outcome = inject(&pod(json!({})), &shelves([env, auth]));
    let variable = outcome.variable("AUTH_SECRET");
    if winner == "a" {
        assert_eq!(variable["valueFrom"]["secretKeyRef"], auth_key("a"));
    } else {
        assert_eq!(variable, &Value::Null);
    }
    assert_eq!(outcome.env_from("containers", 0), ["e"]);
    if said {
        outcome.warns(&["\"a\"", "\"e\"", "AUTH_SECRET"]);
    } else {
        outcome.warns_nothing();
    }
}

#[test]
fn a_named_auth_secret_stands_before_every_automatic_one() {
    let shelves = shelves([
        user("env", "e", &["AUTH_SECRET"]).made(50),
        project("auth", "a", &["k"]),
    ]);
    let pod = annotated(pod(json!({})), "keyporter.dev/auth-secret", "a");
    assert_eq!(
        inject(&pod, &shelves).variable("AUTH_SECRET")["valueFrom"]["secretKeyRef"]["name"],
        "a"
    );
}

#[rstest]
#[case::command("GIT_SSH_COMMAND")]
#[case::program("GIT_SSH")]
fn an_ssh_in_the_users_env_stands_before_the_projects_key(#[case] variable: &str) {
    let shelves = shelves([
        user("env", "e", &[variable]),
        project("git-ssh", "key", &["gitkey"]).made(50),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.in_effect, ["e"]);
    assert_eq!(outcome.passed_over[0].0, "key");
}

#[test]
fn the_pods_own_stand_before_everything() {
    let own = json!({
        "env": [{"name": "AUTH_SECRET", "value": "1"}, {"name": "T", "value": "2"}, {"name": "GIT_SSH_COMMAND", "value": "ssh"}],
        "volumeMounts": [{"name": "data", "mountPath": "/konduktor/default-secrets/files"}],
    });
    let before = with_spec(
        pod(own),
        json!({"volumes": [{"name": "data", "emptyDir": {}}]}),
    );
    let shelves = shelves([
        user("default", "files", &["k"]),
        user("env", "token", &["T"]),
        user("git-ssh", "key", &["gitkey"]),
        user("auth", "login", &["k"]),
    ]);
    let outcome = inject(&before, &shelves);
    assert_eq!(outcome.at("/spec/volumes"), &before["spec"]["volumes"]);
    assert_eq!(
        outcome.at("/spec/containers/0/volumeMounts"),
        &before["spec"]["containers"][0]["volumeMounts"]
    );
    for name in ["AUTH_SECRET", "T", "GIT_SSH_COMMAND"] {
        assert!(outcome.variable(name)["value"].is_string(), "{name}");
    }
    for words in [
        "AUTH_SECRET",
        "sets T itself",
        "GIT_SSH_COMMAND",
        "mount of its own",
    ] {
        outcome.warns(&[words]);
    }
}
