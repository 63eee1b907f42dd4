//! What answers: the Service, the pods behind it, and why there are none.

use serde_json::Value;

use super::{
    finding::{Finding, Subject},
    observe::Observed,
    seen::{items, label, name, text},
    webhooks,
};

const SERVING: Subject = Subject("serving");
const VERSION_LABEL: &str = "app.kubernetes.io/version";

pub(super) fn judge(observed: &Observed) -> Vec<Finding> {
    let not_in_cluster = observed.service == Ok(None) && observed.deployment == Ok(None);
    if not_in_cluster && webhooks::by_address(observed) {
        return vec![SERVING.ok(
            "keyporter",
            "is called by an address: there is no Service and no Deployment to look at",
        )];
    }
    let mut findings = vec![];
    let ready = ready_endpoints(observed);
    findings.extend(service(observed));
    match &observed.deployment {
        Err(unseen) => findings.push(SERVING.unseen(deployment_name(observed), unseen)),
        Ok(None) => findings.push(SERVING.error(
            deployment_name(observed),
            format!(
                "is not there: keyporter does not run. {}",
                consequence(observed)
            ),
            observed.restore(),
        )),
        Ok(Some(deployment)) => findings.extend(pods(observed, deployment)),
    }
    match ready {
        Some(0) => findings.push(SERVING.error(
            format!("Service {}/{}", observed.namespace, observed.name),
            format!("has no ready endpoint. {}", consequence(observed)),
            format!("see {} and its pods", deployment_name(observed)),
        )),
        Some(count) if observed.service.as_ref().is_ok_and(Option::is_some) => {
            findings.push(SERVING.ok(
                format!("Service {}/{}", observed.namespace, observed.name),
                format!("has {count} ready endpoints"),
            ));
        }
        _ => {}
    }
    findings
}

fn deployment_name(observed: &Observed) -> String {
    format!("Deployment {}/{}", observed.namespace, observed.name)
}

/// What it means for opted-in namespaces that nobody answers.
fn consequence(observed: &Observed) -> &'static str {
    if webhooks::is_required(observed) {
        "No pod of an opted-in namespace starts, as its webhooks are required (failurePolicy Fail)"
    } else {
        "Pods of opted-in namespaces start without secrets (failurePolicy Ignore)"
    }
}

fn service(observed: &Observed) -> Vec<Finding> {
    let object = format!("Service {}/{}", observed.namespace, observed.name);
    let found = match &observed.service {
        Err(unseen) => return vec![SERVING.unseen(object, unseen)],
        Ok(None) => {
            let message = format!(
                "is not there, so keyporter cannot be called. {}",
                consequence(observed)
            );
            return vec![SERVING.error(object, message, observed.restore())];
        }
        Ok(Some(found)) => found,
    };
    let ports: Vec<_> = items(found, "/spec/ports")
        .iter()
        .filter_map(|port| port["port"].as_u64())
        .collect();
    for (webhook, called) in webhooks::own(observed) {
        let Some(target) = called.pointer("/clientConfig/service") else {
            continue;
        };
        if text(target, "/name") != observed.name
            || text(target, "/namespace") != observed.namespace
        {
            let message = format!(
                "is called by Service {}/{}, which is not this installation's",
                text(target, "/namespace"),
                text(target, "/name")
            );
            return vec![SERVING.error(webhook, message, observed.restore())];
        }
        let port = target["port"].as_u64().unwrap_or(443);
        if !ports.contains(&port) {
            let message = format!("has no port {port}, which {webhook} calls");
            return vec![SERVING.error(object, message, observed.restore())];
        }
    }
    vec![]
}

/// `None`: nobody knows.
fn ready_endpoints(observed: &Observed) -> Option<usize> {
    let slices = observed.slices.as_ref().ok()?;
    let endpoints = slices.iter().flat_map(|slice| items(slice, "/endpoints"));
    // Absent is unknown, and counts as ready.
    Some(
        endpoints
            .filter(|one| one.pointer("/conditions/ready") != Some(&Value::Bool(false)))
            .count(),
    )
}

