//! A review becomes a decision, and the decision an answer, a line in the log and a count.

use std::time::Instant;

use tracing::info;

use super::answer::{Answer, Audit, warnings};
use super::review::{self, Head, Subject};
use super::{Fault, Webhook};
use crate::inject::pod::Pod;
use crate::inject::stamp::{Stamping, WorkloadRequest, stamp};
use crate::inject::{self, Decision, Denial, Report, Request, Skip, patch};

/// What a review was about, for metrics: a closed list, unlike kinds.
#[derive(Debug, Clone, Copy)]
enum Resource {
    Pod,
    Workload,
    Entry,
    Other,
}

impl Resource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Workload => "workloads",
            Self::Entry => "entries",
            Self::Other => "other",
        }
    }
}

impl Webhook {
    /// Answers the review in a body.
    pub(super) async fn admit(&self, body: &[u8], started: Instant) -> Result<Vec<u8>, Fault> {
        let review::Reviewed { head, subject } = review::read(body)?;
        match &subject {
            Subject::Pod(pod) => self.admit_pod(body, &head, pod, started).await,
            Subject::Object { new, old } => {
                let request = WorkloadRequest {
                    requester: head.requester.as_str(),
                    namespace: head.namespace.as_str(),
                    new,
                    old: old.as_ref(),
                };
                let answer = match self.guard_workload(body, &head, new, old.as_ref()).await {
                    Some(denial) => denied(&denial),
                    None => answer_stamping(stamp(request, &self.settings)),
                };
                self.finish(&head, Resource::Workload, answer, started)
            }
            Subject::Entry => {
                let answer = entered(self.guard_entry(body, &head).await);
                self.finish(&head, Resource::Entry, answer, started)
            }
            Subject::Debug(pod) => {
                let answer = entered(self.guard_running(body, &head, pod).await);
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

    async fn admit_pod(
        &self,
        body: &[u8],
        head: &Head<'_>,
        pod: &Pod<'_>,
        started: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let request = Request {
            requester: head.requester.as_str(),
            namespace: head.namespace.as_str(),
        };
        let owner = inject::owner_of(request, pod, &self.settings);
        if let Some(denial) = self.guard_pod(body, head, pod, owner).await {
            self.report_denial(body, head, &denial);
            return self.finish(head, Resource::Pod, denied(&denial), started);
        }
        let shelves = self.catalog.shelves(request.namespace, owner.name);
        let decision = inject::decide(request, pod, owner, shelves.visible(), &self.settings);
        let answer = match &decision {
            Decision::Skip(skip, report) => Answer {
                audit: audit("skip", skip.as_str(), report, report.in_effect().count()),
                ..reported(report)
            },
            Decision::Inject(plan) => {
                let mut count = 0;
                for secret in plan.report.in_effect() {
                    self.metrics
                        .injected_secret(secret.kind.as_str(), secret.scope.as_str());
                    count += 1;
                }
                Answer {
                    patch: patch::write(plan, ""),
                    audit: audit("inject", "injected", &plan.report, count),
                    ..reported(&plan.report)
                }
            }
            Decision::Deny(denial) => {
                self.report_denial(body, head, denial);
                denied(denial)
            }
        };
        self.finish(head, Resource::Pod, answer, started)
    }

    fn finish<'a>(
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
            injected,
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
            decision,
            reason,
            injected = injected.as_deref(),
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
                owner: Some(stamp.owner),
                ..Audit::default()
            },
            ..Answer::default()
        },
        Stamping::Deny(denial) => denied(&denial),
    }
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

fn skipped<'a>(skip: Skip) -> Answer<'a> {
    Answer {
        audit: Audit {
            decision: "skip",
            reason: skip.as_str(),
            ..Audit::default()
        },
        ..Answer::default()
    }
}

fn denied<'a>(denial: &Denial) -> Answer<'a> {
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
        injected: Some(injected.to_string()),
    }
}
