//! `keyporter trial run`: makes the secrets and the pod, and tells what came of them.

use std::{error::Error, time::Duration};

use clap::{Args, ValueEnum};
use k8s_openapi::api::core::v1;
use kube::{
    Client, Resource,
    api::{GetParams, ListParams},
    core::Request,
};
use serde_json::Value;
use thiserror::Error as ThisError;
use tokio::time::Instant;
use tracing::{Dispatch, instrument::WithSubscriber};

use super::{
    cleanup::Made,
    interruption::Interruption,
    objects::{self, TrialSecret, creation, pods},
    pod::{Stand, in_one_line, recorded},
    pod_spec::PodSpec,
};
use crate::cli::{
    UsageError,
    cluster::{Caller, PlaceArguments, RequestError, ask},
    namespace::Namespace,
    values::timeout,
};

const PAUSE: Duration = Duration::from_millis(500);
/// How many events of the pod are told.
const EVENTS: usize = 3;

/// Make a secret and a pod, and see that the pod has the secret
///
/// Two secrets with random values, one that becomes a variable and one that becomes a file, and a pod of keyporter's image
/// that compares what it has with their SHA-256. All of it is yours, as far as the API server knows you, and goes at the
/// end, also when something fails. Without --namespace a scratch namespace is made for it, opted in, with a name of its
/// own.
///
/// Exit codes: 0 the pod has both; 1 it has not, and standard error says why; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter trial run --image registry.example.com/keyporter:0.1.0
  keyporter trial run --image registry.example.com/keyporter:0.1.0 --namespace keyporter-trial --timeout 5m
  keyporter trial run --image registry.example.com/keyporter:0.1.0 --pod-spec '{\"nodeSelector\":{\"disk\":\"fast\"}}'")]
pub(super) struct Run {
    /// The image of keyporter, which the pod runs
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    image: String,

    /// When the kubelet pulls it
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    pull_policy: PullPolicy,

    /// What the pod's spec has besides, as JSON: nodeSelector, tolerations, imagePullSecrets (Secrets of its namespace), and
    /// runAsUser and runAsGroup in securityContext
    #[arg(
        long,
        value_name = "JSON",
        default_value = "{}",
        hide_default_value = true
    )]
    pod_spec: PodSpec,

    /// How long all of it may take, such as 90s or 5m
    #[arg(long, value_name = "TIME", value_parser = timeout, default_value = "2m")]
    timeout: Duration,

    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

impl PullPolicy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

fn image(image: &str) -> Result<String, String> {
    if image.is_empty() || image.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Err(
            "an image is a name without spaces, such as registry.example.com/keyporter:0.1.0"
                .to_owned(),
        )
    } else {
        Ok(image.to_owned())
    }
}

/// Why the trial came to nothing.
#[derive(Debug, ThisError)]
pub(super) enum TrialError {
    #[error("no scratch namespace can be made: {0}; name one that is opted in with --namespace")]
    Namespace(#[source] RequestError),
    #[error("{0}")]
    NotOptedIn(String),
    #[error("the secret {name} cannot be made in {namespace}: {source}")]
    Secret {
        name: &'static str,
        namespace: String,
        source: RequestError,
    },
    #[error("the pod is refused: {0}; `keyporter check` tells more")]
    Refused(RequestError),
    #[error(
        "after {0:?} the pod still gets nothing: the API server does not ask keyporter about namespace {1}; \
         `keyporter check` tells why"
    )]
    NotAsked(Duration, String),
    #[error(
        "after {within:?} the pod still does not get {}: keyporter does not see the new secrets, or takes them for \
         another's; `keyporter explain --as {owner} -n {namespace}` tells more",
        .absent.join(" and ")
    )]
    NotInjected {
        within: Duration,
        absent: Vec<String>,
        owner: String,
        namespace: String,
    },
    #[error("the pod got both secrets from keyporter, but its container found: {0}")]
    Looked(String),
    #[error(
        "the pod got both secrets from keyporter, but cannot start: {0}; where the registry asks for a login, the node needs \
         its credentials, or --pod-spec names imagePullSecrets of namespace {1}"
    )]
    Stuck(String, String),
    #[error("the pod got both secrets from keyporter, but after {0:?} it has not ended: {1}")]
    Slow(Duration, String),
    #[error("the pod cannot be watched: {0}")]
    Unwatched(#[source] RequestError),
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    #[error("interrupted")]
    Interrupted,
}

