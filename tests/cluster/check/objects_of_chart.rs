//! Namespaces, rights, policies and secrets.

use std::process::Command;

use serde_json::{Value, json};

use super::installation::{Installation, RESTORE, WITHIN};
use crate::{
    harness::Cluster,
    support::{Result, control_plane::ADMIN, wait_for},
};

const README: &str = include_str!("../../../README.md");

pub(super) async fn breaks(cluster: &Cluster) -> Result<()> {
    let installation = Installation::new(cluster).await?;
    namespaces(&installation).await?;
    installation.is_healthy().await?;
    rights(&installation).await?;
    installation.is_healthy().await?;
    policies(&installation).await?;
    installation.is_healthy().await?;
    secrets(&installation).await?;
    installation.is_healthy().await?;
    as_the_readme_shows(&installation).await?;
    without_rights(&installation)
}

/// Two things are broken there, and one may not be seen.
async fn as_the_readme_shows(installation: &Installation) -> Result<()> {
    let object = "validatingadmissionpolicybinding/keyporter-secret-owner";
    installation.kubectl(&["delete", object])?;
    installation
        .tells(("policies", "error", "keyporter-secret-owner", ""))
        .await?;
    let label = "keyporter.dev/inject=true";
    installation.kubectl(&["label", "namespace", "default", label])?;
    installation
        .tells(("namespaces", "warning", "Namespace default", ""))
        .await?;
    let (code, printed) = installation.text_of(ADMIN)?;
    assert_eq!(code, Some(1));
    let shown = README
        .split("```text\n")
        .filter_map(|block| block.split("```").next())
        .find(|block| block.starts_with("ok      Kubernetes "))
        .unwrap_or_default();
    assert_eq!(alike(&printed), alike(shown), "it prints\n{printed}");

    let (_, printed) = installation.text_of("bob")?;
    let unseen = README
        .split("```text\n")
        .filter_map(|block| block.split("```").next())
        .find(|block| block.starts_with("unseen  "))
        .unwrap_or_default();
    assert!(
        !unseen.is_empty() && printed.contains(unseen),
        "it prints\n{printed}"
    );

    installation.restore(&["ValidatingAdmissionPolicyBinding"])?;
    installation.kubectl(&["label", "namespace", "default", "keyporter.dev/inject-"])?;
    installation.is_healthy().await
}

/// Without the Kubernetes that is there, and the day.
fn alike(printed: &str) -> Vec<String> {
    let word = |word: &str| {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_version = word
            .trim_end_matches(':')
            .strip_prefix("v")
            .is_some_and(|number| number.split('.').all(digits));
        let is_day = word.split('-').count() == 3 && word.split('-').all(digits);
        match (is_version, is_day) {
            (true, _) => "VERSION".to_owned(),
            (_, true) => "DAY".to_owned(),
            _ => word.to_owned(),
        }
    };
    let words = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    printed.lines().map(words).collect()
}

async fn namespaces(installation: &Installation) -> Result<()> {
    let line = installation
        .tells(("namespaces", "warning", "namespaces", "none is opted in"))
        .await?;
    let (code, _) = installation.report_of(ADMIN, &[])?;
    assert_eq!(code, Some(0));
    let (code, _) = installation.report_of(ADMIN, &["--strict"])?;
    assert_eq!(code, Some(1));
    installation.follow(&line.advice.replace("NAMESPACE", "vision"))?;
    installation.is_healthy().await?;

    for (namespace, value, words) in [
        (
            "default",
            "true",
            "keyporter.dev/inject=true, which means nothing",
        ),
        ("kube-public", "enabled", "without effect"),
    ] {
        let label = format!("keyporter.dev/inject={value}");
        installation.kubectl(&["label", "namespace", namespace, &label])?;
        let object = format!("Namespace {namespace}");
        let line = installation
            .tells(("namespaces", "warning", &object, words))
            .await?;
        installation.follow(&line.advice)?;
        installation.is_healthy().await?;
    }
    installation.kubectl(&["label", "namespace", "default", "keyporter.dev/inject-"])?;
    Ok(())
}

