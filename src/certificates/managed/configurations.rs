//! The webhook configurations: what they trust, and writing it.
//!
//! Only `caBundle` is written, by a JSON Patch that holds for the version that was read. Server-side apply would take a
//! share in each webhook of the list, and whoever applies the configuration without that webhook later is refused,
//! because what is left of it is invalid.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use data_encoding::BASE64;
use futures::StreamExt;
use futures::future::join_all;
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::api::{ApiResource, DynamicObject, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::authority::Certificate;
use super::plan::Bundle;
use super::{ManagedError, in_time};
use crate::causes::one_line;

/// Who writes, as `kubectl get --show-managed-fields` shows it.
const MANAGER: &str = "keyporter";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mutating,
    Validating,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Mutating, Self::Validating];

    fn resource(self) -> ApiResource {
        match self {
            Self::Mutating => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            Self::Validating => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        })
    }
}

/// A configuration as it was read.
pub(super) struct Configuration {
    kind: Kind,
    name: String,
    version: String,
    /// How many it has.
    webhooks: usize,
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Configurations, and beside them what each webhook of each trusts, one after the other.
#[derive(Default)]
pub(super) struct Read {
    pub(super) configurations: Vec<Configuration>,
    pub(super) bundles: Vec<Bundle>,
}

impl Read {
    /// The changes to bundles by their place, sorted by configuration.
    pub(super) fn by_configuration<'a>(
        &'a self,
        changes: &'a [(usize, Vec<Certificate>)],
    ) -> impl Iterator<Item = (&'a Configuration, Vec<(usize, &'a [Certificate])>)> {
        let mut first = 0;
        self.configurations.iter().filter_map(move |configuration| {
            let places = first..first + configuration.webhooks;
            first = places.end;
            let own = changes.iter().filter(|(place, _)| places.contains(place));
            let own: Vec<_> = own
                .map(|(place, bundle)| (place - places.start, bundle.as_slice()))
                .collect();
            (!own.is_empty()).then_some((configuration, own))
        })
    }
}

pub(super) struct Configurations {
    client: Client,
    names: Vec<String>,
}

impl Configurations {
    pub(super) fn new(client: Client, names: Vec<String>) -> Self {
        Self { client, names }
    }

    /// Those that are there.
    pub(super) async fn read(&self) -> Result<Read, ManagedError> {
        let mut read = Read::default();
        for kind in Kind::ALL {
            let api = Api::<DynamicObject>::all_with(self.client.clone(), &kind.resource());
            for name in &self.names {
                let object = in_time(api.get_opt(name)).await;
                let object = object.map_err(|source| ManagedError::Configuration {
                    configuration: format!("{kind} {name}"),
                    source,
                })?;
                let Some(object) = object else {
                    continue;
                };
                let webhooks = object.data.get("webhooks").and_then(Value::as_array);
                let webhooks = webhooks.map(Vec::as_slice).unwrap_or_default();
                read.configurations.push(Configuration {
                    kind,
                    name: name.clone(),
                    version: object.metadata.resource_version.unwrap_or_default(),
                    webhooks: webhooks.len(),
                });
                let bundles = webhooks.iter().map(|webhook| {
                    let base64 = webhook.pointer("/clientConfig/caBundle");
                    bundle(base64.and_then(Value::as_str).unwrap_or_default())
                });
                read.bundles.extend(bundles);
            }
        }
        Ok(read)
    }

