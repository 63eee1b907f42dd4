//! Secrets and Namespaces of which only the metadata is asked for.
//!
//! `PartialObjectMeta` would keep all annotations, and `kubectl.kubernetes.io/last-applied-configuration` repeats the
//! values of a Secret.

use std::borrow::Cow;

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{Deserialize, Deserializer};

use super::{Object, WatchedSecret};
use crate::catalog::index::Source;
use crate::inject::annotations as names;

/// The metadata of any Secret. Requests for it bring no values: <https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches>
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::catalog) struct SecretHead(WatchedSecret);

impl SecretHead {
    /// The Secret as far as it is known: no keys.
    pub(in crate::catalog) fn into_secret(self) -> WatchedSecret {
        self.0
    }

    /// `metadata.namespace`; empty where it is missing.
    pub(in crate::catalog) fn namespace(&self) -> &str {
        self.0.namespace()
    }

    /// `metadata.name`; empty where it is missing.
    pub(in crate::catalog) fn object(&self) -> &str {
        self.0.object()
    }

    /// `metadata.resourceVersion`; empty where it is missing.
    pub(in crate::catalog) fn version(&self) -> &str {
        self.0.resource_version()
    }

    /// The watch by label that tells of it, if one does.
    pub(in crate::catalog) fn told_by_label(&self) -> Option<Source> {
        let labels = self.0.metadata.labels.as_ref()?;
        if labels.contains_key(names::KIND) {
            return Some(Source::OurLabel);
        }
        let mark = labels.get(names::KONDUKTOR_MARK)?;
        (mark == names::KONDUKTOR_PARENT).then_some(Source::KonduktorLabel)
    }
}

/// The name of a Namespace, and its domain.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::catalog) struct NamespaceHead(WatchedSecret);

impl NamespaceHead {
    /// An object as a Namespace.
    pub(in crate::catalog) fn of(object: Object) -> Self {
        Self(object.secret)
    }

    /// `metadata.name`; empty where it is missing.
    pub(in crate::catalog) fn name(&self) -> &str {
        self.0.object()
    }

    /// The domain that it belongs to.
    pub(in crate::catalog) fn domain(&self) -> Option<&str> {
        let labels = self.0.metadata.labels.as_ref();
        let domain = labels.and_then(|labels| labels.get(names::DOMAIN));
        domain
            .map(String::as_str)
            .filter(|domain| !domain.is_empty())
    }
}

impl<'de> Deserialize<'de> for SecretHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WatchedSecret::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for NamespaceHead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(Self::of)
    }
}

impl Resource for SecretHead {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        WatchedSecret::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        WatchedSecret::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        WatchedSecret::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        WatchedSecret::plural(&())
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}

impl Resource for NamespaceHead {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Namespace".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "namespaces".into()
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0.metadata
    }
}
