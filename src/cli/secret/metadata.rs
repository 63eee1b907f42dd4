//! Secrets without their values, as the API server has them.
//!
//! Asked for is metadata alone (`PartialObjectMetadata`), and of the annotations only keyporter's are kept:
//! `kubectl.kubernetes.io/last-applied-configuration` repeats the values. The names of the keys are known from who wrote
//! them.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches>

use std::{collections::BTreeMap, fmt};

use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::api::core::v1;
use kube::{
    Client, Resource,
    api::{GetParams, ListParams, PatchParams},
    core::request::Request,
};
use serde::Deserialize;
use serde_json::json;

use super::fields::{self, Entry, Key};
use crate::{
    cli::cluster::{RequestError, ask},
    inject::{annotations as names, secret},
};

/// Who is said to have written what is written here.
pub(super) const FIELD_MANAGER: &str = "keyporter";

/// A Secret without its values.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Metadata {
    pub(in crate::cli) namespace: String,
    /// The name of the Kubernetes object.
    #[serde(rename = "name")]
    pub(in crate::cli) object: String,
    pub(super) resource_version: String,
    /// RFC 3339, UTC, whole seconds: text order is time order.
    #[serde(rename = "creationTimestamp", default)]
    pub(super) created: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    annotations: Option<Annotations>,
    #[serde(default)]
    managed_fields: Vec<Entry>,
}

/// All others are skipped unseen.
#[derive(Debug, Clone, Deserialize)]
struct Annotations {
    #[serde(rename = "keyporter.dev/owner")]
    owner: Option<String>,
    #[serde(rename = "keyporter.dev/layout")]
    layout: Option<String>,
    #[serde(rename = "keyporter.dev/executable")]
    executable: Option<String>,
    #[serde(rename = "keyporter.dev/injection")]
    injection: Option<String>,
    #[serde(rename = "keyporter.dev/use-case")]
    use_case: Option<String>,
    #[serde(rename = "keyporter.dev/sizes")]
    sizes: Option<String>,
}

/// An object of which only this is there.
#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct List {
    /// Null where there is none.
    items: Option<Vec<Object>>,
}

/// The Secrets of a namespace, or of all.
pub(in crate::cli) struct Secrets {
    client: Client,
    namespace: Option<String>,
}

impl Metadata {
    /// Whose it is. An empty name is none, as it is to the catalog.
    pub(super) fn owner(&self) -> Option<&str> {
        let owner = self.annotations.as_ref()?.owner.as_deref();
        owner.filter(|owner| !owner.is_empty())
    }

    /// Whether keyporter, or the policies that guard Secrets, take it for a secret.
    pub(super) fn is_keyporters(&self) -> bool {
        self.label(names::KIND).is_some() || self.is_konduktors()
    }

    /// Any other scope counts as the user's.
    pub(super) fn is_project(&self) -> bool {
        self.label(names::SCOPE) == Some("project")
    }

    /// As it says itself.
    pub(super) fn scope(&self) -> &str {
        self.label(names::SCOPE).unwrap_or("user")
    }

    /// Our label, else Konduktor's, which not all of its Secrets have.
    pub(super) fn kind(&self) -> Option<&str> {
        self.label(names::KIND).or_else(|| {
            self.label(names::KONDUKTOR_KIND)
                .filter(|_| self.is_konduktors())
        })
    }

    /// What the user calls it.
    pub(super) fn name(&self) -> &str {
        let name = if self.label(names::KIND).is_some() {
            self.label(names::NAME)
        } else {
            self.label(names::KONDUKTOR_NAME)
        };
        name.unwrap_or(&self.object)
    }

    pub(super) fn owner_id(&self) -> Option<&str> {
        self.label(names::OWNER_ID)
    }

    /// What it is for.
    pub(super) fn use_case(&self) -> Option<&str> {
        self.annotation(|annotations| annotations.use_case.as_ref())
    }

    /// Whether it comes by itself.
    pub(super) fn injection(&self) -> &str {
        let injection = self.annotation(|annotations| annotations.injection.as_ref());
        injection.unwrap_or("automatic")
    }

    /// Its keys, sorted by name; `None` where nobody knows them.
    pub(in crate::cli) fn keys(&self) -> Option<Vec<Key>> {
        let sizes = self.annotation(|annotations| annotations.sizes.as_ref());
        fields::keys(&self.managed_fields, sizes)
    }

    /// When it was changed last, and by which program.
    pub(super) fn last_change(&self) -> Option<&Entry> {
        fields::last_change(&self.managed_fields)
    }

    /// The data keys whose files may be run.
    pub(super) fn executables(&self) -> Vec<String> {
        let json = self.annotation(|annotations| annotations.executable.as_ref());
        json.and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default()
    }

