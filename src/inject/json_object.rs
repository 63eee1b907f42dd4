//! Structs that are read from JSON objects alone.
//!
//! What serde derives takes a list for one, too: of the members, in their order. No API server sends such a list, and what
//! a patch adds to an object would have no place in it.

use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Implements `Deserialize` for structs that derive it with `#[serde(remote = "Self")]` and borrow for `'a`.
///
/// What is derived becomes a function of the struct, and `Pod::deserialize` would be that: ask the trait.
macro_rules! from_json_object {
    ($($name:ident $(<$($parameter:ident),+>)?),+ $(,)?) => {$(
        impl<'de: 'a, 'a, $($($parameter: serde::Deserialize<'de>),+)?> serde::Deserialize<'de>
            for $name<'a, $($($parameter),+)?>
        {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $name::deserialize($crate::inject::json_object::Only(deserializer))
            }
        }
    )+};
}

pub(crate) use from_json_object;

/// Reads a struct as a map.
pub(crate) struct Only<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Only<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    // Nothing that is derived for a struct asks for anything else.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// All documents that have a list in the place of one object of this one: of nothing, and of some texts.
#[cfg(test)]
pub(crate) fn with_a_list(document: &serde_json::Value) -> Vec<serde_json::Value> {
    use serde_json::{Value, json};

    let mut pointers = vec![String::new()];
    let mut at = 0;
    while let Some(pointer) = pointers.get(at).cloned() {
        let inner: Vec<_> = match document.pointer(&pointer) {
            Some(Value::Object(members)) => members.keys().cloned().collect(),
            Some(Value::Array(items)) => (0..items.len()).map(|item| item.to_string()).collect(),
            _ => vec![],
        };
        pointers.extend(
            inner
                .iter()
                .map(|name| super::patch::member(&pointer, name)),
        );
        at += 1;
    }
    pointers.retain(|pointer| document.pointer(pointer).is_some_and(Value::is_object));
    let lists = [json!([]), json!(["a"]), json!(["a", "b"])];
    let changed = pointers.iter().flat_map(|pointer| {
        lists.clone().map(|list| {
            let mut changed = document.clone();
            if let Some(place) = changed.pointer_mut(pointer) {
                *place = list;
            }
            changed
        })
    });
    changed.collect()
}
