//! What a person wants a secret to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use clap::ValueEnum;

use super::{
    author::{Encoded, Written, WrittenMetadata},
    limits::{self, LimitError},
    refusal::Refusal,
    registry,
    value::Value,
};
use crate::{
    folder::{File, Folder, FolderError, Present as Before},
    inject::{
        annotations as names,
        name::{self, owner_id},
        secret::{Kind, Scope},
    },
};

/// A kind, as a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KindArgument {
    /// Files in `$KONDUKTOR_DEFAULT_SECRETS/NAME`
    Default,
    /// One environment variable for each key
    Env,
    /// The private key that git uses
    GitSsh,
    /// The variable `AUTH_SECRET`
    Auth,
    /// Credentials for pulling images
    ImagePull,
}

impl From<KindArgument> for Kind {
    fn from(kind: KindArgument) -> Self {
        match kind {
            KindArgument::Default => Self::Default,
            KindArgument::Env => Self::Env,
            KindArgument::GitSsh => Self::GitSsh,
            KindArgument::Auth => Self::Auth,
            KindArgument::ImagePull => Self::ImagePull,
        }
    }
}

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UseCase(&'static str);

impl UseCase {
    pub(super) const ALL: [&'static str; 5] = [
        "HuggingFace",
        "S3",
        "Database",
        "ImagePullSecret",
        "Generic",
    ];
}

impl FromStr for UseCase {
    type Err = String;

    /// In whatever letters.
    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(word));
        known
            .map(Self)
            .ok_or_else(|| format!("known are {}", Self::ALL.join(", ")))
    }
}

/// Whether a secret comes into pods by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Injection {
    Automatic,
    OnReference,
}

impl Injection {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::OnReference => "on-reference",
        }
    }
}

/// Of a secret that is there already, what is not said here stays.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) kind: Kind,
    pub(super) values: BTreeMap<String, Value>,
    /// Those of folders: their keys depend on what is there already.
    pub(super) files: Vec<File<Value>>,
    /// What a manifest says of its keys that are files.
    pub(super) layout: BTreeMap<String, String>,
    pub(super) executables: BTreeSet<String>,
    /// Keys to be taken away.
    pub(super) removed: BTreeSet<String>,
    pub(super) injection: Option<Injection>,
    /// That of a secret which is not there yet, if nothing else is said.
    pub(super) injection_when_new: Injection,
    /// A secret that has keys beside those of the draft is left alone.
    pub(super) is_all: bool,
    pub(super) use_case: Option<UseCase>,
    /// Of a manifest: what keyporter has nothing to do with.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) kubernetes_type: Option<String>,
}

/// All values by their keys, and what the annotations say of those that are files.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) values: BTreeMap<String, Value>,
    pub(super) layout: BTreeMap<String, String>,
    pub(super) executables: BTreeSet<String>,
}

impl Draft {
    pub(super) fn new(name: String, scope: Scope, kind: Kind) -> Self {
        Self {
            name,
            scope,
            kind,
            values: BTreeMap::new(),
            files: vec![],
            layout: BTreeMap::new(),
            executables: BTreeSet::new(),
            removed: BTreeSet::new(),
            injection: None,
            injection_when_new: Injection::Automatic,
            is_all: false,
            use_case: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            kubernetes_type: None,
        }
    }

    /// What the Kubernetes object is called.
    pub(super) fn object(&self, owner: Option<&str>) -> String {
        object_name(&self.name, owner)
    }

