//! What the program and the files of `deploy` say twice.

use std::fs;
use std::path::{Path, PathBuf};

use keyporter::documents::Documents;
use keyporter::inject::kubernetes::{KUBERNETES_ITSELF, is_kubernetes_itself};
use serde_json::Value;

const CONDITION: &str = "is-not-kubernetes-itself";

/// The documents of a file in `deploy`.
fn documents(file: &Path) -> Vec<Value> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).unwrap();
    let documents = Documents::split(&text);
    let values = documents.iter().map(|document| document.value(&name));
    values.map(Result::unwrap).collect()
}

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(path)
}

/// The expressions of the match condition of this name in all files of a folder.
fn conditions(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(deploy(folder)).unwrap() {
        for document in documents(&entry.unwrap().path()) {
            collect(&document, &mut found);
        }
    }
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    if value["name"] == CONDITION {
        found.push(value["expression"].as_str().unwrap().to_owned());
    }
    match value {
        Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        Value::Object(map) => map.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[test]
fn all_files_list_the_controllers_of_the_program() {
    let names: Vec<_> = KUBERNETES_ITSELF
        .iter()
        .map(|name| format!("'{name}'"))
        .collect();
    let expected = format!("!(request.userInfo.username in [ {}])", names.join(", "));
    for (folder, files) in [("helm/keyporter/policies", 5), ("examples", 2)] {
        let found = conditions(folder);
        assert!(found.len() >= files, "{folder}: {found:?}");
        for expression in found {
            let expression: Vec<_> = expression.split_whitespace().collect();
            assert_eq!(expression.join(" "), expected, "{folder}");
        }
    }
}

/// So the same Secrets get their owner from one as from the other.
#[test]
fn the_webhook_before_1_36_has_the_conditions_of_the_policy() {
    let policy = documents(&deploy("helm/keyporter/policies/secret-owner-stamp.yaml")).remove(0);
    let webhook = documents(&deploy("examples/webhook-before-1.36.yaml")).remove(0);
    let webhook = &webhook["webhooks"][0];
    let conditions = policy["spec"]["matchConditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 4);
    assert_eq!(webhook["matchConditions"].as_array(), Some(conditions));
    let mut rule = webhook["rules"][0].clone();
    rule.as_object_mut().unwrap().remove("scope");
    assert_eq!(rule, policy["spec"]["matchConstraints"]["resourceRules"][0]);
    assert_eq!(
        webhook["reinvocationPolicy"],
        policy["spec"]["reinvocationPolicy"]
    );
}

#[test]
fn they_are_known_by_their_exact_names() {
    assert!(is_kubernetes_itself(
        "system:serviceaccount:kube-system:generic-garbage-collector"
    ));
    assert!(!is_kubernetes_itself(
        "system:serviceaccount:vision:generic-garbage-collector"
    ));
    assert!(!is_kubernetes_itself("System:kube-controller-manager"));
}
