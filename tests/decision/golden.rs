//! Golden pods and workloads: real reviews in, patch and result out.
//!
//! A change of a snapshot is a change of what every user's pods look like. `cargo insta review` shows it.

use keyporter::inject::settings::Settings;
use serde_json::{Value, json};

use crate::builders::*;
use crate::stamps::stamped;

/// The patch, what the pod has of it, and what is said, for a pod of a review.
fn golden(pod: &Value, requester: &str, shelves: &Shelves) -> Value {
    let outcome = inject_as(requester, pod, shelves);
    let spec = outcome.at("/spec");
    let containers = |list: &str| -> Vec<Value> {
        let all = spec[list].as_array().into_iter().flatten();
        all.map(|container| picked(container, &["name", "env", "envFrom", "volumeMounts"]))
            .collect()
    };
    json!({
        "patch": outcome.patch,
        "pod": {
            "metadata": picked(outcome.at("/metadata"), &["labels", "annotations"]),
            "initContainers": containers("initContainers"),
            "containers": containers("containers"),
            "volumes": spec["volumes"].as_array().into_iter().flatten().map(|volume| {
                if volume.get("projected").is_some() { volume["name"].clone() } else { volume.clone() }
            }).collect::<Vec<_>>(),
            "imagePullSecrets": spec["imagePullSecrets"],
        },
        "warnings": outcome.warnings,
    })
}

fn picked(object: &Value, members: &[&str]) -> Value {
    let picked = members
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), object.get(name)?.clone())));
    Value::Object(picked.collect())
}

fn of_alice() -> Value {
    review("pod-create-by-alice")["request"]["object"].clone()
}

fn of_a_job() -> Value {
    let pod = review("pod-create-by-job-controller")["request"]["object"].clone();
    of_job(pod, "alice")
}

fn mine(kind: &str, name: &str, keys: &[&str]) -> keyporter::inject::secret::Description {
    user(kind, name, keys).object(&format!("{name}-2bd806c9"))
}

#[test]
fn default_secret() {
    insta::assert_json_snapshot!(golden(
        &of_alice(),
        "alice",
        &shelves([mine("default", "dataset", &["a", "b"])])
    ));
}

#[test]
fn default_secret_with_layout() {
    let secret = mine("default", "dotfiles", &["config", "known", "id"])
        .layout(&json!({"config": ".ssh/config", "known": ".ssh/known_hosts"}));
    insta::assert_json_snapshot!(golden(&of_alice(), "alice", &shelves([secret])));
}

#[test]
fn default_secret_with_a_long_name() {
    let name = "a-name-of-63-characters-".to_owned() + &"x".repeat(39);
    insta::assert_json_snapshot!(golden(
        &of_alice(),
        "alice",
        &shelves([user("default", &name, &["k"])])
    ));
}

#[test]
fn env_secrets_of_project_and_user() {
    let shelves = shelves([
        mine("env", "hugging-face", &["HF_TOKEN"]),
        project("env", "endpoints", &["S3_ENDPOINT"]),
    ]);
    insta::assert_json_snapshot!(golden(&of_alice(), "alice", &shelves));
}

#[test]
fn env_secret_with_refused_names() {
    let shelves = shelves([mine("env", "mixed", &["GOOD", "LD_PRELOAD", "tls.key"])]);
    insta::assert_json_snapshot!(golden(&of_alice(), "alice", &shelves));
}

#[test]
fn git_ssh_secret() {
    insta::assert_json_snapshot!(golden(
        &of_alice(),
        "alice",
        &shelves([mine("git-ssh", "deploy", &["gitkey"])])
    ));
}

#[test]
fn git_ssh_secret_with_known_hosts() {
    let shelves = shelves([mine(
        "git-ssh",
        "deploy",
        &["known_hosts", "ssh-privatekey"],
    )]);
    insta::assert_json_snapshot!(golden(&of_alice(), "alice", &shelves));
}

#[test]
fn auth_secret() {
    insta::assert_json_snapshot!(golden(
        &of_alice(),
        "alice",
        &shelves([mine("auth", "login", &["password"])])
    ));
}

