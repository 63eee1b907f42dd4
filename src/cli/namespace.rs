//! Whether keyporter is asked about the pods of a namespace: its labels, and the webhooks of the cluster.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration},
        core::v1,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Client, Resource,
    api::{GetParams, ListParams},
    core::Request,
};
use serde::Deserialize;
use serde_json::Value;

use super::cluster::{RequestError, ask};
use crate::inject::annotations::{DOMAIN, INJECT};

/// A namespace, as far as the caller may see it.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    name: String,
    /// `None` where the caller may not read it.
    labels: Option<BTreeMap<String, String>>,
    /// When the label was written last that opts it in.
    opted_in: Option<String>,
}

/// The webhooks of keyporter that are called for pods; `None` where the caller may not list them.
#[derive(Debug, Default)]
pub(super) struct Webhooks(Option<Vec<MutatingWebhook>>);

#[derive(Deserialize)]
struct List {
    items: Vec<MutatingWebhookConfiguration>,
}

impl Namespace {
    pub(super) async fn ask(client: &Client, name: &str) -> Result<Self, RequestError> {
        let request = Request::new(v1::Namespace::url_path(&(), None));
        let request = request.get_metadata(name, &GetParams::default());
        let unknown = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        match ask::<Value>(client, request).await {
            Ok(namespace) => Ok(Self::of(name, &namespace)),
            Err(RequestError::Refused {
                code: 403 | 404, ..
            }) => Ok(unknown),
            Err(error) => Err(error),
        }
    }

    fn of(name: &str, namespace: &Value) -> Self {
        let labels = namespace.pointer("/metadata/labels").cloned();
        let entries = namespace.pointer("/metadata/managedFields");
        let entries = entries.and_then(Value::as_array).into_iter().flatten();
        let wrote = |entry: &&Value| {
            let labels = entry.pointer("/fieldsV1/f:metadata/f:labels");
            labels.is_some_and(|labels| labels.get(format!("f:{INJECT}")).is_some())
        };
        let times = entries
            .filter(wrote)
            .filter_map(|entry| entry.get("time")?.as_str());
        Self {
            name: name.to_owned(),
            labels: Some(
                labels
                    .and_then(|labels| serde_json::from_value(labels).ok())
                    .unwrap_or_default(),
            ),
            opted_in: times.max().map(str::to_owned),
        }
    }

    /// `None` where nobody knows.
    pub(super) fn is_opted_in(&self) -> Option<bool> {
        let labels = self.labels.as_ref()?;
        Some(labels.get(INJECT).is_some_and(|value| value == "enabled"))
    }

    /// The domain that it belongs to.
    pub(super) fn domain(&self) -> Option<&str> {
        let domain = self.labels.as_ref()?.get(DOMAIN)?;
        Some(domain.as_str()).filter(|domain| !domain.is_empty())
    }

    /// Whether it was opted in only after a moment.
    pub(super) fn opted_in_after(&self, moment: &str) -> bool {
        self.is_opted_in() == Some(true)
            && self.opted_in.as_deref().is_some_and(|time| time > moment)
    }

    pub(super) fn how_to_opt_in(&self) -> String {
        let name = &self.name;
        format!(
            "namespace {name} is not opted in; `kubectl label namespace {name} {INJECT}=enabled` does it"
        )
    }
}

impl Webhooks {
    pub(super) async fn ask(client: &Client) -> Result<Self, RequestError> {
        let request = Request::new(MutatingWebhookConfiguration::url_path(&(), None));
        let list = ask::<List>(client, request.list(&ListParams::default())).await;
        match list {
            Ok(list) => Ok(Self(Some(for_pods(list)))),
            Err(error) if error.is_forbidden() => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// Whether one is called for new pods of a namespace; `None` where nobody knows.
    pub(super) fn call_for(&self, namespace: &Namespace) -> Option<bool> {
        let labels = namespace.labels.as_ref()?;
        let mut webhooks = self.0.as_ref()?.iter();
        Some(webhooks.any(|webhook| {
            let selector = webhook.namespace_selector.as_ref();
            selector.is_none_or(|selector| selects(selector, labels))
        }))
    }
}

/// Keyporter's, by their names.
fn for_pods(list: List) -> Vec<MutatingWebhook> {
    let webhooks = list
        .items
        .into_iter()
        .flat_map(|one| one.webhooks.into_iter().flatten());
    let ours = webhooks.filter(|webhook| {
        let pods = |resources: &Option<Vec<String>>| {
            resources
                .iter()
                .flatten()
                .any(|resource| resource == "pods")
        };
        webhook.name.ends_with(".keyporter.dev")
            && webhook
                .rules
                .iter()
                .flatten()
                .any(|rule| pods(&rule.resources))
    });
    ours.collect()
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements>
pub(super) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten();
    let mut equal = equal.map(|(key, value)| labels.get(key) == Some(value));
    let mut expressions = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|expression| {
            let value = labels.get(&expression.key);
            let is_in = || {
                let values = expression.values.iter().flatten();
                value.is_some_and(|value| values.into_iter().any(|one| one == value))
            };
            match expression.operator.as_str() {
                "In" => is_in(),
                "NotIn" => !is_in(),
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        });
    equal.all(|holds| holds) && expressions.all(|holds| holds)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn namespace(value: &str, written: &str) -> Namespace {
        let object = json!({"metadata": {
            "labels": {INJECT: value, "team": "a"},
            "managedFields": [
                {"time": written, "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:keyporter.dev/inject": {}}}}},
                {"time": "2026-09-01T00:00:00Z", "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
            ],
        }});
        Namespace::of("vision", &object)
    }

    #[test]
    fn the_label_opts_in() {
        let enabled = namespace("enabled", "2026-02-01T00:00:00Z");
        assert_eq!(enabled.is_opted_in(), Some(true));
        assert!(enabled.opted_in_after("2026-01-01T00:00:00Z"));
        assert!(!enabled.opted_in_after("2026-03-01T00:00:00Z"));
        assert_eq!(namespace("no", "").is_opted_in(), Some(false));
        assert_eq!(Namespace::default().is_opted_in(), None);
    }

    #[rstest]
    #[case::all(json!({}), true)]
    #[case::label(json!({"matchLabels": {"team": "a"}}), true)]
    #[case::other_label(json!({"matchLabels": {"team": "b"}}), false)]
    #[case::is_in(json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["b", "a"]}]}), true)]
    #[case::not_in(json!({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}), false)]
    #[case::not_in_absent(json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]}), true)]
    #[case::exists(json!({"matchExpressions": [{"key": "x", "operator": "Exists"}]}), false)]
    #[case::does_not_exist(json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}), true)]
    #[case::both(json!({"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}), false)]
    fn selectors(#[case] selector: Value, #[case] expected: bool) {
        let configuration = |name: &str, resource: &str| {
            json!({"metadata": {"name": name}, "webhooks": [{
                "name": name, "namespaceSelector": selector, "clientConfig": {}, "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "rules": [{"resources": [resource]}],
            }]})
        };
        let called = |configuration: Value| {
            let list: List = serde_json::from_value(json!({"items": [configuration]})).unwrap();
            Webhooks(Some(for_pods(list))).call_for(&namespace("enabled", ""))
        };
        assert_eq!(
            called(configuration("inject.keyporter.dev", "pods")),
            Some(expected)
        );
        assert_eq!(
            called(configuration("inject.example.com", "pods")),
            Some(false)
        );
        assert_eq!(
            called(configuration("proofs.keyporter.dev", "jobs")),
            Some(false)
        );
        assert_eq!(Webhooks(None).call_for(&namespace("enabled", "")), None);
    }
}
