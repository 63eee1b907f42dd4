//! A secret from a manifest of Kubernetes.

use std::{collections::BTreeMap, error::Error, path::Path};

use data_encoding::BASE64;
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    draft::{Draft, Injection, UseCase},
    git_key::{self, GitKeyError},
    refusal::Refusal,
    registry::{self, RegistryError},
    sources::{SourceError, read_file, read_stdin},
    value::Value,
};
use crate::{
    documents::{DocumentError, Documents},
    inject::{
        annotations as names,
        git_ssh::KEY_NAMES,
        layout::{Layout, LayoutError},
        name::is_label,
        secret::{Key, Kind, Scope},
    },
};

/// What is said in a manifest.
pub(super) struct Manifest {
    pub(super) draft: Draft,
    pub(super) namespace: Option<String>,
}

/// Why a manifest is no secret. Nothing of its values is quoted.
#[derive(Debug, Error)]
pub(super) enum ManifestError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Draft(#[from] Box<Refusal>),
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    #[error("{file} has {documents} documents; one Secret is created at a time")]
    Documents { file: String, documents: usize },
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("{0} is no Secret of apiVersion v1")]
    NoSecret(String),
    #[error("{0} has no metadata.name")]
    NoName(String),
    #[error(
        "{file}: {name:?} is no name of a secret; it has 1 to 63 characters a-z, 0-9 and -, and starts and ends with a \
         letter or digit"
    )]
    Name { file: String, name: String },
    #[error("{file}: the label {label} is {value:?}, which keyporter does not know")]
    Label {
        file: String,
        label: &'static str,
        value: String,
    },
    #[error("{file} is of kind {labelled} by its label, and --kind says {said}; leave one out")]
    TwoKinds {
        file: String,
        labelled: Kind,
        said: Kind,
    },
    #[error(
        "{file} names an owner; whoever creates a secret owns it, so leave the annotation {} out",
        names::OWNER
    )]
    Owner { file: String },
    #[error("{file}: the annotations of its files cannot be used: {reason}")]
    Layout { file: String, reason: LayoutError },
    #[error("{file}: data of the key {key} is not base64; plain text belongs into stringData")]
    Base64 { file: String, key: String },
    #[error("{0} has neither data nor stringData")]
    Empty(String),
    #[error("{file}: {key} is {reason}")]
    GitKey {
        file: String,
        key: String,
        reason: GitKeyError,
    },
    #[error("{file}: {} is {reason}", registry::KEY)]
    Registry { file: String, reason: RegistryError },
    #[error("{file}: a secret of kind {kind} has the key {}", .keys.join(" or "))]
    WrongKey {
        file: String,
        kind: Kind,
        keys: Vec<&'static str>,
    },
}

type Texts = BTreeMap<String, Option<Zeroizing<String>>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(rename = "type")]
    kubernetes_type: Option<String>,
    #[serde(default)]
    data: Option<Texts>,
    #[serde(default)]
    string_data: Option<Texts>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// The secret of the only document in the file.
pub(super) fn read(
    path: &Path,
    kind: Option<Kind>,
    project: bool,
) -> Result<Manifest, Box<dyn Error>> {
    let (file, text) = match path.to_str() {
        Some("-") => ("standard input".to_owned(), read_stdin()?),
        _ => (path.display().to_string(), read_file(path)?),
    };
    Ok(parse(file, &text, kind, project)?)
}

