//! An installation, and breaking it.

use std::{process::Command, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use keyporter::documents::Documents;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    chart,
    harness::Cluster,
    support::{
        Result,
        control_plane::{ADMIN, ControlPlane},
        helm::{CHART, Helm},
        keyporter::Keyporter,
        kubectl::Kubectl,
        objects, wait_for,
    },
};

pub(super) const NAMESPACE: &str = "keyporter-system";
const NODE: &str = "node";
pub(super) const WITHIN: Duration = Duration::from_secs(30);
/// The advice where an object of the chart is not as it was.
pub(super) const RESTORE: &str = "helm get manifest keyporter -n keyporter-system | kubectl apply --server-side --force-conflicts -f -";

pub(super) struct Installation {
    pub(super) keyporter: Keyporter,
    pub(super) kubectl: Kubectl,
    helm: Helm,
    pub(super) plane: ControlPlane,
}

/// One of the report.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) check: String,
    pub(super) severity: String,
    pub(super) object: String,
    pub(super) message: String,
    pub(super) advice: String,
}

/// What a broken thing is told by: check, severity, and parts of object and message.
pub(super) type Expected<'a> = (&'a str, &'a str, &'a str, &'a str);

impl Installation {
    pub(super) async fn new(cluster: &Cluster) -> Result<Self> {
        let plane = ControlPlane::start(cluster.binaries().clone()).await?;
        let kubectl = plane.kubectl(ADMIN)?;
        let helm = Helm::of_admin(&plane, NAMESPACE)?;
        helm.run(&["install", "keyporter", CHART, "--create-namespace"])?
            .ok()?;
        let keyporter = chart::start(&plane).await?;
        // There is no network of pods.
        keyporter.call_directly(&plane.admin(), "keyporter").await?;
        let installation = Self {
            keyporter,
            kubectl,
            helm,
            plane,
        };
        installation.kubectl(&["create", "namespace", "vision"])?;
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
        objects::create(&installation.plane.admin(), node).await?;
        installation.run_pods().await?;
        Ok(installation)
    }

