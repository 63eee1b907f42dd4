//! An object as ownership knows it: its kind, its name, and which controller made it from what.

use serde::Deserialize;
use serde_json::Value;

/// The longest name that the API server makes from `generateName` is this and [`SUFFIX`].
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#generated-values>
const PREFIX: usize = 58;
/// How many characters the API server adds to `generateName`.
const SUFFIX: usize = 5;

/// A kind of object, whatever its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind<'a> {
    /// The API group; empty for Kubernetes' core.
    pub group: &'a str,
    /// The kind.
    pub kind: &'a str,
}

impl<'a> Kind<'a> {
    /// What Deployments, and others that are rolled out, are made of.
    pub const REPLICA_SET: Kind<'static> = Kind {
        group: "apps",
        kind: "ReplicaSet",
    };

    /// The kind of an object with these members.
    #[must_use]
    pub fn new(api_version: &'a str, kind: &'a str) -> Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Self { group, kind }
    }

    /// Whether Kubernetes itself defines what it means: only the pod templates in it say what its pods do.
    #[must_use]
    pub fn is_kubernetes(self) -> bool {
        matches!(self.group, "" | "apps" | "batch")
    }
}

/// How an object is called, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// `metadata.name`.
    Given(&'a str),
    /// `metadata.generateName` of an object that has no name yet.
    Generated(&'a str),
}

/// An object with a pod template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<'a> {
    /// Its kind.
    pub kind: Kind<'a>,
    /// Its name; empty where the API server is still to make one.
    pub name: &'a str,
    /// `metadata.generateName`; empty where there is none.
    pub generate_name: &'a str,
}

impl<'a> Object<'a> {
    /// What it is called when something is written about it.
    #[must_use]
    pub fn name(&self) -> Name<'a> {
        if self.name.is_empty() {
            Name::Generated(prefix(self.generate_name))
        } else {
            Name::Given(self.name)
        }
    }

    /// All that it may have been called when something was written about it.
    pub fn names(&self) -> impl Iterator<Item = Name<'a>> {
        let made = self.name.len().checked_sub(SUFFIX);
        let made = made.and_then(|length| self.name.get(..length));
        let generated = made.or(self.name.is_empty().then(|| prefix(self.generate_name)));
        let given = (!self.name.is_empty()).then_some(Name::Given(self.name));
        given.into_iter().chain(generated.map(Name::Generated))
    }
}

/// As the API server shortens it.
fn prefix(generate_name: &str) -> &str {
    generate_name.get(..PREFIX).unwrap_or(generate_name)
}

/// The owner reference with `controller: true`: from what a controller made an object.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controller<'a> {
    /// The version of its API.
    pub api_version: &'a str,
    /// Its kind.
    pub kind: Kind<'a>,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

impl<'a> Controller<'a> {
    /// That of an object.
    #[must_use]
    pub fn of(object: &'a Value) -> Option<Self> {
        let references = object.pointer("/metadata/ownerReferences")?.as_array()?;
        let mut references = references
            .iter()
            .filter_map(|reference| Reference::deserialize(reference).ok());
        references
            .find(|reference| reference.controller == Some(true))
            .map(Reference::controller)
    }

    /// All objects whose template may be in what this controller object makes: itself, and of a ReplicaSet the object
    /// that rolls it out. The ReplicaSet's name is that of the other with the hash of the template behind it, which is
    /// on the template as a label.
    pub fn sources<'k>(
        self,
        template_hash: Option<&str>,
        rolling: impl Iterator<Item = Kind<'k>>,
    ) -> impl Iterator<Item = Object<'a>>
    where
        'k: 'a,
    {
        let object = |kind, name| Object {
            kind,
            name,
            generate_name: "",
        };
        let base = template_hash
            .filter(|hash| !hash.is_empty() && self.kind == Kind::REPLICA_SET)
            .and_then(|hash| self.name.strip_suffix(hash)?.strip_suffix('-'));
        let above = rolling.filter_map(move |kind| Some(object(kind, base?)));
        std::iter::once(object(self.kind, self.name)).chain(above)
    }
}

/// An entry of `metadata.ownerReferences`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    #[serde(default)]
    api_version: &'a str,
    #[serde(default)]
    kind: &'a str,
    #[serde(default)]
    name: &'a str,
    #[serde(default)]
    uid: &'a str,
    #[serde(default)]
    controller: Option<bool>,
}

impl<'a> Reference<'a> {
    fn controller(self) -> Controller<'a> {
        Controller {
            api_version: self.api_version,
            kind: Kind::new(self.api_version, self.kind),
            name: self.name,
            uid: self.uid,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const DEPLOYMENT: Kind<'_> = Kind {
        group: "apps",
        kind: "Deployment",
    };

    fn object<'a>(name: &'a str, generate_name: &'a str) -> Object<'a> {
        Object {
            kind: DEPLOYMENT,
            name,
            generate_name,
        }
    }

    #[test]
    fn a_generated_name_is_known_by_its_beginning() {
        let before = object("", "train-");
        let after = object("train-x7z2k", "train-");
        assert_eq!(before.name(), Name::Generated("train-"));
        assert!(after.names().any(|name| name == before.name()));
        assert_eq!(after.name(), Name::Given("train-x7z2k"));
    }

    #[test]
    fn a_long_beginning_is_cut_as_the_api_server_cuts_it() {
        let long = "t".repeat(63);
        let made = format!("{}x7z2k", "t".repeat(58));
        let before = object("", &long).name();
        assert!(object(&made, "").names().any(|name| name == before));
    }

    #[rstest]
    #[case::rolled_out("web-6d4f8b7c9d", Some("6d4f8b7c9d"), &["web-6d4f8b7c9d", "web"])]
    #[case::made_by_hand("web", None, &["web"])]
    #[case::another_hash("web-6d4f8b7c9d", Some("7c9d"), &["web-6d4f8b7c9d"])]
    #[case::no_hash("web-6d4f8b7c9d", Some(""), &["web-6d4f8b7c9d"])]
    fn a_replica_sets_sources(
        #[case] name: &str,
        #[case] hash: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let controller = Controller {
            api_version: "apps/v1",
            kind: Kind::REPLICA_SET,
            name,
            uid: "7",
        };
        let sources: Vec<_> = controller
            .sources(hash, [DEPLOYMENT].into_iter())
            .map(|source| source.name)
            .collect();
        assert_eq!(sources, expected);
        let other = Controller {
            kind: DEPLOYMENT,
            ..controller
        };
        assert_eq!(other.sources(hash, [DEPLOYMENT].into_iter()).count(), 1);
    }

    #[test]
    fn the_controller_is_the_reference_that_says_so() {
        let reference = |name: &str, controller: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": "7", "controller": controller});
        let references = json!([
            reference("a", Value::Null),
            7,
            reference("b", true.into()),
            reference("c", true.into())
        ]);
        let object = json!({"metadata": {"ownerReferences": references}});
        let controller = Controller::of(&object).unwrap();
        assert_eq!(controller.name, "b");
        assert_eq!(
            controller.kind,
            Kind {
                group: "batch",
                kind: "Job"
            }
        );
        assert!(Controller::of(&json!({"metadata": {}})).is_none());
    }
}
