//! Mount paths and how they lie to each other.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use memchr::memchr_iter;

use super::pod::{Container, Text, Volume, VolumeMount};
use super::volumes::Volumes;
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
    let (one, other) = (Location::of(one), Location::of(other));
    match (one.contains(&other), other.contains(&one)) {
        (true, true) => Relation::Same,
        (true, false) => Relation::Above,
        (false, true) => Relation::Below,
        (false, false) => Relation::Apart,
    }
}

/// A path from the root by its components, with one slash between two of them. In the order of locations what lies below
/// one follows it at once.
#[derive(Debug, PartialEq, Eq)]
struct Location<'p>(Cow<'p, str>);

impl<'p> Location<'p> {
    fn of(path: &'p str) -> Self {
        match path.strip_prefix('/') {
            Some(location) if is_resolved(location) => Self(Cow::Borrowed(location)),
            _ => Self(Cow::Owned(resolved(path).join("/"))),
        }
    }

    /// Whether the other one is this one, or lies below it.
    fn contains(&self, other: &Location<'_>) -> bool {
        let rest = other.0.strip_prefix(&*self.0);
        self.0.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// All that it lies in, from the inside to the root.
    fn above(&self) -> impl Iterator<Item = Location<'_>> {
        let all = std::iter::successors(Some(&*self.0), |inner| above(inner));
        all.skip(1)
            .map(|location| Location(Cow::Borrowed(location)))
    }
}

fn above(location: &str) -> Option<&str> {
    match location.rsplit_once('/') {
        Some((above, _)) => Some(above),
        None => Some("").filter(|_| !location.is_empty()),
    }
}

impl Ord for Location<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let mut both = self.0.bytes().zip(other.0.bytes());
        match both.find(|(one, other)| one != other) {
            None => self.0.len().cmp(&other.0.len()),
            Some((b'/', _)) => Ordering::Less,
            Some((_, b'/')) => Ordering::Greater,
            Some((one, other)) => one.cmp(&other),
        }
    }
}

impl PartialOrd for Location<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether this is a location as it stands. Of names that begin with a dot that is not said.
fn is_resolved(location: &str) -> bool {
    let bytes = location.as_bytes();
    let begins = |place: usize| !matches!(bytes.get(place), Some(b'/' | b'.'));
    begins(0)
        && bytes.last() != Some(&b'/')
        && memchr_iter(b'/', bytes).all(|slash| begins(slash + 1))
}

fn resolved(path: &str) -> Vec<&str> {
    let mut resolved = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(resolved.pop()),
            part => resolved.push(part),
        }
    }
    resolved
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

    fn is_read_only(self, volumes: &Volumes<'_>) -> bool {
        let volume = self.volume.and_then(|name| volumes.get(name));
        self.read_only || volume.is_some_and(Volume::is_read_only)
    }
}

/// The places that a container's own mounts and devices take. Sorted by their components, so that a container with
/// thousands of mounts and an owner with thousands of secrets cost no more than both together.
#[derive(Debug)]
pub struct Places<'a> {
    mounts: BTreeMap<Location<'a>, Mounted<'a>>,
    devices: BTreeMap<Location<'a>, &'a str>,
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
            let place = Location::of(mount.mount_path.as_str());
            let mounted = Mounted::of(mount);
            places.mounts.entry(place).or_insert(mounted);
        }
        for device in container.volume_devices.iter().flatten() {
            let path = device.device_path.as_str();
            places.devices.insert(Location::of(path), path);
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
        self.mounts.insert(Location::of(path), mounted);
    }

    /// Looks for room at `path`. A mount above it is in the way only if it is read-only: the runtime makes the folder for
    /// the inner mount inside the outer one, and the container would not start. A device is in the way where it lies at
    /// the path or below it.
    #[must_use]
    pub fn room_at(&self, path: &str, volumes: &Volumes<'_>) -> Room<'a> {
        let place = Location::of(path);
        match first_in(&self.mounts, &place) {
            Some((there, mount)) if *there == place => return Room::Mounted(mount),
            below => {
                if let Some((_, device)) = first_in(&self.devices, &place) {
                    return Room::Blocked(Obstacle::Device(device));
                }
                if let Some((_, mount)) = below {
                    return Room::Blocked(Obstacle::MountBelow(mount.path));
                }
            }
        }
        let mut above = place.above().filter_map(|above| at(&self.mounts, &above));
        if let Some(mount) = above.find(|mount| mount.is_read_only(volumes)) {
            return Room::Blocked(Obstacle::ReadOnlyAbove(mount.path));
        }
        Room::Free
    }
}

/// The entry at a place.
fn at<'m, T: Copy>(map: &BTreeMap<Location<'m>, T>, place: &Location<'m>) -> Option<T> {
    map.get(place).copied()
}

/// The first entry at a place or below it.
fn first_in<'t, 'm, T: Copy>(
    map: &'t BTreeMap<Location<'m>, T>,
    place: &Location<'m>,
) -> Option<(&'t Location<'m>, T)> {
    let mut rest = map.range((Bound::Included(place), Bound::Unbounded));
    let (there, found) = rest.next().filter(|(there, _)| place.contains(there))?;
    Some((there, *found))
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
    #[case("/", "//", Relation::Same)]
    #[case("/", "/", Relation::Same)]
    #[case("/a/.b", "/a/./.b/c", Relation::Above)]
    #[case("/a/b", "/a/b-c", Relation::Apart)]
    #[case("/a/b/..", "/a/b", Relation::Above)]
    fn relations(#[case] one: &str, #[case] other: &str, #[case] expected: Relation) {
        assert_eq!(relation(one, other), expected);
    }

    #[test]
    fn what_lies_below_follows_at_once() {
        let mut paths = [
            "/a/b-c", "/a/b/c", "/a", "/", "/a/b", "/a!", "/a/b!/c", "/b",
        ];
        paths.sort_by_key(|path| Location::of(path));
        let sorted = [
            "/", "/a", "/a/b", "/a/b/c", "/a/b!/c", "/a/b-c", "/a!", "/b",
        ];
        assert_eq!(paths, sorted);
    }
}
