//! Kind `default`: volumes, mounts and their variables, and what may be in the way.

use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;
use keyporter::inject::settings::Settings;

#[test]
fn a_folder_below_the_root_read_only_and_optional() {
    let outcome = inject(
        &pod(json!({})),
        &shelves([user("default", "ssh", &["id"]).object("ssh-2bd806c9")]),
    );
    assert_eq!(
        outcome.at("/spec/volumes"),
        &json!([{"name": "keyporter-ssh-2bd806c9", "secret": {"secretName": "ssh-2bd806c9", "optional": true}}])
    );
    assert_eq!(
        outcome.at("/spec/containers/0/volumeMounts"),
        &json!([{"name": "keyporter-ssh-2bd806c9", "mountPath": "/konduktor/default-secrets/ssh", "readOnly": true}])
    );
    for name in [
        "KONDUKTOR_DEFAULT_SECRETS",
        "KONDUKTOR_DEFAULT_SECRETS_EXPANDED",
    ] {
        assert_eq!(outcome.variable(name)["value"], ROOT);
    }
    outcome.warns_nothing();
}

#[test]
fn another_root() {
    let settings = Settings {
        mount_root: "/run/secrets/keyporter".into(),
        ..Settings::default()
    };
    let shelves = shelves([user("default", "ssh", &["id"])]);
    let outcome = inject_with("alice", NAMESPACE, &pod(json!({})), &shelves, &settings).unwrap();
    assert_eq!(outcome.mounts(0), ["/run/secrets/keyporter/ssh"]);
    assert_eq!(
        outcome.variable("KONDUKTOR_DEFAULT_SECRETS")["value"],
        "/run/secrets/keyporter"
    );
}

#[test]
fn a_root_that_meets_the_folder_of_git_never_makes_two_mounts_at_one_path() {
    let settings = Settings {
        mount_root: "/run/konduktor".into(),
        ..Settings::default()
    };
    let shelves = shelves([
        user("default", "git-ssh-secret", &["id"]),
        user("git-ssh", "key", &["gitkey"]),
    ]);
    let outcome = inject_with("alice", NAMESPACE, &pod(json!({})), &shelves, &settings).unwrap();
    assert_eq!(outcome.mounts(0), ["/run/konduktor/git-ssh-secret"]);
    outcome.warns(&["\"key\"", "mount", "/run/konduktor/git-ssh-secret"]);
}

#[test]
fn a_layout_becomes_items() {
    let secret = user("default", "config", &["a", "b"]).layout(&json!({"b": "deep/er/b.txt"}));
    let outcome = inject(&pod(json!({})), &shelves([secret]));
    assert_eq!(
        outcome.at("/spec/volumes/0/secret/items"),
        &json!([{"key": "a", "path": "a"}, {"key": "b", "path": "deep/er/b.txt"}])
    );
}

