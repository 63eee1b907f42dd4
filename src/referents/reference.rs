//! An object as an owner reference names it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// The longest name of an object, in bytes.
const NAME_LENGTH: usize = 253;

/// Version, kind, name and uid of an object.
///
/// The references of a pod that is being created are what somebody wrote: the API server checks them after admission. Each
/// part of one of these can stand in a path of the API and in an Event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Reference {
    /// That of an object's controller, if it has one and the reference can be one.
    #[must_use]
    pub fn of_controller(owners: Vec<OwnerReference>) -> Option<Self> {
        let OwnerReference {
            api_version,
            kind,
            name,
            uid,
            ..
        } = owners
            .into_iter()
            .find(|owner| owner.controller == Some(true))?;
        Self::new(&api_version, &kind, &name, &uid)
    }

    /// `None` where a part could lead elsewhere in a path.
    #[must_use]
    pub fn new(api_version: &str, kind: &str, name: &str, uid: &str) -> Option<Self> {
        let (group, version) = match api_version.split_once('/') {
            Some((group, version)) if is_part(group) => (group, version),
            Some(_) => return None,
            None => ("", api_version),
        };
        if ![version, kind, name, uid].into_iter().all(is_part) {
            return None;
        }
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        })
    }

    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }
}

fn is_part(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'_');
    (1..=NAME_LENGTH).contains(&text.len())
        && text.bytes().all(plain)
        && text.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn owner(api_version: &str, name: &str, controller: Option<bool>) -> OwnerReference {
        OwnerReference {
            api_version: api_version.to_owned(),
            controller,
            kind: "ReplicaSet".to_owned(),
            name: name.to_owned(),
            uid: "4b1f1c6e".to_owned(),
            ..OwnerReference::default()
        }
    }

    #[rstest]
    #[case::of_a_group("apps/v1", "apps", "v1")]
    #[case::of_the_core("v1", "", "v1")]
    fn only_the_controller_counts(
        #[case] api_version: &str,
        #[case] group: &str,
        #[case] version: &str,
    ) {
        let owners = vec![
            owner("apps/v1", "first", None),
            owner("apps/v1", "second", Some(false)),
            owner(api_version, "third", Some(true)),
        ];
        let reference = Reference::of_controller(owners).unwrap();
        assert_eq!(reference.name, "third");
        assert_eq!((&*reference.group, &*reference.version), (group, version));
        assert_eq!(reference.api_version(), api_version);
    }

    /// A path made of it would lead elsewhere.
    #[rstest]
    #[case("apps/v1", "../secrets/token")]
    #[case("apps/v1", "..")]
    #[case("apps/v1", "a?watch=true")]
    #[case("apps/v1", "a%2fb")]
    #[case("apps/v1", "")]
    #[case("apps/v1", &"x".repeat(254))]
    #[case("../v1", "a")]
    #[case("/v1", "a")]
    #[case("apps/v1/namespaces", "a")]
    #[case("", "a")]
    fn what_can_be_no_reference_is_none(#[case] api_version: &str, #[case] name: &str) {
        let owners = vec![owner(api_version, name, Some(true))];
        assert_eq!(Reference::of_controller(owners), None);
    }
}
