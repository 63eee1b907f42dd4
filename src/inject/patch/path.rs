//! Where an operation is: a JSON Pointer (RFC 6901).

use crate::inject::changes::Group;
use crate::json::write::append_inner;

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
    /// Appends what stands between the quotation marks of the pointer as JSON.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let (list, place) = match self {
            Self::Written(pointer) => return append_inner(out, pointer.as_bytes()),
            Self::InList(list, place) => (list, *place),
        };
        let List {
            base,
            container,
            member,
        } = list;
        append_inner(out, base.as_bytes());
        match container {
            None => out.extend_from_slice(b"/spec/"),
            Some((group, index)) => {
                out.extend_from_slice(match group {
                    Group::Init => b"/spec/initContainers/".as_slice(),
                    Group::Main => b"/spec/containers/",
                });
                append_number(out, *index);
                out.push(b'/');
            }
        }
        out.extend_from_slice(member.as_bytes());
        match place {
            Place::Whole => {}
            Place::End => out.extend_from_slice(b"/-"),
            Place::At(place) => {
                out.push(b'/');
                append_number(out, place);
            }
            Place::Member(place, name) => {
                out.push(b'/');
                append_number(out, place);
                out.push(b'/');
                out.extend_from_slice(name.as_bytes());
            }
        }
    }
}

/// Most are small.
fn append_number(out: &mut Vec<u8>, number: usize) {
    match u8::try_from(number) {
        Ok(digit @ ..=9) => out.push(b'0' + digit),
        _ => out.extend_from_slice(number.to_string().as_bytes()),
    }
}
