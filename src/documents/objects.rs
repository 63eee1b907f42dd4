//! Lists of objects within one document.

use serde_json::Value;

/// The Kubernetes objects of a document, each with the JSON pointer to it: the document itself, or where it is a list
/// (`kind: List`, `SecretList` and the like, as `kubectl get -o yaml` prints them) its items, also those of lists in it.
///
/// The items of a typed list may lack `kind` and `apiVersion`.
#[must_use]
pub fn objects(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(String::new(), document, &mut found);
    found
}

/// As deep as the reader lets lists nest.
fn collect<'a>(pointer: String, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    let list = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match value.get("items").and_then(Value::as_array) {
        Some(items) if list.ends_with("List") => {
            for (index, item) in items.iter().enumerate() {
                collect(format!("{pointer}/items/{index}"), item, found);
            }
        }
        _ => found.push((pointer, value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_taken_apart_and_all_else_is_one_object() {
        let document = json!({"kind": "List", "items": [
            {"kind": "Secret"},
            {"kind": "SecretList", "items": [{"metadata": {}}]},
            {"kind": "Bag", "items": []},
        ]});
        let found = objects(&document);
        let pointers: Vec<_> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/items/0", "/items/1/items/0", "/items/2"]);
        for (pointer, object) in found {
            assert_eq!(document.pointer(&pointer), Some(object));
        }
        let pod = json!({"kind": "Pod"});
        assert_eq!(objects(&pod), [(String::new(), &pod)]);
    }
}
