//! Which namespaces are opted in, and which only seem so.

use serde_json::Value;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
    seen::{label, name},
};
use crate::inject::annotations::INJECT;

const NAMESPACES: Subject = Subject("namespaces");

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let namespaces = match &observed.namespaces {
        Ok(namespaces) => namespaces,
        Err(unseen) => return vec![NAMESPACES.unseen("namespaces", unseen)],
    };
    let mut findings = vec![];
    let excluded = excluded(observed);
    let is_out = |namespace: &Value| excluded.iter().any(|it| it == name(namespace));
    let enabled = |namespace: &&Value| label(namespace, INJECT) == Some("enabled");
    let opted_in: Vec<_> = namespaces.iter().filter(enabled).collect();
    let counted = opted_in
        .iter()
        .filter(|namespace| !is_out(namespace))
        .count();
    findings.push(if counted == 0 {
        NAMESPACES.warning(
            "namespaces",
            "none is opted in, so no pod gets anything",
            format!("kubectl label namespace NAMESPACE {INJECT}=enabled"),
        )
    } else {
        NAMESPACES.ok(
            "namespaces",
            format!("{counted} of {} opted in", namespaces.len()),
        )
    });
    for namespace in opted_in.iter().filter(|namespace| is_out(namespace)) {
        let called = name(namespace);
        findings.push(NAMESPACES.warning(
            format!("Namespace {called}"),
            format!("has the label {INJECT}=enabled, without effect: it is excluded, as a system namespace or by the installation"),
            format!("kubectl label namespace {called} {INJECT}-"),
        ));
    }
    for namespace in namespaces {
        let called = name(namespace);
        match label(namespace, INJECT) {
            None | Some("enabled" | "disabled") => {}
            Some(value) => findings.push(NAMESPACES.warning(
                format!("Namespace {called}"),
                format!(
                    "has the label {INJECT}={value}, which means nothing: its pods get no secrets"
                ),
                format!("kubectl label namespace {called} {INJECT}=enabled --overwrite"),
            )),
        }
    }
    findings
}

/// Namespaces that cannot be opted in.
fn excluded(observed: &Observed) -> Vec<String> {
    let arguments = observed.arguments();
    let named = arguments
        .iter()
        .filter_map(|it| it.strip_prefix("--exclude-namespace="));
    let system = super::webhooks::SYSTEM
        .into_iter()
        .chain([observed.namespace.as_str()]);
    system.chain(named).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{
        super::{
            finding::Severity,
            testing::{healthy, namespace},
        },
        *,
    };

    #[rstest]
    #[case(
        "vision",
        "true",
        "means nothing",
        "kubectl label namespace vision keyporter.dev/inject=enabled --overwrite"
    )]
    #[case(
        "kube-system",
        "enabled",
        "without effect",
        "kubectl label namespace kube-system keyporter.dev/inject-"
    )]
    #[case(
        "keyporter-system",
        "enabled",
        "without effect",
        "kubectl label namespace keyporter-system keyporter.dev/inject-"
    )]
    fn labels(
        #[case] name: &str,
        #[case] value: &str,
        #[case] message: &str,
        #[case] advice: &str,
    ) {
        let mut observed = healthy();
        assert_eq!(judge(&observed).len(), 1);
        assert_eq!(judge(&observed)[0].severity, Severity::Ok);
        observed.namespaces = Ok(vec![namespace(name, value)]);
        let findings = judge(&observed);
        assert!(
            findings[0].message.contains("none is opted in"),
            "{findings:?}"
        );
        assert_eq!(findings[1].severity, Severity::Warning);
        assert!(findings[1].message.contains(message), "{findings:?}");
        assert_eq!(findings[1].advice.as_deref(), Some(advice));
    }
}
