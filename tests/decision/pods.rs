//! Which pods and which of their containers take part.

use keyporter::inject::Denial;
use keyporter::inject::settings::Settings;
use rstest::rstest;
use serde_json::{Value, json};

use crate::builders::*;

fn token() -> Shelves {
    shelves([user("env", "token", &["TOKEN"])])
}

#[rstest]
#[case::opted_out(labelled(pod(json!({})), "keyporter.dev/inject", "disabled"), "opted-out")]
#[case::mirror(annotated(pod(json!({})), "kubernetes.io/config.mirror", "hash"), "mirror-pod")]
#[case::windows(with_spec(pod(json!({})), json!({"os": {"name": "windows"}})), "windows-pod")]
#[case::windows_by_node(
    with_spec(pod(json!({})), json!({"nodeSelector": {"kubernetes.io/os": "windows"}})),
    "windows-pod"
)]
fn pods_that_are_left_alone(#[case] pod: Value, #[case] reason: &str) {
    assert_eq!(inject(&pod, &token()).skip().as_str(), reason);
}

#[rstest]
#[case::linux(json!({"os": {"name": "linux"}}))]
#[case::linux_by_node(json!({"nodeSelector": {"kubernetes.io/os": "linux"}}))]
#[case::no_name(json!({"os": {}}))]
fn pods_that_are_not(#[case] spec: Value) {
    assert_eq!(
        inject(&with_spec(pod(json!({})), spec), &token()).in_effect,
        ["token"]
    );
}

#[test]
fn the_label_enabled_is_no_opt_out() {
    let pod = labelled(pod(json!({})), "keyporter.dev/inject", "enabled");
    assert_eq!(inject(&pod, &token()).in_effect, ["token"]);
}

fn decided(namespace: &str, pod: &Value) -> Result<Outcome, Denial> {
    inject_with("alice", namespace, pod, &token(), &Settings::default())
}

#[rstest]
#[case("false")]
#[case("Disabled")]
#[case("")]
fn an_opt_out_that_is_none_is_refused(#[case] value: &str) {
    let pod = labelled(pod(json!({})), "keyporter.dev/inject", value);
    let denial = decided(NAMESPACE, &pod).unwrap_err();
    assert_eq!(denial.as_str(), "invalid-opt-out");
    assert!(
        denial.to_string().contains(&format!("{value:?}"))
            && denial.to_string().contains("disabled"),
        "{denial}"
    );
}

#[rstest]
#[case("keyporter-system")]
#[case("kube-system")]
#[case("kube-public")]
#[case("kube-node-lease")]
fn system_namespaces_are_left_alone_whatever_the_pod_says(#[case] namespace: &str) {
    for pod in [
        pod(json!({})),
        labelled(pod(json!({})), "keyporter.dev/inject", "enabled"),
        // A refusal there could keep the cluster itself from starting.
        labelled(pod(json!({})), "keyporter.dev/inject", "nonsense"),
    ] {
        assert_eq!(
            decided(namespace, &pod).unwrap().skip().as_str(),
            "excluded-namespace"
        );
    }
}

/// A pod of some kilobytes must not become an answer of gigabytes.
#[test]
fn more_than_a_pod_can_hold_is_refused() {
    let secrets = (0..500).map(|number| user("default", &format!("s{number}"), &["k"]));
    let shelves = shelves(secrets);
    let decide = |containers: u32| {
        let containers = (0..containers).map(|number| container(&format!("c{number}")));
        let pod = pod_of(containers);
        inject_with("alice", NAMESPACE, &pod, &shelves, &Settings::default())
    };
    assert!(decide(10).is_ok());
    let denial = decide(201).unwrap_err();
    assert_eq!(denial.as_str(), "too-large");
    let told = denial.to_string();
    assert!(
        told.contains("500 variables and folders in each of the pod's 201"),
        "{told}"
    );
}

#[test]
fn a_mirror_pod_is_never_refused() {
    let pod = annotated(
        labelled(pod(json!({})), "keyporter.dev/inject", "nonsense"),
        "kubernetes.io/config.mirror",
        "hash",
    );
    assert_eq!(
        decided(NAMESPACE, &pod).unwrap().skip().as_str(),
        "mirror-pod"
    );
}

#[test]
fn sidecars_of_other_injectors_get_nothing() {
    let pod = with_spec(
        pod_of([container("main"), container("istio-proxy")]),
        json!({"initContainers": [container("istio-init"), container("setup")]}),
    );
    let outcome = inject(&pod, &token());
    assert_eq!(outcome.env_from("containers", 0), ["token"]);
    assert_eq!(outcome.at("/spec/containers/1"), &container("istio-proxy"));
    assert_eq!(
        outcome.at("/spec/initContainers/0"),
        &container("istio-init")
    );
    assert_eq!(outcome.env_from("initContainers", 1), ["token"]);
}

