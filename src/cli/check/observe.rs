//! Everything that is asked of the cluster. Nothing is changed.

use std::time::Duration;

use axum::http::{Request, header};
use futures::{StreamExt, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::{Dispatch, instrument::WithSubscriber};

use super::{
    calls,
    certificates::Material,
    rights::{self, Right},
    seen::{Seen, Unseen, items, label, name, text},
};
use crate::{
    certificates::managed::AUTHORITY_SECRET,
    cli::{
        cluster::{RequestError, ask},
        secret::metadata::{Metadata, Secrets},
    },
    inject::{annotations::INJECT, identity::Identity},
    own_secret::OwnSecret,
    ownership::KEYS_SECRET,
};

/// How long a pod may take to say why it is not ready: its node may be gone.
const READINESS_WITHIN: Duration = Duration::from_secs(3);
/// How many requests run at once.
const AT_ONCE: usize = 8;
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// What was seen of an installation and its cluster.
pub(super) struct Observed {
    /// Keyporter's own namespace.
    pub(super) namespace: String,
    /// What the chart calls its objects.
    pub(super) name: String,
    pub(super) version: Seen<Value>,
    /// Whether the API server has the kind `MutatingAdmissionPolicy`.
    pub(super) has_mutating_policies: Seen<bool>,
    pub(super) mutating: Seen<Vec<Value>>,
    pub(super) validating: Seen<Vec<Value>>,
    pub(super) policies: Seen<Vec<Value>>,
    pub(super) bindings: Seen<Vec<Value>>,
    pub(super) mutating_policies: Seen<Vec<Value>>,
    pub(super) mutating_bindings: Seen<Vec<Value>>,
    pub(super) service: Seen<Option<Value>>,
    pub(super) slices: Seen<Vec<Value>>,
    pub(super) deployment: Seen<Option<Value>>,
    pub(super) pods: Seen<Vec<Value>>,
    /// What pods that are not ready say of that: pod, and words.
    pub(super) readiness: Vec<(String, String)>,
    /// The metadata of all.
    pub(super) namespaces: Seen<Vec<Value>>,
    /// The answer to a pod that keyporter has to refuse; `None` where no namespace is opted in.
    pub(super) call: Option<calls::Call>,
    /// Whether keyporter's account has each of these.
    pub(super) rights: Seen<Vec<(Right, bool)>>,
    /// The metadata of the Secret with the keys.
    pub(super) keys: Seen<bool>,
    /// The certificates in the Secret that the pods have theirs from.
    pub(super) certificates: Seen<Option<Material>>,
    pub(super) secrets: Seen<Vec<Metadata>>,
}

impl Observed {
    /// Where the Deployment runs, as far as it is seen.
    pub(super) fn deployment(&self) -> Option<&Value> {
        self.deployment.as_ref().ok()?.as_ref()
    }

    /// The arguments of the program in the Deployment.
    pub(super) fn arguments(&self) -> Vec<&str> {
        let arguments = self.deployment().map(|deployment| {
            let pointer = "/spec/template/spec/containers/0/args";
            items(deployment, pointer).iter().filter_map(Value::as_str)
        });
        arguments.into_iter().flatten().collect()
    }

    /// Whether keyporter looks after its certificates itself; `None` where nobody knows.
    pub(super) fn is_self_managed(&self) -> Option<bool> {
        self.deployment()?;
        Some(self.arguments().contains(&"--certificates=self-managed"))
    }

    /// By what keyporter tells persons apart; `None` where nobody knows.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.deployment()?;
        let arguments = self.arguments();
        let mut values = arguments
            .iter()
            .filter_map(|it| it.strip_prefix("--identity="));
        let is_pair = arguments
            .windows(2)
            .any(|pair| pair == ["--identity", "konduktor"]);
        Some(if is_pair || values.any(|value| value == "konduktor") {
            Identity::Konduktor
        } else {
            Identity::Authenticated
        })
    }

    /// The command that makes the objects of the release anew.
    pub(super) fn restore(&self) -> String {
        let all = [&self.mutating, &self.validating];
        let lists = all.into_iter().filter_map(|seen| seen.as_ref().ok());
        let configurations = lists.flatten().filter(|one| name(one) == self.name);
        let mut objects = self.deployment().into_iter().chain(configurations);
        let release = objects.find_map(|object| label(object, "app.kubernetes.io/instance"));
        format!(
            "helm get manifest {} -n {} | kubectl apply --server-side --force-conflicts -f -",
            release.unwrap_or(&self.name),
            self.namespace
        )
    }
}