impl Run {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        if self.timeout.is_zero() {
            return Err(UsageError("--timeout 0 leaves no time for a trial".to_owned()).into());
        }
        let client = self.place.client("").await?;
        let caller = Caller::ask(&client).await?;
        let mut interruption = Interruption::listen();
        let mut made = self.place_for_it(&client).await?;
        let outcome = self
            .tried(&client, &caller, &mut made, &mut interruption)
            .await;
        made.remove().await;
        outcome?;
        println!("the pod has the variable and the file, byte for byte");
        Ok(())
    }

    /// The namespace of the flag, or a new one.
    async fn place_for_it(&self, client: &Client) -> Result<Made, TrialError> {
        if let Some(name) = self.place.namespace() {
            let namespace = Namespace::ask(client, name).await;
            let namespace = namespace.map_err(TrialError::Namespace)?;
            if namespace.is_opted_in() == Some(false) {
                return Err(TrialError::NotOptedIn(namespace.how_to_opt_in()));
            }
            return Ok(Made::new(client.clone(), name.to_owned(), false));
        }
        let requests = Request::new(v1::Namespace::url_path(&(), None));
        let body = objects::namespace().to_string().into_bytes();
        let made: Value = ask(client, requests.create(&creation(false), body))
            .await
            .map_err(TrialError::Namespace)?;
        let name = named(&made).map_err(TrialError::Namespace)?;
        println!("namespace {name} made");
        Ok(Made::new(client.clone(), name, true))
    }

    async fn tried(
        &self,
        client: &Client,
        caller: &Caller,
        made: &mut Made,
        interruption: &mut Interruption,
    ) -> Result<(), TrialError> {
        let deadline = Instant::now() + self.timeout;
        let secrets = TrialSecret::both(&made.namespace, &caller.username)?;
        for secret in &secrets {
            interruption.check().await?;
            make_secret(client, made, secret).await?;
        }
        println!(
            "secrets {} made, for {}",
            secrets
                .each_ref()
                .map(|secret| format!("{} ({})", secret.name, secret.kind))
                .join(" and "),
            caller.username
        );
        let mut pod = objects::pod(&self.image, self.pull_policy.as_str(), &secrets);
        self.pod_spec.add_to(&mut pod);
        let wanted = secrets.each_ref().map(|secret| secret.name);
        let name = self
            .make_pod(made, (&pod, &wanted), caller, deadline, interruption)
            .await?;
        println!("pod {name} made, and keyporter gave it both");
        self.watch(client, made, &name, deadline, interruption)
            .await
    }

    /// Made is the pod only once it gets everything: keyporter hears of a new secret a moment after the API server has
    /// it, and each replica by itself.
    async fn make_pod(
        &self,
        made: &mut Made,
        (pod, wanted): (&Value, &[&str]),
        caller: &Caller,
        deadline: Instant,
        interruption: &mut Interruption,
    ) -> Result<String, TrialError> {
        let requests = pods(&made.namespace);
        let client = made.client.clone();
        let create = async |dry_run| {
            let body = pod.to_string().into_bytes();
            ask::<Value>(&client, requests.create(&creation(dry_run), body)).await
        };
        loop {
            let would_be = match create(true).await {
                Ok(would_be) => Some(would_be),
                Err(error) if is_early(&error) && Instant::now() < deadline => None,
                Err(error) => return Err(TrialError::Refused(error)),
            };
            let given = would_be.as_ref().and_then(recorded);
            let absent = absent(wanted, given.as_deref());
            interruption.check().await?;
            if would_be.is_some() && absent.is_empty() {
                let pod = create(false).await.map_err(TrialError::Refused)?;
                let name = named(&pod).map_err(TrialError::Refused)?;
                made.pods.insert(name.clone());
                let given = recorded(&pod);
                if self::absent(wanted, given.as_deref()).is_empty() {
                    return Ok(name);
                }
                // Another replica answered, which is later.
                made.remove_pod(&name)
                    .await
                    .map_err(TrialError::Unwatched)?;
                made.pods.remove(&name);
            }
            if Instant::now() >= deadline {
                return Err(match given {
                    None => TrialError::NotAsked(self.timeout, made.namespace.clone()),
                    Some(_) => TrialError::NotInjected {
                        within: self.timeout,
                        absent,
                        owner: caller.username.clone(),
                        namespace: made.namespace.clone(),
                    },
                });
            }
            interruption.pause(PAUSE).await?;
        }
    }

    async fn watch(
        &self,
        client: &Client,
        made: &Made,
        name: &str,
        deadline: Instant,
        interruption: &mut Interruption,
    ) -> Result<(), TrialError> {
        loop {
            let request = pods(&made.namespace).get(name, &GetParams::default());
            let pod: Value = ask(client, request).await.map_err(TrialError::Unwatched)?;
            match Stand::of(&pod) {
                Stand::Succeeded => return Ok(()),
                Stand::Failed(said) => return Err(TrialError::Looked(said)),
                Stand::Stuck(reason) => {
                    let told = with_events(client, &made.namespace, name, reason).await;
                    return Err(TrialError::Stuck(told, made.namespace.clone()));
                }
                Stand::Waits(reason) if Instant::now() >= deadline => {
                    let told = with_events(client, &made.namespace, name, reason).await;
                    return Err(TrialError::Slow(self.timeout, told));
                }
                Stand::Waits(_) => interruption.pause(PAUSE).await?,
            }
        }
    }
}

