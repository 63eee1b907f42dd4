//! The borrowed view of a Secret under admission: the marks in its metadata, and nothing of what it holds.
//!
//! Everything else is skipped while reading, other annotations too: `kubectl.kubernetes.io/last-applied-configuration`
//! repeats the values. The rules are those of the policies in `deploy/helm/keyporter/policies`: our label comes before
//! Konduktor's, an empty owner is none, and every scope but `project` counts as the user's.

use serde::Deserialize;

use super::annotations as names;
use super::json_object::from_json_object;
use super::patch::Parents;
use super::pod::Text;

from_json_object!(Marks, Metadata, Labels, Annotations);

/// A Secret, of which only the marks are read.
#[derive(Debug, Default, Deserialize)]
#[serde(remote = "Self")]
pub struct Marks<'a> {
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    labels: Option<Labels<'a>>,
    #[serde(borrow, default)]
    annotations: Option<Annotations<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
struct Labels<'a> {
    #[serde(borrow, default, rename = "keyporter.dev/kind")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default, rename = "keyporter.dev/scope")]
    scope: Option<Text<'a>>,
    #[serde(borrow, default, rename = "parent")]
    konduktor_mark: Option<Text<'a>>,
    #[serde(borrow, default, rename = "trainy.ai/secret-kind")]
    konduktor_kind: Option<Text<'a>>,
    #[serde(borrow, default, rename = "trainy.ai/secret-owner")]
    konduktor_owner: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
struct Annotations<'a> {
    #[serde(borrow, default, rename = "keyporter.dev/owner")]
    owner: Option<Text<'a>>,
    #[serde(borrow, default, rename = "keyporter.dev/force-delete")]
    force_delete: Option<Text<'a>>,
}

