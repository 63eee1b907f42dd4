//! What a running pod carries, by its own record.

use serde::Deserialize;

use super::annotations as names;
use super::pod::Text;

/// Whose secrets a pod carries, as its annotations say. Nobody but the webhook writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The pod's owner; `None` where it has none.
    pub owner: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    scope: String,
}

impl Carried {
    /// Reads a pod's annotations. `None`: it carries no secret of a user, and is as open as any pod.
    pub fn read<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let record = annotation(names::INJECTED)?;
        // A record that cannot be read is no reason to let anybody in.
        let of_user = serde_json::from_str::<Vec<Entry>>(record).map_or(true, |entries| {
            entries.iter().any(|entry| entry.scope == "user")
        });
        let owner = annotation(names::OWNER).filter(|owner| !owner.is_empty());
        of_user.then(|| Self {
            owner: owner.map(str::to_owned),
        })
    }
}

/// An entry of a pod's record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded<'a> {
    /// The Secret object.
    #[serde(borrow)]
    pub secret: Text<'a>,
    /// What the user calls it.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// Its kind.
    #[serde(borrow, default)]
    pub kind: Text<'a>,
    /// Its scope.
    #[serde(borrow, default)]
    pub scope: Text<'a>,
    /// Its `metadata.resourceVersion` at that time.
    #[serde(borrow, default)]
    pub resource_version: Text<'a>,
}

/// The secrets of a pod's record; none where it cannot be read.
#[must_use]
pub fn recorded(record: &str) -> Vec<Recorded<'_>> {
    serde_json::from_str(record).unwrap_or_default()
}

/// Whether a pod's record names this Secret.
///
/// A record that cannot be read names none. keyporter writes none such, and a stranger's pod with a damaged one would
/// otherwise carry every secret of the namespace.
#[must_use]
pub fn carries(record: &str, object: &str) -> bool {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        secret: Text<'a>,
    }
    serde_json::from_str::<Vec<Entry<'_>>>(record)
        .is_ok_and(|entries| entries.iter().any(|entry| entry.secret == *object))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(None, Some("alice"), "open")]
    #[case::of_the_project(Some(r#"[{"scope": "project"}]"#), Some("alice"), "open")]
    #[case::of_alice(
        Some(r#"[{"scope": "project"}, {"scope": "user"}]"#),
        Some("alice"),
        "alice's"
    )]
    #[case::of_nobody(Some(r#"[{"scope": "user"}]"#), None, "nobody's")]
    #[case::unreadable(Some("[{"), Some("alice"), "alice's")]
    fn records(#[case] record: Option<&str>, #[case] owner: Option<&str>, #[case] expected: &str) {
        let read = Carried::read(|name| match name {
            names::INJECTED => record,
            names::OWNER => owner,
            _ => None,
        });
        let whose = match read.map(|carried| carried.owner) {
            None => "open".to_owned(),
            Some(None) => "nobody's".to_owned(),
            Some(Some(owner)) => format!("{owner}'s"),
        };
        assert_eq!(whose, expected);
    }
}
