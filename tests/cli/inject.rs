//! `keyporter inject` on the examples and on files of every shape.

use rstest::rstest;
use serde_json::Value;

use crate::program::{Run, file, run, run_with};

const SECRETS: &str = "deploy/examples/secrets.yaml";

/// What alice gets for a text on standard input.
fn inject(input: &str, more: &[&str]) -> Run {
    let arguments = ["inject", "-f", "-", "--secrets", SECRETS, "--as", "alice"];
    run_with(&[&arguments, more].concat(), input)
}

/// What is printed for alice for a file.
fn injected(file: &str, more: &[&str]) -> String {
    let arguments = ["inject", "-f", file, "--secrets", SECRETS, "--as", "alice"];
    run(&[&arguments, more].concat()).printed()
}

#[rstest]
#[case::job("job")]
#[case::pod("pod")]
#[case::jobset("jobset")]
fn examples_as_yaml(#[case] name: &str) {
    insta::assert_snapshot!(
        format!("{name}.yaml"),
        injected(&format!("deploy/examples/{name}.yaml"), &[])
    );
}

#[rstest]
#[case::diff("diff")]
#[case::explain("explain")]
#[case::patch("patch")]
fn the_job_in_every_format(#[case] format: &str) {
    insta::assert_snapshot!(
        format!("job.{format}"),
        injected("deploy/examples/job.yaml", &["-o", format])
    );
}

/// Three ways to the same object.
#[test]
fn yaml_json_and_patch_agree() {
    let json: Value =
        serde_json::from_str(&injected("deploy/examples/job.yaml", &["-o", "json"])).unwrap();
    let yaml = injected("deploy/examples/job.yaml", &[]);
    let documents = keyporter::documents::Documents::split(&yaml);
    assert_eq!(documents.iter().next().unwrap().value("out").unwrap(), json);

    let text = std::fs::read_to_string("deploy/examples/job.yaml").unwrap();
    let documents = keyporter::documents::Documents::split(&text);
    let mut job = documents.iter().next().unwrap().value("in").unwrap();
    let patch: json_patch::Patch =
        serde_json::from_str(&injected("deploy/examples/job.yaml", &["-o", "patch"])).unwrap();
    json_patch::patch(&mut job, &patch).unwrap();
    assert_eq!(job, json);
}

#[test]
fn what_was_injected_is_injected_no_second_time() {
    let once = injected("deploy/examples/job.yaml", &[]);
    let again = inject(&once, &[]);
    assert!(
        again.stderr.contains("already-injected"),
        "{}",
        again.stderr
    );
    assert_eq!(again.printed(), once);
}

#[test]
fn documents_that_are_no_workloads_pass_byte_for_byte() {
    let other = "# a comment\nkind: ConfigMap   # with its name\napiVersion: v1\nmetadata: {name: c}\ndata:\n  a: 'yes'\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: vision}\nspec: {containers: [{name: c, image: i}]}\n";
    let input = format!("{other}---\n{pod}---\n{other}");
    let printed = inject(&input, &[]).printed();
    assert!(
        printed.starts_with(other) && printed.ends_with(other),
        "{printed}"
    );
    assert!(printed.contains("hugging-face-2bd806c9"));
}

#[test]
fn items_of_a_list_are_injected_where_they_stand() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "vision"},
         "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}]}"#;
    let printed = inject(list, &["-o", "patch"]).printed();
    let patch: Vec<Value> = serde_json::from_str(&printed).unwrap();
    assert!(!patch.is_empty());
    assert!(
        patch
            .iter()
            .all(|operation| operation["path"].as_str().unwrap().starts_with("/items/1/")),
        "{printed}"
    );
}

/// As the API server lists them.
#[test]
fn items_of_a_pod_list_need_no_kind_of_their_own() {
    let list = r#"{"apiVersion": "v1", "kind": "PodList", "items": [
        {"metadata": {"name": "p", "namespace": "vision"}, "spec": {"containers": [{"name": "c"}]}}]}"#;
    let run = inject(list, &["-o", "json"]);
    assert!(
        run.stderr.contains("Pod vision/p: 7 secrets"),
        "{}",
        run.stderr
    );
    assert!(run.printed().contains("hugging-face-2bd806c9"));
}

#[rstest]
#[case::cron_job(
    "batch/v1",
    "CronJob",
    r#"{"jobTemplate": {"spec": {"template": TEMPLATE}}}"#
)]
#[case::daemon_set("apps/v1", "DaemonSet", r#"{"template": TEMPLATE}"#)]
#[case::stateful_set("apps/v1", "StatefulSet", r#"{"template": TEMPLATE}"#)]
#[case::replication_controller("v1", "ReplicationController", r#"{"template": TEMPLATE}"#)]
#[case::ray_cluster(
    "ray.io/v1",
    "RayCluster",
    r#"{"headGroupSpec": {"template": TEMPLATE}, "workerGroupSpecs": [{"template": TEMPLATE}]}"#
)]
fn every_workload_with_a_pod_template(
    #[case] version: &str,
    #[case] kind: &str,
    #[case] spec: &str,
) {
    let spec = spec.replace("TEMPLATE", r#"{"spec": {"containers": [{"name": "c"}]}}"#);
    let workload = format!(
        r#"{{"apiVersion": "{version}", "kind": "{kind}", "metadata": {{"name": "w", "namespace": "vision"}}, "spec": {spec}}}"#
    );
    let printed = inject(&workload, &["-o", "json"]).printed();
    let templates = workload.matches(r#""template""#).count();
    assert_eq!(
        printed.matches("KONDUKTOR_DEFAULT_SECRETS\"").count(),
        templates,
        "{printed}"
    );
}

#[test]
fn without_a_user_only_the_projects_secrets_come() {
    let run = run(&[
        "inject",
        "-f",
        "deploy/examples/pod.yaml",
        "--secrets",
        SECRETS,
    ]);
    assert!(run.stderr.contains("--as USER"), "{}", run.stderr);
    let printed = run.printed();
    assert!(
        printed.contains("name: tracking") && !printed.contains("2bd806c9"),
        "{printed}"
    );
}

#[test]
fn the_mode_of_a_volume_is_octal_as_kubectl_reads_it() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: vision}\nspec:\n  containers: [{name: c}]\n  \
               volumes: [{name: v, secret: {secretName: s, defaultMode: 0400}}]\n";
    let printed = inject(pod, &[]).printed();
    assert!(printed.contains("defaultMode: 256"), "{printed}");
}

