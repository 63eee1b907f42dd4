//! Where an operation is: a JSON Pointer (RFC 6901).

use std::fmt;

use serde::{Serialize, Serializer};

use crate::inject::changes::Group;

/// A JSON Pointer, written out or still in its parts.
#[derive(Debug)]
pub(super) enum Path<'a> {
    Written(String),
    InList(List<'a>, Place),
}

/// A list in a pod, or another member that stands where lists do.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    /// The pointer to the pod.
    base: &'a str,
    container: Option<(Group, usize)>,
    member: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Whole,
    End,
    At(usize),
    Member(usize, &'static str),
}

impl<'a> List<'a> {
    /// A member of the pod's `spec`.
    pub(super) fn of_pod(base: &'a str, member: &'static str) -> Self {
        Self {
            base,
            container: None,
            member,
        }
    }

    /// A member of a container.
    pub(super) fn of_container(
        base: &'a str,
        group: Group,
        index: usize,
        member: &'static str,
    ) -> Self {
        Self {
            base,
            container: Some((group, index)),
            member,
        }
    }

    /// The list itself.
    pub(super) fn whole(self) -> Path<'a> {
        Path::InList(self, Place::Whole)
    }

    /// Behind its last entry.
    pub(super) fn end(self) -> Path<'a> {
        Path::InList(self, Place::End)
    }

    /// Its entry with this number.
    pub(super) fn at(self, place: usize) -> Path<'a> {
        Path::InList(self, Place::At(place))
    }

    /// A member of that entry.
    pub(super) fn member(self, place: usize, name: &'static str) -> Path<'a> {
        Path::InList(self, Place::Member(place, name))
    }
}

impl From<String> for Path<'_> {
    fn from(pointer: String) -> Self {
        Self::Written(pointer)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (list, place) = match self {
            Self::Written(pointer) => return f.write_str(pointer),
            Self::InList(list, place) => (list, *place),
        };
        let List {
            base,
            container,
            member,
        } = list;
        f.write_str(base)?;
        match container {
            None => f.write_str("/spec/")?,
            Some((group, index)) => {
                f.write_str(match group {
                    Group::Init => "/spec/initContainers/",
                    Group::Main => "/spec/containers/",
                })?;
                fmt::Display::fmt(index, f)?;
                f.write_str("/")?;
            }
        }
        f.write_str(member)?;
        match place {
            Place::Whole => Ok(()),
            Place::End => f.write_str("/-"),
            Place::At(place) => write!(f, "/{place}"),
            Place::Member(place, name) => write!(f, "/{place}/{name}"),
        }
    }
}

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Written(pointer) => serializer.serialize_str(pointer),
            Self::InList(..) => serializer.collect_str(self),
        }
    }
}
