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

/// What was read.
pub(super) enum Found {
    Nothing,
    Secret(Box<OwnSecret>),
}

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

    /// What is there, and the CAs in it.
    pub(super) async fn read(&self) -> Result<(Found, Vec<Authority>), ManagedError> {
        // Nothing that kube does with values in hand reaches the log.
        let secret = in_time(self.secrets.get_opt(AUTHORITY_SECRET));
        let secret = secret.with_subscriber(Dispatch::none()).await;
        let secret = secret.map_err(|source| self.failed(source))?;
        let Some(secret) = secret else {
            return Ok((Found::Nothing, Vec::new()));
        };
        let authorities = authorities(&self.namespace, &secret)?;
        Ok((Found::Secret(Box::new(secret)), authorities))
    }

    /// Writes these CAs, unless somebody else has written meanwhile: `false`.
    pub(super) async fn write(
        &self,
        found: Found,
        current: &Authority,
        before: Option<&Authority>,
    ) -> Result<bool, ManagedError> {
        let (is_there, mut secret) = match found {
            Found::Secret(secret) => (true, *secret),
            Found::Nothing => (false, OwnSecret::new(&self.namespace, AUTHORITY_SECRET)),
        };
        fill(&mut secret, current, before);
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

fn fill(secret: &mut OwnSecret, current: &Authority, before: Option<&Authority>) {
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
}

fn authorities(namespace: &str, secret: &OwnSecret) -> Result<Vec<Authority>, ManagedError> {
    let mut authorities = Vec::new();
    for (certificate, key) in [CURRENT, BEFORE] {
        let found = (secret.data.get(certificate), secret.data.get(key));
        let unusable = |entry: &'static str, problem| ManagedError::Unusable {
            namespace: namespace.to_owned(),
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

/// Until when a CA of the Secret is the one that signs.
pub(super) fn expiry(authorities: &[Authority]) -> Option<OffsetDateTime> {
    Some(authorities.first()?.certificate.not_after)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    /// As it is written, and read again by somebody else.
    fn written() -> OwnSecret {
        let mut secret = OwnSecret::new("system", AUTHORITY_SECRET);
        let make = || Authority::make(OffsetDateTime::now_utc(), DAY).unwrap();
        fill(&mut secret, &make(), Some(&make()));
        serde_json::from_value(serde_json::to_value(&secret).unwrap()).unwrap()
    }

    fn problem(secret: &OwnSecret) -> String {
        authorities("system", secret).err().unwrap().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let secret = written();
        let names: Vec<_> = secret.data.keys().map(String::as_str).collect();
        let expected = ["ca.crt", "ca.key", "previous-ca.crt", "previous-ca.key"];
        assert_eq!(names, expected);
        let read = authorities("system", &secret).unwrap();
        let mut again = OwnSecret::new("system", AUTHORITY_SECRET);
        fill(&mut again, &read[0], Some(&read[1]));
        for name in expected {
            assert_eq!(again.data[name].0, secret.data[name].0);
        }
        fill(&mut again, &read[1], None);
        assert_eq!(authorities("system", &again).unwrap().len(), 1);
    }

    #[test]
    fn an_empty_secret_is_one_to_be_filled() {
        let secret = OwnSecret::new("system", AUTHORITY_SECRET);
        assert!(authorities("system", &secret).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_named_and_never_shown() {
        let canary = || Bytes(Zeroizing::new(b"hunter2-canary".to_vec()));
        for name in ["ca.crt", "ca.key", "previous-ca.crt", "previous-ca.key"] {
            let mut secret = written();
            secret.data.insert(name.to_owned(), canary());
            let text = problem(&secret);
            assert!(
                text.starts_with(&format!("Secret system/keyporter-ca: {name} is no")),
                "{text}"
            );
            assert!(
                text.ends_with("delete the Secret, and keyporter makes another CA"),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
            secret.data.remove(name);
            let text = problem(&secret);
            assert!(text.contains(&format!("{name} is missing")), "{text}");
        }
    }

    #[test]
    fn the_key_of_another_is_noticed() {
        let mut secret = written();
        let other = secret.data["previous-ca.key"].clone();
        secret.data.insert("ca.key".to_owned(), other);
        let text = problem(&secret);
        assert!(
            text.contains("ca.key is not the key of the certificate beside it"),
            "{text}"
        );
    }
}
