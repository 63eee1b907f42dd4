//! Mount paths and how they lie to each other.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::pod::{Container, Text, Volume, VolumeMount};
use super::warning::Obstacle;

/// How two paths lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same place.
    Same,
    /// The first contains the second.
    Above,
    /// The first lies in the second.
    Below,
    /// Neither.
    Apart,
}

/// Compares two paths from the root by their components, so that `/a//b/` and `/a/c/../b` are `/a/b`.
#[must_use]
pub fn relation(one: &str, other: &str) -> Relation {
    // No search for a text: to set one up costs more than to look through a path.
    let climbs = |path: &str| path.as_bytes().windows(2).any(|pair| pair == b"..");
    if climbs(one) || climbs(other) {
        return compare(resolved(one).into_iter(), resolved(other).into_iter());
    }
    compare(parts(one), parts(other))
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
}

fn resolved(path: &str) -> Vec<&str> {
    let mut resolved = Vec::new();
    for part in parts(path) {
        if part == ".." {
            resolved.pop();
        } else {
            resolved.push(part);
        }
    }
    resolved
}

fn compare<'a>(
    mut one: impl Iterator<Item = &'a str>,
    mut other: impl Iterator<Item = &'a str>,
) -> Relation {
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Relation::Same,
            (None, Some(_)) => return Relation::Above,
            (Some(_), None) => return Relation::Below,
            (Some(a), Some(b)) if a == b => {}
            (Some(_), Some(_)) => return Relation::Apart,
        }
    }
}

/// Whether a container has room for a mount.
#[derive(Debug)]
pub enum Room<'a> {
    /// Nothing is in the way.
    Free,
    /// Something is mounted at that very path.
    Mounted(Mounted<'a>),
    /// Something is in the way.
    Blocked(Obstacle<'a>),
}

/// A place that is taken by a mount.
#[derive(Debug, Clone, Copy)]
pub struct Mounted<'a> {
    /// Where.
    pub path: &'a str,
    /// The volume; `None` for a file that this pass adds.
    volume: Option<&'a str>,
    /// The one file of the volume that is mounted; `None` if all of it is.
    file: Option<&'a str>,
    read_only: bool,
}

impl<'a> Mounted<'a> {
    fn of(mount: &'a VolumeMount<'a>) -> Self {
        let file = mount.sub_path.as_ref().map(Text::as_str);
        Self {
            path: mount.mount_path.as_str(),
            volume: Some(mount.name.as_str()),
            file: file.filter(|file| !file.is_empty()),
            read_only: mount.read_only == Some(true),
        }
    }

    /// The volume, if all of it is mounted here.
    #[must_use]
    pub fn whole(self) -> Option<&'a str> {
        self.volume.filter(|_| self.file.is_none())
    }

    /// Whether this file of this volume is mounted here.
    #[must_use]
    pub fn is_file(self, volume: &str, file: &str) -> bool {
        self.volume == Some(volume) && self.file == Some(file)
    }

    fn is_read_only(self, volumes: &HashMap<&str, &Volume<'_>>) -> bool {
        let volume = self.volume.and_then(|name| volumes.get(name));
        self.read_only || volume.is_some_and(|volume| volume.is_read_only())
    }
}

/// The places that a container's own mounts and devices take. Sorted by their components, so that a container with
/// thousands of mounts and an owner with thousands of secrets cost no more than both together.
#[derive(Debug)]
pub struct Places<'a> {
    mounts: BTreeMap<Vec<&'a str>, Mounted<'a>>,
    devices: BTreeMap<Vec<&'a str>, &'a str>,
}

impl<'a> Places<'a> {
    /// Those of a container.
    #[must_use]
    pub fn of(container: &'a Container<'a>) -> Self {
        let mut places = Self {
            mounts: BTreeMap::new(),
            devices: BTreeMap::new(),
        };
        for mount in container.volume_mounts.iter().flatten() {
            let place = resolved(mount.mount_path.as_str());
            let mounted = Mounted::of(mount);
            places.mounts.entry(place).or_insert(mounted);
        }
        for device in container.volume_devices.iter().flatten() {
            let path = device.device_path.as_str();
            places.devices.insert(resolved(path), path);
        }
        places
    }

    /// Takes a free place for a read-only file.
    pub fn take(&mut self, path: &'a str) {
        let mounted = Mounted {
            path,
            volume: None,
            file: None,
            read_only: true,
        };
        self.mounts.insert(resolved(path), mounted);
    }

    /// Looks for room at `path`. A mount above it is in the way only if it is read-only: the runtime makes the folder for
    /// the inner mount inside the outer one, and the container would not start. A device is in the way where it lies at
    /// the path or below it.
    #[must_use]
    pub fn room_at(&self, path: &str, volumes: &HashMap<&str, &Volume<'_>>) -> Room<'a> {
        let mut place = resolved(path);
        if let Some(mount) = self.mounts.get(place.as_slice()) {
            return Room::Mounted(*mount);
        }
        if let Some(device) = from(&self.devices, &place) {
            return Room::Blocked(Obstacle::Device(device));
        }
        if let Some(mount) = from(&self.mounts, &place) {
            return Room::Blocked(Obstacle::MountBelow(mount.path));
        }
        while place.pop().is_some() {
            let above = self.mounts.get(place.as_slice());
            if let Some(mount) = above.filter(|mount| mount.is_read_only(volumes)) {
                return Room::Blocked(Obstacle::ReadOnlyAbove(mount.path));
            }
        }
        Room::Free
    }
}

/// The first entry at a place or below it: in the order of components what lies below a place follows it at once.
fn from<'m, T: Copy>(map: &'m BTreeMap<Vec<&'m str>, T>, place: &[&'m str]) -> Option<T> {
    let mut rest = map.range::<[&str], _>((Bound::Included(place), Bound::Unbounded));
    let (_, found) = rest.next().filter(|(other, _)| other.starts_with(place))?;
    Some(*found)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/a/b", "/a/b", Relation::Same)]
    #[case("/a/b/", "/a//b", Relation::Same)]
    #[case("/a/./b", "/a/b", Relation::Same)]
    #[case("/a", "/a/b", Relation::Above)]
    #[case("/", "/a/b", Relation::Above)]
    #[case("/a/b", "/a", Relation::Below)]
    #[case("/a/b", "/a/bc", Relation::Apart)]
    #[case("/a", "/b", Relation::Apart)]
    #[case("/a/c/../b", "/a/b", Relation::Same)]
    #[case("/../a", "/a/b", Relation::Above)]
    #[case("/a/..b", "/a/b", Relation::Apart)]
    #[case("a", "/a", Relation::Same)]
    fn relations(#[case] one: &str, #[case] other: &str, #[case] expected: Relation) {
        assert_eq!(relation(one, other), expected);
    }
}
