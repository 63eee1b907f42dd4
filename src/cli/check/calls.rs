//! Whether the API server reaches keyporter, asked with a pod that keyporter has to refuse: its own words prove that it
//! answered.

use serde_json::{Value, json};

use super::{
    finding::{Finding, Subject},
    observe::Observed,
    seen::Unseen,
};
use crate::inject::annotations::INJECT;

/// A value that no pod may have.
const REFUSED_VALUE: &str = "keyporter-check";
/// The rule by which such a pod is refused.
const RULE: &str = "[rule: invalid-opt-out]";

const CALL: Subject = Subject("call");

/// What became of the pod in the dry run.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) namespace: String,
    pub(super) answer: Answer,
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    Accepted,
    Refused { code: u16, sentence: String },
    Failed(String),
}

/// The pod.
pub(super) fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "keyporter-check-", "labels": {INJECT: REFUSED_VALUE}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "check",
                "image": "registry.invalid/check:1",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let Some(call) = &observed.call else {
        // Of namespaces there is a line of its own.
        return vec![];
    };
    let object = format!("a pod in namespace {} (dry run)", call.namespace);
    vec![match &call.answer {
        Answer::Refused { sentence, .. } if sentence.contains(RULE) => {
            CALL.ok(object, "the API server asks keyporter, and keyporter answers")
        }
        Answer::Accepted => CALL.error(
            object,
            "is accepted without keyporter: the API server does not ask it, or goes on where it cannot",
            "see the webhook configuration above: is it there, does it choose the namespace, is failurePolicy Ignore?",
        ),
        Answer::Refused { code: 403, sentence } if !sentence.contains("admission webhook") => {
            let right = sentence
                .contains("cannot create resource")
                .then(|| format!("create pods -n {}", call.namespace));
            CALL.unseen(object, &Unseen { reason: sentence.clone(), right })
        }
        Answer::Refused { sentence, .. } if sentence.contains("failed calling webhook") => {
            let (what, advice) = translated(sentence, observed);
            CALL.error(object, format!("{what} ({sentence})"), advice)
        }
        Answer::Refused { sentence, .. } | Answer::Failed(sentence) => {
            CALL.unseen(object, &Unseen { reason: sentence.clone(), right: None })
        }
    }]
}

/// What the API server's words about a failed call mean, and what to do.
fn translated(sentence: &str, observed: &Observed) -> (&'static str, String) {
    let namespace = &observed.namespace;
    let name = &observed.name;
    let restart = format!("kubectl -n {namespace} rollout restart deployment/{name}");
    let has = |words: &str| sentence.contains(words);
    if has("certificate signed by unknown authority")
        || has("failed to verify certificate") && has("unknown")
    {
        return (
            "the API server does not trust keyporter's certificate: caBundle is not the CA that signed it",
            format!(
                "{restart}; with cert-manager see that its injector runs, with files that caBundle is the CA of tls.crt"
            ),
        );
    }
    if has("certificate has expired or is not yet valid") {
        return (
            "keyporter's certificate has expired, or a clock is wrong",
            format!("renew the certificate; {restart}"),
        );
    }
    if has("certificate is valid for") || has("cannot validate certificate for") {
        return (
            "keyporter's certificate is for another name than the one it is called by",
            format!("make the certificate for {name}.{namespace}.svc"),
        );
    }
    if has("no endpoints available") || has("not found") && has("service") {
        return (
            "there is no pod of keyporter behind the Service, or no Service",
            observed.restore(),
        );
    }
    if has("connection refused") {
        return (
            "nothing listens where keyporter is called",
            format!("kubectl -n {namespace} get pods,endpointslices; {restart}"),
        );
    }
    if has("deadline exceeded")
        || has("i/o timeout")
        || has("Client.Timeout")
        || has("no route to host")
    {
        return (
            "keyporter cannot be reached in time: the network between the API server and its pods is closed, or it is overloaded",
            "let the API server reach the pods' port, in NetworkPolicies and firewalls; where it does not reach the pods' \
             network, install with hostNetwork"
                .to_owned(),
        );
    }
    (
        "the API server cannot ask keyporter",
        format!("kubectl -n {namespace} logs deployment/{name}"),
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{
        super::{finding::Severity, testing::healthy},
        *,
    };

    fn call(code: u16, sentence: &str) -> Finding {
        let mut observed = healthy();
        let answer = Answer::Refused {
            code,
            sentence: sentence.to_owned(),
        };
        observed.call = Some(Call {
            namespace: "vision".to_owned(),
            answer,
        });
        judge(&observed).remove(0)
    }

    #[rstest]
    #[case(
        "x509: certificate signed by unknown authority",
        "caBundle is not the CA"
    )]
    #[case(
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time",
        "has expired"
    )]
    #[case(
        "x509: certificate is valid for a.b.svc, not keyporter.keyporter-system.svc",
        "for another name"
    )]
    #[case(
        "no endpoints available for service \"keyporter\"",
        "no pod of keyporter"
    )]
    #[case("service \"keyporter\" not found", "no pod of keyporter")]
    #[case(
        "dial tcp 10.0.0.1:443: connect: connection refused",
        "nothing listens"
    )]
    #[case("context deadline exceeded", "cannot be reached in time")]
    #[case("an error on the server", "cannot ask keyporter")]
    fn failed_calls_are_translated(#[case] words: &str, #[case] expected: &str) {
        let sentence = format!(
            "Internal error occurred: failed calling webhook \"inject.keyporter.dev\": {words}"
        );
        let finding = call(500, &sentence);
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.message.contains(expected), "{finding:?}");
        assert!(finding.message.contains(words), "{finding:?}");
        assert!(!finding.advice.unwrap().is_empty());
    }

    #[test]
    fn only_keyporters_own_words_prove_that_it_answers() {
        assert_eq!(judge(&healthy())[0].severity, Severity::Ok);
        let forbidden = call(
            403,
            "pods is forbidden: User \"bob\" cannot create resource \"pods\"",
        );
        assert_eq!(forbidden.severity, Severity::Unseen);
        assert!(forbidden.advice.unwrap().contains("create pods -n vision"));
        assert_eq!(call(403, "exceeded quota").severity, Severity::Unseen);
        let mut observed = healthy();
        observed.call = Some(Call {
            namespace: "vision".to_owned(),
            answer: Answer::Accepted,
        });
        assert_eq!(judge(&observed)[0].severity, Severity::Error);
    }
}
