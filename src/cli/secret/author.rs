//! The API server, for whoever writes secrets.
//!
//! All is done with the rights to create, patch and delete Secrets; none of it takes the right to get or list them. What is
//! there already is told by the answer to a patch that changes nothing, as a dry run: the policies judge it like any
//! change, so another user's secret is refused.

use std::{collections::BTreeMap, io};

use axum::http::{Method, Request, header};
use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1;
use kube::{Client, Resource, client::Body};
use serde::{Serialize, Serializer};
use serde_json::json;
use zeroize::Zeroizing;

use super::{metadata::FIELD_MANAGER, present::Answer, value::Value};
use crate::{
    cli::{
        UsageError,
        cluster::{Caller, RequestError},
    },
    inject::secret::Scope,
};

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
/// The answer holds no values.
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches>
const METADATA_ALONE: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// The largest answer that is read: a Secret with all that may be in it, in base64.
const LARGEST_ANSWER: usize = 8 << 20;

/// A way to the secrets of one namespace.
pub(super) struct Author {
    client: Client,
    pub(super) namespace: String,
    /// Nothing is stored: the API server only says what it would do.
    pub(super) dry_run: bool,
}

/// A Secret, or what of it shall change, as it is sent.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'a str>,
    pub(super) metadata: WrittenMetadata<'a>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kubernetes_type: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) data: BTreeMap<&'a str, Option<Encoded<'a>>>,
}

/// Of an annotation or a key, nothing takes it away.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    /// What the change is for; another version of the Secret stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource_version: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, Option<String>>,
}

/// A value in base64, which is written without a copy of it.
pub(super) struct Encoded<'a>(pub(super) &'a Value);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&BASE64.encode_display(self.0.bytes()))
    }
}

impl Author {
    pub(super) fn new(client: Client, dry_run: bool) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self {
            client,
            namespace,
            dry_run,
        }
    }

    /// Works in the namespace of a manifest, if no other was asked for.
    pub(super) fn enter(
        &mut self,
        namespace: &str,
        asked_for: Option<&str>,
    ) -> Result<(), UsageError> {
        if let Some(asked_for) = asked_for.filter(|asked_for| *asked_for != namespace) {
            let sentence = format!(
                "the manifest is for namespace {namespace:?}, and -n says {asked_for:?}; leave one out"
            );
            return Err(UsageError(sentence));
        }
        self.namespace = crate::cli::values::namespace(namespace).map_err(UsageError)?;
        Ok(())
    }

    /// Whose a secret of this scope is: a user's is that of whom the API server takes the caller for, impersonation
    /// included.
    pub(super) async fn owner(&self, scope: Scope) -> Result<Option<String>, RequestError> {
        match scope {
            Scope::User => Ok(Some(Caller::ask(&self.client).await?.username)),
            Scope::Project => Ok(None),
        }
    }

    /// Makes the Secret. Refused with code 409 where its name is taken.
    pub(super) async fn create(&self, secret: &Written<'_>) -> Result<(), RequestError> {
        let path = self.path(None, self.dry_run);
        self.ask(Method::POST, &path, (JSON, METADATA_ALONE), secret)
            .await
            .map(drop)
    }

    /// The Secret as it is. Refused with code 404 where there is none.
    pub(super) async fn present(&self, object: &str) -> Result<Answer, RequestError> {
        let path = self.path(Some(object), true);
        let nothing = json!({});
        let answer = self
            .ask(Method::PATCH, &path, (MERGE_PATCH, JSON), &nothing)
            .await?;
        Ok(Answer::new(answer))
    }

    /// Changes the Secret. Refused with code 409 where it has another version by now.
    pub(super) async fn change(
        &self,
        object: &str,
        change: &Written<'_>,
    ) -> Result<(), RequestError> {
        let path = self.path(Some(object), self.dry_run);
        self.ask(Method::PATCH, &path, (MERGE_PATCH, METADATA_ALONE), change)
            .await
            .map(drop)
    }

    /// Deletes this version of the Secret. Refused with code 409 where it has another by now.
    pub(super) async fn delete(&self, object: &str, version: &str) -> Result<(), RequestError> {
        let path = self.path(Some(object), self.dry_run);
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": version},
        });
        self.ask(Method::DELETE, &path, (JSON, METADATA_ALONE), &options)
            .await
            .map(drop)
    }

    /// Objects' names need no escaping.
    fn path(&self, object: Option<&str>, dry_run: bool) -> String {
        let secrets = v1::Secret::url_path(&(), Some(&self.namespace));
        let object = object
            .map(|object| format!("/{object}"))
            .unwrap_or_default();
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        format!("{secrets}{object}?fieldManager={FIELD_MANAGER}{dry_run}")
    }

    /// `forms` are those of the request and of the answer.
    ///
    /// Not by way of kube's own requests: they keep copies of what is sent and answered.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        (sent, accepted): (&str, &str),
        body: &impl Serialize,
    ) -> Result<Zeroizing<Vec<u8>>, RequestError> {
        let body = Bytes::from_owner(encode(body)?);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, sent)
            .header(header::ACCEPT, accepted)
            .body(Body::from(body))
            .map_err(|_| RequestError::OddAnswer)?;
        let answer = self.client.send(request).await?;
        let code = answer.status();
        for warning in answer.headers().get_all(header::WARNING) {
            if let Some(warning) = warning.to_str().ok().and_then(warning_text) {
                eprintln!("warning: {warning}");
            }
        }
        let answer = collect(answer.into_body()).await?;
        if code.is_success() {
            return Ok(answer);
        }
        Err(RequestError::refused(code.as_u16(), &answer))
    }
}