#[test]
fn secrets_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(SECRETS, folder.path().join("secrets.yaml")).unwrap();
    file(folder.path(), "notes.txt", "not YAML: [");
    let path = folder.path().to_str().unwrap();
    let printed = run(&[
        "inject",
        "-f",
        "deploy/examples/pod.yaml",
        "--secrets",
        path,
        "--as",
        "alice",
    ])
    .printed();
    assert!(printed.contains("hugging-face-2bd806c9"));
}

#[test]
fn a_broken_secret_is_named_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = "apiVersion: v1\nkind: Secret\nmetadata: {name: odd, namespace: vision, labels: {keyporter.dev/kind: magic, \
                   keyporter.dev/scope: project}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: good, namespace: vision, \
                   labels: {keyporter.dev/kind: env, keyporter.dev/scope: project}}\nstringData: {A: b}\n";
    let secrets = file(folder.path(), "secrets.yaml", secrets);
    let pod = "deploy/examples/pod.yaml";
    let with_warning = run(&["inject", "-f", pod, "--secrets", &secrets, "--as", "alice"]);
    assert!(
        with_warning.stderr.contains("unknown kind \"magic\""),
        "{}",
        with_warning.stderr
    );
    assert!(with_warning.printed().contains("name: good"));
    let explained = run(&[
        "inject",
        "-f",
        pod,
        "--secrets",
        &secrets,
        "--as",
        "alice",
        "-o",
        "explain",
    ])
    .printed();
    assert!(
        explained
            .lines()
            .any(|line| line.starts_with("odd") && line.contains("unknown kind")),
        "{explained}"
    );
}

#[test]
fn a_reference_to_anothers_secret_is_a_warning() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: vision}\nspec:\n  containers: [{name: c}]\n  \
               imagePullSecrets: [{name: registry-2bd806c9}]\n";
    let run = |user| {
        run_with(
            &["inject", "-f", "-", "--secrets", SECRETS, "--as", user],
            pod,
        )
    };
    let warning = "refers to secrets of another user: \"registry-2bd806c9\" (imagePullSecrets)";
    let bobs = run("bob").stderr;
    assert!(bobs.contains(warning), "{bobs}");
    assert!(bobs.contains("[rule: foreign-secrets]\n"), "{bobs}");
    assert!(!run("alice").stderr.contains(warning));
}

const REFERS: &str = "apiVersion: batch/v1
kind: Job
metadata:
  name: refers
  namespace: vision
spec:
  template:
    metadata:
      annotations:
        keyporter.dev/files: secret:certificates/ca.pem:/etc/ssl/ca.pem
    spec:
      restartPolicy: Never
      containers:
      - name: train
        image: busybox
        env:
        - name: TOKEN
          value: secret:hugging-face
        - name: TRACKING
          value: secret:tracking/MLFLOW_TRACKING_URI
        - name: DEBUG_TOKEN
          value: secret:debug?/TOKEN
";

#[rstest]
#[case::yaml("yaml")]
#[case::diff("diff")]
#[case::explain("explain")]
fn references(#[case] format: &str) {
    let printed = inject(REFERS, &["-o", format]).printed();
    insta::assert_snapshot!(format!("references.{format}"), printed);
}

#[test]
fn references_are_resolved_no_second_time() {
    let once = inject(REFERS, &[]).printed();
    let again = inject(&once, &[]);
    assert!(
        again.stderr.contains("already-injected"),
        "{}",
        again.stderr
    );
    assert_eq!(again.printed(), once);
}

#[test]
fn references_that_mean_nothing_are_refused() {
    let input = REFERS
        .replace("hugging-face", "huging-face")
        .replace("debug?", "DEBUG");
    let refused = inject(&input, &[]);
    refused.failed(1, "rule: unresolved-references");
    insta::assert_snapshot!(refused.stderr);
}

#[test]
fn secrets_without_a_container_are_explained_too() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: vision, annotations: {keyporter.dev/containers: x}}\n\
               spec: {containers: [{name: c}]}\n";
    let explained = inject(pod, &["-o", "explain"]).printed();
    let rows = explained
        .lines()
        .filter(|line| line.ends_with("not: no container takes part"));
    assert_eq!(rows.count(), 6, "{explained}");
}

#[test]
fn no_value_is_ever_printed() {
    for format in ["yaml", "json", "patch", "diff", "explain"] {
        let run = run(&[
            "inject",
            "-f",
            "deploy/examples/job.yaml",
            "--secrets",
            SECRETS,
            "--as",
            "alice",
            "-o",
            format,
        ]);
        let all = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(run.code, 0);
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
