//! The borrowed view of a pod: what decisions need of it, everything else skipped while reading.
//!
//! Reading a whole pod into owned types is most of what an admission costs, so this reads once, borrows and skips. The
//! view stands for the pod's JSON as it is: whether a list is there at all is kept, because a JSON Patch that adds to it
//! must know. `null` counts as absent (an `add` replaces it).
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::annotations as names;
use super::json_object::from_json_object;
use super::object::{Controller, Kind};
pub use super::text::Text;

from_json_object!(
    Pod,
    Metadata,
    OwnerReference,
    Spec,
    OperatingSystem,
    Container,
    Variable,
    ValueFrom,
    KeyReference,
    EnvFrom,
    ObjectReference,
    VolumeMount,
    VolumeDevice,
    Volume,
    Storage,
    Projected,
    ProjectedSource,
    SecretVolume,
);

/// A pod, or a pod template: both have `metadata` and `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self")]
pub struct Pod<'a> {
    /// `metadata`; `None` where a template has none.
    #[serde(borrow, default)]
    pub metadata: Option<Metadata<'a>>,
    /// `spec`.
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub spec: Spec<'a>,
}

impl<'a> Pod<'a> {
    /// Reads a pod, or a pod template, that stands in a document.
    pub fn read(document: &'a Value) -> serde_json::Result<Self> {
        Deserialize::deserialize(document)
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self")]
pub struct Metadata<'a> {
    /// `name`; absent on create with `generateName`.
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    /// `generateName`.
    #[serde(borrow, default, rename = "generateName")]
    pub generate_name: Option<Text<'a>>,
    /// `labels`.
    #[serde(borrow, default)]
    pub labels: Map<'a>,
    /// `annotations`.
    #[serde(borrow, default)]
    pub annotations: Map<'a>,
    /// `ownerReferences`.
    #[serde(borrow, default, rename = "ownerReferences")]
    pub owner_references: Option<Vec<OwnerReference<'a>>>,
}

/// An entry of `ownerReferences`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    /// `apiVersion`.
    #[serde(borrow, default)]
    pub api_version: Text<'a>,
    /// `kind`.
    #[serde(borrow, default)]
    pub kind: Text<'a>,
    /// `name`.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// `uid`.
    #[serde(borrow, default)]
    pub uid: Text<'a>,
    /// `controller`.
    #[serde(default)]
    pub controller: Option<bool>,
}

impl Metadata<'_> {
    /// From what a controller made the pod.
    #[must_use]
    pub fn controller(&self) -> Option<Controller<'_>> {
        let mut references = self.owner_references.iter().flatten();
        let reference = references.find(|reference| reference.controller == Some(true))?;
        let OwnerReference {
            api_version,
            kind,
            name,
            uid,
            ..
        } = reference;
        Some(Controller {
            api_version: api_version.as_str(),
            kind: Kind::new(api_version.as_str(), kind.as_str()),
            name: name.as_str(),
            uid: uid.as_str(),
        })
    }

    /// The hash of the template that a ReplicaSet was rolled out with.
    #[must_use]
    pub fn template_hash(&self) -> Option<&str> {
        let mut names = names::TEMPLATE_HASHES.iter();
        names.find_map(|name| self.labels.get(name))
    }
}

/// `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct Spec<'a> {
    /// `containers`.
    #[serde(borrow, default)]
    pub containers: Option<Vec<Container<'a>>>,
    /// `initContainers`.
    #[serde(borrow, default)]
    pub init_containers: Option<Vec<Container<'a>>>,
    /// `ephemeralContainers`.
    #[serde(borrow, default)]
    pub ephemeral_containers: Option<Vec<Container<'a>>>,
    /// `volumes`.
    #[serde(borrow, default)]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// `imagePullSecrets`.
    #[serde(borrow, default)]
    pub image_pull_secrets: Option<Vec<ObjectReference<'a>>>,
    /// `os`.
    #[serde(borrow, default)]
    pub os: Option<OperatingSystem<'a>>,
    /// `nodeSelector`.
    #[serde(borrow, default)]
    pub node_selector: Map<'a>,
}

/// `spec.os`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub struct OperatingSystem<'a> {
    /// `linux` or `windows`.
    #[serde(borrow, default)]
    pub name: Text<'a>,
}

/// A container or init container.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct Container<'a> {
    /// `name`.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// `command`.
    #[serde(borrow, default)]
    pub command: Option<Vec<Text<'a>>>,
    /// `args`.
    #[serde(borrow, default)]
    pub args: Option<Vec<Text<'a>>>,
    /// `env`.
    #[serde(borrow, default)]
    pub env: Option<Vec<Variable<'a>>>,
    /// `envFrom`.
    #[serde(borrow, default)]
    pub env_from: Option<Vec<EnvFrom<'a>>>,
    /// `volumeMounts`.
    #[serde(borrow, default)]
    pub volume_mounts: Option<Vec<VolumeMount<'a>>>,
    /// `volumeDevices`.
    #[serde(borrow, default)]
    pub volume_devices: Option<Vec<VolumeDevice<'a>>>,
}