fn pods(observed: &Observed, deployment: &Value) -> Vec<Finding> {
    let object = deployment_name(observed);
    let wanted = deployment
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
        .unwrap_or(1);
    if wanted == 0 {
        return vec![SERVING.error(
            object,
            format!("is scaled to 0. {}", consequence(observed)),
            format!(
                "kubectl -n {} scale deployment/{} --replicas=2",
                observed.namespace, observed.name
            ),
        )];
    }
    let pods = match &observed.pods {
        Err(unseen) => return vec![SERVING.unseen(format!("pods of {object}"), unseen)],
        Ok(pods) => pods,
    };
    let mut findings: Vec<_> = pods
        .iter()
        .filter_map(|pod| trouble(observed, pod))
        .collect();
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    if pods.is_empty() {
        findings.push(SERVING.error(
            &object,
            format!("wants {wanted} pods and has none{}", failure(deployment)),
            format!(
                "kubectl -n {} describe replicasets -l app.kubernetes.io/name=keyporter",
                observed.namespace
            ),
        ));
    } else if ready > 0 && findings.is_empty() {
        findings.push(SERVING.ok(&object, format!("{ready} of {wanted} pods are ready")));
    }
    if ready > 0 {
        // Some answer, so nobody is refused.
        for finding in &mut findings {
            if finding.severity == super::finding::Severity::Error {
                finding.severity = super::finding::Severity::Warning;
            }
        }
    }
    findings.extend(versions(pods));
    findings
}

/// Why a Deployment cannot make pods.
fn failure(deployment: &Value) -> String {
    let mut conditions = items(deployment, "/status/conditions").iter();
    let failed = conditions
        .find(|it| text(it, "/type") == "ReplicaFailure" && text(it, "/status") == "True");
    failed.map_or_else(String::new, |it| format!(": {}", text(it, "/message")))
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let mut conditions = items(pod, "/status/conditions").iter();
    text(pod, "/metadata/deletionTimestamp").is_empty()
        && conditions.any(|it| text(it, "/type") == "Ready" && text(it, "/status") == "True")
}

fn trouble(observed: &Observed, pod: &Value) -> Option<Finding> {
    if is_ready(pod) || !text(pod, "/metadata/deletionTimestamp").is_empty() {
        return None;
    }
    let called = name(pod);
    let object = format!("Pod {}/{called}", observed.namespace);
    let kubectl = format!("kubectl -n {}", observed.namespace);
    let waiting = "/status/containerStatuses/0/state/waiting";
    let message = text(pod, &format!("{waiting}/message"));
    Some(match text(pod, &format!("{waiting}/reason")) {
        reason @ ("ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName") => SERVING.error(
            object,
            format!("{reason}: {message}"),
            "give the chart an image that is there (image.repository, image.tag) and that the nodes may pull (imagePullSecrets)",
        ),
        "CrashLoopBackOff" => SERVING.error(
            object,
            format!("CrashLoopBackOff: keyporter ends as soon as it starts: {message}"),
            format!("{kubectl} logs {called} --previous"),
        ),
        reason if !reason.is_empty() => SERVING.error(
            object,
            format!("does not start: {reason}: {message}"),
            format!("{kubectl} describe pod {called}"),
        ),
        _ => {
            let said = observed.readiness.iter().find(|(pod, _)| pod == called);
            let said = said.map_or_else(String::new, |(_, words)| format!(": {words}"));
            let mut conditions = items(pod, "/status/conditions").iter();
            let unscheduled = conditions.find(|it| text(it, "/type") == "PodScheduled" && text(it, "/status") == "False");
            let unscheduled = unscheduled.map_or_else(String::new, |it| format!(": {}", text(it, "/message")));
            SERVING.error(
                object,
                format!("is not ready{said}{unscheduled}"),
                format!("{kubectl} describe pod {called}; {kubectl} logs {called}"),
            )
        }
    })
}

