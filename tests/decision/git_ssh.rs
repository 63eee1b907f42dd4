//! Kind `git-ssh`: which key, and the environment in which git finds it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

const KEY_FOLDER: &str = "/run/konduktor/git-ssh-secret";
const WORK_FOLDER: &str = "/run/konduktor/git-ssh-work";

fn command(outcome: &Outcome) -> String {
    outcome.variable("GIT_SSH_COMMAND")["value"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[rstest]
#[case::konduktors(&["gitkey"], "gitkey")]
#[case::that_of_the_type_ssh_auth(&["ssh-privatekey"], "ssh-privatekey")]
#[case::konduktors_first(&["gitkey", "ssh-privatekey"], "gitkey")]
fn the_key_is_a_file_of_one_name(#[case] keys: &[&str], #[case] key: &str) {
    let outcome = inject(&pod(json!({})), &shelves([user("git-ssh", "deploy", keys)]));
    assert_eq!(outcome.mounts(0), [KEY_FOLDER, WORK_FOLDER]);
    let volumes = json!([
        {"name": "keyporter-deploy", "secret": {
            "secretName": "deploy", "items": [{"key": key, "path": "gitkey"}], "defaultMode": 0o444, "optional": true,
        }},
        {"name": "keyporter-git-ssh-work", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]);
    assert_eq!(outcome.at("/spec/volumes"), &volumes);
    assert_eq!(outcome.variable("GIT_SSH_VARIANT")["value"], "ssh");
    outcome.warns_nothing();
}

#[rstest]
#[case::with(&["gitkey", "known_hosts"], "StrictHostKeyChecking=yes")]
#[case::without(&["gitkey"], "StrictHostKeyChecking=accept-new")]
fn known_hosts_make_it_strict(#[case] keys: &[&str], #[case] option: &str) {
    let outcome = inject(&pod(json!({})), &shelves([user("git-ssh", "deploy", keys)]));
    let command = command(&outcome);
    assert!(
        command.contains(option) && command.contains("IdentitiesOnly=yes"),
        "{command}"
    );
    assert!(!command.contains("StrictHostKeyChecking=no"), "{command}");
    let items = outcome.at("/spec/volumes/0/secret/items");
    assert_eq!(items.as_array().unwrap().len(), keys.len());
    // The work folder is the one thing that can be written.
    assert_eq!(
        outcome.at("/spec/containers/0/volumeMounts/0/readOnly"),
        true
    );
    assert_eq!(
        outcome.at("/spec/containers/0/volumeMounts/1/readOnly"),
        &Value::Null
    );
}

#[test]
fn the_newest_of_two_wins_and_the_warning_names_both() {
    let shelves = shelves([
        user("git-ssh", "newer", &["gitkey"]).made(2),
        user("git-ssh", "older", &["gitkey"]).made(1),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.in_effect, ["newer"]);
    outcome.warns(&["older", "newer", "GIT_SSH_COMMAND"]);
}

#[test]
fn the_users_wins_over_a_newer_one_of_the_project() {
    let shelves = shelves([
        user("git-ssh", "mine", &["gitkey"]).made(1),
        project("git-ssh", "ours", &["gitkey"]).made(2),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.in_effect, ["mine"]);
    assert_eq!(outcome.passed_over[0].0, "ours");
    outcome.warns_nothing();
}

#[rstest]
#[case::a_command("GIT_SSH_COMMAND")]
#[case::a_program("GIT_SSH")]
fn a_container_with_an_ssh_of_its_own_keeps_it(#[case] name: &str) {
    let own = json!({"name": name, "value": "my-ssh"});
    let outcome = inject(
        &pod(json!({"env": [own.clone()]})),
        &shelves([
            user("git-ssh", "deploy", &["gitkey"]),
            user("env", "token", &["T"]),
        ]),
    );
    assert_eq!(outcome.at("/spec/containers/0/env"), &json!([own]));
    assert_eq!(outcome.mounts(0), Vec::<&str>::new());
    assert_eq!(outcome.at("/spec/volumes"), &Value::Null);
    outcome.warns(&["\"deploy\"", &format!("it sets {name} itself")]);
}

#[test]
fn the_containers_own_variant_stays_and_is_said() {
    let own = json!({"name": "GIT_SSH_VARIANT", "value": "simple"});
    let outcome = inject(
        &pod(json!({"env": [own.clone()]})),
        &shelves([user("git-ssh", "deploy", &["gitkey"])]),
    );
    assert_eq!(outcome.variable("GIT_SSH_VARIANT"), &own);
    outcome.warns(&["\"deploy\"", "GIT_SSH_VARIANT"]);
}

#[rstest]
#[case::the_key(KEY_FOLDER)]
#[case::the_work(WORK_FOLDER)]
#[case::below_the_work("/run/konduktor/git-ssh-work/x")]
fn a_mount_in_the_way_means_all_or_nothing(#[case] path: &str) {
    let pod = with_spec(
        pod(json!({"volumeMounts": [{"name": "data", "mountPath": path}]})),
        json!({"volumes": [{"name": "data", "emptyDir": {}}]}),
    );
    let outcome = inject(&pod, &shelves([user("git-ssh", "deploy", &["gitkey"])]));
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["\"deploy\"", path]);
}

#[rstest]
#[case::of_the_work("keyporter-git-ssh-work")]
#[case::of_the_key("keyporter-deploy")]
fn another_volume_with_our_name_means_all_or_nothing(#[case] name: &str) {
    let pod = with_spec(
        pod(json!({})),
        json!({"volumes": [{"name": name, "configMap": {"name": "own"}}]}),
    );
    let outcome = inject(&pod, &shelves([user("git-ssh", "deploy", &["gitkey"])]));
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["\"deploy\"", "another volume"]);
}

#[test]
fn kubernetes_leaves_the_command_as_it_is() {
    for keys in [&["gitkey"][..], &["gitkey", "known_hosts"]] {
        let outcome = inject(&pod(json!({})), &shelves([user("git-ssh", "deploy", keys)]));
        let command = command(&outcome);
        assert!(!command.is_empty() && !command.contains("$(") && !command.contains("$$"));
    }
}

/// git hands the command to a shell, its own arguments after it. ssh gets a copy of the key that nobody else may read,
/// git gets the status of ssh, and the copy is gone afterwards.
#[rstest]
#[case::with_known_hosts(&["gitkey", "known_hosts"])]
#[case::without(&["gitkey"])]
fn a_shell_runs_the_command(#[case] keys: &[&str]) {
    let outcome = inject(&pod(json!({})), &shelves([user("git-ssh", "deploy", keys)]));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["git-ssh-secret", "git-ssh-work", "bin"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::write(path("git-ssh-secret/gitkey"), "the key").unwrap();
    let ssh = "#!/bin/sh\nls -l \"$2\" | cut -c1-10\ncat \"$2\"\nfor last; do :; done\necho \"$last\"\nexit 7\n";
    fs::write(path("bin/ssh"), ssh).unwrap();
    fs::set_permissions(path("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();

    let command = command(&outcome).replace("/run/konduktor", folder.path().to_str().unwrap());
    let programs = format!(
        "{}:{}",
        path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let run = Command::new("sh")
        .args(["-c", &format!("{command} \"$@\""), "git"])
        .args(["git@example.com", "git-upload-pack 'a b.git'"])
        .env("PATH", programs)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(7), "{run:?}");
    assert_eq!(
        String::from_utf8(run.stdout).unwrap(),
        "-rw-------\nthe key\ngit-upload-pack 'a b.git'\n"
    );
    let left = fs::read_dir(path("git-ssh-work")).unwrap();
    assert_eq!(left.count(), 0);
}