/// Asks for everything.
pub(super) async fn observe(
    client: Client,
    namespace: &str,
    called: &str,
) -> Result<Observed, RequestError> {
    let cluster = Observer { client };
    // A cluster that is not there is not one with everything missing.
    let version: Value = ask(&cluster.client, get("/version", "application/json")).await?;
    let core = format!("/api/v1/namespaces/{namespace}");
    let apps = format!("/apis/apps/v1/namespaces/{namespace}");
    let slices = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{called}"
    );
    let deployment = cluster
        .get(
            &format!("{apps}/deployments/{called}"),
            &format!("get deployments.apps -n {namespace}"),
        )
        .await;
    let pods = cluster
        .pods(&core, deployment.as_ref().ok().and_then(Option::as_ref))
        .await;
    let readiness = cluster
        .readiness(&core, pods.as_deref().unwrap_or_default())
        .await;
    let namespaces = cluster
        .list("/api/v1/namespaces", METADATA_LIST, "list namespaces")
        .await;
    let call = cluster
        .call(namespaces.as_deref().unwrap_or_default(), namespace)
        .await;
    let has_mutating_policies = cluster.serves_mutating_policies().await;
    let policies = async |kind: &str| {
        let path = format!("{ADMISSION}/{kind}");
        let right = format!("list {kind}.admissionregistration.k8s.io");
        cluster.list(&path, "application/json", &right).await
    };
    let served = has_mutating_policies == Ok(true);
    let if_served = async |kind| {
        if served {
            policies(kind).await
        } else {
            Ok(vec![])
        }
    };
    let account = account(deployment.as_ref().ok().and_then(Option::as_ref), called);
    Ok(Observed {
        namespace: namespace.to_owned(),
        name: called.to_owned(),
        version: Ok(version),
        mutating: policies("mutatingwebhookconfigurations").await,
        validating: policies("validatingwebhookconfigurations").await,
        policies: policies("validatingadmissionpolicies").await,
        bindings: policies("validatingadmissionpolicybindings").await,
        mutating_policies: if_served("mutatingadmissionpolicies").await,
        mutating_bindings: if_served("mutatingadmissionpolicybindings").await,
        has_mutating_policies,
        service: cluster
            .get(
                &format!("{core}/services/{called}"),
                &format!("get services -n {namespace}"),
            )
            .await,
        slices: cluster
            .list(
                &slices,
                "application/json",
                &format!("list endpointslices.discovery.k8s.io -n {namespace}"),
            )
            .await,
        readiness,
        call,
        rights: cluster.rights(namespace, called, &account).await,
        keys: cluster.has_keys(&core, namespace).await,
        certificates: cluster
            .certificates(
                &core,
                namespace,
                deployment.as_ref().ok().and_then(Option::as_ref),
            )
            .await,
        secrets: cluster.secrets().await,
        deployment,
        pods,
        namespaces,
    })
}

/// The account that the pods run as.
fn account(deployment: Option<&Value>, called: &str) -> String {
    let account = deployment.map(|it| text(it, "/spec/template/spec/serviceAccountName"));
    account
        .filter(|it| !it.is_empty())
        .unwrap_or(called)
        .to_owned()
}

struct Observer {
    client: Client,
}

fn get(path: &str, accept: &str) -> Result<Request<Vec<u8>>, kube::core::request::Error> {
    let request = Request::get(path).header(header::ACCEPT, accept);
    request
        .body(vec![])
        .map_err(kube::core::request::Error::BuildRequest)
}

fn post(path: &str, body: &Value) -> Result<Request<Vec<u8>>, kube::core::request::Error> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    request
        .body(body.to_string().into_bytes())
        .map_err(kube::core::request::Error::BuildRequest)
}

fn unseen(error: &RequestError, right: &str) -> Unseen {
    Unseen {
        reason: if error.is_forbidden() {
            "you may not".to_owned()
        } else {
            error.to_string()
        },
        right: error.is_forbidden().then(|| right.to_owned()),
    }
}

