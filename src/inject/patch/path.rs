//! Where an operation is: a JSON Pointer (RFC 6901).

use serde::{Serialize, Serializer};

use crate::inject::changes::Group;

/// What a pointer takes, mostly.
const ROOM: usize = 64;

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

impl Path<'_> {
    fn write(&self, pointer: &mut String) {
        let (list, place) = match self {
            Self::Written(written) => return pointer.push_str(written),
            Self::InList(list, place) => (list, *place),
        };
        let List {
            base,
            container,
            member,
        } = list;
        pointer.push_str(base);
        match container {
            None => pointer.push_str("/spec/"),
            Some((group, index)) => {
                pointer.push_str(match group {
                    Group::Init => "/spec/initContainers/",
                    Group::Main => "/spec/containers/",
                });
                push_number(pointer, *index);
                pointer.push('/');
            }
        }
        pointer.push_str(member);
        match place {
            Place::Whole => {}
            Place::End => pointer.push_str("/-"),
            Place::At(place) => {
                pointer.push('/');
                push_number(pointer, place);
            }
            Place::Member(place, name) => {
                pointer.push('/');
                push_number(pointer, place);
                pointer.push('/');
                pointer.push_str(name);
            }
        }
    }
}

/// Most are small.
fn push_number(pointer: &mut String, number: usize) {
    match u8::try_from(number) {
        Ok(digit @ ..=9) => pointer.push(char::from(b'0' + digit)),
        _ => pointer.push_str(&number.to_string()),
    }
}

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Self::Written(pointer) = self {
            return serializer.serialize_str(pointer);
        }
        let mut pointer = String::with_capacity(ROOM);
        self.write(&mut pointer);
        serializer.serialize_str(&pointer)
    }
}
