//! The policies that guard Secrets inside the API server, and who writes the owners of new ones.

use serde_json::Value;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
    seen::{Seen, items, lists, name, text},
};

const POLICIES: Subject = Subject("policies");

/// The policies of kind `ValidatingAdmissionPolicy` of the chart; their bindings are called like them.
const VALIDATING: [&str; 6] = [
    "keyporter-env-names",
    "keyporter-force-delete",
    "keyporter-pod-images",
    "keyporter-pod-marks",
    "keyporter-project-secrets",
    "keyporter-secret-owner",
];
/// The `MutatingAdmissionPolicy` of the chart.
const STAMP: &str = "keyporter-secret-owner-stamp";

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let mut findings = vec![];
    match (&observed.policies, &observed.bindings) {
        (Ok(policies), Ok(bindings)) => {
            for policy in VALIDATING {
                let found = validating(policy, policies, bindings, &observed.restore());
                findings.extend(found);
            }
        }
        (Err(unseen), _) | (_, Err(unseen)) => {
            findings.push(POLICIES.unseen("ValidatingAdmissionPolicies", unseen));
        }
    }
    findings.push(stamp(observed));
    let good = findings
        .iter()
        .all(|it| it.severity == super::finding::Severity::Ok);
    if good {
        findings = vec![POLICIES.ok(
            "admission policies",
            format!(
                "all {} are there and bound, and owners of new secrets are written",
                VALIDATING.len()
            ),
        )];
    }
    findings
}

fn find<'a>(objects: &'a [Value], wanted: &str) -> Option<&'a Value> {
    objects.iter().find(|object| name(object) == wanted)
}

fn validating(policy: &str, policies: &[Value], bindings: &[Value], restore: &str) -> Vec<Finding> {
    let object = format!("ValidatingAdmissionPolicy {policy}");
    let Some(found) = find(policies, policy) else {
        let message = format!("is not there: {}", without(policy));
        return vec![POLICIES.error(object, message, restore)];
    };
    let mut findings = vec![];
    let bound: Vec<_> = bindings
        .iter()
        .filter(|binding| text(binding, "/spec/policyName") == policy)
        .collect();
    let denies = |binding: &&Value| lists(binding, "/spec/validationActions", "Deny");
    let (words, advice) = if bound.is_empty() {
        ("is not there", restore.to_owned())
    } else {
        // Server-side apply would add the action that is missing, and keep those that do not go with it.
        let patch = r#"{"spec":{"validationActions":["Deny"]}}"#;
        let kind = "validatingadmissionpolicybinding";
        let command = format!("kubectl patch {kind} {policy} --type=merge -p '{patch}'");
        ("does not deny", command)
    };
    if !bound.iter().any(denies) {
        findings.push(POLICIES.error(
            format!("ValidatingAdmissionPolicyBinding {policy}"),
            format!(
                "{words}, so the policy refuses nothing: {}",
                without(policy)
            ),
            advice,
        ));
    }
    if text(found, "/spec/failurePolicy") == "Ignore" {
        findings.push(POLICIES.warning(
            &object,
            "failurePolicy is Ignore: where it cannot be evaluated, everything is let through",
            restore,
        ));
    }
    for warning in items(found, "/status/typeChecking/expressionWarnings") {
        findings.push(POLICIES.warning(
            &object,
            format!(
                "{}: {}",
                text(warning, "/fieldRef"),
                super::super::trial::in_one_line(text(warning, "/warning"))
            ),
            format!("an expression that does not fit the API server's types; {restore}"),
        ));
    }
    findings
}

/// What is not guarded then.
fn without(policy: &str) -> &'static str {
    match policy {
        "keyporter-env-names" => "secrets may set variables that change how programs load",
        "keyporter-force-delete" => {
            "anybody who may write a secret may have it deleted under running pods"
        }
        "keyporter-pod-images" => {
            "others may change the image of a running pod with a user's secrets"
        }
        "keyporter-pod-marks" => "anybody may change keyporter's marks on running pods",
        "keyporter-project-secrets" => {
            "whoever writes Secrets puts variables into everybody's pods"
        }
        _ => "anybody who may write Secrets names their owner, and takes over those of others",
    }
}

