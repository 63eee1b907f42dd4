//! By what persons are told apart.
//!
//! Where all share one kubeconfig, the API server authenticates one user. Konduktor's client then says itself who it works
//! for: the label `trainy.ai/user-id` of a JobSet, and of a Secret `trainy.ai/secret-owner`, the head of the id's MD5. Both
//! are what a client writes. That keeps people's secrets apart, and protects them from nobody.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use serde_json::Value;

use super::annotations as names;
use super::pod::Pod;

/// How many hex digits of the MD5 Konduktor takes.
const HASH_LENGTH: usize = 8;

/// By what persons are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Identity {
    /// By the username that the API server authenticated.
    #[default]
    Authenticated,
    /// By Konduktor's labels: whom a client writes there, that user it is.
    Konduktor,
}

impl Identity {
    /// Who makes an object with this `trainy.ai/user-id`; nobody where what tells is not there.
    #[must_use]
    pub fn person<'a>(self, requester: &'a str, user_id: Option<&str>) -> Option<Cow<'a, str>> {
        match self {
            Self::Authenticated => Some(requester.into()),
            Self::Konduktor => user_id.map(|user_id| hash(user_id).into()),
        }
    }

    /// Whose a Secret is that has this `trainy.ai/secret-owner`, if that is what tells.
    #[must_use]
    pub fn secret_owner(self, label: Option<&str>) -> Option<&str> {
        label.filter(|label| self.is_hash(label))
    }

    /// Whether this is no username: there is nobody of this name to be asked about.
    #[must_use]
    pub fn is_hash(self, owner: &str) -> bool {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self == Self::Konduktor && owner.len() == HASH_LENGTH && owner.bytes().all(digit)
    }
}

/// The `trainy.ai/user-id` of a pod.
#[must_use]
pub fn user_id_of_pod<'a>(pod: &'a Pod<'_>) -> Option<&'a str> {
    let user_id = pod.metadata.as_ref()?.labels.get(names::KONDUKTOR_USER_ID);
    user_id.filter(|user_id| !user_id.is_empty())
}

/// The `trainy.ai/user-id` of any object: its own label, not that of a template in it.
#[must_use]
pub fn user_id(object: &Value) -> Option<&str> {
    let labels = object.get("metadata")?.get("labels")?;
    let user_id = labels.get(names::KONDUKTOR_USER_ID)?.as_str();
    user_id.filter(|user_id| !user_id.is_empty())
}

/// What Konduktor calls the user of this id.
fn hash(user_id: &str) -> String {
    let mut hash = HEXLOWER.encode(&Md5::digest(user_id.as_bytes()));
    hash.truncate(HASH_LENGTH);
    hash
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hash_is_the_head_of_the_md5() {
        // printf alice-982b | md5sum
        assert_eq!(hash("alice-982b"), "bc65ee65");
    }

    #[rstest]
    #[case::a_hash("bc65ee65", true)]
    #[case::capitals("BC65EE65", false)]
    #[case::too_short("bc65ee6", false)]
    #[case::too_long("bc65ee650", false)]
    #[case::a_username("alice-98", false)]
    #[case::empty("", false)]
    fn hashes(#[case] owner: &str, #[case] expected: bool) {
        assert_eq!(Identity::Konduktor.is_hash(owner), expected);
        let label = Identity::Konduktor.secret_owner(Some(owner));
        assert_eq!(label.is_some(), expected);
        assert!(!Identity::Authenticated.is_hash(owner));
    }

    #[test]
    fn persons() {
        let person = |identity: Identity, user_id| {
            let person = identity.person("shared", user_id);
            person.map(Cow::into_owned).unwrap_or_default()
        };
        for user_id in [None, Some("alice-982b")] {
            assert_eq!(person(Identity::Authenticated, user_id), "shared");
        }
        assert_eq!(person(Identity::Konduktor, Some("alice-982b")), "bc65ee65");
        assert_eq!(person(Identity::Konduktor, None), "");
    }

    #[rstest]
    #[case::there(json!({"labels": {names::KONDUKTOR_USER_ID: "alice-982b"}}), Some("alice-982b"))]
    #[case::empty(json!({"labels": {names::KONDUKTOR_USER_ID: ""}}), None)]
    #[case::no_labels(json!({"labels": null}), None)]
    #[case::an_annotation(json!({"annotations": {names::KONDUKTOR_USER_ID: "alice-982b"}}), None)]
    fn labels(#[case] metadata: Value, #[case] expected: Option<&str>) {
        let object = json!({ "metadata": metadata });
        assert_eq!(user_id(&object), expected);
        let text = object.to_string();
        assert_eq!(
            user_id_of_pod(&serde_json::from_str(&text).unwrap()),
            expected
        );
    }
}