async fn rights(installation: &Installation) -> Result<()> {
    let account = "--serviceaccount=keyporter-system:keyporter";
    let role = "--clusterrole=system:controller:generic-garbage-collector";
    installation.kubectl(&["create", "clusterrolebinding", "too-much", role, account])?;
    installation
        .tells((
            "rights",
            "warning",
            "the account of",
            "in all namespaces: get secrets",
        ))
        .await?;
    installation.kubectl(&["delete", "clusterrolebinding", "too-much"])?;
    installation.is_healthy().await?;

    installation.kubectl(&["delete", "clusterrolebinding", "keyporter"])?;
    let line = installation
        .tells((
            "rights",
            "error",
            "the account of",
            "may not: list secrets, watch secrets",
        ))
        .await?;
    assert_eq!(line.advice, RESTORE);
    installation.restore(&["ClusterRoleBinding"])?;
    installation.is_healthy().await?;

    installation.own(&["delete", "rolebinding", "keyporter"])?;
    let words = "get secrets/keyporter-owner-keys -n keyporter-system";
    installation
        .tells(("rights", "error", "the account of", words))
        .await?;
    installation.restore(&["RoleBinding"])
}

async fn policies(installation: &Installation) -> Result<()> {
    let validating = "validatingadmissionpolicy/keyporter-project-secrets";
    let binding = "validatingadmissionpolicybinding/keyporter-secret-owner";
    let stamp = "mutatingadmissionpolicy/keyporter-secret-owner-stamp";
    let stamp_binding = "mutatingadmissionpolicybinding/keyporter-secret-owner-stamp";
    for (object, kind, words) in [
        (
            validating,
            "ValidatingAdmissionPolicy",
            "puts variables into everybody's pods",
        ),
        (
            binding,
            "ValidatingAdmissionPolicyBinding",
            "so the policy refuses nothing",
        ),
        (stamp, "MutatingAdmissionPolicy", "new secrets get no owner"),
        (
            stamp_binding,
            "MutatingAdmissionPolicyBinding",
            "new secrets get no owner",
        ),
    ] {
        installation.kubectl(&["delete", object])?;
        let name = object.rsplit('/').next().unwrap_or_default();
        let line = installation
            .tells(("policies", "error", name, words))
            .await?;
        assert_eq!(line.advice, RESTORE);
        installation.restore(&[kind])?;
        installation.is_healthy().await?;
    }

    installation.patch(
        binding,
        &json!([{"op": "replace", "path": "/spec/validationActions", "value": ["Warn"]}]),
    )?;
    let line = installation
        .tells((
            "policies",
            "error",
            "keyporter-secret-owner",
            "does not deny",
        ))
        .await?;
    installation.follow(&line.advice)?;

    installation.patch(
        validating,
        &json!([{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"}]),
    )?;
    installation
        .tells((
            "policies",
            "warning",
            "keyporter-project-secrets",
            "failurePolicy is Ignore",
        ))
        .await?;
    installation.restore(&["ValidatingAdmissionPolicy"])?;
    installation.is_healthy().await?;

    // The API server's own controller checks the types of expressions.
    let marks = "validatingadmissionpolicy/keyporter-force-delete";
    let expression = json!("object.metadata.nonexistent == 'a'");
    installation.patch(
        marks,
        &json!([{"op": "replace", "path": "/spec/validations/0/expression", "value": expression}]),
    )?;
    installation
        .tells((
            "policies",
            "warning",
            "keyporter-force-delete",
            "undefined field 'nonexistent'",
        ))
        .await?;
    installation.restore(&["ValidatingAdmissionPolicy"])
}

fn secret(name: &str, kind: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"keyporter.dev/kind": kind}},
        "stringData": {key: "hunter2"},
    })
}