#[test]
fn auth_secret_that_the_pod_names() {
    let pod = annotated(of_alice(), "keyporter.dev/auth-secret", "second");
    let shelves = shelves([
        mine("auth", "first", &["k"]),
        mine("auth", "second", &["AUTH_SECRET", "user"]),
    ]);
    insta::assert_json_snapshot!(golden(&pod, "alice", &shelves));
}

#[test]
fn image_pull_secrets() {
    let shelves = shelves([
        mine("image-pull", "registry", &[".dockerconfigjson"]),
        project("image-pull", "mirror", &[".dockerconfigjson"]),
    ]);
    insta::assert_json_snapshot!(golden(&of_alice(), "alice", &shelves));
}

fn everything() -> Shelves {
    shelves([
        mine("default", "dataset", &["a"]),
        mine("env", "hugging-face", &["HF_TOKEN"]),
        mine("git-ssh", "deploy", &["gitkey", "known_hosts"]),
        mine("auth", "login", &["password"]),
        mine("image-pull", "registry", &[".dockerconfigjson"]),
        project("env", "endpoints", &["S3_ENDPOINT"]),
    ])
}

#[test]
fn all_kinds_in_the_pod_of_a_job() {
    insta::assert_json_snapshot!(golden(&of_a_job(), JOB_CONTROLLER, &everything()));
}

#[test]
fn chosen_containers_and_a_sidecar() {
    let mut pod = annotated(of_alice(), "keyporter.dev/containers", "bare,istio-proxy");
    pod["spec"]["initContainers"] = json!([container("setup")]);
    pod["spec"]["containers"]
        .as_array_mut()
        .expect("a list")
        .push(container("istio-proxy"));
    insta::assert_json_snapshot!(golden(&pod, "alice", &everything()));
}

#[test]
fn what_the_container_has_itself_stays() {
    let mut pod = of_alice();
    let main = &mut pod["spec"]["containers"][0];
    main["env"] = json!([{"name": "HF_TOKEN", "value": "mine"}, {"name": "GIT_SSH", "value": "/usr/bin/my-ssh"}]);
    main["envFrom"] = json!([{"configMapRef": {"name": "own"}}]);
    let mounts = main["volumeMounts"].as_array_mut().expect("a list");
    mounts.push(json!({"name": "data", "mountPath": "/konduktor/default-secrets/dataset/"}));
    pod["spec"]["volumes"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"name": "data", "emptyDir": {}}));
    insta::assert_json_snapshot!(golden(&pod, "alice", &everything()));
}

#[test]
fn what_is_wrong_is_said() {
    let pod = of_alice();
    let pod = annotated(pod, "keyporter.dev/containers", "bare,other");
    let shelves = shelves([
        mine("env", "token", &["T"]),
        mine("env", "newer-token", &["T"]).made(59),
        mine("git-ssh", "old-key", &["gitkey"]).made(1),
        mine("git-ssh", "new-key", &["gitkey"]).made(2),
        mine("git-ssh", "no-key", &["id_rsa"]),
        mine("auth", "first", &["k"]),
        mine("auth", "second", &["k"]),
        project("default", "bad", &["k"]).layout(&json!({"k": "/etc/passwd"})),
    ]);
    insta::assert_json_snapshot!(golden(&pod, "alice", &shelves));
}

/// The patch for the workload of a review.
fn golden_stamp(name: &str) -> Value {
    let review = review(name);
    let request = &review["request"];
    let requester = request["userInfo"]["username"]
        .as_str()
        .expect("a requester");
    let old = Some(&request["oldObject"]).filter(|old| !old.is_null());
    match stamped(requester, &request["object"], old, &Settings::default()) {
        Ok((patch, _)) => patch,
        Err(reason) => json!(reason),
    }
}

#[test]
fn workloads() {
    let reviews = [
        "deployment-create-by-alice",
        "deployment-rollout-restart-by-bob",
        "deployment-server-side-apply-by-bob",
        "job-create-by-cronjob-controller",
        "job-create-generate-name-by-alice",
    ];
    let stamps: serde_json::Map<_, _> = reviews
        .into_iter()
        .map(|name| (name.to_owned(), golden_stamp(name)))
        .collect();
    insta::assert_json_snapshot!(stamps);
}
