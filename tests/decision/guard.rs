//! References to Secrets of other users are found wherever the pod API has room for one.

use keyporter::inject::guard::foreign;
use keyporter::inject::pod::Pod;
use rstest::rstest;
use serde_json::{Value, json};

/// The places at which a pod of alice's refers to bob's Secret.
fn places(spec: &Value) -> Vec<String> {
    let pod = json!({"spec": spec});
    let pod = Pod::read(&pod).expect("a pod");
    let owner_of = |object: &str| match object {
        "bobs" => Some("bob".to_owned()),
        "alices" => Some("alice".to_owned()),
        _ => None,
    };
    let found = foreign(&pod.spec, Some("alice"), owner_of);
    assert!(
        found
            .iter()
            .all(|one| one.object == "bobs" && one.owner == "bob")
    );
    found.into_iter().map(|one| one.place).collect()
}

fn volume(source: &Value) -> Value {
    let mut volume = source.clone();
    volume["name"] = json!("v");
    json!({"containers": [], "volumes": [volume]})
}

fn container(list: &str, container: &Value) -> Value {
    let mut container = container.clone();
    container["name"] = json!("c");
    json!({list: [container]})
}

#[rstest]
#[case::secret(json!({"secret": {"secretName": "bobs"}}))]
#[case::projected(json!({"projected": {"sources": [{"configMap": {"name": "m"}}, {"secret": {"name": "bobs"}}]}}))]
#[case::azure_file(json!({"azureFile": {"secretName": "bobs", "shareName": "s"}}))]
#[case::ceph(json!({"cephfs": {"monitors": ["m"], "secretRef": {"name": "bobs"}}}))]
#[case::cinder(json!({"cinder": {"volumeID": "i", "secretRef": {"name": "bobs"}}}))]
#[case::csi(json!({"csi": {"driver": "d", "nodePublishSecretRef": {"name": "bobs"}}}))]
#[case::flex(json!({"flexVolume": {"driver": "d", "secretRef": {"name": "bobs"}}}))]
#[case::iscsi(json!({"iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0, "secretRef": {"name": "bobs"}}}))]
#[case::rbd(json!({"rbd": {"monitors": ["m"], "image": "i", "secretRef": {"name": "bobs"}}}))]
#[case::scale_io(json!({"scaleIO": {"gateway": "g", "system": "s", "secretRef": {"name": "bobs"}}}))]
#[case::storage_os(json!({"storageos": {"secretRef": {"name": "bobs"}}}))]
fn volumes(#[case] source: Value) {
    assert_eq!(places(&volume(&source)), ["volume \"v\""]);
}

#[rstest]
fn containers(#[values("containers", "initContainers", "ephemeralContainers")] list: &str) {
    let env = json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "bobs", "key": "k"}}}]});
    assert_eq!(places(&container(list, &env)), ["env A of container \"c\""]);
    let env_from = json!({"envFrom": [{"secretRef": {"name": "bobs"}}]});
    assert_eq!(
        places(&container(list, &env_from)),
        ["envFrom of container \"c\""]
    );
}

#[test]
fn pull_secrets() {
    assert_eq!(
        places(&json!({"imagePullSecrets": [{"name": "bobs"}]})),
        ["imagePullSecrets"]
    );
}

#[rstest]
#[case::ones_own("alices")]
#[case::the_projects_or_none_of_keyporters("other")]
fn others_are_let_be(#[case] object: &str) {
    assert_eq!(
        places(&volume(&json!({"secret": {"secretName": object}}))),
        [""; 0]
    );
}

/// All at once, sorted, so that the denial is the same every time.
#[test]
fn several_places_are_all_named() {
    let spec = json!({
        "imagePullSecrets": [{"name": "bobs"}],
        "containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "bobs"}}, {"secretRef": {"name": "bobs"}}]}],
    });
    assert_eq!(
        places(&spec),
        ["envFrom of container \"c\"", "imagePullSecrets"]
    );
}

/// A pod without an owner has no secrets of its own either.
#[test]
fn nobodys_pod_may_refer_to_nobodys_secrets() {
    let pod = json!({"spec": {"imagePullSecrets": [{"name": "alices"}]}});
    let pod = Pod::read(&pod).expect("a pod");
    assert_eq!(
        foreign(&pod.spec, None, |_| Some("alice".to_owned())).len(),
        1
    );
}
