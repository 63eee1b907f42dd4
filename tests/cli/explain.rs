//! `keyporter explain` without a cluster.

use serde_json::{Value, json};

use crate::program::{run, run_with};

const SECRETS: &str = "deploy/examples/secrets.yaml";

fn explain(file: &str, more: &[&str]) -> crate::program::Run {
    let arguments = ["explain", "-f", file, "--secrets", SECRETS, "--as", "alice"];
    run(&[&arguments, more].concat())
}

#[test]
fn a_file_is_explained_as_inject_does() {
    let inject = [
        "inject",
        "-f",
        "deploy/examples/job.yaml",
        "--secrets",
        SECRETS,
        "--as",
        "alice",
        "-o",
        "explain",
    ];
    let run_of_explain = explain("deploy/examples/job.yaml", &[]);
    assert_eq!(run_of_explain.stderr, "");
    assert_eq!(run_of_explain.printed(), run(&inject).printed());
}

#[test]
fn json_has_the_same_for_programs() {
    let json = explain("deploy/examples/pod.yaml", &["-o", "json"]).printed();
    insta::assert_snapshot!("pod.explain.json", json);
}

#[test]
fn a_denied_file_is_exit_code_1() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {keyporter.dev/inject: 'off'}}\nspec: {containers: []}\n";
    let run = run_with(
        &[
            "explain",
            "-f",
            "-",
            "--secrets",
            SECRETS,
            "--as",
            "alice",
            "-o",
            "json",
        ],
        pod,
    );
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(run.stderr, "error: 1 of the pods would be denied\n");
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["items"][0]["fate"], json!("denied"));
}

#[test]
fn wrong_command_lines_are_exit_code_2() {
    run(&["explain"]).failed(2, "<POD|--filename <FILE>|--as <USER>>");
    run(&["explain", "pod", "a", "-f", "b"]).failed(2, "cannot be used with");
    run(&["explain", "a", "--secrets", SECRETS]).failed(2, "cannot be used with");
    run(&["explain", "--as-group", "staff", "a"]).failed(2, "--as <USER>");
    run(&["explain", "pod", "a", "b"]).failed(2, "unexpected");
}

/// The words are looked at when a cluster is there.
#[test]
fn without_a_cluster_the_way_out_is_named() {
    let mut command = crate::program::command(&["explain", "train-0"]);
    let folder = tempfile::tempdir().unwrap();
    let output = command.env("HOME", folder.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("or explain a file with -f FILE --secrets PATH"),
        "{stderr}"
    );
}

#[test]
fn no_value_is_ever_printed() {
    for format in ["text", "json"] {
        let run = explain("deploy/examples/job.yaml", &["-o", format]);
        let all = format!("{}{}", run.stdout, run.stderr);
        for value in [
            "hf_example",
            "example-auth-secret",
            "mlflow.example.com",
            "EXAMPLEKEYID",
            "region = ",
        ] {
            assert!(!all.contains(value), "{format} has {value}");
        }
    }
}