    pub(super) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl.run(arguments)?.ok()
    }

    /// In keyporter's namespace.
    pub(super) fn own(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl.within(NAMESPACE).run(arguments)?.ok()
    }

    pub(super) fn patch(&self, object: &str, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        self.own(&["patch", object, "--type=json", "-p", &patch])?;
        Ok(())
    }

    /// As the kubelet would: the pods of the Deployment run, and are ready.
    pub(super) async fn run_pods(&self) -> Result<()> {
        let conditions = json!([{"type": "Ready", "status": "True"}]);
        self.set_pods(&conditions, &json!(null)).await
    }

    /// The same for pods of which a container waits, or which are not ready.
    pub(super) async fn set_pods(&self, conditions: &Value, waiting: &Value) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.plane.admin(), NAMESPACE);
        let selector = "app.kubernetes.io/name=keyporter";
        let found = wait_for("two pods", WITHIN, async || {
            let found = objects::pods(&self.plane.admin(), NAMESPACE, selector).await?;
            let live = found
                .into_iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none());
            let live: Vec<_> = live.collect();
            Ok((live.len() == 2).then_some(live))
        })
        .await?;
        for (number, pod) in found.iter().enumerate() {
            self.bind(pod).await?;
            let address = format!("10.88.0.{}", number + 10);
            let state = match waiting {
                Value::Null => json!({"running": {}}),
                waiting => json!({"waiting": waiting}),
            };
            let status = json!({"status": {
                "phase": if waiting.is_null() { "Running" } else { "Pending" },
                "podIP": address,
                "podIPs": [{"ip": address}],
                "conditions": conditions,
                "containerStatuses": [{
                    "name": "keyporter", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
                }],
            }});
            pods.patch_status(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Merge(status),
            )
            .await?;
        }
        Ok(())
    }

    /// Without a node a pod is no endpoint.
    async fn bind(&self, pod: &Pod) -> Result<()> {
        if pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.node_name.is_some())
        {
            return Ok(());
        }
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name_any()},
            "target": {"kind": "Node", "name": NODE},
        });
        let path = format!(
            "/api/v1/namespaces/{NAMESPACE}/pods/{}/binding",
            pod.name_any()
        );
        let request = axum::http::Request::post(path)
            .header("content-type", "application/json")
            .body(binding.to_string().into_bytes())?;
        self.plane.admin().request_text(request).await?;
        Ok(())
    }

    /// What is printed for programs, as `user`.
    pub(super) fn report_of(&self, user: &str, more: &[&str]) -> Result<(Option<i32>, Vec<Line>)> {
        let group = (user == ADMIN).then_some("system:masters");
        let output = Command::new(env!("CARGO_BIN_EXE_keyporter"))
            .env("KUBECONFIG", self.plane.kubeconfig(user, group)?)
            .args(["check", "-o", "json"])
            .args(more)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let report: Value = serde_json::from_str(&text).map_err(|error| {
            format!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
        })?;
        assert_eq!(report["apiVersion"], "keyporter.dev/v1");
        assert_eq!(report["kind"], "CheckReport");
        assert!(!text.contains("PRIVATE KEY"));
        let healthy = report["healthy"] == true;
        assert_eq!(output.status.code(), Some(i32::from(!healthy)));
        let told =
            |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        let lines = report["findings"].as_array().ok_or("no findings")?;
        let line = |it: &Value| Line {
            check: told(it, "check"),
            severity: told(it, "severity"),
            object: told(it, "object"),
            message: told(it, "message"),
            advice: told(it, "advice"),
        };
        Ok((output.status.code(), lines.iter().map(line).collect()))
    }

    /// What is printed for people, as `user`, and the exit code.
    pub(super) fn text_of(&self, user: &str) -> Result<(Option<i32>, String)> {
        let group = (user == ADMIN).then_some("system:masters");
        let output = Command::new(env!("CARGO_BIN_EXE_keyporter"))
            .env("KUBECONFIG", self.plane.kubeconfig(user, group)?)
            .arg("check")
            .output()?;
        Ok((output.status.code(), String::from_utf8(output.stdout)?))
    }

    /// Returns the line, once it is there: the API server's own caches are behind for a moment. An error is failure,
    /// a warning only with `--strict`.
    pub(super) async fn tells(&self, expected: Expected<'_>) -> Result<Line> {
        let (check, severity, object, message) = expected;
        let mut last = vec![];
        let found = wait_for(&format!("{expected:?}"), WITHIN, async || {
            let (code, lines) = self.report_of(ADMIN, &[])?;
            let has_errors = lines.iter().any(|line| line.severity == "error");
            assert_eq!(code, Some(i32::from(has_errors)), "{lines:?}");
            let is_it = |line: &&Line| {
                line.check == check
                    && line.severity == severity
                    && line.object.contains(object)
                    && line.message.contains(message)
            };
            let found = lines.iter().find(is_it).cloned();
            last = lines;
            Ok(found)
        })
        .await;
        let bad = last.iter().filter(|line| line.severity != "ok");
        found.map_err(|error| format!("{error}: {:?}", bad.collect::<Vec<_>>()).into())
    }

    /// Everything is ok again.
    pub(super) async fn is_healthy(&self) -> Result<()> {
        let mut last = vec![];
        let healthy = wait_for("health", WITHIN, async || {
            let (code, lines) = self.report_of(ADMIN, &["--strict"])?;
            last = lines;
            Ok((code == Some(0)).then_some(()))
        })
        .await;
        let bad = last.iter().filter(|line| line.severity != "ok");
        healthy.map_err(|error| format!("{error}: {:?}", bad.collect::<Vec<_>>()).into())
    }

    /// Does what [`RESTORE`] does, with objects of these kinds alone: keyporter is called by an address here, which the
    /// chart knows nothing of.
    pub(super) fn restore(&self, kinds: &[&str]) -> Result<()> {
        let manifest = self.helm.run(&["get", "manifest", "keyporter"])?.ok()?;
        let mut objects = vec![];
        for document in &Documents::split(&manifest) {
            let object: Value = document.value("the manifest")?;
            if kinds.iter().any(|kind| object["kind"] == *kind) {
                objects.push(object);
            }
        }
        assert!(!objects.is_empty(), "{kinds:?}");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl.run_with_input(&apply, &list)?.ok()?;
        Ok(())
    }

    /// Runs a command of kubectl as it was advised.
    pub(super) fn follow(&self, advice: &str) -> Result<()> {
        let command = advice.split('#').next().unwrap_or_default();
        let words = command
            .strip_prefix("kubectl ")
            .ok_or_else(|| advice.to_owned())?;
        let unquoted = words.split_whitespace().map(|word| word.trim_matches('\''));
        let words: Vec<_> = unquoted.collect();
        self.kubectl(&words)?;
        Ok(())
    }

    /// Breaks it, reads the line, mends it by a patch that undoes the first.
    pub(super) async fn patched(
        &self,
        object: &str,
        (path, value): (&str, Value),
        expected: Expected<'_>,
    ) -> Result<()> {
        let now: Value = serde_json::from_str(&self.own(&["get", object, "-o", "json"])?)?;
        let before = now.pointer(path).cloned().unwrap_or_default();
        self.patch(
            object,
            &json!([{"op": "replace", "path": path, "value": value}]),
        )?;
        let line = self.tells(expected).await?;
        assert!(!line.advice.is_empty(), "{line:?}");
        self.patch(
            object,
            &json!([{"op": "replace", "path": path, "value": before}]),
        )?;
        Ok(())
    }
}
