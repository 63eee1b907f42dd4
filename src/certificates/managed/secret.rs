//! The Secret with the CA, shared by all replicas.

use kube::api::PostParams;
use kube::{Api, Client};
use time::OffsetDateTime;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;
use zeroize::Zeroizing;

use super::authority::{Authority, Unusable};
use super::{ManagedError, RequestError, in_time};
use crate::own_secret::{Bytes, OwnSecret};

/// The Secret with the CA.
pub const AUTHORITY_SECRET: &str = "keyporter-ca";

/// Where the CA that signs is, and the one before it: certificate and key.
const CURRENT: (&str, &str) = ("ca.crt", "ca.key");
const BEFORE: (&str, &str) = ("previous-ca.crt", "previous-ca.key");

pub(super) struct Store {
    secrets: Api<OwnSecret>,
    namespace: String,
}

impl Store {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
        }
    }

    /// The Secret, if there is one, and the CAs in it.
    pub(super) async fn read(&self) -> Result<(Option<OwnSecret>, Vec<Authority>), ManagedError> {
        // Nothing that kube does with values in hand reaches the log.
        let secret = in_time(self.secrets.get_opt(AUTHORITY_SECRET));
        let secret = secret.with_subscriber(Dispatch::none()).await;
        let secret = secret.map_err(|source| self.failed(source))?;
        let authorities = secret.as_ref().map(|secret| self.authorities(secret));
        let authorities = authorities.transpose()?.unwrap_or_default();
        Ok((secret, authorities))
    }

    fn authorities(&self, secret: &OwnSecret) -> Result<Vec<Authority>, ManagedError> {
        let mut authorities = Vec::new();
        for (certificate, key) in [CURRENT, BEFORE] {
            let found = (secret.data.get(certificate), secret.data.get(key));
            let unusable = |entry: &'static str, problem| ManagedError::Unusable {
                namespace: self.namespace.clone(),
                entry,
                problem,
            };
            let authority = match found {
                (None, None) if certificate == BEFORE.0 || secret.data.is_empty() => continue,
                (None, _) => return Err(unusable(certificate, Unusable::Absent)),
                (_, None) => return Err(unusable(key, Unusable::Absent)),
                (Some(found), Some(found_key)) => Authority::read(&found.0, &found_key.0),
            };
            authorities.push(authority.map_err(|problem| {
                let entry = match problem {
                    Unusable::Certificate | Unusable::Absent => certificate,
                    Unusable::Key | Unusable::Mismatch => key,
                };
                unusable(entry, problem)
            })?);
        }
        Ok(authorities)
    }

    /// Writes these CAs, unless somebody else has written meanwhile: `false`.
    pub(super) async fn write(
        &self,
        secret: Option<OwnSecret>,
        current: &Authority,
        before: Option<&Authority>,
    ) -> Result<bool, ManagedError> {
        let is_there = secret.is_some();
        let mut secret =
            secret.unwrap_or_else(|| OwnSecret::new(&self.namespace, AUTHORITY_SECRET));
        secret.data.clear();
        for ((certificate, key), authority) in [(CURRENT, Some(current)), (BEFORE, before)] {
            let Some(authority) = authority else {
                continue;
            };
            let bytes = |text: &str| Bytes(Zeroizing::new(text.as_bytes().to_vec()));
            let pem = authority.certificate.pem();
            secret.data.insert(certificate.to_owned(), bytes(&pem));
            secret.data.insert(key.to_owned(), bytes(authority.key()));
        }
        let parameters = PostParams::default();
        let written = async {
            // What is replaced carries the version that was read.
            if is_there {
                self.secrets
                    .replace(AUTHORITY_SECRET, &parameters, &secret)
                    .await
            } else {
                self.secrets.create(&parameters, &secret).await
            }
        };
        match in_time(written).with_subscriber(Dispatch::none()).await {
            Ok(_) => Ok(true),
            // Or it was deleted.
            Err(error) if error.is(409) || error.is(404) && is_there => Ok(false),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: RequestError) -> ManagedError {
        ManagedError::Secret {
            namespace: self.namespace.clone(),
            source,
        }
    }
}

/// Until when a CA of the Secret is the one that signs.
pub(super) fn expiry(authorities: &[Authority]) -> Option<OffsetDateTime> {
    Some(authorities.first()?.certificate.not_after)
}
