//! The chart on the node: installed by the real Helm, from the image that the tests build, as an administrator does it.

use std::{fmt::Write, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::LogParams};
use serde_json::json;

use crate::{
    image::{REPOSITORY, TAG},
    support::{
        Result,
        control_plane::{ADMIN, ControlPlane},
        helm::{CHART, Helm},
        kubectl::{Kubectl, Outcome},
        objects, policies, wait_for,
    },
};

/// Where it is.
pub(crate) const NAMESPACE: &str = "keyporter-system";
/// What the release, its Deployment and its Service are called.
pub(crate) const NAME: &str = "keyporter";
/// What chooses its pods.
pub(crate) const SELECTOR: &str = "app.kubernetes.io/name=keyporter";

/// Pods start one after the other in an update, on a machine that may be busy.
const HELM_TIMEOUT: &str = "--timeout=4m";

/// Whoever administers the installation.
pub(crate) struct Installation {
    helm: Helm,
    kubectl: Kubectl,
    admin: Client,
}

impl Installation {
    /// Installs the chart and returns when its pods are ready and its policies in force.
    pub(crate) async fn start(plane: &ControlPlane) -> Result<Self> {
        let installation = Self {
            helm: Helm::of_admin(plane, NAMESPACE)?,
            kubectl: plane.kubectl(ADMIN)?.within(NAMESPACE),
            admin: plane.admin(),
        };
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        objects::create_namespace(&installation.admin, NAMESPACE, labels, true).await?;
        installation.install(&[]).await?;
        policies::wait_until_in_force(plane).await?;
        Ok(installation)
    }

    /// `helm install`, with more arguments; returns when the pods are ready.
    pub(crate) async fn install(&self, more: &[&str]) -> Result<()> {
        self.change("install", more).await
    }

    /// `helm upgrade`, with more arguments; returns when the pods are ready.
    pub(crate) async fn upgrade(&self, more: &[&str]) -> Result<()> {
        self.change("upgrade", more).await
    }

    async fn change(&self, verb: &str, more: &[&str]) -> Result<()> {
        let repository = format!("--set=image.repository={REPOSITORY}");
        let tag = format!("--set-string=image.tag={TAG}");
        let own = [
            verb,
            NAME,
            CHART,
            &repository,
            &tag,
            "--set=image.pullPolicy=Never",
            "--wait",
            HELM_TIMEOUT,
        ];
        self.helm(&[&own, more].concat()).await.map(drop)
    }

    /// Runs Helm; the error has all that is known of the pods.
    pub(crate) async fn helm(&self, arguments: &[&str]) -> Result<String> {
        // It takes its time, and others work on this runtime meanwhile.
        let outcome = tokio::task::block_in_place(|| self.helm.run(arguments)?.ok());
        match outcome {
            Ok(printed) => Ok(printed),
            Err(error) => Err(format!("{error}\n{}", self.describe().await?).into()),
        }
    }

    /// Runs `helm test`; returns all that it printed: it writes the logs of its pods to standard error.
    pub(crate) fn test(&self) -> Result<Outcome> {
        tokio::task::block_in_place(|| self.helm.run(&["test", NAME]))
    }

    /// The administrator's kubectl in keyporter's namespace.
    pub(crate) fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The pods that are there and not about to end.
    pub(crate) async fn pods(&self) -> Result<Vec<Pod>> {
        let mut pods = objects::pods(&self.admin, NAMESPACE, SELECTOR).await?;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// Returns when so many pods are there, and all of them ready.
    pub(crate) async fn wait_until_ready(&self, replicas: usize) -> Result<Vec<Pod>> {
        let what = "keyporter's pods to be ready";
        let ready = wait_for(what, Duration::from_mins(3), async || {
            // While the API server is away, nobody knows.
            let Ok(pods) = self.pods().await else {
                return Ok(None);
            };
            let all = pods.len() == replicas && pods.iter().all(is_ready);
            Ok(all.then_some(pods))
        })
        .await;
        match ready {
            Ok(pods) => Ok(pods),
            Err(error) => Err(format!("{error}\n{}", self.describe().await?).into()),
        }
    }

    /// What a pod answers on its administration port.
    pub(crate) async fn ask(&self, pod: &str, path: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8081/proxy{path}");
        let request = axum::http::Request::get(path).body(Vec::new())?;
        Ok(self.admin.request_text(request).await?)
    }

    /// What a person would look at.
    async fn describe(&self) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let parameters = LogParams {
            tail_lines: Some(20),
            ..LogParams::default()
        };
        let mut text = self.kubectl.run(&["describe", "pods"])?.stdout;
        for pod in objects::pods(&self.admin, NAMESPACE, SELECTOR).await? {
            let name = pod.name_any();
            let log = api.logs(&name, &parameters).await;
            writeln!(
                text,
                "--- {name}\n{}",
                log.unwrap_or_else(|it| it.to_string())
            )?;
        }
        Ok(text)
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