    /// Writes these bundles of webhooks, by their place, unless somebody has changed the configuration: `false`.
    pub(super) async fn publish(
        &self,
        configuration: &Configuration,
        bundles: &[(usize, &[Certificate])],
    ) -> Result<bool, ManagedError> {
        let resource = configuration.kind.resource();
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &resource);
        let mut operations = vec![PatchOperation::Test(TestOperation {
            path: PointerBuf::from_tokens(["metadata", "resourceVersion"]),
            value: configuration.version.as_str().into(),
        })];
        for (place, certificates) in bundles {
            let place = place.to_string();
            let pem: String = certificates.iter().map(Certificate::pem).collect();
            operations.push(PatchOperation::Add(AddOperation {
                path: PointerBuf::from_tokens(["webhooks", &place, "clientConfig", "caBundle"]),
                value: BASE64.encode(pem.as_bytes()).into(),
            }));
        }
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = kube::api::Patch::Json::<()>(Patch(operations));
        match in_time(api.patch(&configuration.name, &parameters, &patch)).await {
            Ok(_) => Ok(true),
            // A test that fails is a 422.
            Err(error) if [404, 409, 422].iter().any(|code| error.is(*code)) => Ok(false),
            Err(source) => Err(ManagedError::Configuration {
                configuration: configuration.to_string(),
                source,
            }),
        }
    }

    /// Tells of every change, without end.
    pub(super) fn watch(&self, changed: &Arc<Notify>) -> impl Future<Output = ()> + Send + use<> {
        let watches = self.names.iter().flat_map(|name| {
            let (client, changed) = (&self.client, changed);
            let follow = |kind| match kind {
                Kind::Mutating => {
                    let api =
                        Api::<PartialObjectMeta<MutatingWebhookConfiguration>>::all(client.clone());
                    Box::pin(watch(kind, api, name.clone(), Arc::clone(changed)))
                        as futures::future::BoxFuture<'static, ()>
                }
                Kind::Validating => {
                    let api = Api::<PartialObjectMeta<ValidatingWebhookConfiguration>>::all(
                        client.clone(),
                    );
                    Box::pin(watch(kind, api, name.clone(), Arc::clone(changed)))
                }
            };
            Kind::ALL.map(follow)
        });
        let watches = join_all(watches);
        async move {
            watches.await;
        }
    }
}

async fn watch<K>(kind: Kind, api: Api<PartialObjectMeta<K>>, name: String, changed: Arc<Notify>)
where
    PartialObjectMeta<K>: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    // The right to one name is enough for this selector.
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut complained = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => {
                changed.notify_one();
                if std::mem::take(&mut complained) {
                    info!("the watch of the {kind} {name} works again");
                }
            }
            Err(_) if complained => {}
            Err(error) => {
                complained = true;
                let error = one_line(&error);
                warn!(
                    error,
                    "the {kind} {name} cannot be watched; it is read from time to time"
                );
            }
        }
    }
}

/// What a `caBundle` holds.
fn bundle(base64: &str) -> Bundle {
    let mut bundle = Bundle::default();
    let Ok(pem) = BASE64.decode(base64.as_bytes()) else {
        bundle.garbage = true;
        return bundle;
    };
    for der in CertificateDer::pem_slice_iter(&pem) {
        match der.ok().and_then(Certificate::read) {
            Some(certificate) if bundle.certificates.contains(&certificate) => {}
            Some(certificate) => bundle.certificates.push(certificate),
            None => bundle.garbage = true,
        }
    }
    bundle
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::OffsetDateTime;

    use super::super::authority::Authority;
    use super::*;

    fn certificate() -> Certificate {
        let day = Duration::from_hours(24);
        let authority = Authority::make(OffsetDateTime::now_utc(), day);
        authority.unwrap().certificate
    }

    fn encoded(pem: &str) -> Bundle {
        bundle(&BASE64.encode(pem.as_bytes()))
    }

    #[test]
    fn a_bundle_is_a_set_of_cas() {
        let (first, second) = (certificate(), certificate());
        let read = encoded(&format!("{}{}{}", first.pem(), second.pem(), first.pem()));
        assert_eq!(read.certificates, [first, second]);
        assert!(!read.garbage);
        assert_eq!(bundle(""), Bundle::default());
    }

    #[test]
    fn what_is_no_ca_is_garbage() {
        let pem = certificate().pem();
        let damaged = pem.replacen('M', "!", 1);
        for text in [damaged, pem.replace("END", "BEGIN")] {
            assert!(encoded(&text).garbage, "{text}");
        }
        assert!(bundle("!").garbage);
    }

    #[test]
    fn changes_find_their_webhooks() {
        let configuration = |name: &str, webhooks| Configuration {
            kind: Kind::Mutating,
            name: name.to_owned(),
            version: "1".to_owned(),
            webhooks,
        };
        let read = Read {
            configurations: vec![
                configuration("first", 2),
                configuration("none", 0),
                configuration("second", 1),
                configuration("third", 2),
            ],
            bundles: Vec::new(),
        };
        let changes = [1, 3, 4].map(|place| (place, Vec::new()));
        let found: Vec<_> = read
            .by_configuration(&changes)
            .map(|(configuration, own)| {
                let places: Vec<_> = own.iter().map(|(place, _)| *place).collect();
                (configuration.name.as_str(), places)
            })
            .collect();
        assert_eq!(found, [("first", vec![1]), ("third", vec![0, 1])]);
    }
}