fn parse(
    file: String,
    text: &Value,
    said: Option<Kind>,
    project: bool,
) -> Result<Manifest, ManifestError> {
    let text = text
        .text()
        .ok_or_else(|| ManifestError::NotText(file.clone()))?;
    let documents = Documents::split(text);
    let mut all = documents.iter();
    let (Some(document), None) = (all.next(), all.next()) else {
        let documents = documents.len();
        return Err(ManifestError::Documents { file, documents });
    };
    let object: Object = document.read(&file)?;
    if object.api_version != "v1" || object.kind != "Secret" {
        return Err(ManifestError::NoSecret(file));
    }
    let mut labels = object.metadata.labels.unwrap_or_default();
    let mut annotations = object.metadata.annotations.unwrap_or_default();
    // It repeats the values.
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    if annotations
        .remove(names::OWNER)
        .is_some_and(|owner| !owner.is_empty())
    {
        return Err(ManifestError::Owner { file });
    }
    let layout = annotations.remove(names::LAYOUT);
    let executable = annotations.remove(names::EXECUTABLE);
    for ours in [names::SIZES, names::EXPANDED] {
        annotations.remove(ours);
    }
    labels.remove(names::OWNER_ID);

    let unknown = |label, value: &str| ManifestError::Label {
        file: file.clone(),
        label,
        value: value.to_owned(),
    };
    let labelled = match labels.remove(names::KIND) {
        Some(word) => Some(Kind::of(&word).ok_or_else(|| unknown(names::KIND, &word))?),
        None => None,
    };
    if let (Some(labelled), Some(said)) = (labelled, said)
        && labelled != said
    {
        return Err(ManifestError::TwoKinds {
            file,
            labelled,
            said,
        });
    }
    let by_type = || kind_by_type(object.kubernetes_type.as_deref());
    let kind = labelled.or(said).unwrap_or_else(by_type);
    let scope = match labels.remove(names::SCOPE).as_deref() {
        Some("project") => Scope::Project,
        None | Some("user") if project => Scope::Project,
        None | Some("user") => Scope::User,
        Some(other) => return Err(unknown(names::SCOPE, other)),
    };
    let injection = match annotations.remove(names::INJECTION).as_deref() {
        None => None,
        Some("automatic") => Some(Injection::Automatic),
        Some("on-reference") => Some(Injection::OnReference),
        Some(other) => return Err(unknown(names::INJECTION, other)),
    };
    let use_case = match annotations.remove(names::USE_CASE) {
        None => None,
        Some(word) => Some(
            word.parse::<UseCase>()
                .map_err(|_| unknown(names::USE_CASE, &word))?,
        ),
    };
    let name = labels.remove(names::NAME).or(object.metadata.name);
    let name = name.ok_or_else(|| ManifestError::NoName(file.clone()))?;
    if !is_label(&name) {
        return Err(ManifestError::Name { file, name });
    }

    let values = values(&file, object.data, object.string_data)?;
    if values.is_empty() {
        return Err(ManifestError::Empty(file));
    }
    check_shape(&file, kind, &values)?;

    let mut draft = Draft::new(name, scope, kind);
    let files = layout_of(&values, layout.as_deref(), executable.as_deref());
    let files = files.map_err(|reason| ManifestError::Layout { file, reason })?;
    place(&mut draft, &files);
    draft.values = values;
    draft.check().map_err(Box::new)?;
    draft.injection = injection;
    draft.use_case = use_case;
    draft.labels = labels;
    draft.annotations = annotations;
    draft.kubernetes_type = object.kubernetes_type;
    Ok(Manifest {
        draft,
        namespace: object.metadata.namespace,
    })
}

/// What Kubernetes itself knows of what a Secret is for.
fn kind_by_type(kubernetes_type: Option<&str>) -> Kind {
    match kubernetes_type {
        Some(registry::TYPE) => Kind::ImagePull,
        Some("kubernetes.io/ssh-auth") => Kind::GitSsh,
        _ => Kind::Default,
    }
}

/// The files that the annotations tell of, into the draft.
fn place(draft: &mut Draft, files: &Layout) {
    for item in files.items() {
        if item.path != item.key {
            let (key, path) = (item.key.to_string(), item.path.to_string());
            draft.layout.insert(key, path);
        }
        if item.executable {
            draft.executables.insert(item.key.to_string());
        }
    }
}

/// `stringData` comes before `data`, as the API server has it.
fn values(
    file: &str,
    data: Option<Texts>,
    string_data: Option<Texts>,
) -> Result<BTreeMap<String, Value>, ManifestError> {
    let mut values = BTreeMap::new();
    for (key, encoded) in data.into_iter().flatten() {
        let encoded = encoded.unwrap_or_default();
        let lines = Zeroizing::new(encoded.replace(['\r', '\n'], ""));
        let Ok(value) = BASE64.decode(lines.as_bytes()) else {
            let file = file.to_owned();
            return Err(ManifestError::Base64 { file, key });
        };
        values.insert(key, Value::new(value));
    }
    for (key, text) in string_data.into_iter().flatten() {
        values.insert(key, Value::from(text.unwrap_or_default().as_str()));
    }
    Ok(values)
}

/// Which files the keys are, by the annotations.
fn layout_of(
    values: &BTreeMap<String, Value>,
    layout: Option<&str>,
    executable: Option<&str>,
) -> Result<Layout, LayoutError> {
    let keys = values.iter().map(|(key, value)| Key {
        name: key.as_str().into(),
        length: value.size(),
    });
    Layout::read(layout, executable, &keys.collect::<Vec<_>>())
}

/// Kinds with keys of their own have them, and what they hold is good.
fn check_shape(
    file: &str,
    kind: Kind,
    values: &BTreeMap<String, Value>,
) -> Result<(), ManifestError> {
    let file = file.to_owned();
    match kind {
        Kind::Default | Kind::Env | Kind::Auth => Ok(()),
        Kind::GitSsh => {
            let Some((key, value)) = KEY_NAMES.iter().find_map(|key| values.get_key_value(*key))
            else {
                let keys = KEY_NAMES.to_vec();
                return Err(ManifestError::WrongKey { file, kind, keys });
            };
            let key = key.clone();
            git_key::check(value).map_err(|reason| ManifestError::GitKey { file, key, reason })
        }
        Kind::ImagePull => {
            let Some(value) = values.get(registry::KEY) else {
                let keys = vec![registry::KEY];
                return Err(ManifestError::WrongKey { file, kind, keys });
            };
            registry::check(value).map_err(|reason| ManifestError::Registry { file, reason })
        }
    }
}