impl<'a> Container<'a> {
    /// The container's own variable of this name. Of two with the same name the later one counts, as in Kubernetes.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&Variable<'a>> {
        self.env
            .iter()
            .flatten()
            .rfind(|variable| variable.name == *name)
    }
}

/// An entry of `env`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct Variable<'a> {
    /// `name`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `value`.
    #[serde(borrow, default)]
    pub value: Option<Text<'a>>,
    /// `valueFrom`.
    #[serde(borrow, default)]
    pub value_from: Option<ValueFrom<'a>>,
}

/// `valueFrom`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct ValueFrom<'a> {
    /// `secretKeyRef`.
    #[serde(borrow, default)]
    pub secret_key_ref: Option<KeyReference<'a>>,
}

/// `secretKeyRef`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub struct KeyReference<'a> {
    /// The Secret object.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// The key in it.
    #[serde(borrow)]
    pub key: Text<'a>,
}

/// An entry of `envFrom`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct EnvFrom<'a> {
    /// `prefix`.
    #[serde(borrow, default)]
    pub prefix: Option<Text<'a>>,
    /// `secretRef`.
    #[serde(borrow, default)]
    pub secret_ref: Option<ObjectReference<'a>>,
}

/// A reference to an object by its name.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub struct ObjectReference<'a> {
    /// `name`.
    #[serde(borrow, default)]
    pub name: Text<'a>,
}

/// An entry of `volumeMounts`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct VolumeMount<'a> {
    /// The volume.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Where it is mounted.
    #[serde(borrow)]
    pub mount_path: Text<'a>,
    /// `readOnly`.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// `subPath`.
    #[serde(borrow, default)]
    pub sub_path: Option<Text<'a>>,
}

/// An entry of `volumeDevices`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct VolumeDevice<'a> {
    /// Where the device lies.
    #[serde(borrow)]
    pub device_path: Text<'a>,
}

/// An entry of `volumes`.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct Volume<'a> {
    /// `name`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `secret`.
    #[serde(borrow, default)]
    pub secret: Option<SecretVolume<'a>>,
    /// `emptyDir`.
    #[serde(default)]
    pub empty_dir: Option<IgnoredAny>,
    #[serde(default)]
    config_map: Option<IgnoredAny>,
    #[serde(default, rename = "downwardAPI")]
    downward_api: Option<IgnoredAny>,
    #[serde(default)]
    image: Option<IgnoredAny>,
    /// `projected`.
    #[serde(borrow, default)]
    pub projected: Option<Projected<'a>>,
    #[serde(borrow, default)]
    azure_file: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    cephfs: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    cinder: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    csi: Option<Box<Storage<'a>>>,
    #[serde(borrow, default, rename = "flexVolume")]
    flex: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    iscsi: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    nfs: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    persistent_volume_claim: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    rbd: Option<Box<Storage<'a>>>,
    #[serde(borrow, default, rename = "scaleIO")]
    scale_io: Option<Box<Storage<'a>>>,
    #[serde(borrow, default)]
    storageos: Option<Box<Storage<'a>>>,
}

/// A volume source outside of the API server. What matters of it is the same for all. Boxed, as there are many kinds and
/// hardly a volume of any.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
struct Storage<'a> {
    #[serde(default)]
    read_only: Option<bool>,
    #[serde(borrow, default)]
    secret_ref: Option<ObjectReference<'a>>,
    #[serde(borrow, default)]
    node_publish_secret_ref: Option<ObjectReference<'a>>,
    #[serde(borrow, default)]
    secret_name: Option<Text<'a>>,
}

/// `projected` of a volume.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
pub struct Projected<'a> {
    #[serde(borrow, default)]
    sources: Option<Vec<ProjectedSource<'a>>>,
}

/// An entry of `sources` of a projected volume.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
struct ProjectedSource<'a> {
    #[serde(borrow, default)]
    secret: Option<ObjectReference<'a>>,
}

impl<'a> Volume<'a> {
    /// Whether the kubelet mounts this volume read-only whatever the mount says.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let types = [&self.config_map, &self.downward_api, &self.image];
        self.secret.is_some()
            || self.projected.is_some()
            || types.into_iter().any(Option::is_some)
            || self
                .storages()
                .any(|storage| storage.read_only == Some(true))
    }

    /// The names of all Secrets that it refers to, whatever its type.
    pub fn secrets(&self) -> impl Iterator<Item = &Text<'a>> {
        let own = self
            .secret
            .iter()
            .filter_map(|secret| secret.secret_name.as_ref());
        let sources = self
            .projected
            .iter()
            .filter_map(|projected| projected.sources.as_ref());
        let projected = sources
            .flatten()
            .filter_map(|source| source.secret.as_ref());
        let storage = self.storages().flat_map(|storage| {
            let references = [&storage.secret_ref, &storage.node_publish_secret_ref];
            let names = references
                .into_iter()
                .flatten()
                .map(|reference| &reference.name);
            names.chain(&storage.secret_name)
        });
        own.chain(projected.map(|reference| &reference.name))
            .chain(storage)
    }

    fn storages(&self) -> impl Iterator<Item = &Storage<'a>> {
        let all = [
            &self.azure_file,
            &self.cephfs,
            &self.cinder,
            &self.csi,
            &self.flex,
            &self.iscsi,
            &self.nfs,
            &self.persistent_volume_claim,
            &self.rbd,
            &self.scale_io,
            &self.storageos,
        ];
        all.into_iter().flatten().map(Box::as_ref)
    }
}