/// A service account of a new namespace is made a moment later, and pods are refused until then.
fn is_early(error: &RequestError) -> bool {
    error.is_forbidden()
        && error
            .to_string()
            .contains("error looking up service account")
}

fn absent(wanted: &[&str], given: Option<&[String]>) -> Vec<String> {
    let given = given.unwrap_or_default();
    let absent = wanted
        .iter()
        .filter(|name| !given.iter().any(|given| given == **name));
    absent.map(|name| (*name).to_owned()).collect()
}

fn named(object: &Value) -> Result<String, RequestError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    name.map(str::to_owned).ok_or(RequestError::OddAnswer)
}

async fn make_secret(
    client: &Client,
    made: &mut Made,
    secret: &TrialSecret,
) -> Result<(), TrialError> {
    let failed = |source| TrialError::Secret {
        name: secret.name,
        namespace: made.namespace.clone(),
        source,
    };
    let body = serde_json::to_vec(&secret.object).map_err(|_| failed(RequestError::OddAnswer))?;
    let requests = Request::new(v1::Secret::url_path(&(), Some(&made.namespace)));
    let created = ask::<Value>(client, requests.create(&creation(false), body));
    // Nothing that kube does with values in hand reaches the log.
    let created = created.with_subscriber(Dispatch::none()).await;
    created.map_err(failed)?;
    made.secrets
        .extend(secret.object.metadata.name.iter().cloned());
    Ok(())
}

/// What the cluster says of the pod, where it may be read.
async fn with_events(client: &Client, namespace: &str, pod: &str, reason: String) -> String {
    let selector = format!("involvedObject.name={pod},involvedObject.kind=Pod");
    let requests = Request::new(v1::Event::url_path(&(), Some(namespace)));
    let list = requests.list(&ListParams::default().fields(&selector));
    let events = ask::<Value>(client, list).await.unwrap_or_default();
    let items = events.get("items").and_then(Value::as_array);
    let text = |event: &Value, field: &str| event.get(field)?.as_str().map(str::to_owned);
    let warnings: Vec<_> = items
        .into_iter()
        .flatten()
        .filter(|event| text(event, "type").as_deref() == Some("Warning"))
        .filter_map(|event| {
            let (why, message) = (text(event, "reason")?, text(event, "message")?);
            Some(format!("{why}: {}", in_one_line(&message)))
        })
        .collect();
    let newest = warnings.into_iter().rev().take(EVENTS);
    [reason]
        .into_iter()
        .chain(newest)
        .collect::<Vec<_>>()
        .join("; ")
}
