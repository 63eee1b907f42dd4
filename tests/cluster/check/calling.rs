//! Webhook configurations, certificates, the Service, the pods, and the call itself.

use data_encoding::BASE64;
use serde_json::json;

use super::installation::{Installation, NAMESPACE, RESTORE};
use crate::{harness::Cluster, support::Result};

const MUTATING: &str = "mutatingwebhookconfiguration/keyporter";

pub(super) async fn breaks(cluster: &Cluster) -> Result<()> {
    let mut installation = Installation::new(cluster).await?;
    let label = [
        "label",
        "namespace",
        "vision",
        "keyporter.dev/inject=enabled",
    ];
    installation.kubectl(&label)?;
    installation.is_healthy().await?;

    configurations(&installation).await?;
    installation.is_healthy().await?;
    service(&installation).await?;
    installation.is_healthy().await?;
    pods(&installation).await?;
    installation.is_healthy().await?;
    trust(&mut installation).await?;
    installation.is_healthy().await?;
    absent(&installation).await?;
    installation.is_healthy().await
}

async fn configurations(installation: &Installation) -> Result<()> {
    let everywhere = json!({"matchLabels": {"keyporter.dev/inject": "enabled"}});
    let none = json!({"matchLabels": {"keyporter.dev/inject": "on"}});
    for (path, value, severity, words) in [
        (
            "/webhooks/0/failurePolicy",
            json!("Ignore"),
            "warning",
            "failurePolicy is Ignore",
        ),
        (
            "/webhooks/0/timeoutSeconds",
            json!(30),
            "warning",
            "timeoutSeconds is 30",
        ),
        (
            "/webhooks/0/matchPolicy",
            json!("Exact"),
            "warning",
            "matchPolicy is Exact",
        ),
        (
            "/webhooks/0/reinvocationPolicy",
            json!("Never"),
            "warning",
            "reinvocationPolicy is not",
        ),
        (
            "/webhooks/0/namespaceSelector",
            everywhere,
            "error",
            "kube-system, keyporter-system be opted in",
        ),
        (
            "/webhooks/0/namespaceSelector",
            json!({}),
            "error",
            "that nobody opted in",
        ),
        (
            "/webhooks/0/namespaceSelector",
            none.clone(),
            "error",
            "does not choose the label",
        ),
        (
            "/webhooks/0/rules/0/resources",
            json!(["services"]),
            "error",
            "has no rule for new pods",
        ),
        (
            "/webhooks/0/rules/4/resources",
            json!(["deployments"]),
            "error",
            "has no rule for",
        ),
    ] {
        let expected = (
            "webhooks",
            severity,
            "MutatingWebhookConfiguration keyporter",
            words,
        );
        installation
            .patched(MUTATING, (path, value), expected)
            .await?;
    }
    // Then nobody is asked.
    let expected = (
        "call",
        "error",
        "a pod in namespace vision",
        "accepted without keyporter",
    );
    installation
        .patched(MUTATING, ("/webhooks/0/namespaceSelector", none), expected)
        .await?;

    let config = installation.own(&["get", MUTATING, "-o", "json"])?;
    let mut second: serde_json::Value = serde_json::from_str(&config)?;
    second["metadata"] = json!({"name": "second"});
    let second = second.to_string();
    installation
        .kubectl
        .run_with_input(&["create", "-f", "-"], &second)?
        .ok()?;
    let line = installation
        .tells((
            "webhooks",
            "error",
            "MutatingWebhookConfiguration second",
            "a second installation",
        ))
        .await?;
    let command = line.advice.split('`').nth(1).ok_or("no command")?;
    installation.follow(command)
}

async fn service(installation: &Installation) -> Result<()> {
    let object = "Service keyporter-system/keyporter";
    installation.own(&["delete", "service", "keyporter"])?;
    let line = installation
        .tells((
            "serving",
            "error",
            object,
            "is not there, so keyporter cannot be called",
        ))
        .await?;
    assert_eq!(line.advice, RESTORE);
    installation.restore(&["Service"])
}

