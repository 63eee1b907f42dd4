//! What `keyporter inject` says to what it cannot do.

use crate::program::{file, run, run_with};

const POD: &str = "deploy/examples/pod.yaml";
const SECRETS: &str = "deploy/examples/secrets.yaml";

#[test]
fn a_denied_pod_is_exit_code_1_and_prints_nothing() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {keyporter.dev/inject: 'off'}}\nspec: {containers: []}\n";
    let run = run_with(
        &["inject", "-f", "-", "--secrets", SECRETS, "--as", "alice"],
        pod,
    );
    run.failed(
        1,
        "Pod default/p: denied: label keyporter.dev/inject of the pod is \"off\"",
    );
    assert!(
        run.stderr
            .contains(" or remove it [rule: invalid-opt-out]\n")
    );
}

#[test]
fn a_workload_whose_pods_would_be_denied_is_denied() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {metadata: {labels: \
               {keyporter.dev/inject: 'no'}}, spec: {containers: []}}}\n";
    run_with(
        &["inject", "-f", "-", "--secrets", SECRETS, "--as", "alice"],
        job,
    )
    .failed(1, "Job default/j: denied");
}

#[test]
fn a_denied_object_is_explained_with_the_rule_that_spoke() {
    let labels = "labels: {keyporter.dev/inject: 'no'}";
    let sentence = "denied: label keyporter.dev/inject of the pod is \"no\"; set it to \"disabled\" to opt the pod out, or \
                    remove it [rule: invalid-opt-out]\n";
    let explain = |text: &str| {
        let arguments = ["inject", "-f", "-", "--secrets", SECRETS, "--as", "alice"];
        let run = run_with(&[&arguments[..], &["-o", "explain"]].concat(), text);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let ending = "error: 1 of the pods would be denied\n";
        assert!(run.stderr.ends_with(ending), "{}", run.stderr);
        run.stdout
    };
    let job = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\n\
         spec: {{template: {{metadata: {{{labels}}}, spec: {{containers: []}}}}}}\n"
    );
    assert_eq!(explain(&job), format!("Job default/j\n{sentence}\n"));

    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: vision, {labels}}}\nspec: {{containers: []}}\n"
    );
    let explained = explain(&pod);
    let head = format!("Pod vision/p\n{sentence}SECRET ");
    assert!(explained.starts_with(&head), "{explained}");
    let rows = explained
        .lines()
        .filter(|line| line.ends_with("not: the pod is denied"));
    assert_eq!(rows.count(), 7, "{explained}");
}

#[test]
fn missing_and_empty_files() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file(folder.path(), "empty.yaml", "# nothing\n");
    let path = folder.path().to_str().unwrap();
    run(&["inject", "-f", "deploy/examples", "--secrets", SECRETS])
        .failed(1, "cannot read deploy/examples: it is a folder");
    run(&["inject", "-f", "absent.yaml", "--secrets", SECRETS])
        .failed(1, "cannot read absent.yaml");
    run(&["inject", "-f", &empty, "--secrets", SECRETS]).failed(1, "empty.yaml: no document in it");
    let nothing = run(&["inject", "-f", SECRETS, "--secrets", SECRETS]);
    assert!(
        nothing.stderr.contains("no pod template"),
        "{}",
        nothing.stderr
    );
    run(&["inject", "-f", POD, "--secrets", "absent"]).failed(1, "absent");
    std::fs::remove_file(&empty).unwrap();
    run(&["inject", "-f", POD, "--secrets", path]).failed(1, path);
}

#[test]
fn a_yaml_error_names_file_document_and_line_and_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "kind: ConfigMap\napiVersion: v1\n---\nkind: Secret\ndata:\n  a: hunter2\n bad: hunter2\n";
    let secrets = file(folder.path(), "secrets.yaml", text);
    let run = run(&["inject", "-f", POD, "--secrets", &secrets]);
    run.failed(1, "secrets.yaml: document 2, line 7");
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn a_template_that_is_none_names_its_place() {
    let job = "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {containers: [7]}}}\n";
    let run = run_with(
        &["inject", "-f", "-", "--secrets", SECRETS, "--as", "alice"],
        job,
    );
    run.failed(1, "standard input: document 2, line 4: Job default/j at \"/spec/template\" is not what Kubernetes takes for a pod");
}

#[test]
fn a_pod_that_is_none_is_named_and_not_quoted() {
    let pod = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c, env: hunter2}]}\n";
    let run = run_with(&["inject", "-f", "-", "--secrets", SECRETS], pod);
    run.failed(
        1,
        "Pod default/(no name) is not what Kubernetes takes for a pod: expected a sequence",
    );
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
}

#[test]
fn another_namespace_than_asked_for() {
    let run = run(&["inject", "-f", POD, "--secrets", SECRETS, "-n", "speech"]);
    run.failed(
        1,
        "Pod notebook is in namespace \"vision\", not in \"speech\"",
    );
}

#[test]
fn wrong_command_lines_are_exit_code_2() {
    run(&["inject"]).failed(2, "--filename");
    run(&["inject", "-f", POD]).failed(2, "--secrets");
    run(&["inject", "-f", POD, "--secrets", SECRETS, "-o", "toml"])
        .failed(2, "yaml, json, patch, diff, explain");
    run(&["inject", "-f", POD, "--secrets", SECRETS, "--as", ""])
        .failed(2, "a username is not empty");
    run(&["inject", "-f", POD, "--secrets", SECRETS, "--as", "a\n"])
        .failed(2, "a username has no control characters");
    run(&["inject", "-f", POD, "--secrets", SECRETS, "-n", "Vision"])
        .failed(2, "a namespace has 1 to 63");
    run(&[
        "inject",
        "-f",
        POD,
        "--secrets",
        SECRETS,
        "--mount-root",
        "secrets",
    ])
    .failed(2, "an absolute path");
}
