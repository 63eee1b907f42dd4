//! What a trial makes.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use k8s_openapi::api::core::v1;
use kube::{Resource, api::PostParams, core::Request};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::look::digest;
use crate::{
    inject::{annotations as names, name},
    own_secret::{Bytes, OwnSecret},
};

/// What the namespace and the pod of a trial are called, before what the API server adds.
pub(super) const NAME: &str = "keyporter-trial-";
/// The variable that the pod shall have.
pub(super) const VARIABLE: &str = "KEYPORTER_TRIAL_VARIABLE";
/// The key of the file.
const FILE: &str = "value";
/// As many bytes as nobody guesses.
const BYTES: usize = 24;

/// A secret with a random value.
pub(super) struct TrialSecret {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) digest: String,
    pub(super) object: OwnSecret,
}

impl TrialSecret {
    /// One of kind env, and one of kind default.
    pub(super) fn both(namespace: &str, owner: &str) -> Result<[Self; 2], getrandom::Error> {
        Ok([
            Self::new(namespace, owner, ("trial-variable", "env"), VARIABLE)?,
            Self::new(namespace, owner, ("trial-file", "default"), FILE)?,
        ])
    }

    fn new(
        namespace: &str,
        owner: &str,
        (name, kind): (&'static str, &'static str),
        key: &str,
    ) -> Result<Self, getrandom::Error> {
        let mut random = Zeroizing::new([0; BYTES]);
        getrandom::fill(&mut *random)?;
        let value = Zeroizing::new(HEXLOWER.encode(&*random).into_bytes());
        let digest = digest(&value);
        let mut object = OwnSecret::new(namespace, &name::object(name, owner));
        object.metadata.labels = Some(BTreeMap::from([
            (names::KIND.to_owned(), kind.to_owned()),
            (names::NAME.to_owned(), name.to_owned()),
        ]));
        object.data.insert(key.to_owned(), Bytes(value));
        Ok(Self {
            name,
            kind,
            digest,
            object,
        })
    }

    /// What of it stands in the arguments of the pod.
    fn argument(&self) -> String {
        let digest = &self.digest;
        match self.kind {
            "env" => format!("--variable={VARIABLE}={digest}"),
            _ => format!("--file={}/{FILE}={digest}", self.name),
        }
    }
}

/// The scratch namespace, in which no pod may do more than the trial's.
pub(super) fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "generateName": NAME,
            "labels": {
                names::INJECT: "enabled",
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    })
}

/// The pod that looks for the secrets, under the Pod Security Standard restricted.
pub(super) fn pod(image: &str, pull_policy: &str, secrets: &[TrialSecret]) -> Value {
    let looks_for = secrets.iter().map(TrialSecret::argument);
    let arguments: Vec<_> = ["trial".to_owned(), "look".to_owned()]
        .into_iter()
        .chain(looks_for)
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": NAME},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "look",
                "image": image,
                "imagePullPolicy": pull_policy,
                "args": arguments,
                // What it says comes back in the pod's status, and no right to logs is needed.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "resources": {
                    "requests": {"cpu": "10m", "memory": "16Mi"},
                    "limits": {"memory": "64Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

/// Requests about the pods of a namespace.
pub(super) fn pods(namespace: &str) -> Request {
    Request::new(v1::Pod::url_path(&(), Some(namespace)))
}

/// Parameters of a creation.
pub(super) fn creation(dry_run: bool) -> PostParams {
    PostParams {
        dry_run,
        field_manager: Some("keyporter".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_secrets_alone() {
        let secrets = TrialSecret::both("scratch", "alice").unwrap();
        let pod = pod("keyporter:1", "Never", &secrets).to_string();
        for secret in &secrets {
            let value = secret.object.data.values().next().unwrap();
            let value = std::str::from_utf8(&value.0).unwrap();
            assert_eq!(value.len(), 2 * BYTES);
            assert!(!pod.contains(value));
            assert!(pod.contains(&digest(value.as_bytes())));
        }
        assert_ne!(secrets[0].digest, secrets[1].digest);
        let object = secrets[0].object.metadata.name.as_deref();
        assert_eq!(object, Some("trial-variable-2bd806c9"));
    }
}
