//! Pods that run to their end, and what their containers found inside.

use std::{collections::BTreeMap, fmt::Write, io::Read, time::Duration};

use data_encoding::BASE64;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};
use serde_json::{Value, json};
use tar::Archive;

use crate::{
    images,
    project::Project,
    support::{Result, objects, wait_for},
};

/// A machine with two cores starts some dozen pods at once.
const ENDED_WITHIN: Duration = Duration::from_mins(4);

/// A shell script that prints what its container got: variables, and files below `/konduktor` as they are behind links.
///
/// Kubernetes would expand `$(...)`, and turn `$$` into `$`.
pub(crate) const REPORT: &str = "echo report-env `env -0 | base64 -w 0`; \
     echo report-files `cd /; tar -c -h -f - konduktor | base64 -w 0`";

/// A container that runs a shell script.
pub(crate) fn container(name: &str, image: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
    })
}

/// The spec of a pod that runs once.
pub(crate) fn spec(containers: &[Value]) -> Value {
    json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false,
        "containers": containers,
    })
}

/// A container `main` that prints what it got.
pub(crate) fn reporting() -> Value {
    container("main", images::BARE, REPORT)
}

/// A pod that ended well.
pub(crate) struct Ended<'a> {
    project: &'a Project,
    pod: Pod,
}

impl Project {
    /// Alice creates a pod; returns when it ended.
    pub(crate) async fn run(&self, name: &str, spec: Value) -> Result<Ended<'_>> {
        self.create(name, spec).await?;
        self.ended(name).await
    }

    /// Alice creates a pod.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Result<()> {
        self.create_as(&self.alice, name, &json!({}), spec).await
    }

    /// Bob creates a pod; returns when it ended.
    pub(crate) async fn run_as_bob(&self, name: &str, spec: Value) -> Result<Ended<'_>> {
        self.create_as(&self.bob, name, &json!({}), spec).await?;
        self.ended(name).await
    }

    /// The same with the label that opts it out.
    pub(crate) async fn create_opted_out(&self, name: &str, spec: Value) -> Result<()> {
        let labels = json!({"keyporter.dev/inject": "disabled"});
        let metadata = json!({"labels": labels});
        self.create_as(&self.alice, name, &metadata, spec).await
    }

    /// The same with these annotations.
    pub(crate) async fn create_annotated(
        &self,
        name: &str,
        annotations: &Value,
        spec: Value,
    ) -> Result<()> {
        let metadata = json!({"annotations": annotations});
        self.create_as(&self.alice, name, &metadata, spec).await
    }

    async fn create_as(
        &self,
        client: &Client,
        name: &str,
        metadata: &Value,
        spec: Value,
    ) -> Result<()> {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": spec,
        });
        pod["metadata"]["namespace"] = json!(self.name);
        pod["metadata"]["name"] = json!(name);
        objects::create(client, pod).await?;
        Ok(())
    }

    /// The pod when it ended; an error with all that is known if it ended badly.
    pub(crate) async fn ended(&self, name: &str) -> Result<Ended<'_>> {
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.name);
        let what = format!("the pod {name} in {} to end", self.name);
        let outcome = wait_for(&what, ENDED_WITHIN, async || {
            let pod = pods.get(name).await?;
            let phase = pod.status.as_ref().and_then(|it| it.phase.clone());
            match phase.as_deref() {
                Some("Succeeded") => Ok(Some(pod)),
                Some("Failed") => Err(format!("the pod {name} failed").into()),
                _ => Ok(None),
            }
        })
        .await;
        let pod = self.explain(name, outcome).await?;
        Ok(Ended { project: self, pod })
    }

    /// What a container of a pod printed so far.
    pub(crate) async fn log(&self, pod: &str, container: &str) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.name);
        Ok(pods.logs(pod, &of(container)).await?)
    }

    /// What the running container `main` of a pod got, once it has reported it.
    pub(crate) async fn reported(&self, pod: &str) -> Result<Report> {
        let what = format!("the report of {pod} in {}", self.name);
        let outcome = wait_for(&what, ENDED_WITHIN, async || {
            // A container that has not started has no log.
            let log = self.log(pod, "main").await.unwrap_or_default();
            let is_whole = log.contains("report-files ") && log.ends_with('\n');
            is_whole.then(|| Report::read(&log)).transpose()
        })
        .await;
        self.explain(pod, outcome).await
    }

    /// Adds to an error what a person would look at.
    pub(crate) async fn explain<T>(&self, pod: &str, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(value) => Ok(value),
            Err(error) => Err(format!("{error}\n{}", self.describe(pod).await?).into()),
        }
    }

    async fn describe(&self, name: &str) -> Result<String> {
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.name);
        let pod = pods.get(name).await?;
        let mut text = String::new();
        for container in containers(&pod) {
            let log = self.log(name, &container).await;
            let log = log.unwrap_or_else(|error| error.to_string());
            writeln!(text, "--- {container}\n{log}")?;
        }
        text.extend(self.events(name).await?.into_iter().map(told));
        Ok(text)
    }

    /// What the kubelet and the scheduler warn of, about one pod.
    pub(crate) async fn warnings(&self, name: &str) -> Result<Vec<String>> {
        let events = self.events(name).await?;
        let warnings = events
            .into_iter()
            .filter(|event| event.type_.as_deref() == Some("Warning"));
        Ok(warnings.map(told).collect())
    }

    async fn events(&self, name: &str) -> Result<Vec<Event>> {
        let events: Api<Event> = Api::namespaced(self.admin.clone(), &self.name);
        let of_pod = ListParams::default().fields(&format!("involvedObject.name={name}"));
        Ok(events.list(&of_pod).await?.items)
    }
}

