//! The JSON Patch (RFC 6902) with which the files come into a Secret. Unlike all others it has values in it, so it is kept
//! apart from them: it goes to the API server that sent these values, and nowhere else.

use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::inject::patch::member;

const DATA: &str = "/data";
const ANNOTATIONS: &str = "/metadata/annotations";

/// One operation.
#[derive(Debug, Serialize)]
pub struct Change {
    op: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Content>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content {
    Text(Text),
    EmptyMap {},
}

/// Text that is not shown, and zeroed when it is dropped.
struct Text(Zeroizing<String>);

impl Change {
    /// Writes a value, in base64.
    pub(super) fn value(key: &str, base64: Zeroizing<String>) -> Self {
        Self::add(member(DATA, key), Content::Text(Text(base64)))
    }

    /// Takes a key away.
    pub(super) fn no_value(key: &str) -> Self {
        Self::remove(member(DATA, key))
    }

    /// Makes room for annotations where there are none.
    pub(super) fn annotations() -> Self {
        Self::add(ANNOTATIONS.to_owned(), Content::EmptyMap {})
    }

    /// Writes an annotation.
    pub(super) fn annotation(name: &str, text: String) -> Self {
        let text = Text(Zeroizing::new(text));
        Self::add(member(ANNOTATIONS, name), Content::Text(text))
    }

    /// Takes an annotation away.
    pub(super) fn no_annotation(name: &str) -> Self {
        Self::remove(member(ANNOTATIONS, name))
    }

    fn add(path: String, value: Content) -> Self {
        Self {
            op: "add",
            path,
            value: Some(value),
        }
    }

    fn remove(path: String) -> Self {
        Self {
            op: "remove",
            path,
            value: None,
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