async fn pods(installation: &Installation) -> Result<()> {
    let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
    let no = ready("False");
    for (waiting, words, advice) in [
        (
            json!({"reason": "ImagePullBackOff", "message": "no such image"}),
            "ImagePullBackOff: no such image",
            "image.repository",
        ),
        (
            json!({"reason": "CrashLoopBackOff", "message": "back-off"}),
            "ends as soon as it starts",
            "--previous",
        ),
        (json!(null), "is not ready", "describe pod"),
    ] {
        installation.set_pods(&no, &waiting).await?;
        let line = installation
            .tells(("serving", "error", "Pod keyporter-system/", words))
            .await?;
        assert!(line.advice.contains(advice), "{line:?}");
        let service = "Service keyporter-system/keyporter";
        installation
            .tells((
                "serving",
                "error",
                service,
                "has no ready endpoint. No pod of an opted-in",
            ))
            .await?;
    }
    installation.run_pods().await?;
    installation.is_healthy().await?;

    let version = |version: &str| {
        let label = format!("app.kubernetes.io/version={version}");
        let all = "app.kubernetes.io/name=keyporter";
        installation.own(&["label", "pods", "-l", all, &label, "--overwrite"])
    };
    version("0.0.1")?;
    installation
        .tells((
            "serving",
            "warning",
            "Pod keyporter-",
            "runs keyporter 0.0.1",
        ))
        .await?;
    version(env!("CARGO_PKG_VERSION"))?;

    let deployment = "Deployment keyporter-system/keyporter";
    installation.own(&["scale", "deployment/keyporter", "--replicas=0"])?;
    let line = installation
        .tells(("serving", "error", deployment, "is scaled to 0"))
        .await?;
    installation.follow(&line.advice)?;
    installation.run_pods().await?;
    installation.is_healthy().await?;

    installation.own(&["delete", "deployment", "keyporter"])?;
    let words = "keyporter does not run. No pod of an opted-in namespace starts";
    let line = installation
        .tells(("serving", "error", deployment, words))
        .await?;
    // The release's name stands on the webhook configuration as well.
    assert_eq!(line.advice, RESTORE);
    installation.restore(&["Deployment"])?;
    installation.run_pods().await
}

/// keyporter mends its CA while it runs and may; so its right goes first.
async fn trust(installation: &mut Installation) -> Result<()> {
    let role: serde_json::Value = serde_json::from_str(&installation.kubectl(&[
        "get",
        "clusterrole",
        "keyporter",
        "-o",
        "json",
    ])?)?;
    let rules = role["rules"].as_array().ok_or("no rules")?;
    let of_webhooks =
        |rule: &serde_json::Value| rule["apiGroups"][0] == "admissionregistration.k8s.io";
    let number = rules.iter().position(of_webhooks).ok_or("no such rule")?;
    let path = format!("/rules/{number}");
    installation.patch(
        "clusterrole/keyporter",
        &json!([{"op": "remove", "path": path}]),
    )?;
    let words =
        "may not: get mutatingwebhookconfigurations.admissionregistration.k8s.io/keyporter, ";
    let line = installation
        .tells(("rights", "error", "the account of", words))
        .await?;
    assert_eq!(line.advice, RESTORE);

    let other = BASE64.encode(installation.plane.authority().certificate().as_bytes());
    let bundle = "/webhooks/0/clientConfig/caBundle";
    let object = "MutatingWebhookConfiguration keyporter, webhook inject.keyporter.dev";
    let words = "caBundle does not hold the CA of Secret keyporter-system/keyporter-ca";
    installation.patch(
        MUTATING,
        &json!([{"op": "replace", "path": bundle, "value": other}]),
    )?;
    installation
        .tells(("certificates", "error", object, words))
        .await?;
    let words = "the API server does not trust keyporter's certificate";
    let line = installation
        .tells(("call", "error", "a pod in namespace vision", words))
        .await?;
    assert!(
        line.message
            .contains("x509: certificate signed by unknown authority"),
        "{line:?}"
    );
    installation.patch(MUTATING, &json!([{"op": "remove", "path": bundle}]))?;
    installation
        .tells(("certificates", "error", object, "caBundle is empty"))
        .await?;

    installation.keyporter.kill();
    installation
        .tells((
            "call",
            "error",
            "a pod in namespace vision",
            "nothing listens",
        ))
        .await?;
    // As the advice says: the rights are restored, and keyporter is started again.
    installation.restore(&["ClusterRole"])?;
    installation.keyporter.start_again().await?;
    installation.is_healthy().await?;

    installation.own(&["delete", "secret", "keyporter-owner-keys"])?;
    let words = "no owner of a workload can be proved";
    let line = installation
        .tells((
            "keys",
            "error",
            "Secret keyporter-system/keyporter-owner-keys",
            words,
        ))
        .await?;
    assert!(
        line.advice.contains("rollout restart deployment/keyporter"),
        "{line:?}"
    );
    installation.keyporter.stop()?;
    installation.keyporter.start_again().await
}

async fn absent(installation: &Installation) -> Result<()> {
    let both = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
    installation.kubectl(&["delete", both, "keyporter"])?;
    let mutating = "MutatingWebhookConfiguration keyporter";
    let line = installation
        .tells(("webhooks", "error", mutating, "no pod gets secrets"))
        .await?;
    assert_eq!(line.advice, RESTORE);
    let validating = "ValidatingWebhookConfiguration keyporter";
    installation
        .tells(("webhooks", "warning", validating, "is not there"))
        .await?;
    installation.restore(&[
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ])?;
    // The chart's Service is out of reach of this API server.
    let line = installation
        .tells(("call", "error", "namespace vision", ""))
        .await?;
    assert!(
        line.message.contains(&format!("keyporter.{NAMESPACE}.svc")),
        "{line:?}"
    );
    installation
        .keyporter
        .call_directly(&installation.plane.admin(), "keyporter")
        .await
}
