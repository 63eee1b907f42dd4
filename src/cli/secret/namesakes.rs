//! Several secrets of one owner that want the same place in a pod.

use std::collections::BTreeMap;

use super::metadata::Metadata;

/// A sentence for every place that several of the owner's secrets want, an adopted one among them; `has` is the verb.
pub(super) fn warnings(
    owner: &str,
    has: &str,
    before: &[&Metadata],
    adopted: &[Metadata],
) -> Vec<String> {
    let mut places: BTreeMap<Place<'_>, Vec<&Metadata>> = BTreeMap::new();
    for secret in before.iter().copied().chain(adopted) {
        if let Some(place) = Place::of(secret) {
            places.entry(place).or_default().push(secret);
        }
    }
    let changed: Vec<_> = adopted.iter().filter_map(Place::of).collect();
    let several = places
        .into_iter()
        .filter(|(place, secrets)| secrets.len() > 1 && changed.contains(place));
    several
        .map(|(place, mut secrets)| {
            secrets.sort_by_key(|secret| secret.age_order());
            let newest = secrets.last().map_or("", |secret| &secret.object);
            let objects: Vec<_> = secrets.iter().map(|secret| &*secret.object).collect();
            let (number, objects) = (objects.len(), objects.join(", "));
            let (sort, namespace) = (place.sort(), place.namespace);
            let effect = if place.kind == "env" {
                format!("where they set the same variable, that of the newest, {newest}, counts")
            } else {
                format!("only the newest, {newest}, is used")
            };
            format!(
                "{owner:?} {has} {number} secrets {sort} in namespace {namespace}: {objects}; {effect}; delete those that \
                 are not needed"
            )
        })
        .collect()
}

/// What only one secret can have, or where one comes before the other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    namespace: &'a str,
    kind: &'a str,
    /// None for kind git-ssh, of which a pod gets only one.
    name: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// Of kind image-pull all come; those of a kind that keyporter does not know are in nobody's way.
    fn of(secret: &'a Metadata) -> Option<Self> {
        let kind = secret.kind()?;
        let name = match kind {
            "git-ssh" => None,
            "default" | "env" | "auth" => Some(secret.name()),
            _ => return None,
        };
        Some(Self {
            namespace: &secret.namespace,
            kind,
            name,
        })
    }

    fn sort(&self) -> String {
        match self.name {
            Some(name) => format!("of kind {} called {name}", self.kind),
            None => format!("of kind {}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// One that was made on the given day.
    fn secret(object: &str, kind: &str, name: &str, day: u8) -> Metadata {
        from(json!({
            "namespace": "vision",
            "name": object,
            "resourceVersion": "1",
            "creationTimestamp": format!("2026-01-{day:02}T00:00:00Z"),
            "labels": {"keyporter.dev/kind": kind, "keyporter.dev/name": name},
        }))
    }

    fn from(json: Value) -> Metadata {
        serde_json::from_value(json).unwrap()
    }

    fn warn(before: &[Metadata], adopted: &[Metadata]) -> Vec<String> {
        let before: Vec<_> = before.iter().collect();
        warnings("alice", "now has", &before, adopted)
    }

    #[test]
    fn the_newest_is_named_for_each_place() {
        let before = [secret("z", "git-ssh", "git", 1), secret("e", "env", "w", 3)];
        let adopted = [
            secret("a", "git-ssh", "github", 2),
            secret("d", "env", "w", 2),
        ];
        assert_eq!(
            warn(&before, &adopted),
            [
                "\"alice\" now has 2 secrets of kind env called w in namespace vision: d, e; where they set the same \
                 variable, that of the newest, e, counts; delete those that are not needed",
                "\"alice\" now has 2 secrets of kind git-ssh in namespace vision: z, a; only the newest, a, is used; \
                 delete those that are not needed",
            ]
        );
    }

    #[test]
    fn what_clashes_with_nothing_or_did_before_is_not_spoken_of() {
        let mut elsewhere = secret("a", "default", "w", 1);
        elsewhere.namespace = "speech".to_owned();
        let before = [
            elsewhere,
            secret("b", "env", "w", 1),
            secret("c", "image-pull", "w", 1),
            secret("d", "git-ssh", "one", 1),
            secret("e", "git-ssh", "two", 1),
        ];
        let adopted = [
            secret("f", "default", "w", 1),
            secret("g", "image-pull", "w", 1),
            secret("h", "GCS", "w", 1),
            secret("i", "GCS", "w", 1),
        ];
        assert_eq!(warn(&before, &adopted), Vec::<String>::new());
    }
}