    /// Whether this could be a secret, whatever is there already.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let content = self.content(Before::default())?;
        limits::check_values(self.kind, &content.values)?;
        limits::check_together(self.kind, &content.sizes())?;
        Ok(())
    }

    /// Every file gets its key: beside values of this very draft, and those that a Secret has `before`.
    pub(super) fn content<'a>(&'a self, before: Before<'a>) -> Result<Content, FolderError> {
        let mut content = Content {
            values: self.values.clone(),
            layout: self.layout.clone(),
            executables: self.executables.clone(),
        };
        if self.files.is_empty() {
            return Ok(content);
        }
        let mut before = before;
        before.taken.extend(self.values.keys().map(String::as_str));
        let folder = Folder::new(self.files.clone(), &before)?;
        let owned = |(key, path): (&str, &str)| (key.to_owned(), path.to_owned());
        content
            .layout
            .extend(folder.layout().into_iter().map(owned));
        let executables = folder.executables().into_iter();
        content.executables.extend(executables.map(str::to_owned));
        let entries = folder.into_entries().into_iter();
        content
            .values
            .extend(entries.map(|entry| (entry.key, entry.file.content)));
        Ok(content)
    }

    /// The new Secret of this content. Its owner is written by the API server, from whoever asks.
    pub(super) fn write<'a>(
        &'a self,
        object: &'a str,
        owner: Option<&str>,
        content: &'a Content,
    ) -> Result<Written<'a>, LimitError> {
        let mut labels = self.labels.clone();
        let mut label = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
        label(names::KIND, self.kind.as_str());
        label(names::NAME, &self.name);
        match owner {
            Some(owner) => label(names::OWNER_ID, &owner_id(owner)),
            None => label(names::SCOPE, Scope::Project.as_str()),
        };
        let mut annotations = self.annotations.clone();
        let mut annotate = |name: &str, value: String| annotations.insert(name.to_owned(), value);
        let injection = self.injection.unwrap_or(self.injection_when_new);
        annotate(names::INJECTION, injection.as_str().to_owned());
        if let Some(use_case) = self.use_case {
            annotate(names::USE_CASE, use_case.to_string());
        }
        if !content.layout.is_empty() {
            annotate(names::LAYOUT, json(&content.layout));
        }
        if !content.executables.is_empty() {
            annotate(names::EXECUTABLE, json(&content.executables));
        }
        let sizes = content
            .values
            .iter()
            .map(|(key, value)| (key.clone(), value.size()));
        let sizes: BTreeMap<_, _> = sizes.collect();
        annotate(names::SIZES, json(&sizes));
        limits::check_values(self.kind, &content.values)?;
        limits::check_together(self.kind, &sizes)?;
        let texts = annotations.iter().map(|(name, value)| (&**name, &**value));
        limits::check_annotations(texts, sizes.len())?;
        let kubernetes_type = match self.kind {
            Kind::ImagePull => registry::TYPE,
            _ => self.kubernetes_type.as_deref().unwrap_or("Opaque"),
        };
        Ok(Written {
            api_version: Some("v1"),
            kind: Some("Secret"),
            metadata: WrittenMetadata {
                name: Some(object),
                labels,
                annotations: annotations
                    .into_iter()
                    .map(|(name, value)| (name, Some(value)))
                    .collect(),
                ..WrittenMetadata::default()
            },
            kubernetes_type: Some(kubernetes_type),
            data: encoded(&content.values),
        })
    }
}

impl Content {
    pub(super) fn sizes(&self) -> BTreeMap<String, u64> {
        let values = self.values.iter();
        values
            .map(|(key, value)| (key.clone(), value.size()))
            .collect()
    }
}

impl fmt::Display for UseCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What the object of a secret is called: a user's has the head of the owner id behind its name.
pub(super) fn object_name(name: &str, owner: Option<&str>) -> String {
    match owner {
        Some(owner) => name::object(name, owner),
        None => name.to_owned(),
    }
}

/// The same values as they are sent.
pub(super) fn encoded(values: &BTreeMap<String, Value>) -> BTreeMap<&str, Option<Encoded<'_>>> {
    let values = values.iter();
    values
        .map(|(key, value)| (&**key, Some(Encoded(value))))
        .collect()
}

/// Maps and lists of text have nothing that JSON cannot say.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
