//! Kubernetes' own controllers: the program and the files of `deploy` know the same.

use std::fs;
use std::path::Path;

use keyporter::documents::Documents;
use keyporter::inject::kubernetes::{KUBERNETES_ITSELF, is_kubernetes_itself};
use serde_json::Value;

const CONDITION: &str = "is-not-kubernetes-itself";

/// The expressions of this name in the match conditions of all policies and webhooks in a folder of `deploy`.
fn conditions(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        for document in &Documents::split(&text) {
            collect(&file, &document.value(&file).unwrap(), &mut found);
        }
    }
    found
}

fn collect(file: &str, value: &Value, found: &mut Vec<(String, String)>) {
    if value["name"] == CONDITION {
        found.push((
            file.to_owned(),
            value["expression"].as_str().unwrap().to_owned(),
        ));
    }
    match value {
        Value::Array(list) => list.iter().for_each(|value| collect(file, value, found)),
        Value::Object(map) => map.values().for_each(|value| collect(file, value, found)),
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
    let found = [conditions("policies"), conditions("examples")].concat();
    assert!(found.len() >= 6, "{found:?}");
    for (file, expression) in found {
        let expression: Vec<_> = expression.split_whitespace().collect();
        assert_eq!(expression.join(" "), expected, "{file}");
    }
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
