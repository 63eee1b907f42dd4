//! What the author of a workload is to know of its pods: the answer goes to the controller that creates them.

use super::Webhook;
use super::review::Head;
use crate::events::{Report, Severity};
use crate::inject::Denial;
use crate::inject::object::Controller;
use crate::inject::owner::{Owner, Rule};
use crate::inject::pod::Pod;
use crate::referents::Reference;

impl Webhook {
    /// Tells of a pod that is denied.
    pub(super) fn report_denial(&self, head: &Head<'_>, pod: &Pod<'_>, denial: &Denial) {
        if let Some(controller) = controller(head, pod) {
            let report = Report::denied(head.namespace.as_str(), controller, denial);
            self.events.report(report);
        }
    }

    /// Tells of a pod that is nobody's.
    pub(super) fn report_owner(&self, head: &Head<'_>, pod: &Pod<'_>, owner: Owner<'_>) {
        let Some((severity, note)) = of_nobody(owner.rule) else {
            return;
        };
        if let Some(involved) = controller(head, pod) {
            self.events.report(Report {
                namespace: head.namespace.as_str().to_owned(),
                involved,
                severity,
                reason: "KeyporterNoOwner",
                rule: owner.rule.as_str(),
                note: note.into(),
            });
        }
    }
}

/// What is told of a pod that a controller creates and whose owner nobody knows.
fn of_nobody(rule: Rule) -> Option<(Severity, &'static str)> {
    match rule {
        Rule::NoStamp => Some((
            Severity::Normal,
            "a pod gets no secrets of a user: its template names no owner, as it is older than keyporter here; \
             create the workload again or change its pod template (kubectl rollout restart), and the pods are yours",
        )),
        Rule::NoUserId => Some((
            Severity::Normal,
            "a pod gets no secrets of a user: the label trainy.ai/user-id, which tells owners apart here, was not on the \
             workload when it was made; create it again with the label",
        )),
        Rule::Unproven => Some((
            Severity::Warning,
            "a pod gets no secrets of a user: nothing proves that keyporter wrote the owner on its template; \
             create the workload again or change its pod template (kubectl rollout restart), and the pods are yours",
        )),
        Rule::OtherKind => Some((
            Severity::Warning,
            "a pod gets no secrets of a user: the controller that creates it is not trusted with pods of this kind of object \
             (--trusted-controller)",
        )),
        Rule::Requester
        | Rule::UserId
        | Rule::ActsFor
        | Rule::Stamp
        | Rule::Workload
        | Rule::Recorded
        | Rule::Unknown => None,
    }
}

/// The controller of a pod. A dry run leaves no trace, and whoever creates a pod of their own sees the answer.
fn controller(head: &Head<'_>, pod: &Pod<'_>) -> Option<Reference> {
    if head.dry_run {
        return None;
    }
    let Controller {
        api_version,
        kind,
        name,
        uid,
    } = pod.metadata.as_ref()?.controller()?;
    Reference::new(api_version, kind.kind, name, uid)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::review::{self, Reviewed, Subject};
    use super::*;

    fn owners() -> Value {
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1", "controller": true}])
    }

    #[rstest]
    #[case::of_a_controller(json!({"object": {"metadata": {"ownerReferences": owners()}}}), true)]
    #[case::said_to_be_real(json!({"dryRun": false, "object": {"metadata": {"ownerReferences": owners()}}}), true)]
    #[case::dry_run(json!({"dryRun": true, "object": {"metadata": {"ownerReferences": owners()}}}), false)]
    #[case::of_a_person(json!({"object": {"metadata": {"name": "p"}}}), false)]
    #[case::unreadable(json!({"object": {"metadata": {"ownerReferences": "r"}}}), false)]
    #[case::without_metadata(json!({"object": {}}), false)]
    fn pods(#[case] mut request: Value, #[case] reported: bool) {
        request["uid"] = json!("7");
        request["userInfo"] = json!({"username": "alice"});
        request["operation"] = json!("CREATE");
        request["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
        });
        let body = review.to_string();
        let Reviewed { head, subject } = review::read(body.as_str().into()).unwrap();
        let controller = match &subject {
            Subject::Pod(pod) => controller(&head, pod),
            _ => None,
        };
        assert_eq!(controller.is_some(), reported);
    }
}