    /// As keyporter's rules read it. Of keys that nobody knows those are taken to be there that its kind needs.
    pub(in crate::cli) fn description(&self) -> secret::Description {
        let keys = match self.keys() {
            Some(keys) => keys.into_iter().map(|key| key.name).collect(),
            None => needed(self.kind().unwrap_or_default()),
        };
        let known = |name: &str, value: Option<&str>| Some((name.to_owned(), value?.to_owned()));
        let annotations = [
            known(names::OWNER, self.owner()),
            known(
                names::LAYOUT,
                self.annotation(|annotations| annotations.layout.as_ref()),
            ),
            known(
                names::EXECUTABLE,
                self.annotation(|annotations| annotations.executable.as_ref()),
            ),
            known(
                names::INJECTION,
                self.annotation(|annotations| annotations.injection.as_ref()),
            ),
        ];
        secret::Description {
            namespace: self.namespace.clone(),
            object: self.object.clone(),
            resource_version: self.resource_version.clone(),
            created: self.created.clone(),
            labels: self.labels.clone().into_iter().collect(),
            annotations: annotations.into_iter().flatten().collect(),
            keys: keys
                .into_iter()
                .map(|name: String| secret::Key {
                    name: name.into(),
                    length: 0,
                })
                .collect(),
        }
    }

    /// Konduktor's hash of who made it.
    pub(super) fn konduktor_owner(&self) -> Option<&str> {
        self.label(names::KONDUKTOR_OWNER)
    }

    /// What decides between secrets of equal rank: the newer one counts.
    pub(super) fn age_order(&self) -> (&str, &str) {
        (&self.created, &self.object)
    }

    fn is_konduktors(&self) -> bool {
        self.label(names::KONDUKTOR_MARK) == Some(names::KONDUKTOR_PARENT)
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    fn annotation(&self, which: impl Fn(&Annotations) -> Option<&String>) -> Option<&str> {
        self.annotations
            .as_ref()
            .and_then(which)
            .map(String::as_str)
    }

    /// Writes the owner into this very version of the Secret, which has none: whatever becomes of it meanwhile, nobody's
    /// name is overwritten.
    fn owner_patch(&self, owner: &str) -> Patch {
        let at = |path: &[&str]| PointerBuf::from_tokens(path.iter().copied());
        let unchanged = TestOperation {
            path: at(&["metadata", "resourceVersion"]),
            value: json!(self.resource_version),
        };
        // Nothing can be added to a map that is not there.
        let write = if self.annotations.is_some() {
            AddOperation {
                path: at(&["metadata", "annotations", names::OWNER]),
                value: json!(owner),
            }
        } else {
            AddOperation {
                path: at(&["metadata", "annotations"]),
                value: json!({names::OWNER: owner}),
            }
        };
        Patch(vec![
            PatchOperation::Test(unchanged),
            PatchOperation::Add(write),
        ])
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret {}/{}", self.namespace, self.object)
    }
}

impl Secrets {
    /// Those of one namespace; of all with `None`.
    pub(in crate::cli) fn new(client: Client, namespace: Option<String>) -> Self {
        Self { client, namespace }
    }

    /// Where they are, to complete a sentence.
    pub(super) fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in any namespace".to_owned(),
        }
    }

    /// Users' secrets, with an owner or without, ordered by namespace and object.
    pub(super) async fn list(&self) -> Result<Vec<Metadata>, RequestError> {
        let mut secrets = self.all().await?;
        secrets.retain(|secret| !secret.is_project());
        Ok(secrets)
    }

    /// Those of the project, too. Label selectors know no "or".
    pub(in crate::cli) async fn all(&self) -> Result<Vec<Metadata>, RequestError> {
        let konduktors = format!("{}={}", names::KONDUKTOR_MARK, names::KONDUKTOR_PARENT);
        let mut found = BTreeMap::new();
        for selector in [names::KIND, &konduktors] {
            let secrets = self.listed(&ListParams::default().labels(selector)).await?;
            found.extend(secrets.map(|secret| {
                let place = (secret.namespace.clone(), secret.object.clone());
                (place, secret)
            }));
        }
        Ok(found.into_values().collect())
    }

    /// Those whose objects are called so, whatever they are. Selectors know no beginnings of names.
    pub(in crate::cli) async fn called(
        &self,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<Metadata>, RequestError> {
        let secrets = self.listed(&ListParams::default()).await?;
        Ok(secrets.filter(|secret| is_meant(&secret.object)).collect())
    }

    async fn listed(
        &self,
        parameters: &ListParams,
    ) -> Result<impl Iterator<Item = Metadata> + use<>, RequestError> {
        let request = requests(self.namespace.as_deref()).list_metadata(parameters);
        let list: List = ask(&self.client, request).await?;
        let objects = list.items.into_iter().flatten();
        Ok(objects.map(|object| object.metadata))
    }

    /// The Secret of this name in the namespace, whatever it is.
    pub(super) async fn named(&self, object: &str) -> Result<Metadata, RequestError> {
        self.get(self.namespace.as_deref(), object).await
    }

    /// The Secret as it is now.
    pub(super) async fn again(&self, secret: &Metadata) -> Result<Metadata, RequestError> {
        self.get(Some(&secret.namespace), &secret.object).await
    }

    /// Makes it `owner`'s, if it is as it was when it was read; in a dry run only asks what would become of it.
    pub(super) async fn write_owner(
        &self,
        secret: &Metadata,
        owner: &str,
        dry_run: bool,
    ) -> Result<Metadata, RequestError> {
        let parameters = PatchParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = kube::api::Patch::Json::<()>(secret.owner_patch(owner));
        let requests = requests(Some(&secret.namespace));
        let request = requests.patch_metadata(&secret.object, &parameters, &patch);
        let object: Object = ask(&self.client, request).await?;
        Ok(object.metadata)
    }

    async fn get(&self, namespace: Option<&str>, object: &str) -> Result<Metadata, RequestError> {
        let request = requests(namespace).get_metadata(object, &GetParams::default());
        let object: Object = ask(&self.client, request).await?;
        Ok(object.metadata)
    }
}

