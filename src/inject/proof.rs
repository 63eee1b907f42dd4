//! The proof of a stamp: that keyporter wrote it, on this object and for this owner.
//!
//! Whoever may write a workload may write any annotation, and does so unseen before keyporter is installed, or while a
//! namespace is not opted in. So a name in a template counts only with a proof: an HMAC (RFC 2104, with SHA-256) over
//! the namespace's uid, the object's kind and name, and the owner. Nobody but keyporter has the key. A copy of stamp and
//! proof to another namespace, another object or another owner is worth nothing.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::object::{Name, Object};

/// Length of a key in bytes: that of the hash.
pub const KEY_LENGTH: usize = 32;

/// Keeps these from being taken for the MACs of anything else.
const PURPOSE: &str = "keyporter.dev/owner-proof/v1";

/// The block of the hash, to which HMAC fills a key up with zeros.
const BLOCK: usize = 64;

/// A key, redacted wherever it is shown and erased when it is dropped.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; BLOCK]>);

impl Key {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; KEY_LENGTH]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mut block = Zeroizing::new([0; BLOCK]);
        for (place, byte) in block.iter_mut().zip(&*bytes) {
            *place = *byte;
        }
        Self(block)
    }

    fn sign(
        &self,
        namespace: &str,
        object: &Object<'_>,
        name: Name<'_>,
        owner: &str,
    ) -> Hmac<Sha256> {
        let (tag, name) = match name {
            Name::Given(name) => ("name", name),
            Name::Generated(prefix) => ("generateName", prefix),
        };
        let mut mac = Hmac::<Sha256>::new((&*self.0).into());
        let Object { kind, .. } = object;
        for field in [PURPOSE, namespace, kind.group, kind.kind, tag, name, owner] {
            // With its length before it, no field runs into the next.
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// The keys: that which signs, and those which signed before and still count. Each has a number; the highest signs.
#[derive(Debug, Clone)]
pub struct Keys {
    current: (u32, Key),
    previous: Vec<(u32, Key)>,
}

impl Keys {
    /// These keys; `None` where there is none.
    #[must_use]
    pub fn new(mut keys: Vec<(u32, Key)>) -> Option<Self> {
        keys.sort_unstable_by_key(|(number, _)| *number);
        let current = keys.pop()?;
        Some(Self {
            current,
            previous: keys,
        })
    }

    /// One key.
    #[must_use]
    pub fn single(key: Key) -> Self {
        Self {
            current: (1, key),
            previous: vec![],
        }
    }

    /// Their numbers, that of the one which signs first.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let (current, _) = self.current;
        let previous = self.previous.iter().rev().map(|(number, _)| *number);
        std::iter::once(current).chain(previous)
    }

    fn get(&self, number: u32) -> Option<&Key> {
        let mut all = std::iter::once(&self.current).chain(&self.previous);
        all.find(|(other, _)| *other == number).map(|(_, key)| key)
    }
}

/// What proofs of one namespace are written and checked with.
#[derive(Debug, Clone, Copy)]
pub struct Proofs<'a> {
    /// The keys.
    pub keys: &'a Keys,
    /// The namespace's `metadata.uid`: one that is made again is another.
    pub namespace: &'a str,
}

impl Proofs<'_> {
    /// The proof that this object's owner is `owner`.
    #[must_use]
    pub fn write(&self, object: &Object<'_>, owner: &str) -> String {
        let (number, key) = &self.keys.current;
        let mac = key.sign(self.namespace, object, object.name(), owner);
        let mac = mac.finalize().into_bytes();
        format!("v1.{number}.{}", BASE64URL_NOPAD.encode(&mac))
    }

    /// Whether `proof` says that this object's owner is `owner`.
    #[must_use]
    pub fn holds(&self, proof: &str, object: &Object<'_>, owner: &str) -> bool {
        let Some((number, mac)) = parse(proof) else {
            return false;
        };
        let (Some(key), Ok(mac)) = (
            self.keys.get(number),
            BASE64URL_NOPAD.decode(mac.as_bytes()),
        ) else {
            return false;
        };
        object.names().any(|name| {
            let signed = key.sign(self.namespace, object, name, owner);
            signed.verify_slice(&mac).is_ok()
        })
    }
}

/// The number of the key that a proof says it was written with, if it looks like a proof.
#[must_use]
pub fn key_number(proof: &str) -> Option<u32> {
    parse(proof).map(|(number, _)| number)
}

