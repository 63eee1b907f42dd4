//! `keyporter explain`: why a pod got each secret, or why not.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    path::PathBuf,
};

use clap::{ArgGroup, Args, ValueEnum};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, Resource, api::ListParams, core::Request};
use serde_json::{Value, json};

use super::{
    UsageError,
    cluster::{Caller, PlaceArguments, RequestError, ask},
    explanation::{self, Denied},
    namespace::{Namespace, Webhooks},
    rights,
    secret::metadata::{Metadata, Secrets},
    settings::SettingsArguments,
    values::{group, username},
    workloads, written,
};
use crate::{
    catalog::{Catalog, Source, files},
    documents::objects,
    inject::{identity::Identity, settings::Settings},
    offline::{Fate, NOT_SEEN, Offline, Outcome, Subject},
};

/// What a person without a cluster can do.
const OTHERWISE: &str = ", or explain a file with -f FILE --secrets PATH";
/// The container of a pod that is not there.
const ANY_CONTAINER: &str = "any";

/// Explain why a pod got each secret, or why not
///
/// Of a pod that runs it tells what it got when it was made, by its own record, and what has changed since. Of a file, and
/// of a new pod of a user (--as alone), it tells what would come now. Values are not asked for: it takes the right to list
/// secrets and pods, and no other.
///
/// The settings of the webhook are not known here: name those that it was started with.
///
/// JSON has `apiVersion: keyporter.dev/v1` and `kind: ExplanationList`; each of the `items` has title, namespace, owner,
/// ownerRule, fate (injected, skipped or denied), reason, notes, secrets (name, object, kind, scope, container, injected,
/// how) and warnings.
///
/// Exit codes: 0 done; 1 failed, or a file would be denied; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["pod", "files", "user"]).required(true).multiple(true))]
#[command(after_help = "\
Examples:
  keyporter explain pod train-x7k2p -n vision
  keyporter explain train-x7k2p
  keyporter explain -f job.yaml
  keyporter explain -f job.yaml --secrets secrets/ --as alice
  keyporter explain --as alice -n vision -o json")]
pub(super) struct Explain {
    /// A pod that runs: NAME, pod NAME or pod/NAME
    #[arg(value_name = "POD", num_args = 0..=2, conflicts_with = "files")]
    pod: Vec<String>,

    /// A file of YAML or JSON documents, or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A file or folder of Secrets, which stand for those of the cluster; may be repeated
    #[arg(
        long = "secrets",
        value_name = "PATH",
        requires = "files",
        conflicts_with = "pod"
    )]
    secrets: Vec<PathBuf>,

    /// Whose new pod it would be; it takes no right to impersonate them, and all that is asked of the cluster is asked as
    /// you. Without it a file is taken for yours. A running pod that names its owner stays theirs
    #[arg(long = "as", value_name = "USER", value_parser = username)]
    user: Option<String>,

    /// A group of that user; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", value_parser = group, requires = "user")]
    groups: Vec<String>,

    /// What is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,

    #[command(flatten)]
    place: PlaceArguments,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// A cluster as the caller sees it.
struct Cluster {
    client: Client,
    caller: Caller,
}

