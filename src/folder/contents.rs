//! The borrowed view of a Secret that holds an archive: its values as they stand in the review, and our annotations.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroize;

use crate::inject::annotations as names;
use crate::inject::json_object::from_json_object;

from_json_object!(Contents, Metadata);

/// What unpacking needs of a Secret. Values are slices of the review, in base64: none is decoded but the archive.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self")]
pub struct Contents<'a> {
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow, default)]
    data: Option<Data<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    annotations: Option<Annotations<'a>>,
}

/// Those of ours that say which file a key is, and the length of all others.
#[derive(Debug, Default)]
pub(super) struct Annotations<'a> {
    pub(super) layout: Option<Hidden<'a>>,
    pub(super) executable: Option<Hidden<'a>>,
    pub(super) expanded: Option<Hidden<'a>>,
    /// Names and texts of the others, in bytes.
    pub(super) others: usize,
}

/// The data of a Secret, by key.
#[derive(Debug, Default)]
struct Data<'a>(BTreeMap<String, Hidden<'a>>);

/// Text that is not shown. It is a part of the review, or zeroed when it is dropped.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Hidden<'a>(Cow<'a, str>);

impl<'a> Contents<'a> {
    /// The same when it has annotations, which the patch before this one gave it.
    #[must_use]
    pub fn annotated(mut self) -> Self {
        let metadata = self.metadata.get_or_insert_default();
        metadata.annotations.get_or_insert_default();
        self
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.data.as_ref()?.0.get(key).map(Hidden::as_str)
    }

    /// All keys with their values.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let data = self.data.iter().flat_map(|data| &data.0);
        data.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn annotations(&self) -> Option<&Annotations<'a>> {
        self.metadata.as_ref()?.annotations.as_ref()
    }
}

impl Hidden<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Hidden<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Hidden<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }

            /// The API server reads null as an empty value.
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Hidden::default())
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Hidden(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Hidden(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let data = Option::<BTreeMap<String, Hidden<'de>>>::deserialize(deserializer)?;
        Ok(Self(data.unwrap_or_default()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Annotations<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut annotations = Annotations::default();
                while let Some(name) = map.next_key::<String>()? {
                    let text: Hidden<'de> = map.next_value()?;
                    match name.as_str() {
                        names::LAYOUT => annotations.layout = Some(text),
                        names::EXECUTABLE => annotations.executable = Some(text),
                        names::EXPANDED => annotations.expanded = Some(text),
                        _ => annotations.others += name.len() + text.as_str().len(),
                    }
                }
                Ok(annotations)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inject::json_object::with_a_list;

    #[test]
    fn no_list_stands_for_an_object() {
        let secret =
            json!({"metadata": {"annotations": {names::LAYOUT: "{}"}}, "data": {"a": "dg=="}});
        for odd in with_a_list(&secret) {
            let text = odd.to_string();
            assert!(
                serde_json::from_str::<Contents<'_>>(&text).is_err(),
                "{odd}"
            );
        }
    }
}