#[test]
fn files_that_may_be_run_have_the_mode_for_it() {
    let secret = user("default", "tools", &["a", "run", "b"])
        .layout(&json!({"b": "bin/b"}))
        .annotation("keyporter.dev/executable", r#"["run", "gone"]"#);
    let outcome = inject(&pod(json!({})), &shelves([secret]));
    let items = json!([{"key": "a", "path": "a"}, {"key": "b", "path": "bin/b"}, {"key": "run", "path": "run", "mode": 0o755}]);
    assert_eq!(outcome.at("/spec/volumes/0/secret/items"), &items);

    let alone =
        user("default", "tools", &["run"]).annotation("keyporter.dev/executable", r#"["run"]"#);
    let outcome = inject(&pod(json!({})), &shelves([alone]));
    let items = json!([{"key": "run", "path": "run", "mode": 0o755}]);
    assert_eq!(outcome.at("/spec/volumes/0/secret/items"), &items);
}

#[test]
fn without_a_default_secret_there_are_no_variables() {
    let outcome = inject(&pod(json!({})), &shelves([user("env", "token", &["T"])]));
    assert_eq!(outcome.env(0), Vec::<&str>::new());
}

#[test]
fn all_containers_and_init_containers_share_one_volume() {
    let pod = with_spec(
        pod_of([container("one"), container("two")]),
        json!({"initContainers": [container("first")]}),
    );
    let outcome = inject(&pod, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(outcome.at("/spec/volumes").as_array().unwrap().len(), 1);
    for pointer in [
        "/spec/initContainers/0",
        "/spec/containers/0",
        "/spec/containers/1",
    ] {
        assert_eq!(
            outcome.at(&format!("{pointer}/volumeMounts/0/mountPath")),
            "/konduktor/default-secrets/ssh"
        );
    }
}

#[test]
fn the_variable_of_the_container_stays_and_is_said() {
    let own = pod(json!({"env": [{"name": "KONDUKTOR_DEFAULT_SECRETS", "value": "/mine"}]}));
    let outcome = inject(&own, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(
        outcome.variable("KONDUKTOR_DEFAULT_SECRETS")["value"],
        "/mine"
    );
    outcome.warns(&["\"main\"", "sets KONDUKTOR_DEFAULT_SECRETS itself"]);
}

fn data() -> Value {
    json!([{"name": "data", "emptyDir": {}}])
}

#[rstest]
#[case::at_the_path("/konduktor/default-secrets/ssh", "mount of its own at")]
#[case::with_a_slash_at_the_end("/konduktor/default-secrets/ssh/", "mount of its own at")]
#[case::with_odd_slashes("//konduktor/./default-secrets///ssh", "mount of its own at")]
#[case::with_a_way_back("/konduktor/x/../default-secrets/ssh", "mount of its own at")]
#[case::relative("konduktor/default-secrets/ssh", "mount of its own at")]
#[case::below("/konduktor/default-secrets/ssh/config.d", "lies inside")]
fn a_mount_in_the_way_stays(#[case] path: &str, #[case] words: &str) {
    let own = json!({"name": "data", "mountPath": path});
    let pod = with_spec(
        pod(json!({"volumeMounts": [own.clone()]})),
        json!({"volumes": data()}),
    );
    let outcome = inject(
        &pod,
        &shelves([
            user("default", "ssh", &["id"]),
            user("default", "free", &["k"]),
        ]),
    );
    assert_eq!(outcome.mounts(0), [path, "/konduktor/default-secrets/free"]);
    assert_eq!(outcome.in_effect, ["free"]);
    outcome.warns(&["\"main\"", "\"ssh\"", words, path]);
    assert_eq!(outcome.at("/spec/volumes").as_array().unwrap().len(), 2);
}

#[rstest]
#[case::the_mount(json!({"name": "above", "emptyDir": {}}), true)]
#[case::a_config_map(json!({"name": "above", "configMap": {"name": "c"}}), false)]
#[case::a_secret(json!({"name": "above", "secret": {"secretName": "s"}}), false)]
#[case::projected(json!({"name": "above", "projected": {"sources": []}}), false)]
#[case::the_downward_api(json!({"name": "above", "downwardAPI": {"items": []}}), false)]
#[case::an_image(json!({"name": "above", "image": {"reference": "x"}}), false)]
#[case::a_claim(json!({"name": "above", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}}), false)]
#[case::a_network_folder(json!({"name": "above", "nfs": {"server": "s", "path": "/", "readOnly": true}}), false)]
#[case::a_driver(json!({"name": "above", "csi": {"driver": "d", "readOnly": true}}), false)]
fn a_read_only_mount_above_leaves_no_room(#[case] volume: Value, #[case] read_only: bool) {
    let mount = json!({"name": "above", "mountPath": "/konduktor", "readOnly": read_only});
    let pod = with_spec(
        pod(json!({"volumeMounts": [mount]})),
        json!({"volumes": [volume]}),
    );
    let outcome = inject(&pod, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["\"ssh\"", "read-only mount at /konduktor"]);
}

#[rstest]
#[case::an_empty_dir(json!({"name": "above", "emptyDir": {}}))]
#[case::a_claim(json!({"name": "above", "persistentVolumeClaim": {"claimName": "c"}}))]
#[case::a_claim_that_says_so(json!({"name": "above", "persistentVolumeClaim": {"claimName": "c", "readOnly": false}}))]
#[case::a_host_path(json!({"name": "above", "hostPath": {"path": "/x"}}))]
fn a_writable_mount_above_is_fine(#[case] volume: Value) {
    let mount = json!({"name": "above", "mountPath": "/konduktor"});
    let pod = with_spec(
        pod(json!({"volumeMounts": [mount]})),
        json!({"volumes": [volume]}),
    );
    let outcome = inject(&pod, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(
        outcome.mounts(0),
        ["/konduktor", "/konduktor/default-secrets/ssh"]
    );
    outcome.warns_nothing();
}

#[test]
fn a_device_at_the_path_is_in_the_way_too() {
    let pod = pod(
        json!({"volumeDevices": [{"name": "disk", "devicePath": "/konduktor/default-secrets/ssh"}]}),
    );
    let outcome = inject(&pod, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["\"ssh\"", "/konduktor/default-secrets/ssh"]);
}

#[test]
fn what_is_in_the_way_in_one_container_is_not_in_the_other() {
    let own = json!({"name": "data", "mountPath": "/konduktor/default-secrets/ssh"});
    let mut blocked = container("blocked");
    blocked["volumeMounts"] = json!([own]);
    let pod = with_spec(
        pod_of([blocked, container("free")]),
        json!({"volumes": data()}),
    );
    let outcome = inject(&pod, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(outcome.mounts(0).len(), 1);
    assert_eq!(outcome.mounts(1), ["/konduktor/default-secrets/ssh"]);
    outcome.warns(&["\"blocked\""]);
}

#[test]
fn the_pods_own_mount_of_the_same_secret_serves() {
    let pod = with_spec(
        pod(
            json!({"volumeMounts": [{"name": "own", "mountPath": "/konduktor/default-secrets/ssh"}]}),
        ),
        json!({"volumes": [{"name": "own", "secret": {"secretName": "ssh"}}]}),
    );
    let outcome = inject(&pod, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(outcome.at("/spec/volumes").as_array().unwrap().len(), 1);
    assert_eq!(outcome.mounts(0).len(), 1);
    outcome.warns_nothing();
}

#[test]
fn another_volume_with_our_name_stays() {
    let pod = with_spec(
        pod(json!({})),
        json!({"volumes": [{"name": "keyporter-ssh", "emptyDir": {}}]}),
    );
    let outcome = inject(&pod, &shelves([user("default", "ssh", &["id"])]));
    assert_eq!(outcome.skip().as_str(), "nothing-placed");
    outcome.warns(&["\"ssh\"", "another volume"]);
}

#[test]
fn names_of_63_characters_give_valid_volumes_that_stay_apart() {
    let (one, other) = ("x".repeat(63), format!("{}y", "x".repeat(62)));
    let shelves = shelves([
        user("default", &one, &["k"]),
        user("default", &other, &["k"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    let volumes = outcome.at("/spec/volumes").as_array().unwrap();
    let names: Vec<_> = volumes
        .iter()
        .map(|volume| volume["name"].as_str().unwrap())
        .collect();
    assert_ne!(names[0], names[1]);
    assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
    assert_eq!(
        outcome.mounts(0),
        [format!("{ROOT}/{one}"), format!("{ROOT}/{other}")]
    );
}

#[test]
fn object_names_with_dots_give_valid_volumes() {
    let shelves = shelves([
        user("default", "one", &["k"]).object("a.b"),
        user("default", "two", &["k"]).object("a-b"),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    let volumes = outcome.at("/spec/volumes").as_array().unwrap();
    assert_eq!(volumes.len(), 2);
    assert!(
        volumes
            .iter()
            .all(|volume| !volume["name"].as_str().unwrap().contains('.')),
        "{volumes:?}"
    );
}

#[test]
fn an_object_whose_name_is_that_of_a_shortened_volume_gets_its_own() {
    let long = "x".repeat(63);
    let first = inject(&pod(json!({})), &shelves([user("default", &long, &["k"])]));
    let volume = first
        .at("/spec/volumes/0/name")
        .as_str()
        .unwrap()
        .to_owned();
    let twin = volume.strip_prefix("keyporter-").unwrap();
    let shelves = shelves([
        user("default", &long, &["k"]),
        user("default", twin, &["k"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.at("/spec/volumes").as_array().unwrap().len(), 2);
}

#[test]
fn an_object_called_like_the_work_folder_of_git_gets_its_own_volume() {
    let shelves = shelves([
        user("default", "git-ssh-work", &["k"]),
        user("git-ssh", "key", &["gitkey"]),
    ]);
    let outcome = inject(&pod(json!({})), &shelves);
    assert_eq!(outcome.at("/spec/volumes").as_array().unwrap().len(), 3);
    outcome.warns_nothing();
    assert_eq!(
        inject(outcome.pod(), &shelves).skip().as_str(),
        "already-injected"
    );
}
