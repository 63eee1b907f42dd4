//! What could be seen of the cluster, and reading it.

use serde_json::Value;

/// Something that was asked for.
pub(super) type Seen<T> = Result<T, Unseen>;

/// Why it was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unseen {
    pub(super) reason: String,
    /// What the caller may not do, as `kubectl auth can-i` takes it.
    pub(super) right: Option<String>,
}

/// The text at a JSON pointer; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// The items of the list at a JSON pointer.
pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

/// Its name.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// A label, whatever characters are in its name.
pub(super) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    let labels = object.get("metadata")?.get("labels")?;
    labels.get(name)?.as_str()
}

/// Whether a list of texts has this one.
pub(super) fn lists(value: &Value, pointer: &str, wanted: &str) -> bool {
    let mut texts = items(value, pointer).iter().filter_map(Value::as_str);
    texts.any(|text| text == wanted)
}