async fn collect(mut body: Body) -> Result<Zeroizing<Vec<u8>>, RequestError> {
    // Most are small; one that grows leaves no copy, as it is moved by hand.
    let mut answer = Zeroizing::new(Vec::with_capacity(1 << 16));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let needed = answer.len() + data.len();
        if needed > LARGEST_ANSWER {
            return Err(RequestError::OddAnswer);
        }
        if needed > answer.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * needed));
            larger.extend_from_slice(&answer);
            answer = larger;
        }
        answer.extend_from_slice(&data);
    }
    Ok(answer)
}

/// As JSON, in a vector that is large enough from the start: one that grows leaves copies of values behind.
fn encode(body: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, RequestError> {
    struct Length(usize);
    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    serde_json::to_writer(&mut length, body).map_err(|_| RequestError::OddAnswer)?;
    let mut encoded = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *encoded, body).map_err(|_| RequestError::OddAnswer)?;
    Ok(encoded)
}

/// The text in `299 - "text"`.
fn warning_text(header: &str) -> Option<String> {
    let text = header.strip_prefix("299 ")?.split_once('"')?.1;
    let text = text.strip_suffix('"')?;
    let text = text.replace("\\\"", "\"").replace("\\\\", "\\");
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_as_it_is_sent() {
        let value = Value::from("hunter2-canary");
        let written = Written {
            api_version: Some("v1"),
            kind: Some("Secret"),
            metadata: WrittenMetadata {
                name: Some("a"),
                annotations: BTreeMap::from([("x".to_owned(), None)]),
                ..WrittenMetadata::default()
            },
            data: BTreeMap::from([("KEY", Some(Encoded(&value))), ("OLD", None)]),
            ..Written::default()
        };
        let sent = encode(&written).unwrap();
        assert_eq!(
            str::from_utf8(&sent).unwrap(),
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","annotations":{"x":null}},"data":{"KEY":"aHVudGVyMi1jYW5hcnk=","OLD":null}}"#
        );
        assert_eq!(sent.len(), sent.capacity());
    }

    #[test]
    fn warnings_of_the_api_server() {
        assert_eq!(
            warning_text(r#"299 - "a \"b\" c""#).as_deref(),
            Some("a \"b\" c")
        );
        assert_eq!(warning_text("110 x \"y\""), None);
    }
}