async fn secrets(installation: &Installation) -> Result<()> {
    let create = |namespace: &str, secret: Value| {
        let kubectl = installation.kubectl.within(namespace);
        kubectl
            .run_with_input(&["create", "-f", "-"], &secret.to_string())?
            .ok()
    };
    // Older than the installation.
    let stamp = "mutatingadmissionpolicybinding/keyporter-secret-owner-stamp";
    let guard = "validatingadmissionpolicybinding/keyporter-secret-owner";
    installation.kubectl(&["delete", stamp, guard])?;
    installation
        .tells(("policies", "error", "keyporter-secret-owner", ""))
        .await?;
    // The API server forgets each policy a moment later.
    wait_for("a secret without an owner", WITHIN, async || {
        match create("vision", secret("old", "env", "TOKEN")) {
            Err(error) if error.to_string().contains("has no owner") => return Ok(None),
            outcome => outcome?,
        };
        let owner = "jsonpath={.metadata.annotations.keyporter\\.dev/owner}";
        let written =
            installation.kubectl(&["get", "secret", "old", "-n", "vision", "-o", owner])?;
        if written.is_empty() {
            return Ok(Some(()));
        }
        installation.kubectl(&["delete", "secret", "old", "-n", "vision"])?;
        Ok(None)
    })
    .await?;
    installation.restore(&[
        "MutatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicyBinding",
    ])?;
    let object = "secrets in namespace vision";
    let line = installation
        .tells((
            "secrets",
            "warning",
            object,
            "1 without an owner, which no pod gets: old",
        ))
        .await?;
    let command = line.advice.split('#').next().unwrap_or_default();
    assert_eq!(command.trim(), "keyporter secret adopt -n vision");
    let words: Vec<_> = command.split_whitespace().skip(1).collect();
    for more in [&[][..], &["old", "--owner", "alice"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_keyporter"))
            .env(
                "KUBECONFIG",
                installation
                    .plane
                    .kubeconfig(ADMIN, Some("system:masters"))?,
            )
            .args(&words)
            .args(more)
            .output()?;
        assert!(output.status.success(), "{output:?}");
    }
    installation.is_healthy().await?;

    create("default", secret("odd", "git-ssh", "key"))?;
    installation
        .tells((
            "secrets",
            "warning",
            "secrets in namespace default",
            "1 broken, which no pod gets: odd (no private key",
        ))
        .await?;
    installation.kubectl(&["delete", "secret", "odd", "-n", "default"])?;

    // Nobody refuses a second one where nobody opted in.
    for name in ["one", "two"] {
        create("default", secret(name, "git-ssh", "gitkey"))?;
    }
    let line = installation
        .tells((
            "secrets",
            "warning",
            "secrets in namespace default",
            "admin has 2 of kind git-ssh",
        ))
        .await?;
    let command = line.advice.split(',').next().unwrap_or_default();
    installation.follow(&command.replace("NAME", "one"))
}

/// Everything is said to be unseen, with the right that it takes, and nothing to be wrong.
fn without_rights(installation: &Installation) -> Result<()> {
    let (code, lines) = installation.report_of("bob", &[])?;
    assert_eq!(code, Some(0), "{lines:?}");
    let unseen = lines.iter().filter(|line| line.severity == "unseen");
    let rights: Vec<_> = unseen.map(|line| line.advice.as_str()).collect();
    for right in [
        "list mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "list validatingwebhookconfigurations.admissionregistration.k8s.io",
        "list validatingadmissionpolicies.admissionregistration.k8s.io",
        "list mutatingadmissionpolicies.admissionregistration.k8s.io",
        "get deployments.apps -n keyporter-system",
        "get services -n keyporter-system",
        "get secrets keyporter-ca -n keyporter-system",
        "get secrets keyporter-owner-keys -n keyporter-system",
        "create subjectaccessreviews.authorization.k8s.io",
        "list namespaces",
        "list secrets --all-namespaces",
    ] {
        assert!(
            rights.contains(&&*format!("it takes the right to {right}")),
            "{right}: {lines:?}"
        );
    }
    assert!(
        lines.iter().all(|line| line.severity != "error"),
        "{lines:?}"
    );
    let (code, _) = installation.report_of("bob", &["--strict"])?;
    assert_eq!(code, Some(1));
    Ok(())
}
