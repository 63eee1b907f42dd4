//! How the pod of a trial fares, from its status.

use serde_json::Value;

use crate::inject::annotations::INJECTED;

/// Where a pod stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It found everything.
    Succeeded,
    /// It ended otherwise: what it said.
    Failed(String),
    /// Waiting longer changes nothing.
    Stuck(String),
    /// It has not ended yet; what it waits for.
    Waits(String),
}

/// Reasons for which a container does not start, whatever is waited.
/// <https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/kubelet/images/types.go>
const HOPELESS: [&str; 3] = ["ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"];

impl Stand {
    pub(super) fn of(pod: &Value) -> Self {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
        let state = |field: &str| text(&format!("/status/containerStatuses/0/state/{field}"));
        match text("/status/phase") {
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => {
                let said = state("terminated/message").or_else(|| text("/status/message"));
                let reason = state("terminated/reason").or_else(|| text("/status/reason"));
                Self::Failed(in_one_line(
                    said.or(reason).unwrap_or("it does not say why"),
                ))
            }
            _ => match state("waiting/reason") {
                Some(reason) => {
                    let told = told(reason, state("waiting/message"));
                    if HOPELESS.contains(&reason) {
                        Self::Stuck(told)
                    } else {
                        Self::Waits(told)
                    }
                }
                None => Self::Waits(unscheduled(pod).unwrap_or_else(|| {
                    if text("/spec/nodeName").is_some() {
                        "its node has not said a word about it".to_owned()
                    } else {
                        "no scheduler has looked at it".to_owned()
                    }
                })),
            },
        }
    }
}

fn unscheduled(pod: &Value) -> Option<String> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    let text = |condition: &Value, field: &str| Some(condition.get(field)?.as_str()?.to_owned());
    let scheduled = conditions
        .iter()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")?;
    let reason = text(scheduled, "reason").unwrap_or_default();
    Some(told(&reason, text(scheduled, "message").as_deref()))
}

fn told(reason: &str, message: Option<&str>) -> String {
    match message {
        Some(message) => format!("{reason}: {}", in_one_line(message)),
        None => reason.to_owned(),
    }
}

/// What others wrote, for a line of its own.
pub(in crate::cli) fn in_one_line(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(visible).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The secret names in the pod's record; `None` where it has none, as the webhook wrote nothing.
pub(super) fn recorded(pod: &Value) -> Option<Vec<String>> {
    let record = pod.get("metadata")?.get("annotations")?.get(INJECTED)?;
    let entries: Vec<Value> = serde_json::from_str(record.as_str()?).ok()?;
    let names = entries.iter().filter_map(|entry| entry["name"].as_str());
    Some(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn waits(text: &str) -> Stand {
        Stand::Waits(text.to_owned())
    }

    #[rstest]
    #[case::new(json!({}), waits("no scheduler has looked at it"))]
    #[case::on_a_node(json!({"spec": {"nodeName": "a"}}), waits("its node has not said a word about it"))]
    #[case::unscheduled(
        json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes\nfit"}]}}),
        waits("Unschedulable: 0/1 nodes fit")
    )]
    #[case::creating(
        json!({"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}}),
        waits("ContainerCreating")
    )]
    #[case::no_image(
        json!({"status": {"phase": "Pending", "containerStatuses": [
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}}),
        Stand::Stuck("ImagePullBackOff: no such image".to_owned())
    )]
    #[case::failed(
        json!({"status": {"phase": "Failed", "containerStatuses": [
            {"state": {"terminated": {"reason": "Error", "message": "error: the variable A is not set\n"}}}]}}),
        Stand::Failed("error: the variable A is not set".to_owned())
    )]
    #[case::evicted(
        json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}}),
        Stand::Failed("low on memory".to_owned())
    )]
    #[case::succeeded(json!({"status": {"phase": "Succeeded"}}), Stand::Succeeded)]
    fn stands(#[case] pod: Value, #[case] expected: Stand) {
        assert_eq!(Stand::of(&pod), expected);
    }

    #[test]
    fn the_record_is_read() {
        assert_eq!(recorded(&json!({})), None);
        let pod =
            json!({"metadata": {"annotations": {INJECTED: r#"[{"name": "a"}, {"name": "b"}]"#}}});
        assert_eq!(recorded(&pod).unwrap(), ["a", "b"]);
    }
}
