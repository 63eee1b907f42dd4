//! The keys with which stamps are proved: in a Secret of keyporter's own namespace, shared by all replicas.
//!
//! Its data keys are `key-1`, `key-2` and so on; the highest signs, all others still count. To rotate is to add one, to
//! take one away is to take away all that it proved.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use kube::api::PostParams;
use kube::{Api, Client};
use thiserror::Error;
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, error, info};
use zeroize::Zeroizing;

use super::{OwnershipError, in_time};
use crate::admin::Condition;
use crate::causes::one_line;
use crate::inject::proof::{KEY_LENGTH, Key, Keys};
use crate::own_secret::{Bytes, OwnSecret as KeySecret};

/// The Secret with the keys.
pub const KEYS_SECRET: &str = "keyporter-owner-keys";

/// How often the Secret is read: a key that was taken away counts on for as long.
const INTERVAL: Duration = Duration::from_secs(30);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How soon after another read a proof may ask for one: whoever writes proofs of keys to come must not make us busy.
const SOONEST: Duration = Duration::from_secs(1);
/// The names of the keys, before their number.
const PREFIX: &str = "key-";

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The Secret holds something that is no key.
    #[error(
        "Secret {namespace}/{KEYS_SECRET}: {key:?} is no key; keys are called key-1, key-2 and so on and have {KEY_LENGTH} bytes"
    )]
    NoKey {
        /// The Secret's namespace.
        namespace: String,
        /// The name of what is no key.
        key: String,
    },
    /// The Secret is empty.
    #[error(
        "Secret {namespace}/{KEYS_SECRET} holds no key; delete it, and keyporter makes a new one"
    )]
    Empty {
        /// The Secret's namespace.
        namespace: String,
    },
    /// There is no such Secret.
    #[error(
        "there is no Secret {namespace}/{KEYS_SECRET}; keyporter serve makes it when it starts (is it another namespace?)"
    )]
    None {
        /// Where it should be.
        namespace: String,
    },
    /// The Secret cannot be read or written.
    #[error("Secret {namespace}/{KEYS_SECRET} cannot be read or written")]
    Unreadable {
        /// The Secret's namespace.
        namespace: String,
        /// Why.
        source: OwnershipError,
    },
    /// The machine has no randomness.
    #[error("no random key can be made")]
    Random(#[source] getrandom::Error),
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The number of the key that signs from now on.
    pub new: u32,
    /// The numbers of those that count no more.
    pub forgotten: Vec<u32>,
}

/// Adds a key that signs from now on, and forgets all others but the `kept` newest, if that is said.
pub async fn rotate(
    client: Client,
    namespace: &str,
    kept: Option<usize>,
) -> Result<Rotated, KeyError> {
    let store = KeyStore::new(client, namespace);
    let mut secret = store.read().await?.ok_or_else(|| KeyError::None {
        namespace: namespace.to_owned(),
    })?;
    // What cannot be read is not made worse.
    secret.keys(namespace)?;
    let new = secret.rotate()?;
    let forgotten = kept.map_or_else(Vec::new, |kept| {
        secret.forget_all_but(kept.saturating_add(1))
    });
    // With the version that was read: of two rotations at once one is refused.
    let parameters = PostParams::default();
    let replaced = in_time(store.secrets.replace(KEYS_SECRET, &parameters, &secret));
    let replaced = replaced.with_subscriber(Dispatch::none()).await;
    replaced.map_err(|source| store.unreadable(source))?;
    Ok(Rotated { new, forgotten })
}

/// The keys of a cluster.
pub(super) struct KeyStore {
    secrets: Api<KeySecret>,
    namespace: String,
    keys: ArcSwapOption<Keys>,
    read: Mutex<Option<Instant>>,
}

