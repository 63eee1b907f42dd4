//! References to Secrets of other users.
//!
//! Whoever may create pods can mount any Secret of the namespace by name. In a namespace that keyporter looks after, a
//! Secret that belongs to another user is an exception: only who may act for that user may refer to it.

use std::collections::BTreeSet;
use std::fmt;

use super::pod::{Container, Spec, Text};

/// A Secret that a pod refers to and that is another user's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// The Secret object.
    pub object: String,
    /// Where the pod refers to it.
    pub place: String,
    /// Whose it is.
    pub owner: String,
}

/// Names the reference and not the owner: whose it is is nobody's business.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.object, self.place)
    }
}

/// All references of a pod to Secrets of others, sorted, each once. `owner` is whose pod it is; `owner_of` says whose a
/// Secret of the namespace is, and nothing for those of a project and for those that are none of keyporter's.
#[must_use]
pub fn foreign(
    spec: &Spec<'_>,
    owner: Option<&str>,
    owner_of: impl Fn(&str) -> Option<String>,
) -> Vec<Foreign> {
    let mut found = BTreeSet::new();
    for_each_secret(spec, |object, place| {
        let whose = owner_of(object.as_str()).filter(|whose| owner != Some(whose));
        found.extend(whose.map(|owner| Foreign {
            object: object.as_str().to_owned(),
            place: place(),
            owner,
        }));
    });
    found.into_iter().collect()
}

/// Every place of the pod API that names a Secret.
/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>
fn for_each_secret(spec: &Spec<'_>, mut see: impl FnMut(&Text<'_>, &dyn Fn() -> String)) {
    for volume in spec.volumes.iter().flatten() {
        for object in volume.secrets() {
            see(object, &|| format!("volume {:?}", volume.name.as_str()));
        }
    }
    for reference in spec.image_pull_secrets.iter().flatten() {
        see(&reference.name, &|| "imagePullSecrets".to_owned());
    }
    let lists = [
        &spec.init_containers,
        &spec.containers,
        &spec.ephemeral_containers,
    ];
    for container in lists.into_iter().flatten().flatten() {
        for_each_secret_of(container, &mut see);
    }
}

fn for_each_secret_of(
    container: &Container<'_>,
    see: &mut impl FnMut(&Text<'_>, &dyn Fn() -> String),
) {
    for variable in container.env.iter().flatten() {
        let reference = variable
            .value_from
            .as_ref()
            .and_then(|from| from.secret_key_ref.as_ref());
        if let Some(reference) = reference {
            let (container, variable) = (container.name.as_str(), variable.name.as_str());
            see(&reference.name, &|| {
                format!("env {variable} of container {container:?}")
            });
        }
    }
    for source in container.env_from.iter().flatten() {
        if let Some(reference) = &source.secret_ref {
            see(&reference.name, &|| {
                format!("envFrom of container {:?}", container.name.as_str())
            });
        }
    }
}
