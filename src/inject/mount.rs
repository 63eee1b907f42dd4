//! Mount paths and how they lie to each other.

use super::pod::{Container, Volume};
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
    if one.contains("..") || other.contains("..") {
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
#[derive(Debug, PartialEq, Eq)]
pub enum Room<'a> {
    /// Nothing is in the way.
    Free,
    /// The volume of this name is mounted at that very path.
    Mounted(&'a str),
    /// Something is in the way.
    Blocked(Obstacle<'a>),
}

/// Looks for room at `path`. A device is in the way where it lies at the path or below it. A mount above it is in the way only if it is read-only: the runtime makes the folder for
/// the inner mount inside the outer one, and the container would not start.
#[must_use]
pub fn room_at<'a>(path: &str, container: &'a Container<'a>, volumes: &[Volume<'a>]) -> Room<'a> {
    let mut room = Room::Free;
    for device in container.volume_devices.iter().flatten() {
        let own = device.device_path.as_str();
        if matches!(relation(own, path), Relation::Same | Relation::Below) {
            room = Room::Blocked(Obstacle::Device(own));
        }
    }
    for mount in container.volume_mounts.iter().flatten() {
        let own = mount.mount_path.as_str();
        match relation(own, path) {
            Relation::Apart => {}
            Relation::Same => return Room::Mounted(mount.name.as_str()),
            Relation::Below => room = Room::Blocked(Obstacle::MountBelow(own)),
            Relation::Above => {
                let volume = volumes.iter().find(|volume| volume.name == mount.name);
                if mount.read_only == Some(true) || volume.is_some_and(Volume::is_read_only) {
                    room = Room::Blocked(Obstacle::ReadOnlyAbove(own));
                }
            }
        }
    }
    room
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
