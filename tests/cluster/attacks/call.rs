//! Requests of the table.

use serde_json::{Value, json};

/// One request for an object of some kind in the namespace.
///
/// What begins with `$` in it is filled in for each try, see [`Call::filled`].
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) content: &'static str,
    pub(super) body: Value,
    kind: &'static str,
    /// With the object's name, and what follows it.
    path: String,
    query: &'static str,
}

impl Call {
    /// POST.
    pub(super) fn create(kind: &'static str, body: Value) -> Self {
        Self {
            method: "POST",
            content: "application/json",
            body,
            kind,
            path: String::new(),
            query: "",
        }
    }

    /// POST to a subresource of alice's object.
    pub(super) fn create_below(kind: &'static str, below: &str, body: Value) -> Self {
        Self {
            path: format!("/$NAME/{below}"),
            ..Self::create(kind, body)
        }
    }

    /// A merge patch of alice's object, as of `kubectl annotate`.
    pub(super) fn merge(kind: &'static str, body: Value) -> Self {
        Self {
            method: "PATCH",
            content: "application/merge-patch+json",
            ..Self::create_below(kind, "", body).without_slash()
        }
    }

    /// A strategic merge patch, as of `kubectl set image` and `kubectl rollout restart`.
    pub(super) fn strategic(kind: &'static str, body: Value) -> Self {
        Self {
            content: "application/strategic-merge-patch+json",
            ..Self::merge(kind, body)
        }
    }

    /// A JSON patch, as of `kubectl rollout undo`.
    pub(super) fn json(kind: &'static str, body: Value) -> Self {
        Self {
            content: "application/json-patch+json",
            ..Self::merge(kind, body)
        }
    }

    /// Server-side apply that takes what others have set.
    pub(super) fn apply(kind: &'static str, body: Value) -> Self {
        Self {
            content: "application/apply-patch+yaml",
            query: "?fieldManager=attack&force=true",
            ..Self::merge(kind, body)
        }
    }

    /// PUT, as of `kubectl replace`.
    pub(super) fn replace(kind: &'static str, body: Value) -> Self {
        Self {
            method: "PUT",
            ..Self::create_below(kind, "", body).without_slash()
        }
    }

    /// DELETE.
    pub(super) fn delete(kind: &'static str) -> Self {
        Self {
            method: "DELETE",
            ..Self::create_below(kind, "", Value::Null).without_slash()
        }
    }

    /// As of `kubectl scale`.
    pub(super) fn scale(kind: &'static str) -> Self {
        Self::merge(kind, json!({"spec": {"replicas": 1}})).below("scale")
    }

    /// The same to a subresource.
    pub(super) fn below(mut self, subresource: &str) -> Self {
        self.path.push('/');
        self.path.push_str(subresource);
        self
    }

    /// The same, stored nowhere.
    pub(super) fn dry_run(mut self) -> Self {
        self.query = match self.query {
            "" => "?dryRun=All",
            _ => "?fieldManager=attack&force=true&dryRun=All",
        };
        self
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.query.contains("dryRun")
    }

    fn without_slash(mut self) -> Self {
        self.path.truncate("/$NAME".len());
        self
    }

    /// With these words replaced.
    pub(super) fn filled(&self, words: &[(&str, String)]) -> Self {
        let fill = |text: &str| {
            let fill = |text: String, (word, value): &(&str, String)| text.replace(word, value);
            words.iter().fold(text.to_owned(), fill)
        };
        Self {
            body: fill_value(&self.body, &fill),
            path: fill(&self.path),
            ..self.clone()
        }
    }

    pub(super) fn uri(&self, namespace: &str) -> String {
        let (group, plural) = match self.kind {
            "Pod" => ("/api/v1", "pods"),
            "ServiceAccount" => ("/api/v1", "serviceaccounts"),
            "ReplicationController" => ("/api/v1", "replicationcontrollers"),
            "Deployment" => ("/apis/apps/v1", "deployments"),
            "StatefulSet" => ("/apis/apps/v1", "statefulsets"),
            "DaemonSet" => ("/apis/apps/v1", "daemonsets"),
            "ReplicaSet" => ("/apis/apps/v1", "replicasets"),
            "ControllerRevision" => ("/apis/apps/v1", "controllerrevisions"),
            "CronJob" => ("/apis/batch/v1", "cronjobs"),
            "Job" => ("/apis/batch/v1", "jobs"),
            "JobSet" => ("/apis/jobset.x-k8s.io/v1alpha2", "jobsets"),
            kind => panic!("a row about {kind}"),
        };
        let Self { path, query, .. } = self;
        format!("{group}/namespaces/{namespace}/{plural}{path}{query}")
    }
}

fn fill_value(value: &Value, fill: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => fill(text).into(),
        Value::Array(entries) => entries
            .iter()
            .map(|entry| fill_value(entry, fill))
            .collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (fill(name), fill_value(value, fill)))
                .collect(),
        ),
        other => other.clone(),
    }
}