fn parse(proof: &str) -> Option<(u32, &str)> {
    let (number, mac) = proof.strip_prefix("v1.")?.split_once('.')?;
    Some((number.parse().ok()?, mac))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::object::Kind;
    use super::*;

    fn keys(numbers: &[u8]) -> Keys {
        let key = |number: &u8| (u32::from(*number), Key::new([*number; KEY_LENGTH]));
        Keys::new(numbers.iter().map(key).collect()).unwrap()
    }

    const JOB: Object<'_> = Object {
        kind: Kind {
            group: "batch",
            kind: "Job",
        },
        name: "train",
        generate_name: "",
    };

    fn proof(keys: &Keys) -> String {
        Proofs {
            keys,
            namespace: "uid",
        }
        .write(&JOB, "alice")
    }

    #[rstest]
    #[case::the_same("uid", JOB, "alice", true)]
    #[case::another_namespace("other", JOB, "alice", false)]
    #[case::another_owner("uid", JOB, "bob", false)]
    #[case::another_name("uid", Object { name: "trains", ..JOB }, "alice", false)]
    #[case::another_kind("uid", Object { kind: Kind { kind: "CronJob", ..JOB.kind }, ..JOB }, "alice", false)]
    #[case::another_group("uid", Object { kind: Kind { group: "apps", ..JOB.kind }, ..JOB }, "alice", false)]
    #[case::a_generated_name("uid", Object { name: "", generate_name: "train", ..JOB }, "alice", false)]
    #[case::fields_that_run_together("uidbatch", Object { kind: Kind { group: "", ..JOB.kind }, ..JOB }, "alice", false)]
    fn a_proof_is_for_one_object_and_owner(
        #[case] namespace: &str,
        #[case] object: Object<'_>,
        #[case] owner: &str,
        #[case] expected: bool,
    ) {
        let keys = keys(&[1]);
        let proofs = Proofs {
            keys: &keys,
            namespace,
        };
        assert_eq!(proofs.holds(&proof(&keys), &object, owner), expected);
    }

    #[test]
    fn a_generated_name_keeps_its_proof() {
        let keys = keys(&[1]);
        let proofs = Proofs {
            keys: &keys,
            namespace: "uid",
        };
        let before = Object {
            name: "",
            generate_name: "train-",
            ..JOB
        };
        let after = Object {
            name: "train-x7z2k",
            ..JOB
        };
        assert!(proofs.holds(&proofs.write(&before, "alice"), &after, "alice"));
    }

    #[test]
    fn the_highest_key_signs_and_the_others_still_count() {
        let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
        let holds = |keys, proof: &str| {
            let namespace = "uid";
            Proofs { keys, namespace }.holds(proof, &JOB, "alice")
        };
        assert_eq!(both.numbers().collect::<Vec<_>>(), [2, 1]);
        assert!(holds(&both, &proof(&old)));
        assert!(holds(&new, &proof(&both)));
        assert!(!holds(&new, &proof(&old)));
        assert!(!holds(&old, &proof(&both)));
    }

    #[test]
    fn another_key_of_the_same_number_does_not_count() {
        let forged = Keys::new(vec![(1, Key::new([7; KEY_LENGTH]))]).unwrap();
        let keys = keys(&[1]);
        let proofs = Proofs {
            keys: &keys,
            namespace: "uid",
        };
        assert!(!proofs.holds(&proof(&forged), &JOB, "alice"));
    }

    #[rstest]
    #[case("")]
    #[case("v1")]
    #[case("v1.1")]
    #[case("v1.1.")]
    #[case("v1.-1.AAAA")]
    #[case("v1.99999999999.AAAA")]
    #[case("v1.1.!!!!")]
    #[case("v2.1.AAAA")]
    #[case("v1.1.AAAA.AAAA")]
    fn what_is_no_proof(#[case] text: &str) {
        let keys = keys(&[1]);
        let proofs = Proofs {
            keys: &keys,
            namespace: "uid",
        };
        assert!(!proofs.holds(text, &JOB, "alice"));
    }

    #[test]
    fn a_cut_proof_does_not_count() {
        let keys = keys(&[1]);
        let proofs = Proofs {
            keys: &keys,
            namespace: "uid",
        };
        let whole = proof(&keys);
        for length in 0..whole.len() {
            let cut: String = whole.chars().take(length).collect();
            assert!(!proofs.holds(&cut, &JOB, "alice"), "{length}");
        }
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(
            format!("{:?}", keys(&[1])),
            "Keys { current: (1, Key), previous: [] }"
        );
    }
}
