//! The volumes that a pod has of its own.

use super::pod::{Spec, Volume};

/// Volumes by name. Of two with one name, which no API server takes, the first counts.
#[derive(Debug)]
pub struct Volumes<'a>(Vec<&'a Volume<'a>>);

impl<'a> Volumes<'a> {
    /// Those of a pod.
    #[must_use]
    pub fn of(spec: &'a Spec<'a>) -> Self {
        let mut volumes: Vec<_> = spec.volumes.iter().flatten().collect();
        volumes.sort_by_key(|volume| volume.name.as_str());
        volumes.dedup_by_key(|volume| volume.name.as_str());
        Self(volumes)
    }

    /// The volume of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Volume<'a>> {
        let place = (self.0).binary_search_by_key(&name, |volume| volume.name.as_str());
        self.0.get(place.ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts() {
        let text = r#"{"volumes": [{"name": "b", "emptyDir": {}}, {"name": "a"}, {"name": "b"}]}"#;
        let spec: Spec<'_> = serde_json::from_str(text).unwrap();
        let volumes = Volumes::of(&spec);
        assert!(volumes.get("b").unwrap().empty_dir.is_some());
        assert!(volumes.get("a").unwrap().empty_dir.is_none());
        assert!(volumes.get("c").is_none());
    }
}