/// The keys that a Secret of this kind cannot do without.
fn needed(kind: &str) -> Vec<String> {
    let key = match kind {
        "git-ssh" => "gitkey",
        "auth" => "AUTH_SECRET",
        "image-pull" => ".dockerconfigjson",
        _ => return vec![],
    };
    vec![key.to_owned()]
}

fn requests(namespace: Option<&str>) -> Request {
    Request::new(v1::Secret::url_path(&(), namespace))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    fn object(annotations: &Value) -> Value {
        json!({
            "metadata": {
                "namespace": "vision",
                "name": "wandb-0a1b2c3d",
                "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {
                    "parent": "konduktor",
                    "trainy.ai/secret-owner": "0a1b2c3d",
                    "trainy.ai/secret-basename": "wandb",
                    "trainy.ai/secret-kind": "env",
                },
                "annotations": annotations,
            },
        })
    }

    fn metadata(object: &Value) -> Metadata {
        let object: Object = serde_json::from_value(object.clone()).unwrap();
        object.metadata
    }

    #[test]
    fn of_annotations_only_keyporters_are_kept() {
        let secret = metadata(&object(&json!({
            names::OWNER: "alice",
            names::USE_CASE: "WandB",
            "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"TOKEN\":\"hunter2\"}}",
        })));
        assert_eq!(secret.owner(), Some("alice"));
        assert_eq!(secret.use_case(), Some("WandB"));
        assert!(!format!("{secret:?}").contains("hunter2"), "{secret:?}");
    }

    #[rstest]
    #[case::git_ssh("git-ssh", "no-git-key")]
    #[case::image_pull("image-pull", "no-pull-credentials")]
    fn unknown_keys_break_no_secret(#[case] kind: &str, #[case] problem: &str) {
        let mut object = object(&json!({names::OWNER: "alice"}));
        object["metadata"]["labels"] = json!({names::KIND: kind});
        let read = |object: &Value| metadata(object).description().read().unwrap();
        assert!(read(&object).is_ok());

        object["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}]);
        assert_eq!(read(&object).unwrap_err().problem.as_str(), problem);
    }

    #[test]
    fn our_labels_come_before_konduktors() {
        let mut object = object(&json!({}));
        let secret = metadata(&object);
        assert_eq!((secret.kind(), secret.name()), (Some("env"), "wandb"));
        assert_eq!(secret.konduktor_owner(), Some("0a1b2c3d"));
        assert!(secret.is_keyporters() && !secret.is_project());

        let labels = &mut object["metadata"]["labels"];
        labels[names::KIND] = "auth".into();
        let secret = metadata(&object);
        assert_eq!(
            (secret.kind(), secret.name()),
            (Some("auth"), "wandb-0a1b2c3d")
        );

        let labels = &mut object["metadata"]["labels"];
        *labels = json!({"parent": "helm", "trainy.ai/secret-kind": "env"});
        let secret = metadata(&object);
        assert!(!secret.is_keyporters() && secret.kind().is_none());
    }

    #[rstest]
    #[case::no_annotations(Value::Null)]
    #[case::none_of_ours(json!({"a/b": "c"}))]
    #[case::an_empty_owner(json!({"a/b": "c", "keyporter.dev/owner": ""}))]
    fn the_patch_writes_the_owner_and_nothing_else(#[case] annotations: Value) {
        let mut before = object(&annotations);
        if annotations.is_null() {
            let metadata = before["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
        }
        let secret = metadata(&before);
        assert_eq!(secret.owner(), None);
        let patch = secret.owner_patch("alice");

        let mut after = before.clone();
        json_patch::patch(&mut after, &patch).unwrap();
        let mut expected = before.clone();
        expected["metadata"]["annotations"][names::OWNER] = "alice".into();
        assert_eq!(after, expected);

        // Another version of it may have an owner.
        before["metadata"]["resourceVersion"] = "8".into();
        let mut unchanged = before.clone();
        assert!(json_patch::patch(&mut unchanged, &patch).is_err());
        assert_eq!(unchanged, before);
    }
}