/// What is known of the namespaces at hand.
#[derive(Default)]
struct Known {
    catalog: Catalog,
    objects: BTreeSet<(String, String)>,
    namespaces: BTreeMap<String, Namespace>,
    webhooks: Webhooks,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.explain())
    }

    async fn explain(&self) -> Result<(), Box<dyn Error>> {
        let settings = self.settings.settings();
        let subjects = if self.secrets.is_empty() {
            let client = self.place.client(OTHERWISE).await?;
            let caller = Caller::ask(&client).await?;
            let cluster = Cluster { client, caller };
            match pod(&self.pod)? {
                Some(name) => self.of_pod(&cluster, name, &settings).await?,
                None if self.files.is_empty() => self.of_new_pod(&cluster, &settings).await?,
                None => self.of_files(&cluster, &settings).await?,
            }
        } else {
            self.of_files_alone(&settings)?
        };
        if subjects.is_empty() {
            eprintln!("note: there is no pod and no pod template in what was given");
        }
        let mut out = anstream::stdout().lock();
        match self.output {
            Output::Text => written(explanation::print(&mut out, subjects.iter()))?,
            Output::Json => explanation::print_json(&mut out, subjects.iter())?,
        }
        let denied = subjects
            .iter()
            .filter(|subject| matches!(subject.fate, Fate::Denied { .. }));
        match denied.count() {
            0 => Ok(()),
            denied => Err(Denied(denied).into()),
        }
    }

    fn offline<'a>(
        &'a self,
        catalog: &'a Catalog,
        settings: &'a Settings,
        namespace: &'a str,
        requester: Option<&'a str>,
        groups: &'a [String],
    ) -> Offline<'a> {
        let labels_tell = settings.identity == Identity::Konduktor;
        Offline {
            catalog,
            settings,
            requester: requester.or(labels_tell.then_some("")),
            groups: groups.iter().map(|group| group.as_str().into()).collect(),
            namespace,
            only_namespace: self.place.namespace().is_some(),
        }
    }

    /// Without a cluster.
    fn of_files_alone(&self, settings: &Settings) -> Result<Vec<Subject>, Box<dyn Error>> {
        let namespace = self.place.namespace().unwrap_or("default");
        let loaded = files::load(&self.secrets, namespace)?;
        let catalog = Catalog::of(settings);
        if let Some(warning) = loaded.warning(&catalog) {
            eprintln!("warning: {warning}");
        }
        loaded.fill(&catalog);
        let user = self.user.as_deref();
        let offline = self.offline(&catalog, settings, namespace, user, &self.groups);
        if user.is_none() && offline.requester.is_none() {
            eprintln!("note: without --as USER only secrets of the project come");
        }
        let mut subjects = vec![];
        for (name, text) in self.texts()? {
            for document in &workloads::split(&name, &text)? {
                let value = document.value(&name)?;
                subjects.extend(workloads::work(&offline, &name, document, value)?.subjects);
            }
        }
        Ok(subjects)
    }

    /// With the secrets of the cluster, as the caller or another person.
    async fn of_files(
        &self,
        cluster: &Cluster,
        settings: &Settings,
    ) -> Result<Vec<Subject>, Box<dyn Error>> {
        let default = cluster.client.default_namespace();
        let texts = self.texts()?;
        let mut namespaces = BTreeSet::new();
        for (name, text) in &texts {
            for document in &workloads::split(name, text)? {
                let value = document.value(name)?;
                let all = objects(&value).into_iter().map(|(_, object)| {
                    let namespace = object.pointer("/metadata/namespace");
                    namespace
                        .and_then(Value::as_str)
                        .unwrap_or(default)
                        .to_owned()
                });
                namespaces.extend(all);
            }
        }
        let known = cluster.know(&namespaces, settings).await?;
        let (user, groups) = match &self.user {
            Some(user) => (user, &self.groups),
            None => (&cluster.caller.username, &cluster.caller.groups),
        };
        let offline = self.offline(&known.catalog, settings, default, Some(user), groups);
        let mut subjects = vec![];
        for (name, text) in &texts {
            for document in &workloads::split(name, text)? {
                let value = document.value(name)?;
                subjects.extend(workloads::work(&offline, name, document, value)?.subjects);
            }
        }
        for subject in &mut subjects {
            known.look_from_outside(subject);
        }
        Ok(subjects)
    }

    /// What a pod would get that does not say a word about secrets.
    async fn of_new_pod(
        &self,
        cluster: &Cluster,
        settings: &Settings,
    ) -> Result<Vec<Subject>, Box<dyn Error>> {
        let namespace = cluster.client.default_namespace();
        let known = cluster
            .know(&[namespace.to_owned()].into(), settings)
            .await?;
        let user = self.user.as_deref();
        let offline = self.offline(&known.catalog, settings, namespace, user, &self.groups);
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": namespace},
            "spec": {"containers": [{"name": ANY_CONTAINER}]},
        });
        let mut subjects = offline.document(pod)?.subjects;
        for subject in &mut subjects {
            subject.title = format!("A new pod of {} in {namespace}", user.unwrap_or("nobody"));
            for row in &mut subject.rows {
                row.container.clear();
            }
            known.look_from_outside(subject);
        }
        Ok(subjects)
    }

    async fn of_pod(
        &self,
        cluster: &Cluster,
        name: &str,
        settings: &Settings,
    ) -> Result<Vec<Subject>, Box<dyn Error>> {
        let namespace = cluster.client.default_namespace();
        let pod = cluster.pod(namespace, name).await?;
        let known = cluster
            .know(&[namespace.to_owned()].into(), settings)
            .await?;
        let user = self.user.as_deref();
        let offline = self.offline(&known.catalog, settings, namespace, user, &self.groups);
        let created = pod
            .pointer("/metadata/creationTimestamp")
            .and_then(Value::as_str);
        let created = created.unwrap_or_default().to_owned();
        let exists = |object: &str| {
            let place = (namespace.to_owned(), object.to_owned());
            known.objects.contains(&place)
        };
        let Outcome { mut subjects, .. } = offline.running(pod, exists)?;
        for subject in &mut subjects {
            known.look_at_past(subject, &created);
            if user.is_none()
                && subject
                    .owner
                    .as_ref()
                    .is_some_and(|(name, _)| name.is_none())
            {
                subject
                    .notes
                    .push("with --as USER it is taken for a pod of that user".to_owned());
            }
        }
        Ok(subjects)
    }

    fn texts(&self) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        self.files
            .iter()
            .map(|file| workloads::read(file))
            .collect()
    }
}

/// The name of the pod, from what kubectl's users write.
fn pod(words: &[String]) -> Result<Option<&str>, UsageError> {
    const KINDS: [&str; 3] = ["pod", "pods", "po"];
    let (kind, name) = match words {
        [] => return Ok(None),
        [one] => one.split_once('/').unwrap_or(("pod", one)),
        [kind, name, ..] => (kind.as_str(), name.as_str()),
    };
    if KINDS.contains(&kind) && !name.is_empty() {
        Ok(Some(name))
    } else {
        Err(UsageError(format!(
            "only pods are explained, and {:?} is none; name one of its pods, or its file with -f",
            words.join(" ")
        )))
    }
}