impl<'a> Marks<'a> {
    /// The object's name; `None` where it has none yet.
    #[must_use]
    pub fn name(&self) -> Option<&Text<'a>> {
        Some(&self.metadata.as_ref()?.name).filter(|name| !name.as_str().is_empty())
    }

    /// Whether it is one of keyporter's, or of Konduktor's.
    #[must_use]
    pub fn is_keyporters(&self) -> bool {
        self.our_kind().is_some() || self.is_konduktors()
    }

    /// The kind as it stands there; `None` where it says none.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        let konduktors = || {
            let kind = self.labels()?.konduktor_kind.as_ref();
            kind.map(Text::as_str).filter(|_| self.is_konduktors())
        };
        self.our_kind().or_else(konduktors)
    }

    /// Whether Konduktor's client made it of files: a folder of them comes in an archive.
    #[must_use]
    pub fn is_konduktors_folder(&self) -> bool {
        self.is_konduktors() && self.kind() == Some("default")
    }

    /// Whether every pod of the project gets it.
    #[must_use]
    pub fn is_projects(&self) -> bool {
        let scope = self.labels().and_then(|labels| labels.scope.as_ref());
        scope.is_some_and(|scope| *scope == *"project")
    }

    /// The owner that is written there.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        let owner = self.annotations()?.owner.as_ref();
        owner.map(Text::as_str).filter(|owner| !owner.is_empty())
    }

    /// Konduktor's hash of who made it.
    #[must_use]
    pub fn konduktor_owner(&self) -> Option<&str> {
        let owner = self.labels()?.konduktor_owner.as_ref();
        owner.map(Text::as_str)
    }

    /// Whether it is to go though pods use it.
    #[must_use]
    pub fn goes_by_force(&self) -> bool {
        let force = self.annotations().and_then(|all| all.force_delete.as_ref());
        force.is_some_and(|force| *force == *"true")
    }

    /// What there is to put an annotation into.
    pub(super) fn parents(&self) -> Parents {
        match &self.metadata {
            None => Parents::NoMetadata,
            Some(metadata) if metadata.annotations.is_none() => Parents::NoAnnotations,
            Some(_) => Parents::Annotations,
        }
    }

    fn our_kind(&self) -> Option<&str> {
        self.labels()?.kind.as_ref().map(Text::as_str)
    }

    fn is_konduktors(&self) -> bool {
        let mark = self
            .labels()
            .and_then(|labels| labels.konduktor_mark.as_ref());
        mark.is_some_and(|mark| *mark == *names::KONDUKTOR_PARENT)
    }

    fn labels(&self) -> Option<&Labels<'a>> {
        self.metadata.as_ref()?.labels.as_ref()
    }

    fn annotations(&self) -> Option<&Annotations<'a>> {
        self.metadata.as_ref()?.annotations.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::inject::json_object::with_a_list;

    /// `kind/owner`, with `!` before what is none of keyporter's, `project` for the owner, and `forced` at the end.
    fn told(labels: &serde_json::Value, annotations: &serde_json::Value) -> String {
        let secret =
            json!({"metadata": {"name": "s", "labels": labels, "annotations": annotations}});
        let secret = secret.to_string();
        let marks: Marks<'_> = serde_json::from_str(&secret).unwrap();
        let owner = marks.owner().filter(|_| !marks.is_projects());
        format!(
            "{}{}/{}{}",
            if marks.is_keyporters() { "" } else { "!" },
            marks.kind().unwrap_or("-"),
            if marks.is_projects() {
                "project"
            } else {
                owner.unwrap_or("-")
            },
            if marks.goes_by_force() { "/forced" } else { "" },
        )
    }

    #[rstest]
    #[case::ordinary(json!({"app": "x"}), json!(null), "!-/-")]
    #[case::nothing(json!(null), json!({}), "!-/-")]
    #[case::ours(json!({names::KIND: "env"}), json!({names::OWNER: "alice"}), "env/alice")]
    #[case::empty_kind(json!({names::KIND: ""}), json!({names::OWNER: ""}), "/-")]
    #[case::konduktors(json!({names::KONDUKTOR_MARK: "konduktor", names::KONDUKTOR_KIND: "git-ssh"}), json!({}), "git-ssh/-")]
    #[case::konduktors_without_a_kind(json!({names::KONDUKTOR_MARK: "konduktor"}), json!({}), "-/-")]
    #[case::another_parent(json!({names::KONDUKTOR_MARK: "helm", names::KONDUKTOR_KIND: "env"}), json!({}), "!-/-")]
    #[case::both(
        json!({names::KIND: "env", names::KONDUKTOR_MARK: "konduktor", names::KONDUKTOR_KIND: "git-ssh"}),
        json!({}),
        "env/-"
    )]
    #[case::a_projects(json!({names::KIND: "env", names::SCOPE: "project"}), json!({names::OWNER: "alice"}), "env/project")]
    #[case::an_unknown_scope(json!({names::KIND: "env", names::SCOPE: "galaxy"}), json!({names::OWNER: "alice"}), "env/alice")]
    #[case::forced(json!({names::KIND: "env"}), json!({names::FORCE_DELETE: "true"}), "env/-/forced")]
    #[case::not_forced(json!({names::KIND: "env"}), json!({names::FORCE_DELETE: "yes"}), "env/-")]
    fn marks(
        #[case] labels: serde_json::Value,
        #[case] annotations: serde_json::Value,
        #[case] expected: &str,
    ) {
        assert_eq!(told(&labels, &annotations), expected);
    }

    #[test]
    fn no_list_stands_for_an_object() {
        let secret = json!({"metadata": {"labels": {names::KIND: "env"}, "annotations": {names::OWNER: "alice"}}});
        for odd in with_a_list(&secret) {
            let text = odd.to_string();
            assert!(serde_json::from_str::<Marks<'_>>(&text).is_err(), "{odd}");
        }
    }

    #[test]
    fn no_value_is_kept() {
        let secret = json!({
            "metadata": {
                "name": "s",
                "labels": {names::KIND: "env", "app": "hunter2"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"data\": {\"a\": \"hunter2\"}}"},
            },
            "data": {"a": "hunter2"},
            "stringData": {"b": "hunter2\n"},
        });
        let secret = secret.to_string();
        let marks: Marks<'_> = serde_json::from_str(&secret).unwrap();
        assert_eq!(marks.kind(), Some("env"));
        assert!(!format!("{marks:?}").contains("hunter2"), "{marks:?}");
    }
}
