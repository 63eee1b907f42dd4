//! A review becomes a decision, and the decision an answer, a line in the log and a count.

use std::sync::OnceLock;
use std::time::Instant;

use axum::body::Bytes;
use serde_json::Value;
use tracing::info;

use super::answer::{Answer, Audit, warnings};
use super::caught_up::unconfirmed;
use super::review::{self, Head, Subject};
use super::{Fault, Webhook};
use crate::inject::annotations as names;
use crate::inject::object::Object;
use crate::inject::owner::Owner;
use crate::inject::pod::Pod;
use crate::inject::reference::Refused;
use crate::inject::spark_application::{self, Filled};
use crate::inject::stamp::{self, Answers, Stamping, WorkloadRequest};
use crate::inject::warning::Warning;
use crate::inject::{self, Decision, Denial, Report, Request, Skip, identity, patch, template};

/// What a review was about, for metrics: a closed list, unlike kinds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    Pod,
    Workload,
    Entry,
    Secret,
    Other,
}

impl Resource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Workload => "workloads",
            Self::Entry => "entries",
            Self::Secret => "secrets",
            Self::Other => "other",
        }
    }
}

impl Webhook {
    /// Answers the review in a body.
    pub(super) async fn admit(&self, body: &Bytes, started: Instant) -> Result<Vec<u8>, Fault> {
        let sent = review::Body::from(&**body);
        if review::secret::is_of_secret(sent) {
            return Box::pin(self.admit_secret(body, sent, started)).await;
        }
        let review::Reviewed { head, subject } = review::read(sent)?;
        // Boxed is what is rare or large: the room for pods is all that each request takes.
        match &subject {
            Subject::Pod(pod) => self.admit_pod(body, &head, pod, started).await,
            Subject::Object { new, old } => {
                Box::pin(self.admit_workload(body, &head, new, old.as_ref(), started)).await
            }
            Subject::Entry => {
                let answer = entered(Box::pin(self.guard_entry(body, &head)).await);
                self.finish(&head, Resource::Entry, answer, started)
            }
            Subject::Debug(pod) => {
                let answer = entered(Box::pin(self.guard_running(body, &head, pod)).await);
                self.finish(&head, Resource::Entry, answer, started)
            }
            Subject::Other => {
                self.finish(&head, Resource::Other, skipped(Skip::NotConcerned), started)
            }
            Subject::Unreadable => {
                self.finish(&head, Resource::Other, skipped(Skip::Unreadable), started)
            }
        }
    }

    async fn admit_workload(
        &self,
        body: &[u8],
        head: &Head<'_>,
        new: &Value,
        old: Option<&Value>,
        started: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let user_id = identity::user_id(new);
        let person = self
            .settings
            .identity
            .person(head.requester.as_str(), user_id);
        let request = head.request(person.as_deref());
        if let Some(denial) = self.guard_workload(body, head, request, new, old).await {
            return self.finish(head, Resource::Workload, denied(&denial), started);
        }
        let ground = self.ground(head, stamp::newest_key(new)).await?;
        let mut answers = Answers::default();
        // The API server is asked for what the rules want to know, and they decide again.
        loop {
            let workload = WorkloadRequest {
                request,
                object: object(head, new),
                new,
                old,
                proofs: Some(ground.proofs()),
                answers: &answers,
            };
            let denial = match stamp::stamp(workload, &self.settings) {
                Stamping::Ask(names) => {
                    let names = names.into_iter().map(str::to_owned).collect();
                    self.ask(body, names, &mut answers).await.err()
                }
                Stamping::Follow(controller) => {
                    match self.owner_of(head, &controller, &ground).await {
                        Ok(owner) => {
                            answers.followed = owner.into();
                            None
                        }
                        Err(denial) => Some(denial),
                    }
                }
                decided => {
                    return self
                        .finish_workload(head, request, (new, old), decided, started)
                        .await;
                }
            };
            if let Some(denial) = denial {
                return self.finish(head, Resource::Workload, denied(&denial), started);
            }
        }
    }