impl Observer {
    /// `None`: it is not there.
    async fn get(&self, path: &str, right: &str) -> Seen<Option<Value>> {
        match ask::<Value>(&self.client, get(path, "application/json")).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(unseen(&error, right)),
        }
    }

    async fn list(&self, path: &str, accept: &str, right: &str) -> Seen<Vec<Value>> {
        let list = ask::<Value>(&self.client, get(path, accept)).await;
        let mut list = list.map_err(|error| unseen(&error, right))?;
        Ok(match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => vec![],
        })
    }

    async fn serves_mutating_policies(&self) -> Seen<bool> {
        let resources = self.get(ADMISSION, "get /apis").await?;
        let resources = resources.unwrap_or_default();
        let mut names = items(&resources, "/resources")
            .iter()
            .map(|one| text(one, "/name"));
        Ok(names.any(|name| name == "mutatingadmissionpolicies"))
    }

    /// Those that the Deployment chooses.
    async fn pods(&self, core: &str, deployment: Option<&Value>) -> Seen<Vec<Value>> {
        let labels = deployment.and_then(|it| it.pointer("/spec/selector/matchLabels"));
        let Some(labels) = labels.and_then(Value::as_object) else {
            return Ok(vec![]);
        };
        let selector: Vec<_> = labels
            .iter()
            .map(|(name, value)| {
                let name = name.replace('/', "%2F");
                format!("{name}%3D{}", value.as_str().unwrap_or_default())
            })
            .collect();
        let path = format!("{core}/pods?labelSelector={}", selector.join("%2C"));
        let namespace = core.rsplit('/').next().unwrap_or_default();
        self.list(
            &path,
            "application/json",
            &format!("list pods -n {namespace}"),
        )
        .await
    }

    /// By the API server, if it reaches them; whoever may not ask misses the reason alone.
    async fn readiness(&self, core: &str, pods: &[Value]) -> Vec<(String, String)> {
        let mut told = vec![];
        for pod in pods {
            let running = text(pod, "/status/phase") == "Running";
            if !running || super::serving::is_ready(pod) {
                continue;
            }
            let ports = items(pod, "/spec/containers/0/ports").iter();
            let mut admin = ports.filter(|port| text(port, "/name") == "admin");
            let Some(port) = admin.find_map(|port| port["containerPort"].as_u64()) else {
                continue;
            };
            let name = name(pod);
            let path = format!("{core}/pods/{name}:{port}/proxy/readyz");
            let Ok(request) = get(&path, "*/*") else {
                continue;
            };
            // Not ready is an answer with code 503, whose text kube gives as an error's.
            let answer = timeout(READINESS_WITHIN, self.client.request_text(request));
            let words = match answer.await {
                Ok(Ok(text)) => text,
                Ok(Err(kube::Error::Api(status))) if status.code == 503 => status.message.clone(),
                _ => continue,
            };
            told.push((
                name.to_owned(),
                words.split_whitespace().collect::<Vec<_>>().join(" "),
            ));
        }
        told
    }

    async fn call(&self, namespaces: &[Value], own: &str) -> Option<calls::Call> {
        let is_ours = |one: &&Value| {
            label(one, INJECT) == Some("enabled")
                && name(one) != own
                && !name(one).starts_with("kube-")
                && text(one, "/metadata/deletionTimestamp").is_empty()
        };
        let namespace = name(namespaces.iter().find(is_ours)?).to_owned();
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        let answer = ask::<Value>(&self.client, post(&path, &calls::pod())).await;
        Some(calls::Call {
            answer: match answer {
                Ok(_) => calls::Answer::Accepted,
                Err(RequestError::Refused { code, sentence }) => {
                    calls::Answer::Refused { code, sentence }
                }
                Err(error) => calls::Answer::Failed(error.to_string()),
            },
            namespace,
        })
    }

    async fn rights(
        &self,
        namespace: &str,
        called: &str,
        account: &str,
    ) -> Seen<Vec<(Right, bool)>> {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ];
        let reviews = rights::all(namespace, called).into_iter().map(|right| {
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "groups": groups, "resourceAttributes": {
                    "namespace": right.namespace,
                    "verb": right.verb,
                    "group": right.group,
                    "resource": right.resource,
                    "name": right.name,
                }},
            });
            let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
            async move {
                let answer = ask::<Value>(&self.client, post(path, &review)).await;
                let answer = answer.map_err(|error| {
                    unseen(&error, "create subjectaccessreviews.authorization.k8s.io")
                })?;
                Ok((
                    right,
                    answer.pointer("/status/allowed") == Some(&Value::Bool(true)),
                ))
            }
        });
        let answers: Vec<_> = stream::iter(reviews).buffered(AT_ONCE).collect().await;
        answers.into_iter().collect()
    }

    async fn has_keys(&self, core: &str, namespace: &str) -> Seen<bool> {
        let path = format!("{core}/secrets/{KEYS_SECRET}");
        match ask::<Value>(&self.client, get(&path, METADATA)).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(404) => Ok(false),
            Err(error) => Err(unseen(
                &error,
                &format!("get secrets {KEYS_SECRET} -n {namespace}"),
            )),
        }
    }

    /// Of what is read the certificates are kept; the rest is erased.
    async fn certificates(
        &self,
        core: &str,
        namespace: &str,
        deployment: Option<&Value>,
    ) -> Seen<Option<Material>> {
        let volumes = deployment.map(|it| items(it, "/spec/template/spec/volumes"));
        let mut volumes = volumes.unwrap_or_default().iter();
        let tls = volumes.find(|volume| text(volume, "/name") == "tls");
        let (secret, key) = match tls {
            Some(volume) => (text(volume, "/secret/secretName"), "tls.crt"),
            None => (AUTHORITY_SECRET, "ca.crt"),
        };
        let path = format!("{core}/secrets/{secret}");
        // Nothing that kube does with values in hand reaches the log.
        let found = ask::<OwnSecret>(&self.client, get(&path, "application/json"));
        match found.with_subscriber(Dispatch::none()).await {
            Ok(found) => {
                let pem = found.data.get(key).map(|bytes| bytes.0.to_vec());
                Ok(Some(Material {
                    secret: secret.to_owned(),
                    key,
                    pem,
                }))
            }
            Err(error) if error.code() == Some(404) => Ok(Some(Material {
                secret: secret.to_owned(),
                key,
                pem: None,
            })
            .filter(|_| tls.is_some())),
            Err(error) => Err(unseen(
                &error,
                &format!("get secrets {secret} -n {namespace}"),
            )),
        }
    }

    async fn secrets(&self) -> Seen<Vec<Metadata>> {
        let all = Secrets::new(self.client.clone(), None).all().await;
        all.map_err(|error| unseen(&error, "list secrets --all-namespaces"))
    }
}
