//! The webhook configurations: which pods the API server asks about, how, and whom it trusts.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
    seen::{items, lists, name, text},
};
use crate::{cli::namespace::selects, inject::annotations::INJECT};

const WEBHOOKS: Subject = Subject("webhooks");

/// Namespaces of Kubernetes itself, without whose pods a cluster does not come up.
pub(super) const SYSTEM: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];
/// From this on a pod that keyporter does not answer takes long to be refused.
const LONG: u64 = 15;
/// What ends the names of all webhooks of keyporter.
const OURS: &str = ".keyporter.dev";
/// API group and resource of the workloads of Kubernetes.
const WORKLOADS: [(&str, &str); 7] = [
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("", "replicationcontrollers"),
];

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let mut findings = vec![];
    match &observed.mutating {
        Ok(all) => {
            findings.extend(mutating(observed, all));
            findings.extend(rivals(observed, all));
        }
        Err(unseen) => findings.push(WEBHOOKS.unseen("MutatingWebhookConfigurations", unseen)),
    }
    match &observed.validating {
        Ok(all) => findings.extend(validating(observed, all)),
        Err(unseen) => findings.push(WEBHOOKS.unseen("ValidatingWebhookConfigurations", unseen)),
    }
    findings
}

/// The webhooks of both configurations of this installation, and that of owners of Secrets.
pub(super) fn own(observed: &Observed) -> impl Iterator<Item = (String, &Value)> {
    let stamp = format!("{}-secret-owner-stamp", observed.name);
    let mutating = ("MutatingWebhookConfiguration", &observed.mutating);
    let validating = ("ValidatingWebhookConfiguration", &observed.validating);
    [mutating, validating]
        .into_iter()
        .flat_map(move |(kind, all)| {
            let stamp = stamp.clone();
            let ours = all
                .iter()
                .flatten()
                .filter(move |it| name(it) == observed.name || name(it) == stamp);
            ours.flat_map(move |configuration| {
                items(configuration, "/webhooks")
                    .iter()
                    .map(move |webhook| {
                        let object = format!(
                            "{kind} {}, webhook {}",
                            name(configuration),
                            text(webhook, "/name")
                        );
                        (object, webhook)
                    })
            })
        })
}

fn mutating(observed: &Observed, all: &[Value]) -> Vec<Finding> {
    let object = format!("MutatingWebhookConfiguration {}", observed.name);
    let Some(found) = all.iter().find(|it| name(it) == observed.name) else {
        let others = all.iter().filter(|it| !ours(it).is_empty()).map(name);
        let others: Vec<_> = others.collect();
        let advice = if others.is_empty() {
            observed.restore()
        } else {
            format!(
                "{}; if it is called otherwise, say so: --name {}",
                observed.restore(),
                others.join(", or ")
            )
        };
        let message =
            "is not there: no pod gets secrets, and nobody checks whose secrets it refers to";
        return vec![WEBHOOKS.error(object, message, advice)];
    };
    let mut findings = vec![];
    let for_pods = ours(found)
        .into_iter()
        .find(|webhook| covers(webhook, "", "pods", "CREATE"));
    match for_pods {
        None => findings.push(WEBHOOKS.error(
            &object,
            "has no rule for new pods: none gets secrets",
            observed.restore(),
        )),
        Some(webhook) => findings.extend(of_pods(observed, &object, webhook)),
    }
    for webhook in ours(found) {
        findings.extend(settings(observed, &object, webhook));
        if text(webhook, "/reinvocationPolicy") != "IfNeeded" {
            findings.push(WEBHOOKS.warning(
                of(&object, webhook),
                "reinvocationPolicy is not IfNeeded: containers that another webhook adds later get nothing",
                observed.restore(),
            ));
        }
    }
    if findings.is_empty() {
        let count = items(found, "/webhooks").len();
        findings.push(WEBHOOKS.ok(
            object,
            format!("its {count} webhooks are as they have to be"),
        ));
    }
    findings
}

