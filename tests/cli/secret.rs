//! `keyporter secret` without a cluster: its command lines, and what it says of a kubeconfig that leads nowhere.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use rstest::rstest;

use crate::program::{Run, command, file, run};

/// In every kubeconfig here, where a token could be.
const CANARY: &str = "hunter2";

/// One line, and nothing of the kubeconfig's.
#[track_caller]
fn failed(run: &Run, sentence: &str) {
    run.failed(1, sentence);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(!run.stderr.contains(CANARY), "{}", run.stderr);
}

/// A kubeconfig with this server and these credentials of its user.
fn kubeconfig(folder: &Path, cluster: &str, user: &str) -> String {
    file(
        folder,
        "kubeconfig",
        &format!(
            "clusters: [{{name: c, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n\
             contexts: [{{name: one, context: {{cluster: c, user: u}}}}]\ncurrent-context: one\n"
        ),
    )
}

#[test]
fn help_of_adopt() {
    insta::assert_snapshot!(
        "secret_adopt.help",
        run(&["secret", "adopt", "--help"]).printed()
    );
}

#[rstest]
#[case::no_command(&[], "Usage: keyporter secret")]
#[case::names_without_owner(&["adopt", "wandb"], "--owner <USER>")]
#[case::all_without_owner(&["adopt", "--all"], "--owner <USER>")]
#[case::hash_without_owner(&["adopt", "--konduktor-owner", "0a1b2c3d"], "--owner <USER>")]
#[case::no_name(&["adopt", "--owner", ""], "a username is not empty")]
#[case::blank_name(&["adopt", "--owner", " "], "a username is not empty")]
#[case::line_break(&["adopt", "--owner", "alice\n"], "a username has no control characters")]
#[case::escape(&["adopt", "--owner", "\u{1b}[2Jalice", "--all"], "a username has no control characters")]
#[case::no_such_object(&["adopt", "--owner", "alice", "vision/wandb"], "the name of an object has")]
#[case::no_hash(&["adopt", "--owner", "alice", "--konduktor-owner", ""], "a hash is what the column HASH shows")]
#[case::names_and_all(&["adopt", "--owner", "alice", "wandb", "--all"], "cannot be used with")]
#[case::names_and_hash(&["adopt", "--owner", "alice", "wandb", "--konduktor-owner", "0a1b2c3d"], "cannot be used with")]
#[case::hash_and_all(&["adopt", "--owner", "alice", "--all", "--konduktor-owner", "0a1b2c3d"], "cannot be used with")]
#[case::names_everywhere(&["adopt", "--owner", "alice", "-A", "wandb"], "cannot be used with")]
#[case::here_and_everywhere(&["adopt", "-A", "-n", "vision"], "cannot be used with")]
#[case::namespace(&["adopt", "-n", "Vision"], "a namespace has 1 to 63")]
#[case::group(&["adopt", "--as", "alice", "--as-group", "a\nb"], "a group has no control characters")]
#[case::group_without_user(&["adopt", "--as-group", "staff"], "--as <USER>")]
fn wrong_command_lines_are_exit_code_2(#[case] arguments: &[&str], #[case] sentence: &str) {
    run(&[&["secret"], arguments].concat()).failed(2, sentence);
}

#[test]
fn without_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |kubeconfig: Option<PathBuf>| {
        let mut command = command(&["secret", "adopt"]);
        command.env("HOME", folder.path());
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        let output = command.output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let nowhere = in_folder(None);
    failed(
        &nowhere,
        "no cluster: $KUBECONFIG and ~/.kube/config name none",
    );
    assert!(!nowhere.stderr.contains("--secrets"), "{}", nowhere.stderr);
    let absent = folder.path().join("absent");
    let sentence = format!("cannot read the kubeconfig {}", absent.display());
    failed(&in_folder(Some(absent)), &sentence);
}

#[test]
fn a_kubeconfig_that_leads_nowhere_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let adopt = |path: &str, more: &[&str]| {
        let arguments = ["secret", "adopt", "--kubeconfig", path];
        run(&[&arguments, more].concat())
    };
    let token = format!("token: {CANARY}");
    // A port that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("server: 'https://{}'", listener.local_addr().unwrap());
    drop(listener);

    let path = kubeconfig(folder, &server, &token);
    failed(&adopt(&path, &[]), "the API server cannot be reached: ");
    failed(
        &adopt(&path, &["--context", "two"]),
        &format!("the kubeconfig {path} has no context \"two\""),
    );
    failed(
        &adopt(
            &file(
                folder,
                "damaged",
                &format!("users:\n- user:\n    {token}\n  \"\n"),
            ),
            &[],
        ),
        "damaged is not valid; `kubectl config view`",
    );
    let proxy = format!("{server}, proxy-url: 'http://me:{CANARY}@proxy.invalid'");
    failed(
        &adopt(&kubeconfig(folder, &proxy, &token), &[]),
        "a proxy is set",
    );
    let plugin = |command: &str| {
        let api = "client.authentication.k8s.io/v1";
        let exec = format!("exec: {{apiVersion: {api}, interactiveMode: Never, {command}}}");
        kubeconfig(folder, &server, &exec)
    };
    let path = plugin(&format!(
        "command: sh, args: ['-c', 'echo {CANARY}; echo {CANARY} >&2; exit 3']"
    ));
    failed(
        &adopt(&path, &[]),
        "the credentials for the cluster cannot be used: the credential plugin ended with exit status: 3",
    );
    let path = plugin(&format!(
        "command: sh, args: ['-c', 'echo {{token: {CANARY}']"
    ));
    failed(&adopt(&path, &[]), "gives none that are valid");
    let path = plugin("command: /absent/plugin");
    failed(&adopt(&path, &[]), "cannot start the credential plugin");
    let path = kubeconfig(folder, &server, "tokenFile: /absent/token");
    failed(
        &adopt(&path, &[]),
        "cannot read the token file /absent/token",
    );
    let pem = format!("-----BEGIN X-----\n{CANARY}\n\nYQ==\n-----END X-----\n");
    let data = data_encoding::BASE64.encode(pem.as_bytes());
    let authority = format!("{server}, certificate-authority-data: {data}");
    failed(
        &adopt(&kubeconfig(folder, &authority, &token), &[]),
        "its certificate authority is not in PEM form",
    );
    let keys = format!("client-certificate-data: {data}, client-key-data: {data}");
    failed(
        &adopt(&kubeconfig(folder, &server, &keys), &[]),
        "error: no client",
    );
    let keys = format!("client-certificate-data: {CANARY}, client-key-data: {CANARY}");
    failed(
        &adopt(&kubeconfig(folder, &server, &keys), &[]),
        "error: no client",
    );
}
