//! How a secret that is there already becomes what a person wants: a plan, made without asking anybody.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    author::{Written, WrittenMetadata},
    draft::{Content, Draft, encoded, json},
    limits,
    present::{Annotations, Answer, Present},
    refusal::Refusal,
};
use crate::{
    folder::Present as Before,
    inject::{
        annotations as names,
        layout::Layout,
        secret::{Key, Scope},
    },
};

/// A change of one version of a Secret.
pub(super) struct Merge {
    version: String,
    /// What is written: only what is new or different.
    content: Content,
    annotations: BTreeMap<String, Option<String>>,
    pub(super) changes: Changes,
}

/// What becomes of the keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) kept: Vec<String>,
    pub(super) removed: Vec<String>,
    /// What else is different, in words.
    pub(super) settings: Vec<String>,
}

impl Merge {
    /// `object` is what the API server answered for, to be named where it cannot become what is wanted.
    pub(super) fn plan(draft: &Draft, object: &str, answer: &Answer) -> Result<Self, Refusal> {
        let shape = answer.compare(&BTreeMap::new())?;
        check_same_secret(draft, object, &shape)?;
        let old = shape.annotations();
        let layout_before: BTreeMap<String, String> = read(old.layout.as_deref());
        let content = draft.content(before(&shape, &layout_before))?;
        let present = answer.compare(&content.values)?;
        for key in &draft.removed {
            if !present.keys.contains_key(key) {
                return Err(Refusal::NoSuchKey(draft.name.clone(), key.clone()));
            }
            if content.values.contains_key(key) {
                return Err(Refusal::RemovedAndGiven(key.clone()));
            }
        }

        let changes = Changes::of(draft, &content, &present);
        let others = changes
            .kept
            .iter()
            .filter(|key| !content.values.contains_key(*key));
        let others: Vec<_> = others.cloned().collect();
        if draft.is_all && !others.is_empty() {
            let name = draft.name.clone();
            return Err(Refusal::OtherKeys { name, keys: others });
        }
        let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
        for (key, held) in &present.keys {
            sizes.insert(key.clone(), held.length as u64);
        }
        sizes.retain(|key, _| !draft.removed.contains(key));
        sizes.extend(content.sizes());
        if sizes.is_empty() {
            return Err(Refusal::NothingLeft(draft.name.clone()));
        }
        limits::check_values(draft.kind, &content.values)?;
        limits::check_together(draft.kind, &sizes)?;

        let mut layout = layout_before;
        layout.extend(content.layout.clone());
        layout.retain(|key, _| sizes.contains_key(key));
        check_layout(&layout, &sizes)?;
        let mut executables: BTreeSet<String> = read(old.executable.as_deref());
        executables.retain(|key| sizes.contains_key(key) && !content.layout.contains_key(key));
        executables.extend(content.executables.clone());

        let mut merge = Self {
            version: present.version.clone(),
            content,
            annotations: BTreeMap::new(),
            changes,
        };
        merge.annotate(draft, old, &sizes, &layout, &executables);
        let annotations = merge.annotations.iter();
        let texts = annotations.filter_map(|(name, value)| Some((&**name, value.as_deref()?)));
        limits::check_annotations(texts, sizes.len())?;
        merge
            .content
            .values
            .retain(|key, _| !merge.changes.kept.contains(key));
        if present.immutable && !merge.is_empty() {
            return Err(Refusal::Immutable(draft.name.clone()));
        }
        Ok(merge)
    }

    /// Whether the secret is what is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.content.values.is_empty()
            && self.changes.removed.is_empty()
            && self.annotations.is_empty()
    }

    pub(super) fn write(&self) -> Written<'_> {
        let mut data = encoded(&self.content.values);
        data.extend(self.changes.removed.iter().map(|key| (&**key, None)));
        Written {
            metadata: WrittenMetadata {
                resource_version: Some(&self.version),
                annotations: self.annotations.clone(),
                ..WrittenMetadata::default()
            },
            data,
            ..Written::default()
        }
    }

    /// Writes those annotations that are to be different.
    fn annotate(
        &mut self,
        draft: &Draft,
        old: &Annotations,
        sizes: &BTreeMap<String, u64>,
        layout: &BTreeMap<String, String>,
        executables: &BTreeSet<String>,
    ) {
        let layout = (!layout.is_empty()).then(|| json(layout));
        let executables = (!executables.is_empty()).then(|| json(executables));
        let injection = draft
            .injection
            .map(|injection| injection.as_str().to_owned());
        let use_case = draft.use_case.map(|use_case| use_case.to_string());
        // Neither said nor written is automatic.
        let unsaid = old.injection.is_none() && injection.as_deref() == Some("automatic");
        if let Some(injection) =
            injection.filter(|wanted| old.injection.as_ref() != Some(wanted) && !unsaid)
        {
            self.changes.settings.push(injection.clone());
            self.annotations
                .insert(names::INJECTION.to_owned(), Some(injection));
        }
        if let Some(use_case) = use_case.filter(|wanted| old.use_case.as_ref() != Some(wanted)) {
            self.changes.settings.push(format!("use case {use_case}"));
            self.annotations
                .insert(names::USE_CASE.to_owned(), Some(use_case));
        }
        let same_executables = read::<BTreeSet<String>>(old.executable.as_deref())
            == read::<BTreeSet<String>>(executables.as_deref());
        // Of new files, and of those that go, their keys tell.
        let place = |paths: &BTreeMap<String, String>, key: &String| paths.get(key).cloned();
        let stay = self.changes.changed.iter().chain(&self.changes.kept);
        let (before, after) = (
            read::<BTreeMap<String, String>>(old.layout.as_deref()),
            read::<BTreeMap<String, String>>(layout.as_deref()),
        );
        if stay
            .into_iter()
            .any(|key| place(&before, key) != place(&after, key))
        {
            self.changes.settings.push("where files lie".to_owned());
        }
        if before != after {
            self.annotations.insert(names::LAYOUT.to_owned(), layout);
        }
        if !same_executables {
            self.changes
                .settings
                .push("which files may be run".to_owned());
            self.annotations
                .insert(names::EXECUTABLE.to_owned(), executables);
        }
        let sizes_before: BTreeMap<String, u64> = read(old.sizes.as_deref());
        if sizes_before != *sizes {
            self.annotations
                .insert(names::SIZES.to_owned(), Some(json(sizes)));
        }
    }
}