/// Selector and rules of the webhook for pods.
fn of_pods(observed: &Observed, object: &str, webhook: &Value) -> Vec<Finding> {
    let object = of(object, webhook);
    let mut findings = vec![];
    let system = SYSTEM.into_iter().chain([observed.namespace.as_str()]);
    let called: Vec<_> = system
        .filter(|it| chooses(webhook, it, Some("enabled")))
        .collect();
    if !called.is_empty() {
        findings.push(WEBHOOKS.error(
            &object,
            format!(
                "its namespaceSelector lets {} be opted in: a cluster, or keyporter itself, may then not come up again",
                called.join(", ")
            ),
            observed.restore(),
        ));
    }
    if !chooses(webhook, "any", Some("enabled")) {
        findings.push(WEBHOOKS.error(
            &object,
            format!("its namespaceSelector does not choose the label {INJECT}=enabled: opted-in namespaces get nothing"),
            observed.restore(),
        ));
    }
    if chooses(webhook, "any", None) {
        findings.push(WEBHOOKS.error(
            &object,
            "its namespaceSelector chooses namespaces that nobody opted in",
            observed.restore(),
        ));
    }
    let missing = WORKLOADS.iter().filter(|(group, resource)| {
        !["CREATE", "UPDATE"]
            .iter()
            .all(|operation| covers(webhook, group, resource, operation))
    });
    let missing: Vec<_> = missing.map(|(_, resource)| *resource).collect();
    if !missing.is_empty() {
        findings.push(WEBHOOKS.error(
            &object,
            format!("has no rule for {}: their pods belong to nobody, and get the project's secrets only", missing.join(", ")),
            observed.restore(),
        ));
    }
    findings
}

fn validating(observed: &Observed, all: &[Value]) -> Vec<Finding> {
    let object = format!("ValidatingWebhookConfiguration {}", observed.name);
    let Some(found) = all.iter().find(|it| name(it) == observed.name) else {
        return vec![WEBHOOKS.warning(
            object,
            "is not there: a second git key is not refused, nor that a secret is deleted which pods use; that is so with \
             features.secretGuard=false",
            observed.restore(),
        )];
    };
    let mut findings = vec![];
    for webhook in ours(found) {
        findings.extend(settings(observed, &object, webhook));
    }
    if findings.is_empty() {
        findings.push(WEBHOOKS.ok(object, "is as it has to be"));
    }
    findings
}

/// What all webhooks have.
fn settings(observed: &Observed, object: &str, webhook: &Value) -> Vec<Finding> {
    let object = of(object, webhook);
    let mut findings = vec![];
    if text(webhook, "/failurePolicy") == "Ignore" {
        findings.push(WEBHOOKS.warning(
            &object,
            "failurePolicy is Ignore: while keyporter cannot be asked, pods start without secrets, and may refer to those of \
             others",
            "helm upgrade with --set webhook.failurePolicy=Fail",
        ));
    }
    if let Some(seconds) = webhook["timeoutSeconds"]
        .as_u64()
        .filter(|seconds| *seconds >= LONG)
    {
        findings.push(WEBHOOKS.warning(
            &object,
            format!(
                "timeoutSeconds is {seconds}: while keyporter hangs, every request waits so long"
            ),
            "helm upgrade with --set webhook.timeoutSeconds=5",
        ));
    }
    if text(webhook, "/matchPolicy") == "Exact" {
        findings.push(WEBHOOKS.warning(
            &object,
            "matchPolicy is Exact: objects of other API versions pass by",
            observed.restore(),
        ));
    }
    findings
}

/// Others that are asked about the same pods.
fn rivals(observed: &Observed, all: &[Value]) -> Vec<Finding> {
    let others = all.iter().filter(|it| name(it) != observed.name);
    let rivals = others.filter(|configuration| {
        let mut webhooks = ours(configuration).into_iter();
        webhooks.any(|webhook| {
            covers(webhook, "", "pods", "CREATE") && chooses(webhook, "any", Some("enabled"))
        })
    });
    let rival = |configuration| {
        let called = name(configuration);
        WEBHOOKS.error(
            format!("MutatingWebhookConfiguration {called}"),
            format!("is a second installation that chooses the same namespaces as {}: each refuses what the other proved", observed.name),
            format!("uninstall one of them; what is left of one goes with `kubectl delete mutatingwebhookconfiguration {called}`"),
        )
    };
    rivals.map(rival).collect()
}

fn of(object: &str, webhook: &Value) -> String {
    format!("{object}, webhook {}", text(webhook, "/name"))
}

/// Those of keyporter in a configuration.
fn ours(configuration: &Value) -> Vec<&Value> {
    let webhooks = items(configuration, "/webhooks").iter();
    webhooks
        .filter(|webhook| text(webhook, "/name").ends_with(OURS))
        .collect()
}

fn covers(webhook: &Value, group: &str, resource: &str, operation: &str) -> bool {
    items(webhook, "/rules").iter().any(|rule| {
        let has =
            |pointer: &str, wanted: &str| lists(rule, pointer, wanted) || lists(rule, pointer, "*");
        has("/apiGroups", group) && has("/resources", resource) && has("/operations", operation)
    })
}