    async fn finish_workload(
        &self,
        head: &Head<'_>,
        request: Request<'_>,
        (new, old): (&Value, Option<&Value>),
        decided: Stamping<'_>,
        started: Instant,
    ) -> Result<Vec<u8>, Fault> {
        self.prepare(head, request, (new, old), &decided);
        let mut known = None;
        loop {
            let foreseen = self.foresee(request, (new, old), &decided);
            // Stores are everybody's.
            let shelves = self.catalog.shelves(request.namespace, None);
            let filled = spark_application::fill(
                head.object_kind(),
                (new, old),
                request.namespace,
                shelves.visible(),
                &self.settings,
            );
            let doubtful = filled.is_err() || foreseen.as_ref().is_ok_and(|it| !it.is_empty());
            if doubtful && known.is_none() {
                // What seems to be missing may just have been made.
                known = Some(self.catch_up(request).await);
                continue;
            }
            let answer = match foreseen {
                Ok(references) => foreseen_by(answer_stamping(decided), &references),
                Err(denial) => denied(&denial),
            };
            let answer = match filled {
                Ok(filled) => filled_by(answer, filled),
                Err(denial) => denied(&denial),
            };
            let answer = unconfirmed(answer, known.unwrap_or(Ok(())));
            return self.finish(head, Resource::Workload, answer, started);
        }
    }

    /// Tells the author of a workload for which references its pods would be refused, of those that the request makes or
    /// changes. What a controller makes comes from templates that were looked at.
    fn foresee(
        &self,
        request: Request<'_>,
        (new, old): (&Value, Option<&Value>),
        decided: &Stamping<'_>,
    ) -> Result<Vec<Refused>, Denial> {
        let stays = matches!(decided, Stamping::Deny(_));
        if stays || request.trusted(&self.settings).is_some() {
            return Ok(vec![]);
        }
        let templates = template::find(new);
        let owner = match decided {
            Stamping::Stamp(stamp) => Some(stamp.owner),
            _ => templates
                .iter()
                .find_map(|template| owner_in(template.value)),
        };
        let owner = owner.filter(|owner| !owner.is_empty());
        let shelves = self.catalog.shelves(request.namespace, owner);
        let look = |templates: &[_]| {
            inject::foresee(request, templates, owner, shelves.visible(), &self.settings)
        };
        // Hardly any workload refers to what is not there, and comparing templates takes a copy of each.
        if look(&templates).is_ok_and(|references| references.is_empty()) {
            return Ok(vec![]);
        }
        look(&stamp::changed(new, old))
    }

    async fn admit_pod(
        &self,
        body: &[u8],
        head: &Head<'_>,
        pod: &Pod<'_>,
        started: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let user_id = identity::user_id_of_pod(pod);
        let person = self
            .settings
            .identity
            .person(head.requester.as_str(), user_id);
        let request = head.request(person.as_deref());
        // A system pod that cannot start may keep the whole cluster from starting.
        let left_alone = inject::left_alone(request, pod, &self.settings);
        if left_alone == Some(Skip::ExcludedNamespace) {
            return self.finish(
                head,
                Resource::Pod,
                skipped(Skip::ExcludedNamespace),
                started,
            );
        }
        let followed = OnceLock::new();
        let (owner, known) = tokio::join!(
            self.owner_of_pod(body, head, request, pod, &followed),
            self.catch_up(request),
        );
        let owner = match owner? {
            Ok(owner) => owner,
            Err(_) if left_alone.is_some() => Owner::requester(request, &self.settings),
            Err(denial) => return self.finish(head, Resource::Pod, denied(&denial), started),
        };
        if let Some(denial) = self.guard_pod(body, head, pod, owner).await {
            self.report_denial(head, pod, &denial);
            return self.finish(head, Resource::Pod, denied(&denial), started);
        }
        if left_alone.is_none() {
            self.report_owner(head, pod, owner);
        }
        let shelves = self.catalog.shelves(request.namespace, owner.name);
        let decision = inject::decide(request, pod, owner, shelves.visible(), &self.settings);
        let answer = match &decision {
            Decision::Skip(skip, report) => Answer {
                audit: audit("skip", skip.as_str(), report, report.in_effect.len()),
                ..reported(report)
            },
            Decision::Inject(plan) => {
                let secrets = &plan.report.in_effect;
                for secret in secrets {
                    self.metrics.injected_secret(secret.kind(), secret.scope());
                }
                Answer {
                    patch: patch::write(plan, ""),
                    audit: audit("inject", "injected", &plan.report, secrets.len()),
                    ..reported(&plan.report)
                }
            }
            Decision::Deny(denial) => {
                self.report_denial(head, pod, denial);
                denied(denial)
            }
        };
        let answer = unconfirmed(answer, known);
        self.finish(head, Resource::Pod, answer, started)
    }

