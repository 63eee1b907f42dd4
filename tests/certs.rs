//! `keyporter certs` as a person runs it: output, files, exit codes.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of tests for no tests"
)]

use std::{
    path::Path,
    process::{Command, Output},
};

fn keyporter(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyporter"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("KEYPORTER_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn generate_prints_what_it_wrote_and_the_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let output = keyporter(directory.path(), &["certs", "generate"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let out = text(&output.stdout);
    for line in [
        "made a new CA: there was none",
        "wrote certs/ca.crt",
        "wrote certs/ca.key",
        "wrote certs/tls.crt",
        "wrote certs/tls.key",
    ] {
        assert!(
            out.lines().any(|found| found == line),
            "no {line} in\n{out}"
        );
    }

    let authority = std::fs::read(directory.path().join("certs/ca.crt")).unwrap();
    let bundle = format!("caBundle: {}", data_encoding::BASE64.encode(&authority));
    assert_eq!(out.lines().last(), Some(bundle.as_str()));

    let again = keyporter(directory.path(), &["certs", "generate"]);
    let out = text(&again.stdout);
    assert!(out.starts_with("kept the CA\nkept the serving certificate, valid until "));
    assert!(!out.contains("wrote"), "{out}");
}

#[test]
fn generate_takes_hosts_days_and_directory() {
    let directory = tempfile::tempdir().unwrap();
    let output = keyporter(
        directory.path(),
        &[
            "certs",
            "generate",
            "--directory",
            "here/and/there",
            "--host",
            "webhook.example",
            "--host",
            "192.0.2.7",
            "--days",
            "30",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(directory.path().join("here/and/there/tls.key").exists());
}

#[test]
fn a_failure_is_one_line_and_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("certs")).unwrap();
    std::fs::write(directory.path().join("certs/ca.crt"), "mine").unwrap();
    std::fs::write(directory.path().join("certs/ca.key"), "mine").unwrap();
    let output = keyporter(directory.path(), &["certs", "generate"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "error: not overwriting certificates that cannot be used; remove them, or say --force: no certificate in \
         certs/ca.crt: it must hold PEM blocks of type CERTIFICATE, the server's own first\n"
    );

    let forced = keyporter(directory.path(), &["certs", "generate", "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", text(&forced.stderr));
}

#[test]
fn usage_errors_have_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &[][..],
        &["certs"],
        &["certs", "generate", "--days", "0"],
        &["certs", "generate", "--host", "not a name"],
        &["certs", "generate", "--log-level", "inof"],
    ] {
        let output = keyporter(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_ne!(text(&output.stderr), "", "{arguments:?}");
    }
    let output = keyporter(
        directory.path(),
        &["certs", "generate", "--log-level", "inof"],
    );
    assert!(
        text(&output.stderr).contains("`inof`"),
        "{}",
        text(&output.stderr)
    );
    assert!(!directory.path().join("certs").exists());
}

#[test]
fn help_and_version_are_no_errors() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["certs", "generate", "--help"],
    ] {
        let output = keyporter(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}
