//! What the author of a workload is to know of its pods: the answer goes to the controller that creates them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;

use super::Webhook;
use super::review::Head;
use crate::events::{Report, Severity};
use crate::inject::Denial;
use crate::inject::owner::{Owner, Rule};
use crate::referents::Reference;

impl Webhook {
    /// Tells of a pod that is denied.
    pub(super) fn report_denial(&self, body: &[u8], head: &Head<'_>, denial: &Denial) {
        if let Some(controller) = controller(body) {
            let report = Report::denied(head.namespace.as_str(), controller, denial);
            self.events.report(report);
        }
    }

    /// Tells of a pod that is nobody's.
    pub(super) fn report_owner(&self, body: &[u8], head: &Head<'_>, owner: Owner<'_>) {
        let Some((severity, note)) = of_nobody(owner.rule) else {
            return;
        };
        if let Some(involved) = controller(body) {
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
        | Rule::Unknown => None,
    }
}

/// The controller of the pod in a review: read only where something is to be told. A dry run leaves no trace, and whoever
/// creates a pod of their own sees the answer.
fn controller(body: &[u8]) -> Option<Reference> {
    #[derive(Deserialize)]
    struct Review {
        request: Request,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        dry_run: Option<bool>,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        owner_references: Option<Vec<OwnerReference>>,
    }

    let Review { request } = serde_json::from_slice(body).ok()?;
    if request.dry_run == Some(true) {
        return None;
    }
    Reference::of_controller(request.object.metadata.owner_references?)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

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
    fn pods(#[case] request: Value, #[case] reported: bool) {
        let body = json!({"request": request}).to_string();
        assert_eq!(controller(body.as_bytes()).is_some(), reported);
    }
}