/// Whether a namespace of this name, and with this opt-in, is chosen.
fn chooses(webhook: &Value, namespace: &str, opt_in: Option<&str>) -> bool {
    let selector = webhook
        .get("namespaceSelector")
        .cloned()
        .unwrap_or_default();
    let selector: LabelSelector = serde_json::from_value(selector).unwrap_or_default();
    let mut labels = BTreeMap::from([(
        "kubernetes.io/metadata.name".to_owned(),
        namespace.to_owned(),
    )]);
    labels.extend(opt_in.map(|value| (INJECT.to_owned(), value.to_owned())));
    selects(&selector, &labels)
}

/// Whether pods are refused while keyporter cannot be asked.
pub(super) fn is_required(observed: &Observed) -> bool {
    own(observed).any(|(_, webhook)| text(webhook, "/failurePolicy") != "Ignore")
}

/// Whether all is called by address, and not by the Service.
pub(super) fn by_address(observed: &Observed) -> bool {
    let mut webhooks = own(observed).peekable();
    webhooks.peek().is_some()
        && webhooks.all(|(_, webhook)| webhook.pointer("/clientConfig/url").is_some())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::{
        super::{finding::Severity, testing::healthy},
        *,
    };

    fn worst(findings: &[Finding]) -> Option<Severity> {
        findings.iter().map(|finding| finding.severity).max()
    }

    #[test]
    fn the_example_is_healthy() {
        let findings = judge(&healthy());
        assert_eq!(worst(&findings), Some(Severity::Ok), "{findings:?}");
        assert_eq!(findings.len(), 2);
    }

    #[rstest]
    #[case("/webhooks/0/failurePolicy", json!("Ignore"), Severity::Warning, "failurePolicy is Ignore")]
    #[case("/webhooks/1/timeoutSeconds", json!(30), Severity::Warning, "timeoutSeconds is 30")]
    #[case("/webhooks/0/matchPolicy", json!("Exact"), Severity::Warning, "matchPolicy is Exact")]
    #[case("/webhooks/2/reinvocationPolicy", json!("Never"), Severity::Warning, "reinvocationPolicy")]
    #[case("/webhooks/0/rules/0/resources", json!(["services"]), Severity::Error, "no rule for new pods")]
    #[case("/webhooks/0/rules/0/operations", json!(["UPDATE"]), Severity::Error, "no rule for new pods")]
    #[case("/webhooks/0/namespaceSelector", json!({}), Severity::Error, "that nobody opted in")]
    #[case(
        "/webhooks/0/namespaceSelector",
        json!({"matchLabels": {"keyporter.dev/inject": "enabled"}}),
        Severity::Error,
        "lets kube-node-lease, kube-public, kube-system, keyporter-system be opted in"
    )]
    #[case(
        "/webhooks/0/namespaceSelector",
        json!({"matchLabels": {"keyporter.dev/inject": "yes"}}),
        Severity::Error,
        "does not choose the label"
    )]
    fn what_is_wrong_is_said(
        #[case] pointer: &str,
        #[case] value: Value,
        #[case] severity: Severity,
        #[case] words: &str,
    ) {
        let mut observed = healthy();
        *observed.mutating.as_mut().unwrap()[0]
            .pointer_mut(pointer)
            .unwrap() = value;
        let findings = judge(&observed);
        let found = findings.iter().find(|it| it.message.contains(words));
        assert_eq!(found.map(|it| it.severity), Some(severity), "{findings:?}");
        assert!(found.unwrap().advice.is_some());
    }

    #[test]
    fn workloads_without_a_rule_are_named() {
        let mut observed = healthy();
        let rules = &mut observed.mutating.as_mut().unwrap()[0]["webhooks"][0]["rules"];
        let rules = rules.as_array_mut().unwrap();
        rules.retain(|rule| !lists(rule, "/resources", "jobs"));
        let findings = judge(&observed);
        assert!(
            findings[0]
                .message
                .starts_with("has no rule for cronjobs, jobs:"),
            "{findings:?}"
        );
    }

    #[test]
    fn configurations_that_are_not_there() {
        let mut observed = healthy();
        observed.validating = Ok(vec![]);
        assert_eq!(worst(&judge(&observed)), Some(Severity::Warning));
        observed.name = "other".to_owned();
        let findings = judge(&observed);
        assert!(
            findings[0]
                .advice
                .as_ref()
                .unwrap()
                .ends_with("--name keyporter"),
            "{findings:?}"
        );
    }

    #[test]
    fn two_installations_are_one_too_many() {
        let mut observed = healthy();
        let mut second = observed.mutating.as_ref().unwrap()[0].clone();
        second["metadata"]["name"] = json!("second");
        observed.mutating.as_mut().unwrap().push(second);
        let findings = judge(&observed);
        let found = findings.iter().find(|it| it.object.ends_with(" second"));
        assert_eq!(found.unwrap().severity, Severity::Error);
    }
}
