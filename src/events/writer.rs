//! The one task that writes events.

use std::time::Duration;

use data_encoding::HEXLOWER;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::events::Reporter;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tracing::warn;

use super::owners::{Owners, Subject};
use super::{Outcome, Report, TIMEOUT};
use crate::metrics::Metrics;
use crate::recent::Recent;
use crate::referents::Reference;

/// Within this time the same is not told again.
const INTERVAL: Duration = Duration::from_mins(1);
/// The most that is told within it.
const TOLD: usize = 1000;
/// Who reports, as `kubectl describe` shows it.
const CONTROLLER: &str = "keyporter";
/// What keyporter does with pods.
const ACTION: &str = "Admission";
/// Where events on objects without a namespace are kept.
const DEFAULT_NAMESPACE: &str = "default";

pub(super) struct Writer {
    client: Client,
    owners: Owners,
    told: Recent<Told, ()>,
    reporter: Reporter,
    metrics: Metrics,
}

/// What is told once in a while: of which object, and what. All of the object, since its uid may be made up.
type Told = (Subject, &'static str, &'static str);

impl Writer {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        Self {
            owners: Owners::new(client.clone()),
            client,
            told: Recent::new(INTERVAL, TOLD),
            reporter: Reporter::from(CONTROLLER),
            metrics,
        }
    }

    /// Writes what is reported, until nobody can report any more.
    pub(super) async fn run(mut self, mut reports: mpsc::Receiver<Report>) {
        while let Some(report) = reports.recv().await {
            let outcome = self.write(report).await;
            self.metrics.event(outcome.as_str());
        }
    }

    async fn write(&mut self, report: Report) -> Outcome {
        let Report {
            namespace,
            involved,
            ..
        } = &report;
        let subject = self.owners.topmost(namespace, involved.clone()).await;
        let told = (subject.clone(), report.reason, report.rule);
        if self.told.get(&told).is_some() {
            return Outcome::Repeated;
        }
        // Before it is tried: what fails is not tried more often either.
        if !self.told.insert(told, ()) {
            return Outcome::Dropped;
        }
        let event = event(&subject, report, &self.reporter, Timestamp::now());
        let namespace = event.metadata.namespace.as_deref();
        let events: Api<Event> =
            Api::namespaced(self.client.clone(), namespace.unwrap_or(DEFAULT_NAMESPACE));
        let parameters = PostParams::default();
        let written = tokio::time::timeout(TIMEOUT, events.create(&parameters, &event)).await;
        let why = match written {
            Ok(Ok(_)) => return Outcome::Sent,
            // Another replica told it.
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => {
                return Outcome::Repeated;
            }
            Ok(Err(kube::Error::Api(status))) => status.message,
            Ok(Err(_)) => "the API server does not answer".to_owned(),
            Err(_) => "the API server does not answer in time".to_owned(),
        };
        let Subject { reference, .. } = &subject;
        warn!(
            namespace,
            kind = reference.kind,
            name = reference.name,
            "an event is not written: {why}"
        );
        Outcome::Failed
    }
}

fn event(subject: &Subject, report: Report, reporter: &Reporter, now: Timestamp) -> Event {
    let Subject {
        reference,
        namespace,
    } = subject;
    let controller = reporter.controller.clone();
    let instance = reporter.instance.clone();
    Event {
        metadata: ObjectMeta {
            name: Some(name(reference, &report, now)),
            namespace: namespace
                .clone()
                .or_else(|| Some(DEFAULT_NAMESPACE.to_owned())),
            ..ObjectMeta::default()
        },
        action: Some(ACTION.to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(report.note.0),
        reason: Some(report.reason.to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(reference.api_version()),
            kind: Some(reference.kind.clone()),
            name: Some(reference.name.clone()),
            namespace: namespace.clone(),
            uid: Some(reference.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_instance: Some(instance.unwrap_or_else(|| controller.clone())),
        reporting_controller: Some(controller),
        type_: Some(report.severity.as_str().to_owned()),
        ..Event::default()
    }
}

/// The same in all replicas within a minute, so that one of them tells it.
fn name(reference: &Reference, report: &Report, now: Timestamp) -> String {
    let minute = now.as_second() / 60;
    let Reference {
        kind, name, uid, ..
    } = reference;
    let Report { reason, rule, .. } = report;
    let digest = Sha256::digest(format!("{kind}/{name}/{uid}/{reason}/{rule}/{minute}"));
    let digits: String = HEXLOWER.encode(&digest).chars().take(32).collect();
    format!("{CONTROLLER}.{digits}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::Severity;
    use crate::events::tests::denied;
    use crate::inject::Denial;

    fn denial() -> Report {
        denied("4b1f1c6e", &Denial::ForeignPod)
    }

    fn written(report: Report, namespace: Option<&str>, at: &str) -> Event {
        let subject = Subject {
            reference: report.involved.clone(),
            namespace: namespace.map(str::to_owned),
        };
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: None,
        };
        event(&subject, report, &reporter, at.parse().unwrap())
    }

    #[test]
    fn an_event_is_on_its_object() {
        let mut event =
            serde_json::to_value(written(denial(), Some("vision"), "2026-01-01T00:00:30Z"))
                .unwrap();
        let name = event["metadata"]["name"].take();
        let note = event["note"].take();
        assert_eq!(name.as_str().unwrap().len(), "keyporter.".len() + 32);
        assert!(note.as_str().unwrap().starts_with("a pod is denied: "));
        let expected = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": null, "namespace": "vision"},
            "action": "Admission",
            "eventTime": "2026-01-01T00:00:30.000000Z",
            "note": null,
            "reason": "KeyporterDenied",
            "regarding": {
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "train-7d4b9", "namespace": "vision",
                "uid": "4b1f1c6e",
            },
            "reportingController": "keyporter",
            "reportingInstance": "keyporter",
            "type": "Warning",
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn other_things_can_be_told() {
        let report = Report {
            severity: Severity::Normal,
            reason: "KeyporterNoOwner",
            rule: "no-owner",
            note: "apply the workload again, so that its pods are yours".into(),
            ..denial()
        };
        let event = written(report, Some("vision"), "2026-01-01T00:00:00Z");
        assert_eq!(event.reason.as_deref(), Some("KeyporterNoOwner"));
        assert_eq!(event.type_.as_deref(), Some("Normal"));
        let note = "apply the workload again, so that its pods are yours";
        assert_eq!(event.note.as_deref(), Some(note));
        let denied = written(denial(), Some("vision"), "2026-01-01T00:00:00Z");
        assert_ne!(event.metadata.name, denied.metadata.name);
    }

    #[test]
    fn replicas_agree_on_the_name_for_a_minute() {
        let name = |at| written(denial(), Some("vision"), at).metadata.name;
        let first = name("2026-01-01T00:00:00Z");
        assert_eq!(first, name("2026-01-01T00:00:59Z"));
        assert_ne!(first, name("2026-01-01T00:01:00Z"));
    }

    /// The API server takes it there and nowhere else.
    #[test]
    fn an_object_of_the_whole_cluster_has_its_events_in_the_default_namespace() {
        let event = written(denial(), None, "2026-01-01T00:00:00Z");
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(event.regarding.unwrap().namespace, None);
    }
}
