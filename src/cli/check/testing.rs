//! A healthy installation, for tests to break.

use std::fs;

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use super::{calls, certificates::Material, observe::Observed, rights};
use crate::{cli::secret::metadata::Metadata, documents::Documents};

pub(super) fn healthy() -> Observed {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let pem = authority.pem();
    let [mutating, validating] = [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ]
    .map(|kind| configuration(kind, &pem));
    let labels =
        json!({"app.kubernetes.io/name": "keyporter", "app.kubernetes.io/instance": "keyporter"});
    let policies = |suffix: &str| {
        let names = [
            "env-names",
            "force-delete",
            "pod-images",
            "pod-marks",
            "project-secrets",
            "secret-owner",
        ];
        let spec = |name: &str| match suffix {
            "" => json!({"failurePolicy": "Fail"}),
            _ => json!({"policyName": format!("keyporter-{name}"), "validationActions": ["Deny"]}),
        };
        let policy = |name: &&str| json!({"metadata": {"name": format!("keyporter-{name}")}, "spec": spec(name)});
        names.iter().map(policy).collect::<Vec<_>>()
    };
    let stamp = json!({"metadata": {"name": "keyporter-secret-owner-stamp"}});
    let refusal =
        "admission webhook \"inject.keyporter.dev\" denied the request: no [rule: invalid-opt-out]";
    let all = rights::all("keyporter-system", "keyporter").into_iter();
    Observed {
        namespace: "keyporter-system".to_owned(),
        name: "keyporter".to_owned(),
        version: Ok(json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3"})),
        has_mutating_policies: Ok(true),
        mutating: Ok(vec![mutating]),
        validating: Ok(vec![validating]),
        policies: Ok(policies("")),
        bindings: Ok(policies("binding")),
        mutating_policies: Ok(vec![stamp.clone()]),
        mutating_bindings: Ok(vec![stamp]),
        service: Ok(Some(json!({"spec": {"ports": [{"port": 443}]}}))),
        slices: Ok(vec![
            json!({"endpoints": [{"conditions": {"ready": true}}]}),
        ]),
        deployment: Ok(Some(json!({
            "metadata": {"labels": labels},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [{
                "args": ["serve", "--certificates=self-managed", "--trusted-controller=x=JobSet.jobset.x-k8s.io"],
            }]}}},
        }))),
        pods: Ok(vec![json!({
            "metadata": {"name": "keyporter-1", "labels": {"app.kubernetes.io/version": env!("CARGO_PKG_VERSION")}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        })]),
        readiness: vec![],
        namespaces: Ok(vec![
            namespace("vision", "enabled"),
            namespace("default", "disabled"),
        ]),
        call: Some(calls::Call {
            namespace: "vision".to_owned(),
            answer: calls::Answer::Refused {
                code: 403,
                sentence: refusal.to_owned(),
            },
        }),
        rights: Ok(all
            .map(|right| {
                let needed = right.need != rights::Need::Never;
                (right, needed)
            })
            .collect()),
        keys: Ok(true),
        certificates: Ok(Some(Material {
            secret: "keyporter-ca".to_owned(),
            key: "ca.crt",
            pem: Some(pem.into_bytes()),
        })),
        secrets: Ok(vec![]),
    }
}

/// That of the examples, called by a Service.
fn configuration(kind: &str, pem: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/webhook.yaml");
    let yaml = fs::read_to_string(path).unwrap();
    let documents = Documents::split(&yaml);
    let mut all = documents
        .iter()
        .map(|document| document.value("webhook.yaml").unwrap());
    let mut found: Value = all.find(|object| object["kind"] == kind).unwrap();
    found["metadata"]["name"] = json!("keyporter");
    for webhook in found["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"] = json!({
            "service": {"name": "keyporter", "namespace": "keyporter-system", "port": 443},
            "caBundle": BASE64.encode(pem.as_bytes()),
        });
    }
    found
}

pub(super) fn namespace(name: &str, inject: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"keyporter.dev/inject": inject}}})
}

pub(super) fn secret(
    namespace: &str,
    object: &str,
    kind: &str,
    annotation: Option<(&str, &str)>,
) -> Metadata {
    let annotations = annotation.map(|(name, value)| json!({name: value}));
    serde_json::from_value(json!({
        "namespace": namespace,
        "name": object,
        "resourceVersion": "1",
        "labels": {"keyporter.dev/kind": kind},
        "annotations": annotations.unwrap_or_default(),
    }))
    .unwrap()
}