/// `secret` of a volume.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct SecretVolume<'a> {
    /// The Secret object.
    #[serde(borrow, default)]
    pub secret_name: Option<Text<'a>>,
}

/// A map of strings (labels, annotations, a node selector), of which only keyporter's own entries, those of
/// `kubernetes.io/`, [`names::TEMPLATE_HASHES`] and [`names::KONDUKTOR_USER_ID`] are kept.
#[derive(Debug, Default)]
pub struct Map<'a> {
    /// Whether the map is there at all, be it empty.
    pub present: bool,
    /// Length of all keys and values together, in bytes.
    pub bytes: usize,
    kept: Vec<(Text<'a>, Text<'a>)>,
}

impl Map<'_> {
    /// The value of a kept entry.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.kept
            .iter()
            .find(|(name, _)| *name == *key)
            .map(|(_, value)| value.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Map<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Map<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(Map::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Map::default())
            }

            fn visit_some<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_map(self)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut map = Map {
                    present: true,
                    ..Map::default()
                };
                while let Some((key, value)) = entries.next_entry::<Text<'de>, Text<'de>>()? {
                    map.bytes = map
                        .bytes
                        .saturating_add(key.as_str().len() + value.as_str().len());
                    if is_kept(key.as_str()) {
                        map.kept.push((key, value));
                    }
                }
                Ok(map)
            }
        }
        deserializer.deserialize_option(Reader)
    }
}

fn is_kept(key: &str) -> bool {
    key.starts_with(names::PREFIX)
        || key.starts_with("kubernetes.io/")
        || names::TEMPLATE_HASHES.contains(&key)
        || key == names::KONDUKTOR_USER_ID
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inject::json_object::with_a_list;

    #[test]
    fn text_without_escapes_is_borrowed_in_lists_and_options() {
        let json =
            r#"{"spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "b"}]}]}}"#;
        let pod: Pod<'_> = serde_json::from_str(json).unwrap();
        let container = pod.spec.containers.as_ref().unwrap().first().unwrap();
        let inside = |text: &str| json.as_bytes().as_ptr_range().contains(&text.as_ptr());
        assert!(inside(container.name.as_str()));
        assert!(inside(
            container
                .variable("A")
                .unwrap()
                .value
                .as_ref()
                .unwrap()
                .as_str()
        ));
    }

    #[test]
    fn escapes_are_read() {
        let pod: Pod<'_> =
            serde_json::from_str(r#"{"spec": {"containers": [{"name": "m\u0061in"}]}}"#).unwrap();
        assert_eq!(pod.spec.containers.unwrap().first().unwrap().name, *"main");
    }

    #[test]
    fn null_and_absent_are_the_same() {
        let json =
            r#"{"metadata": {"labels": null}, "spec": {"containers": null, "nodeSelector": null}}"#;
        let pod: Pod<'_> = serde_json::from_str(json).unwrap();
        assert!(pod.spec.containers.is_none());
        assert!(!pod.metadata.unwrap().labels.present);
    }

    #[test]
    fn no_list_stands_for_an_object() {
        let reference = json!({"name": "s"});
        let storage =
            json!({"readOnly": true, "secretRef": reference, "nodePublishSecretRef": reference});
        let container = json!({
            "name": "main",
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "envFrom": [{"secretRef": reference}],
            "volumeMounts": [{"name": "v", "mountPath": "/m"}],
            "volumeDevices": [{"devicePath": "/d"}],
        });
        let pod = json!({
            "metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}, "ownerReferences": [{"name": "train"}]},
            "spec": {
                "containers": [container],
                "initContainers": [container],
                "ephemeralContainers": [container],
                "volumes": [
                    {"name": "v", "secret": {"secretName": "s"}, "csi": storage},
                    {"name": "w", "projected": {"sources": [{"secret": reference}]}},
                ],
                "imagePullSecrets": [reference],
                "os": {"name": "linux"},
                "nodeSelector": {"a": "b"},
            },
        });
        assert!(Pod::read(&pod).is_ok());
        for odd in with_a_list(&pod) {
            assert!(Pod::read(&odd).is_err(), "{odd}");
            let text = odd.to_string();
            assert!(serde_json::from_str::<Pod<'_>>(&text).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_empty_map_is_present() {
        let pod: Pod<'_> = serde_json::from_str(r#"{"metadata": {"labels": {}}}"#).unwrap();
        assert!(pod.metadata.unwrap().labels.present);
    }
}
