//! Stores and domains from files, and the flags that name them.

use rstest::rstest;
use tempfile::TempDir;

use crate::program::{Run, file, run, run_with};

const STORES: &str = "\
{apiVersion: v1, kind: Secret, metadata: {name: iomete-secret-store}, stringData: {TOKEN: hunter2}}
---
{apiVersion: v1, kind: Secret, metadata: {name: iomete-secret-store-finance}, stringData: {TOKEN: hunter2}}
---
{apiVersion: v1, kind: Secret, metadata: {name: vault}, stringData: {TOKEN: hunter2}}
";
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
  - {name: main, env: [{name: TOKEN, value: '${secrets.TOKEN}'}]}
";
const APPLICATION: &str = "\
apiVersion: sparkoperator.k8s.io/v1beta2
kind: SparkApplication
metadata:
  name: pi
  annotations:
    keyporter.dev/env-secrets: '[{\"key\": \"TOKEN\", \"secretObject\": {\"key\": \"TOKEN\", \"source\": {\"type\": \"KUBERNETES\", \"id\": \"finance\"}}}]'
spec:
  driver: {cores: 1}
  executor: {cores: 1}
  sparkConf: {spark.ssl.keyPassword: '${secrets.TOKEN}'}
";

fn inject(stores: &str, input: &str, more: &[&str]) -> (TempDir, Run) {
    let folder = tempfile::tempdir().unwrap();
    let stores = file(folder.path(), "stores.yaml", stores);
    let arguments = ["inject", "-f", "-", "--secrets", &stores];
    let run = run_with(&[&arguments, more].concat(), input);
    (folder, run)
}

#[rstest]
#[case::of_the_namespace(&[], "iomete-secret-store")]
#[case::of_the_domain(&["--domain", "finance"], "iomete-secret-store-finance")]
#[case::of_another_domain(&["--domain", "sales"], "iomete-secret-store")]
#[case::another_name(&["--store", "vault"], "vault")]
fn the_store_is_that_of_the_flags(#[case] flags: &[&str], #[case] store: &str) {
    let (_folder, run) = inject(STORES, POD, &[flags, &["-o", "json"]].concat());
    let printed = run.printed();
    assert!(
        printed.contains(&format!("\"name\": \"{store}\"")),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"));
}

#[test]
fn namespaces_in_the_files_say_the_domain() {
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {keyporter.dev/domain: finance}}}";
    let stores = format!("{STORES}---\n{namespace}\n");
    let (_folder, run) = inject(&stores, POD, &["-o", "json"]);
    assert!(run.printed().contains("iomete-secret-store-finance"));
}

#[rstest]
#[case::diff("diff")]
#[case::explain("explain")]
fn a_spark_application(#[case] format: &str) {
    let (_folder, run) = inject(STORES, APPLICATION, &["--as", "alice", "-o", format]);
    insta::assert_snapshot!(format!("spark-application.{format}"), run.printed());
}

#[test]
fn a_spark_application_is_denied_in_one_sentence() {
    let application = APPLICATION.replace("secrets.TOKEN", "secrets.NONE");
    let (_folder, run) = inject(STORES, &application, &[]);
    run.failed(
        1,
        "\"${secrets.NONE}\" (sparkConf spark.ssl.keyPassword): there is no such key",
    );
}

#[rstest]
#[case::store(&["--store", "Vault"], "a Secret's name has")]
#[case::domain(&["--domain", "-"], "a domain is the end of a store's name")]
fn wrong_names_are_exit_code_2(#[case] flags: &[&str], #[case] sentence: &str) {
    let arguments = [
        "inject",
        "-f",
        "-",
        "--secrets",
        "deploy/examples/secrets.yaml",
    ];
    run(&[&arguments, flags].concat()).failed(2, sentence);
}