fn told(event: Event) -> String {
    let reason = event.reason.unwrap_or_default();
    let message = event.message.unwrap_or_default();
    format!("{reason}: {message}\n")
}

impl Ended<'_> {
    /// The pod as it was stored.
    pub(crate) fn pod(&self) -> &Pod {
        &self.pod
    }

    /// What a container printed.
    pub(crate) async fn log(&self, container: &str) -> Result<String> {
        self.project.log(&self.pod.name_any(), container).await
    }

    /// What a container that ran [`REPORT`] got.
    pub(crate) async fn report(&self, container: &str) -> Result<Report> {
        Report::read(&self.log(container).await?)
    }
}

fn of(container: &str) -> LogParams {
    LogParams {
        container: Some(container.to_owned()),
        ..LogParams::default()
    }
}

fn containers(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
    })
    .map(|container| container.name.clone())
    .collect()
}

/// A file as a container sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// The permission bits.
    pub(crate) mode: u32,
    /// The content.
    pub(crate) content: Vec<u8>,
}

/// What a container got.
#[derive(Debug)]
pub(crate) struct Report {
    /// Every variable.
    pub(crate) variables: BTreeMap<String, String>,
    /// Every file below `/konduktor`, by its absolute path.
    pub(crate) files: BTreeMap<String, File>,
}

impl Report {
    /// Reads it from a log.
    pub(crate) fn read(log: &str) -> Result<Self> {
        let part = |name: &str| -> Result<Vec<u8>> {
            let line = log.lines().find_map(|line| line.strip_prefix(name));
            let line = line.ok_or_else(|| format!("the log has no {name}: {log}"))?;
            Ok(BASE64.decode(line.trim().as_bytes())?)
        };
        let variables = String::from_utf8(part("report-env ")?)?;
        let variables = variables
            .split_terminator('\0')
            .filter_map(|variable| variable.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut files = BTreeMap::new();
        for entry in Archive::new(&*part("report-files ")?).entries()? {
            let mut entry = entry?;
            let path = String::from_utf8(entry.path_bytes().into_owned())?;
            // The kubelet keeps each version of a volume in a folder of its own, and links to it.
            let is_version = path.split('/').any(|part| part.starts_with(".."));
            if !entry.header().entry_type().is_file() || is_version {
                continue;
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            let mode = entry.header().mode()?;
            files.insert(format!("/{path}"), File { mode, content });
        }
        Ok(Self { variables, files })
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}