impl Changes {
    /// Whether a person would see any difference.
    pub(super) fn is_empty(&self) -> bool {
        [&self.added, &self.changed, &self.removed, &self.settings]
            .into_iter()
            .all(Vec::is_empty)
    }

    /// Of a new secret.
    pub(super) fn created(content: &Content) -> Self {
        Self {
            added: content.values.keys().cloned().collect(),
            ..Self::default()
        }
    }

    fn of(draft: &Draft, content: &Content, present: &Present) -> Self {
        let mut changes = Self::default();
        let keys: BTreeSet<_> = content.values.keys().chain(present.keys.keys()).collect();
        for key in keys {
            let list = match present.keys.get(key) {
                None => &mut changes.added,
                Some(_) if draft.removed.contains(key) => &mut changes.removed,
                Some(held) if content.values.contains_key(key) && !held.same => {
                    &mut changes.changed
                }
                Some(_) => &mut changes.kept,
            };
            list.push(key.clone());
        }
        changes
    }
}

/// Keys alone, never a value.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed", &self.removed),
            ("now", &self.settings),
            ("kept", &self.kept),
        ];
        let lists = lists.iter().filter(|(_, keys)| !keys.is_empty());
        let lists: Vec<_> = lists
            .map(|(verb, keys)| format!("{verb} {}", keys.join(" ")))
            .collect();
        f.write_str(&lists.join(", "))
    }
}

fn check_same_secret(draft: &Draft, object: &str, present: &Present) -> Result<(), Refusal> {
    let kind = check_same_name(draft, object, present)?;
    if kind != draft.kind.as_str() {
        return Err(Refusal::Kind {
            name: draft.name.clone(),
            is: kind.to_owned(),
            wanted: draft.kind,
        });
    }
    Ok(())
}

/// Whether the object holds the secret that the draft is of: what else may be called so is not touched. Gives the kind.
pub(super) fn check_same_name<'a>(
    draft: &Draft,
    object: &str,
    present: &'a Present,
) -> Result<&'a str, Refusal> {
    let object = object.to_owned();
    let Some(kind) = present.kind() else {
        return Err(Refusal::NotKeyporters(object));
    };
    match (present.is_project(), draft.scope) {
        (true, Scope::User) => return Err(Refusal::Projects(object)),
        (false, Scope::Project) => return Err(Refusal::Users(object)),
        _ => {}
    }
    let name = present.name().unwrap_or(&object);
    if name != draft.name {
        let name = name.to_owned();
        return Err(Refusal::OtherName { object, name });
    }
    Ok(kind)
}

/// Keys that are files keep their files, and all others are taken.
fn before<'a>(present: &'a Present, layout: &'a BTreeMap<String, String>) -> Before<'a> {
    let keys = present.keys.keys().map(String::as_str);
    Before {
        taken: keys.filter(|key| !layout.contains_key(*key)).collect(),
        before: layout.iter().map(|(key, path)| (&**key, &**path)).collect(),
    }
}

fn check_layout(
    layout: &BTreeMap<String, String>,
    sizes: &BTreeMap<String, u64>,
) -> Result<(), Refusal> {
    if layout.is_empty() {
        return Ok(());
    }
    let keys = sizes.iter().map(|(name, length)| Key {
        name: name.as_str().into(),
        length: *length,
    });
    let keys: Vec<_> = keys.collect();
    Layout::read(Some(&json(layout)), None, &keys)?;
    Ok(())
}

/// What cannot be read is written anew.
fn read<T: Default + serde::de::DeserializeOwned>(annotation: Option<&str>) -> T {
    annotation
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}