impl Cluster {
    /// All that explains pods of these namespaces.
    async fn know(
        &self,
        namespaces: &BTreeSet<String>,
        settings: &Settings,
    ) -> Result<Known, Box<dyn Error>> {
        let mut secrets = vec![];
        let mut stores = vec![];
        let mut known = Known {
            catalog: Catalog::of(settings),
            webhooks: Webhooks::ask(&self.client).await?,
            ..Known::default()
        };
        for namespace in namespaces {
            let all = Secrets::new(self.client.clone(), Some(namespace.clone()));
            let no_right =
                |error| rights::explained(error, "secrets", &self.caller, Some(namespace));
            secrets.extend(all.all().await.map_err(no_right)?);
            let is_store = |object: &str| known.catalog.is_store(object);
            stores.extend(all.called(is_store).await.map_err(no_right)?);
            let there = Namespace::ask(&self.client, namespace).await?;
            let domain = there.domain();
            (known.catalog).set_domain(Source::Namespaces, namespace, domain);
            known.namespaces.insert(namespace.clone(), there);
        }
        let all = || secrets.iter().chain(&stores);
        for secret in all().filter(|secret| secret.keys().is_none()) {
            eprintln!(
                "note: {secret}: the names of its keys are not known, because the API server kept no account of who wrote \
                 them; what is said of them may be wrong"
            );
        }
        let place = |secret: &Metadata| (secret.namespace.clone(), secret.object.clone());
        known.objects = all().map(place).collect();
        let secrets = secrets.iter().map(Metadata::description);
        known.catalog.replace(Source::OurLabel, secrets);
        let stores = stores.iter().map(Metadata::description);
        known.catalog.replace(Source::Stores, stores);
        Ok(known)
    }

    /// The pod in full, because what it sets itself counts: from a list, so that no other right is needed.
    async fn pod(&self, namespace: &str, name: &str) -> Result<Value, Box<dyn Error>> {
        let request = Request::new(Pod::url_path(&(), Some(namespace)));
        let parameters = ListParams::default().fields(&format!("metadata.name={name}"));
        let list: Result<Value, RequestError> = ask(&self.client, request.list(&parameters)).await;
        let list =
            list.map_err(|error| rights::explained(error, "pods", &self.caller, Some(namespace)))?;
        let mut pod = list
            .pointer("/items/0")
            .cloned()
            .ok_or_else(|| format!("there is no pod {name} in namespace {namespace}"))?;
        // The items of a list do not name their kind.
        if let Some(pod) = pod.as_object_mut() {
            pod.insert("apiVersion".to_owned(), "v1".into());
            pod.insert("kind".to_owned(), "Pod".into());
        }
        Ok(pod)
    }
}

impl Known {
    /// What keyporter does not see: whether it is asked about pods of the namespace at all.
    fn look_from_outside(&self, subject: &mut Subject) {
        let Some(namespace) = self.namespaces.get(&subject.namespace) else {
            return;
        };
        if namespace.is_opted_in() == Some(false) && !is_excluded(subject) {
            subject.notes.push(namespace.how_to_opt_in());
            subject.leave_out("namespace-not-opted-in");
        } else if self.webhooks.call_for(namespace) == Some(false) && !is_excluded(subject) {
            subject.notes.push(no_webhook(&subject.namespace));
            subject.leave_out("no-webhook");
        }
    }

    /// Why a pod that runs was not seen.
    fn look_at_past(&self, subject: &mut Subject, created: &str) {
        let not_seen = matches!(subject.fate, Fate::Skipped { reason } if reason == NOT_SEEN);
        let empty = matches!(subject.fate, Fate::Skipped { reason } if reason == "no-secrets" || reason == "no-owner");
        let Some(namespace) = self.namespaces.get(&subject.namespace) else {
            return;
        };
        if !not_seen && !empty {
            return;
        }
        if namespace.is_opted_in() == Some(false) {
            subject.notes.push(namespace.how_to_opt_in());
            subject.leave_out("namespace-not-opted-in");
        } else if namespace.opted_in_after(created) {
            subject.notes.push(format!(
                "namespace {} was opted in after the pod was made; a new pod gets them",
                subject.namespace
            ));
            subject.leave_out("namespace-not-opted-in");
        } else if not_seen && self.webhooks.call_for(namespace) == Some(false) {
            subject.notes.push(no_webhook(&subject.namespace));
            subject.leave_out("no-webhook");
        } else if not_seen {
            subject.notes.push(
                "keyporter was not asked when the pod was made: it was not installed yet, or did not answer and \
                 failurePolicy is Ignore"
                    .to_owned(),
            );
        }
    }
}

fn is_excluded(subject: &Subject) -> bool {
    matches!(subject.fate, Fate::Skipped { reason } if reason == "excluded-namespace")
}

fn no_webhook(namespace: &str) -> String {
    format!(
        "no webhook of keyporter's is called for pods of namespace {namespace}; `kubectl get \
         mutatingwebhookconfigurations` shows those there are"
    )
}