/// Whether the pods run the same version as this program.
fn versions(pods: &[Value]) -> Option<Finding> {
    const OURS: &str = env!("CARGO_PKG_VERSION");
    let other = pods.iter().find_map(|pod| {
        let version = label(pod, VERSION_LABEL)?;
        (version != OURS).then_some((pod, version))
    })?;
    let (pod, version) = other;
    Some(SERVING.warning(
        format!("Pod {}", name(pod)),
        format!("runs keyporter {version}, and this program is {OURS}: what it says here may not be right for that"),
        format!("use keyporter {version} for this check, or update the installation"),
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::{
        super::{finding::Severity, testing::healthy},
        *,
    };

    fn worst(observed: &Observed) -> Finding {
        let findings = judge(observed);
        findings.into_iter().max_by_key(|it| it.severity).unwrap()
    }

    fn without_endpoints() -> Observed {
        let mut observed = healthy();
        observed.slices = Ok(vec![]);
        observed
    }

    #[test]
    fn what_runs_is_healthy() {
        assert_eq!(worst(&healthy()).severity, Severity::Ok);
        assert_eq!(judge(&healthy()).len(), 2);
    }

    #[rstest]
    #[case(
        "ImagePullBackOff",
        "no such image",
        "ImagePullBackOff: no such image",
        "image.repository"
    )]
    #[case(
        "CrashLoopBackOff",
        "back-off",
        "ends as soon as it starts",
        "kubectl -n keyporter-system logs keyporter-1 --previous"
    )]
    #[case(
        "CreateContainerError",
        "no",
        "does not start: CreateContainerError: no",
        "describe pod keyporter-1"
    )]
    fn pods_that_do_not_start(
        #[case] reason: &str,
        #[case] message: &str,
        #[case] words: &str,
        #[case] advice: &str,
    ) {
        let mut observed = without_endpoints();
        let waiting = json!({"reason": reason, "message": message});
        observed.pods.as_mut().unwrap()[0]["status"] =
            json!({"containerStatuses": [{"state": {"waiting": waiting}}]});
        let findings = judge(&observed);
        assert_eq!(findings[0].severity, Severity::Error);
        assert!(findings[0].message.contains(words), "{findings:?}");
        assert!(
            findings[0].advice.as_ref().unwrap().contains(advice),
            "{findings:?}"
        );
        assert!(
            findings[1].message.contains("no ready endpoint"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_pod_that_is_not_ready_says_why() {
        let mut observed = without_endpoints();
        observed.pods.as_mut().unwrap()[0]["status"] = json!({"phase": "Running"});
        observed.readiness = vec![("keyporter-1".to_owned(), "caches not synced".to_owned())];
        assert_eq!(
            judge(&observed)[0].message,
            "is not ready: caches not synced"
        );
    }

    #[test]
    fn of_two_pods_one_answers() {
        let mut observed = healthy();
        let mut second = observed.pods.as_ref().unwrap()[0].clone();
        second["status"] = json!({});
        observed.pods.as_mut().unwrap().push(second);
        assert_eq!(worst(&observed).severity, Severity::Warning);
    }

    #[test]
    fn what_is_not_there_is_said_with_what_it_means() {
        let mut observed = without_endpoints();
        observed.deployment = Ok(None);
        observed.pods = Ok(vec![]);
        let findings = judge(&observed);
        assert!(
            findings[0]
                .message
                .contains("keyporter does not run. No pod of an opted-in namespace starts"),
            "{findings:?}"
        );
        observed.service = Ok(None);
        assert!(judge(&observed)[0].message.contains("cannot be called"));

        let mut observed = without_endpoints();
        observed.deployment.as_mut().unwrap().as_mut().unwrap()["spec"]["replicas"] = json!(0);
        let finding = judge(&observed).remove(0);
        assert!(
            finding
                .advice
                .unwrap()
                .contains("scale deployment/keyporter --replicas=2")
        );
    }

    #[test]
    fn ports_and_versions_have_to_fit() {
        let mut observed = healthy();
        observed.service.as_mut().unwrap().as_mut().unwrap()["spec"]["ports"][0]["port"] =
            json!(8443);
        assert!(worst(&observed).message.contains("has no port 443"));
        let mut observed = healthy();
        observed.pods.as_mut().unwrap()[0]["metadata"]["labels"][VERSION_LABEL] = json!("0.0.1");
        assert!(worst(&observed).message.contains("runs keyporter 0.0.1"));
        assert_eq!(worst(&observed).severity, Severity::Warning);
    }
}