    pub(super) fn finish<'a>(
        &self,
        head: &'a Head<'_>,
        resource: Resource,
        mut answer: Answer<'a>,
        started: Instant,
    ) -> Result<Vec<u8>, Fault> {
        answer.uid = head.uid.as_str();
        let body = answer.write()?;
        let duration = started.elapsed();
        let Audit {
            decision,
            reason,
            owner,
            rule,
            injected,
            files,
        } = &answer.audit;
        self.metrics
            .admission(resource.as_str(), decision, reason, duration);
        info!(
            uid = head.uid.as_str(),
            namespace = head.namespace.as_str(),
            kind = head.kind.as_str(),
            name = head.name.as_str(),
            requester = head.requester.as_str(),
            owner,
            rule,
            decision,
            reason,
            injected = injected.as_deref(),
            files = files.as_deref(),
            warnings = answer.warnings.len(),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            "admission"
        );
        Ok(body)
    }
}

fn answer_stamping(stamping: Stamping<'_>) -> Answer<'_> {
    match stamping {
        Stamping::Skip(skip) => skipped(skip),
        Stamping::Stamp(stamp) => Answer {
            patch: stamp.patch,
            warnings: warnings(&stamp.warnings),
            audit: Audit {
                decision: "stamp",
                reason: "stamped",
                owner: Some(stamp.owner).filter(|owner| !owner.is_empty()),
                ..Audit::default()
            },
            ..Answer::default()
        },
        Stamping::Deny(denial) => denied(&denial),
        // Asked before.
        Stamping::Ask(_) | Stamping::Follow(_) => skipped(Skip::NotConcerned),
    }
}

/// Adds what will be said of the pods.
fn foreseen_by<'a>(mut answer: Answer<'a>, references: &[Refused]) -> Answer<'a> {
    let told: Vec<_> = references.iter().map(Warning::PodsRefused).collect();
    answer.warnings.extend(warnings(&told));
    answer
}

/// Adds what an application itself gets.
fn filled_by<'a>(mut answer: Answer<'a>, filled: Filled<'a>) -> Answer<'a> {
    if answer.denied.is_some() {
        return answer;
    }
    answer.warnings.extend(warnings(&filled.warnings));
    if !filled.patch.is_empty() {
        answer.patch.extend(filled.patch);
        answer.audit = Audit {
            decision: "inject",
            reason: "injected",
            injected: Some(filled.stores.len().to_string()),
            ..answer.audit
        };
    }
    answer
}

/// The object of a workload's review. Its kind is that of the review: the object's own may be left out.
fn object<'a>(head: &'a Head<'_>, new: &'a Value) -> Object<'a> {
    let text = |name| new.get("metadata")?.get(name)?.as_str();
    Object {
        kind: head.object_kind(),
        name: text("name").unwrap_or_default(),
        generate_name: text("generateName").unwrap_or_default(),
    }
}

/// The owner that stands in a template already.
fn owner_in(template: &Value) -> Option<&str> {
    let annotations = template.get("metadata")?.get("annotations")?;
    annotations.get(names::OWNER)?.as_str()
}

fn entered<'a>(denial: Option<Denial>) -> Answer<'a> {
    match denial {
        Some(denial) => denied(&denial),
        None => Answer {
            audit: Audit {
                decision: "allow",
                reason: "may-enter",
                ..Audit::default()
            },
            ..Answer::default()
        },
    }
}

pub(super) fn skipped<'a>(skip: Skip) -> Answer<'a> {
    Answer {
        audit: Audit {
            decision: "skip",
            reason: skip.as_str(),
            ..Audit::default()
        },
        ..Answer::default()
    }
}

pub(super) fn denied<'a>(denial: &Denial) -> Answer<'a> {
    Answer {
        denied: Some(denial.message()),
        audit: Audit {
            decision: "deny",
            reason: denial.as_str(),
            ..Audit::default()
        },
        ..Answer::default()
    }
}

fn reported<'a>(report: &Report<'a>) -> Answer<'a> {
    Answer {
        warnings: warnings(&report.warnings),
        ..Answer::default()
    }
}

fn audit<'a>(
    decision: &'static str,
    reason: &'static str,
    report: &Report<'a>,
    injected: usize,
) -> Audit<'a> {
    Audit {
        decision,
        reason,
        owner: report.owner.and_then(|owner| owner.name),
        rule: report.owner.map(|owner| owner.rule.as_str()),
        injected: Some(injected.to_string()),
        files: None,
    }
}
