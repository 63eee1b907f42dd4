//! Names: which ones are valid, and how longer ones are made from them without ever growing invalid.

use sha2::{Digest, Sha256};

/// The longest DNS label (RFC 1123), in bytes.
pub const LABEL_LENGTH: usize = 63;

/// The longest key of a Secret's data, in bytes.
pub const DATA_KEY_LENGTH: usize = 253;

/// How many digits of the owner id stand at the end of the name of a user's object.
pub const OWNER_ID_IN_NAMES: usize = 8;

/// Hex digits of the hash that stands for what a shortened name lost.
const SHORTENED_HASH: usize = 10;

/// Whether this is a valid secret name: `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, at most 63 bytes. The same rule as for DNS
/// labels in Kubernetes (RFC 1123): the name becomes a part of a file path and of volume names.
#[must_use]
pub fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= LABEL_LENGTH
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether the API server takes this for a key of a Secret's data.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data>
#[must_use]
pub fn is_data_key(key: &str) -> bool {
    (1..=DATA_KEY_LENGTH).contains(&key.len())
        && key.bytes().all(is_of_data_key)
        && key != "."
        && !key.starts_with("..")
}

/// Whether a key of a Secret's data can have this in it.
#[must_use]
pub fn is_of_data_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// What the object of a user's secret is called: the head of the owner id stands behind its name.
///
/// ```
/// assert_eq!(keyporter::inject::name::object("token", "alice"), "token-2bd806c9");
/// ```
#[must_use]
pub fn object(name: &str, owner: &str) -> String {
    let mut id = owner_id(owner);
    id.truncate(OWNER_ID_IN_NAMES);
    format!("{name}-{id}")
}

/// The owner id of a username: the first 32 hex digits of its SHA-256, safe as a label value.
///
/// ```
/// assert_eq!(keyporter::inject::name::owner_id("alice"), "2bd806c97f0e00af1a1fc3328fa763a9");
/// ```
#[must_use]
pub fn owner_id(username: &str) -> String {
    hash(username, 32)
}

/// A DNS label for `name` behind `prefix`. A name that fits stands there as it is. One that is too long or has
/// characters that a label cannot hold (dots, in object names) is [`shortened`]; so is one that looks as if it were,
/// lest somebody choose the name that another's label has.
#[must_use]
pub fn label(prefix: &str, name: &str) -> String {
    let whole = [prefix, name].concat();
    if is_label(&whole) && !looks_shortened(&whole) {
        return whole;
    }
    shortened(prefix, name)
}

/// A DNS label made unique by a hash of the whole name.
#[must_use]
pub fn shortened(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}{name}");
    let room = LABEL_LENGTH.saturating_sub(SHORTENED_HASH + 1);
    let safe = |c: char| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        }
    };
    let head: String = whole.chars().take(room).map(safe).collect();
    format!(
        "{}-{}",
        head.trim_end_matches('-'),
        hash(name, SHORTENED_HASH)
    )
}

fn looks_shortened(label: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    label
        .rsplit_once('-')
        .is_some_and(|(_, tail)| tail.len() == SHORTENED_HASH && tail.bytes().all(hex))
}

/// The first hex digits of the SHA-256 of a text.
pub(crate) fn hash(text: &str, digits: usize) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hex: String = digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(digit)
        .collect();
    hex.truncate(digits);
    hex
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a", true)]
    #[case("hugging-face", true)]
    #[case("9", true)]
    #[case("", false)]
    #[case("-a", false)]
    #[case("a-", false)]
    #[case("A", false)]
    #[case("a_b", false)]
    #[case("a.b", false)]
    #[case("ä", false)]
    #[case(&"x".repeat(63), true)]
    #[case(&"x".repeat(64), false)]
    fn names(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(is_label(name), valid);
    }

    #[test]
    fn an_owner_id_is_the_head_of_the_sha256() {
        // printf alice | sha256sum
        assert_eq!(owner_id("alice"), "2bd806c97f0e00af1a1fc3328fa763a9");
    }

    #[test]
    fn long_names_with_a_common_head_stay_apart() {
        let (one, other) = ("x".repeat(63), format!("{}y", "x".repeat(62)));
        assert_ne!(label("keyporter-", &one), label("keyporter-", &other));
    }

    proptest! {
        #[test]
        fn every_object_name_gives_a_label(name in "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?") {
            prop_assert!(is_label(&label("keyporter-", &name)));
        }
    }
}