#[test]
fn the_list_of_sidecars_is_a_setting() {
    let settings = Settings {
        sidecars: ["main".to_owned()].into(),
        ..Settings::default()
    };
    let pod = pod_of([container("main"), container("istio-proxy")]);
    let outcome = inject_with("alice", NAMESPACE, &pod, &token(), &settings).unwrap();
    assert_eq!(outcome.at("/spec/containers/0"), &container("main"));
    assert_eq!(outcome.env_from("containers", 1), ["token"]);
}

#[rstest]
#[case::one("b", &["b"])]
#[case::two(" a , c,", &["a", "c"])]
#[case::an_init_container("first", &["first"])]
#[case::never_a_sidecar("istio-proxy,a", &["a"])]
fn the_annotation_narrows_to_containers(#[case] value: &str, #[case] chosen: &[&str]) {
    let pod = with_spec(
        pod_of(["a", "b", "c", "istio-proxy"].map(container)),
        json!({"initContainers": [container("first")]}),
    );
    let outcome = inject(&annotated(pod, "keyporter.dev/containers", value), &token());
    let spec = outcome.at("/spec");
    let all = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| spec[list].as_array().unwrap());
    let got: Vec<_> = all
        .filter(|container| container.get("envFrom").is_some())
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(got, chosen);
}

#[test]
fn a_name_that_is_no_container_is_said() {
    let pod = annotated(
        pod(json!({})),
        "keyporter.dev/containers",
        "main,mian,other",
    );
    inject(&pod, &token()).warns(&["keyporter.dev/containers", "mian, other", "does not have"]);
}

#[rstest]
#[case::no_such_container("other")]
#[case::empty("")]
fn an_annotation_that_chooses_none_means_none(#[case] value: &str) {
    let pod = annotated(pod(json!({})), "keyporter.dev/containers", value);
    assert_eq!(inject(&pod, &token()).skip().as_str(), "nothing-placed");
}

#[test]
fn nothing_but_containers_is_touched() {
    let ephemeral = json!([{"name": "debug", "image": "busybox"}]);
    let mut pod = with_spec(pod(json!({})), json!({"ephemeralContainers": ephemeral}));
    pod["spec"]["securityContext"] = json!({"fsGroup": 7});
    let outcome = inject(&pod, &token());
    assert_eq!(outcome.at("/spec/ephemeralContainers"), &ephemeral);
    assert_eq!(outcome.at("/spec/securityContext"), &json!({"fsGroup": 7}));
}

#[rstest]
#[case::nothing_at_all("alice", &shelves([]), "no-secrets")]
#[case::no_owner(JOB_CONTROLLER, &shelves([]), "no-owner")]
#[case::on_reference_only("alice", &shelves([user("env", "t", &["T"]).on_reference()]), "nothing-placed")]
#[case::broken_only("alice", &shelves([user("git-ssh", "t", &["T"])]), "no-secrets")]
fn reasons(#[case] requester: &str, #[case] shelves: &Shelves, #[case] reason: &str) {
    assert_eq!(
        inject_as(requester, &pod(json!({})), shelves)
            .skip()
            .as_str(),
        reason
    );
}

#[rstest]
#[case::null_metadata(json!({"metadata": null, "spec": {"containers": [{"name": "main"}]}}))]
#[case::no_metadata(json!({"spec": {"containers": [{"name": "main"}]}}))]
#[case::null_maps(json!({"metadata": {"labels": null, "annotations": null}, "spec": {"containers": [{"name": "main"}]}}))]
#[case::empty_maps(json!({"metadata": {"labels": {}, "annotations": {}}, "spec": {"containers": [{"name": "main"}]}}))]
#[case::null_lists(json!({"spec": {"volumes": null, "imagePullSecrets": null, "initContainers": null,
    "containers": [{"name": "main", "env": null, "envFrom": null, "volumeMounts": null}]}}))]
#[case::empty_lists(json!({"spec": {"volumes": [], "imagePullSecrets": [], "initContainers": [],
    "containers": [{"name": "main", "env": [], "envFrom": [], "volumeMounts": []}]}}))]
#[case::null_texts(json!({"metadata": {"name": null, "labels": {"keyporter.dev/x": null}, "annotations": {"a": null}},
    "spec": {"nodeSelector": {"kubernetes.io/arch": null}, "containers": [{"name": "main", "env": [{"name": "A", "value": null}]}]}}))]
fn missing_parents_are_added(#[case] pod: Value) {
    let everything = shelves([
        user("default", "files", &["k"]),
        user("env", "token", &["T"]),
        user("git-ssh", "key", &["gitkey"]),
        user("auth", "login", &["k"]),
        user("image-pull", "pull", &[".dockercfg"]),
    ]);
    let outcome = inject(&pod, &everything);
    assert_eq!(outcome.in_effect.len(), 5);
    assert_eq!(
        outcome.at("/metadata/labels/keyporter.dev~1injected"),
        "true"
    );
    assert_eq!(
        outcome.at("/metadata/annotations/keyporter.dev~1owner"),
        "alice"
    );
    assert_eq!(outcome.mounts(0).len(), 3);
    assert_eq!(
        inject(outcome.pod(), &everything).skip().as_str(),
        "already-injected"
    );
}
