//! `keyporter secret set-auth`: which secret becomes `AUTH_SECRET` in the pods of a workload.

use std::{
    error::Error,
    fs, io,
    io::{Read, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use thiserror::Error as ThisError;

use crate::{
    cli::{UsageError, values::secret_name, written},
    documents::{DocumentError, Documents, objects, to_yaml},
    inject::{annotations::AUTH_SECRET, template},
};

/// Choose the secret that becomes `AUTH_SECRET` in the pods of a workload
///
/// Writes the annotation keyporter.dev/auth-secret into every pod and pod template of a file, of whatever kind the workload
/// is, and prints the file. Documents without one are printed as they are, to the byte; those that change are written anew,
/// and lose their comments.
///
/// Exit codes: 0 done; 1 failed; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter secret set-auth tensorleap -f job.yaml | kubectl apply -f -
  keyporter secret set-auth tensorleap -f job.yaml --in-place
  kubectl create deployment web --image web --dry-run=client -o yaml | keyporter secret set-auth web -f -")]
pub(super) struct SetAuth {
    /// The name of a secret of kind auth
    #[arg(value_name = "NAME", value_parser = secret_name)]
    name: String,

    /// The workload, YAML or JSON; - is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: PathBuf,

    /// Write the file instead of printing it
    #[arg(long)]
    in_place: bool,
}

#[derive(Debug, ThisError)]
enum SetAuthError {
    #[error("cannot read {path}")]
    Unreadable { path: String, source: io::Error },
    #[error("cannot write {path}")]
    Unwritable { path: String, source: io::Error },
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("{0} has no pod and no pod template")]
    NoPod(String),
}

impl SetAuth {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let is_input = self.file.as_os_str() == "-";
        if is_input && self.in_place {
            let sentence = "--in-place writes a file, and - is standard input";
            return Err(UsageError(sentence.to_owned()).into());
        }
        let path = if is_input {
            "standard input".to_owned()
        } else {
            self.file.display().to_string()
        };
        let text = if is_input {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(&self.file)
        };
        let text = text.map_err(|source| SetAuthError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let changed = annotated(&path, &text, &self.name)?;
        if self.in_place {
            replace(&self.file, &changed)
                .map_err(|source| SetAuthError::Unwritable { path, source })?;
            return Ok(());
        }
        written(io::stdout().write_all(changed.as_bytes()))
    }
}

/// The text with the annotation in all pods and pod templates.
fn annotated(path: &str, text: &str, name: &str) -> Result<String, SetAuthError> {
    let documents = Documents::split(text);
    let mut changed = vec![];
    for document in &documents {
        let mut value = document.value(path)?;
        let places = places(&value);
        let mut differs = false;
        for place in &places {
            if let Some(object) = value.pointer_mut(place) {
                differs |= annotate(object, name);
            }
        }
        changed.push((
            document.number,
            !places.is_empty(),
            differs.then(|| as_before(document.text, &value)),
        ));
    }
    if !changed.iter().any(|(_, has_pods, _)| *has_pods) {
        return Err(SetAuthError::NoPod(path.to_owned()));
    }
    Ok(documents.print(|document| {
        let changed = changed
            .iter_mut()
            .find(|(number, ..)| *number == document.number);
        changed.and_then(|(.., text)| text.take())
    }))
}

/// JSON stays JSON.
fn as_before(text: &str, value: &Value) -> String {
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match serde_json::to_string_pretty(value) {
        Ok(json) if is_json => format!("{json}\n"),
        _ => to_yaml(value),
    }
}

/// The pods, by themselves and in lists, and the pod templates.
fn places(document: &Value) -> Vec<String> {
    let objects = objects(document).into_iter();
    let pods =
        objects.filter(|(_, object)| object["kind"] == "Pod" && object["apiVersion"] == "v1");
    let pods = pods.map(|(pointer, _)| pointer);
    let templates = template::find(document)
        .into_iter()
        .map(|template| template.pointer);
    pods.chain(templates).collect()
}

/// Whether it was another before. What is no map is left to the API server to refuse.
fn annotate(object: &mut Value, name: &str) -> bool {
    let metadata = match object.as_object_mut() {
        Some(object) => object.entry("metadata").or_insert(Value::Null),
        None => return false,
    };
    let annotations = match or_empty(metadata) {
        Some(metadata) => metadata.entry("annotations").or_insert(Value::Null),
        None => return false,
    };
    match or_empty(annotations) {
        Some(annotations) => {
            annotations.insert(AUTH_SECRET.to_owned(), json!(name)) != Some(json!(name))
        }
        None => false,
    }
}

fn or_empty(value: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// In one step: whoever reads the file meanwhile finds the one or the other. It keeps its mode, and a link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".keyporter-new");
    let new = path.with_file_name(name);
    let outcome = fs::write(&new, text)
        .and_then(|()| fs::set_permissions(&new, fs::metadata(&path)?.permissions()))
        .and_then(|()| fs::rename(&new, &path));
    if outcome.is_err() {
        let _absent = fs::remove_file(&new);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::pod(
        "apiVersion: v1\nkind: Pod\nspec: {containers: []}\n",
        "apiVersion: v1\nkind: Pod\nspec:\n  containers: []\nmetadata:\n  annotations:\n    keyporter.dev/auth-secret: web\n"
    )]
    #[case::others_stay(
        "# a\nkind: Service # c\n---\nkind: Job\nspec:\n  template:\n    metadata: {annotations: {a: b}}\n    spec:\n      containers: []\n",
        "# a\nkind: Service # c\n---\nkind: Job\nspec:\n  template:\n    metadata:\n      annotations:\n        a: b\n        \
         keyporter.dev/auth-secret: web\n    spec:\n      containers: []\n"
    )]
    #[case::already(
        "kind: Job # c\nspec: {template: {metadata: {annotations: {keyporter.dev/auth-secret: web}}, spec: {containers: []}}}\n",
        "kind: Job # c\nspec: {template: {metadata: {annotations: {keyporter.dev/auth-secret: web}}, spec: {containers: []}}}\n"
    )]
    #[case::json(
        "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": null}\n",
        "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {\n    \"annotations\": {\n      \
         \"keyporter.dev/auth-secret\": \"web\"\n    }\n  }\n}\n"
    )]
    fn files(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(annotated("file", text, "web").unwrap(), expected);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_workload("kind: ConfigMap\ndata: {template: x}\n")]
    #[case::no_pod("kind: Pod\napiVersion: other/v1\n")]
    fn files_without_pods(#[case] text: &str) {
        assert!(matches!(
            annotated("file", text, "web"),
            Err(SetAuthError::NoPod(_))
        ));
    }
}
