//! Credentials for pulling images, in the form of docker's `config.json`.
//! <https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/>

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::value::Value;

/// The type of such a Secret.
pub(super) const TYPE: &str = "kubernetes.io/dockerconfigjson";
/// Its data key.
pub(super) const KEY: &str = ".dockerconfigjson";

/// Why a file gives no pod an image. No value of it is quoted, and no key: a token may stand in the wrong place.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum RegistryError {
    #[error("no docker config.json; it is a JSON map with the registries in \"auths\"")]
    NoConfig,
    #[error(
        "without a password: docker keeps them in a credential store (\"credsStore\" or \"credHelpers\"); give them with \
         --docker-server and --docker-username"
    )]
    InAStore,
    #[error("without a registry in \"auths\"; `docker login REGISTRY` adds one")]
    NoRegistry,
    #[error(
        "with a registry that has no credentials: its \"auth\" is not USERNAME:PASSWORD in base64, and no other is there"
    )]
    NoCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    #[serde(borrow, default)]
    auths: BTreeMap<&'a str, Registry>,
    #[serde(default)]
    creds_store: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    cred_helpers: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Registry {
    auth: Option<Zeroizing<String>>,
    username: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
    identitytoken: Option<Zeroizing<String>>,
    registrytoken: Option<Zeroizing<String>>,
}

impl Registry {
    fn has_credentials(&self) -> bool {
        let told =
            |text: &Option<Zeroizing<String>>| text.as_ref().is_some_and(|text| !text.is_empty());
        let pair = |auth: &Zeroizing<String>| {
            let decoded = BASE64.decode(auth.as_bytes()).map(Zeroizing::new);
            decoded.is_ok_and(|pair| pair.contains(&b':'))
        };
        self.auth.as_ref().is_some_and(pair)
            || told(&self.username) && told(&self.password)
            || told(&self.identitytoken)
            || told(&self.registrytoken)
    }

    fn is_empty(&self) -> bool {
        [
            &self.auth,
            &self.username,
            &self.password,
            &self.identitytoken,
            &self.registrytoken,
        ]
        .into_iter()
        .all(Option::is_none)
    }
}

/// Whether the file has credentials for its registries.
pub(super) fn check(file: &Value) -> Result<(), RegistryError> {
    // A list would be taken for a map whose members are all absent.
    if !file.bytes().trim_ascii_start().starts_with(b"{") {
        return Err(RegistryError::NoConfig);
    }
    let config: Config<'_> =
        serde_json::from_slice(file.bytes()).map_err(|_| RegistryError::NoConfig)?;
    if config.auths.values().any(Registry::has_credentials) {
        // Docker leaves empty ones for what is in its store; the others are of use nevertheless.
        let whole = |registry: &Registry| registry.has_credentials() || registry.is_empty();
        return if config.auths.values().all(whole) {
            Ok(())
        } else {
            Err(RegistryError::NoCredentials)
        };
    }
    Err(
        if config.creds_store.is_some() || config.cred_helpers.is_some() {
            RegistryError::InAStore
        } else if config.auths.is_empty() {
            RegistryError::NoRegistry
        } else {
            RegistryError::NoCredentials
        },
    )
}

/// Such a file for one registry, as `kubectl create secret docker-registry` writes it.
pub(super) fn write(server: &str, username: &str, password: &Value) -> Option<Value> {
    #[derive(Serialize)]
    struct Written<'a> {
        auths: BTreeMap<&'a str, Credentials<'a>>,
    }
    #[derive(Serialize)]
    struct Credentials<'a> {
        username: &'a str,
        password: &'a str,
        auth: &'a str,
    }
    let password = password.text()?;
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let auth = Zeroizing::new(BASE64.encode(pair.as_bytes()));
    let credentials = Credentials {
        username,
        password,
        auth: &auth,
    };
    let written = Written {
        auths: BTreeMap::from([(server, credentials)]),
    };
    // Room for all of it, with every character escaped: a vector that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(6 * (2 * pair.len() + server.len()) + auth.len() + 128);
    serde_json::to_writer(&mut bytes, &written).ok()?;
    Some(Value::new(bytes))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::auth(r#"{"auths": {"ghcr.io": {"auth": "YTpi"}}, "HttpHeaders": {}}"#, Ok(()))]
    #[case::pair(r#"{"auths": {"ghcr.io": {"username": "a", "password": "b"}}}"#, Ok(()))]
    #[case::token(r#"{"auths": {"ghcr.io": {"auth": "", "identitytoken": "t"}}}"#, Ok(()))]
    #[case::some_in_a_store(r#"{"auths": {"a": {}, "b": {"auth": "YTpi"}}, "credsStore": "x"}"#, Ok(()))]
    #[case::in_a_store(
        r#"{"auths": {"ghcr.io": {}}, "credsStore": "x"}"#,
        Err(RegistryError::InAStore)
    )]
    #[case::helpers(r#"{"credHelpers": {"ghcr.io": "x"}}"#, Err(RegistryError::InAStore))]
    #[case::none("{}", Err(RegistryError::NoRegistry))]
    #[case::empty(r#"{"auths": {"ghcr.io": {}}}"#, Err(RegistryError::NoCredentials))]
    #[case::no_pair(
        r#"{"auths": {"ghcr.io": {"auth": "YWI="}}}"#,
        Err(RegistryError::NoCredentials)
    )]
    #[case::one_bad(
        r#"{"auths": {"a": {"auth": "x"}, "b": {"auth": "YTpi"}}}"#,
        Err(RegistryError::NoCredentials)
    )]
    #[case::token_alone("hunter2", Err(RegistryError::NoConfig))]
    #[case::list("[]", Err(RegistryError::NoConfig))]
    #[case::odd(r#"{"auths": {"a": "hunter2"}}"#, Err(RegistryError::NoConfig))]
    fn files(#[case] text: &str, #[case] expected: Result<(), RegistryError>) {
        assert_eq!(check(&Value::from(text)), expected);
    }

    #[test]
    fn what_is_written_is_what_kubectl_writes() {
        let password = Value::from("b\"c\n");
        let written = write("ghcr.io", "a", &password).unwrap();
        assert_eq!(
            written.text(),
            Some(r#"{"auths":{"ghcr.io":{"username":"a","password":"b\"c\n","auth":"YTpiImMK"}}}"#)
        );
        assert_eq!(check(&written), Ok(()));
    }
}