impl KeyStore {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            keys: ArcSwapOption::empty(),
            read: Mutex::default(),
        }
    }

    /// The keys. They are read anew if a proof was written with a newer one than all that are known.
    pub(super) async fn get(&self, newest: Option<u32>) -> Result<Arc<Keys>, OwnershipError> {
        let keys = self.keys.load_full().ok_or(OwnershipError::NoKeys)?;
        let known = keys.numbers().next();
        if newest <= known || !self.is_due() {
            return Ok(keys);
        }
        if let Err(error) = Box::pin(self.refresh()).await {
            error!("keys cannot be read: {}", one_line(&error));
        }
        Ok(self.keys.load_full().unwrap_or(keys))
    }

    fn is_due(&self) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let due = read.is_none_or(|at| at.elapsed() >= SOONEST);
        if due {
            *read = Some(Instant::now());
        }
        due
    }

    /// Reads the keys again and again; the first time it makes them where there are none.
    pub(super) async fn keep(&self, condition: Condition) {
        condition.not_ready("the keys of owner proofs are not read yet");
        let mut complained = false;
        loop {
            let pause = match self.refresh().await {
                Ok(()) => {
                    condition.ready();
                    complained = false;
                    INTERVAL
                }
                // What was read before still counts.
                Err(error) => {
                    if !complained {
                        error!("{}", one_line(&error));
                    }
                    complained = true;
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn refresh(&self) -> Result<(), KeyError> {
        let keys = self.read_or_make().await?;
        let newest = |keys: &Keys| keys.numbers().next();
        let before = self.keys.swap(Some(Arc::new(keys)));
        let after = self.keys.load();
        if before.as_deref().and_then(newest) != after.as_deref().and_then(newest) {
            let key = after.as_deref().and_then(newest);
            info!(key, "owner proofs are written with this key");
        }
        Ok(())
    }

    async fn read_or_make(&self) -> Result<Keys, KeyError> {
        if let Some(secret) = self.read().await? {
            return secret.keys(&self.namespace);
        }
        let secret = KeySecret::first(&self.namespace)?;
        let parameters = PostParams::default();
        // Nothing that kube does with values in hand reaches the log.
        let made = in_time(self.secrets.create(&parameters, &secret));
        match made.with_subscriber(Dispatch::none()).await {
            Ok(_) => secret.keys(&self.namespace),
            Err(OwnershipError::Unanswered(error)) if is(&error, 409) => {
                let empty = || KeyError::Empty {
                    namespace: self.namespace.clone(),
                };
                let other = self.read().await?.ok_or_else(empty)?;
                other.keys(&self.namespace)
            }
            Err(source) => Err(self.unreadable(source)),
        }
    }

    async fn read(&self) -> Result<Option<KeySecret>, KeyError> {
        let secret = in_time(self.secrets.get_opt(KEYS_SECRET));
        let secret = secret.with_subscriber(Dispatch::none()).await;
        secret.map_err(|source| self.unreadable(source))
    }

    fn unreadable(&self, source: OwnershipError) -> KeyError {
        KeyError::Unreadable {
            namespace: self.namespace.clone(),
            source,
        }
    }
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

impl KeySecret {
    /// One with a first key.
    fn first(namespace: &str) -> Result<Self, KeyError> {
        let mut secret = Self::new(namespace, KEYS_SECRET);
        secret.rotate()?;
        Ok(secret)
    }

    /// Adds a key, which signs from then on, and gives its number.
    fn rotate(&mut self) -> Result<u32, KeyError> {
        let last = self.data.keys().filter_map(|name| number(name)).max();
        let next = last.map_or(1, |last| last.saturating_add(1));
        let mut bytes = Zeroizing::new(vec![0; KEY_LENGTH]);
        getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
        self.data.insert(format!("{PREFIX}{next}"), Bytes(bytes));
        Ok(next)
    }

    /// Forgets all keys but those with the highest numbers, and gives the numbers of those that are gone.
    fn forget_all_but(&mut self, kept: usize) -> Vec<u32> {
        let mut numbers: Vec<_> = self.data.keys().filter_map(|name| number(name)).collect();
        numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
        let gone = numbers.split_off(kept.min(numbers.len()));
        for number in &gone {
            self.data.remove(&format!("{PREFIX}{number}"));
        }
        gone
    }

    fn keys(&self, namespace: &str) -> Result<Keys, KeyError> {
        let key = |(name, bytes): (&String, &Bytes)| {
            let array = <[u8; KEY_LENGTH]>::try_from(bytes.0.as_slice()).ok();
            let key = number(name).zip(array.map(Key::new));
            key.ok_or_else(|| KeyError::NoKey {
                namespace: namespace.to_owned(),
                key: name.clone(),
            })
        };
        let keys = self.data.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        Keys::new(keys).ok_or_else(|| KeyError::Empty {
            namespace: namespace.to_owned(),
        })
    }
}

fn number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(PREFIX)?;
    // One spelling for each number.
    (!digits.starts_with(['0', '+'])).then_some(())?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use serde_json::json;

    use super::*;

    fn secret(data: &serde_json::Value) -> KeySecret {
        serde_json::from_value(json!({"metadata": {"name": KEYS_SECRET}, "data": data})).unwrap()
    }

    #[test]
    fn a_rotated_key_signs_and_the_one_before_counts() {
        let mut secret = KeySecret::first("keyporter-system").unwrap();
        assert_eq!(secret.rotate().unwrap(), 2);
        let numbers = |secret: &KeySecret| secret.keys("").unwrap().numbers().collect::<Vec<_>>();
        assert_eq!(numbers(&secret), [2, 1]);
        secret.rotate().unwrap();
        assert_eq!(secret.forget_all_but(2), [1]);
        assert_eq!(numbers(&secret), [3, 2]);
    }

    #[test]
    fn what_is_written_is_read() {
        let secret = KeySecret::first("keyporter-system").unwrap();
        let json = serde_json::to_value(&secret).unwrap();
        assert_eq!(json["kind"], "Secret");
        let read: KeySecret = serde_json::from_value(json).unwrap();
        assert_eq!(read.data["key-1"].0, secret.data["key-1"].0);
        assert_ne!(
            KeySecret::first("").unwrap().data["key-1"].0,
            secret.data["key-1"].0
        );
    }

    #[test]
    fn what_is_no_key_is_named_and_never_shown() {
        let canary = BASE64.encode(b"hunter2-canary");
        for name in ["key-1", "key", "key-01", "key--1", "tls.key"] {
            let error = secret(&json!({name: canary})).keys("system").unwrap_err();
            let text = error.to_string();
            assert!(text.contains(name) && text.contains("system/"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let error = secret(&json!({})).keys("system").unwrap_err();
        assert!(matches!(error, KeyError::Empty { .. }));
        assert!(!format!("{:?}", secret(&json!({"key-1": canary}))).contains("hunter2"));
    }
}