/// By a policy, or by the webhook.
fn stamp(observed: &Observed) -> Finding {
    let object = format!("MutatingAdmissionPolicy {STAMP}");
    let webhook = format!("{}-secret-owner-stamp", observed.name);
    if observed
        .mutating
        .as_ref()
        .is_ok_and(|all| find(all, &webhook).is_some())
    {
        return POLICIES.ok(
            format!("MutatingWebhookConfiguration {webhook}"),
            "keyporter writes the owners of new secrets",
        );
    }
    let policies = [&observed.mutating_policies, &observed.mutating_bindings];
    let unseen = policies
        .into_iter()
        .find_map(|seen: &Seen<Vec<Value>>| seen.as_ref().err());
    let unseen = unseen.or(observed.has_mutating_policies.as_ref().err());
    if let Some(unseen) = unseen.or(observed.mutating.as_ref().err()) {
        return POLICIES.unseen(object, unseen);
    }
    if observed.has_mutating_policies == Ok(false) {
        return POLICIES.error(
            format!("MutatingWebhookConfiguration {webhook}"),
            "is not there, and this API server has no MutatingAdmissionPolicy of v1: new secrets get no owner, and no pod gets them",
            "helm upgrade with --set features.ownerStamp=webhook; without the chart apply deploy/examples/webhook-before-1.36.yaml",
        );
    }
    let there = |seen: &Seen<Vec<Value>>| seen.as_ref().is_ok_and(|all| find(all, STAMP).is_some());
    if !there(&observed.mutating_policies) || !there(&observed.mutating_bindings) {
        return POLICIES.error(
            object,
            "is not there, or not bound: new secrets get no owner, and no pod gets them",
            observed.restore(),
        );
    }
    POLICIES.ok(object, "writes the owners of new secrets")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use serde_json::json;

    use super::{
        super::{finding::Severity, testing::healthy},
        *,
    };
    use crate::documents::Documents;

    #[test]
    fn the_names_are_those_of_the_chart() {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/helm/keyporter/policies"
        );
        let mut found = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            let yaml = fs::read_to_string(file.unwrap().path()).unwrap();
            for document in &Documents::split(&yaml) {
                let object: Value = document.value("policies").unwrap();
                let kind = text(&object, "/kind").to_owned();
                if kind.contains("AdmissionPolicy") {
                    found.insert((kind, name(&object).to_owned()));
                }
            }
        }
        let kinds = |names: &[&str], kind: &str| {
            let both = ["", "Binding"].map(|suffix| format!("{kind}{suffix}"));
            let named = names
                .iter()
                .flat_map(|name| both.clone().map(|kind| (kind, (*name).to_owned())));
            named.collect::<Vec<_>>()
        };
        let mut expected = BTreeSet::from_iter(kinds(&VALIDATING, "ValidatingAdmissionPolicy"));
        expected.extend(kinds(&[STAMP], "MutatingAdmissionPolicy"));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_wrong_with_a_policy() {
        let mut observed = healthy();
        assert_eq!(judge(&observed).len(), 1);
        observed.policies.as_mut().unwrap()[0]["status"] = json!({"typeChecking": {"expressionWarnings": [
            {"fieldRef": "spec.validations[0].expression", "warning": "undefined\nfield 'x'"}]}});
        observed.policies.as_mut().unwrap()[1]["spec"]["failurePolicy"] = json!("Ignore");
        observed.bindings.as_mut().unwrap()[2]["spec"]["validationActions"] = json!(["Warn"]);
        observed.policies.as_mut().unwrap().remove(5);
        let findings = judge(&observed);
        let told: Vec<_> = findings
            .iter()
            .filter(|it| it.severity != Severity::Ok)
            .map(|it| (it.severity, it.object.rsplit(' ').next().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                (Severity::Warning, VALIDATING[0]),
                (Severity::Warning, VALIDATING[1]),
                (Severity::Error, VALIDATING[2]),
                (Severity::Error, VALIDATING[5]),
            ]
        );
        assert!(
            findings[0].message.contains("undefined field 'x'"),
            "{findings:?}"
        );
    }

    #[test]
    fn somebody_writes_the_owners() {
        let mut observed = healthy();
        observed.mutating_bindings = Ok(vec![]);
        assert_eq!(stamp(&observed).severity, Severity::Error);
        observed.has_mutating_policies = Ok(false);
        assert!(
            stamp(&observed)
                .advice
                .unwrap()
                .contains("features.ownerStamp=webhook")
        );
        let webhook = json!({"metadata": {"name": "keyporter-secret-owner-stamp"}});
        observed.mutating.as_mut().unwrap().push(webhook);
        assert_eq!(stamp(&observed).severity, Severity::Ok);
    }
}
