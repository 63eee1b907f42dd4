//! `keyporter secret show`: everything about a secret but its values.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write},
};

use anstyle::Style;
use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;

use super::{
    age::age,
    metadata::{Metadata, Secrets},
    output::{print_json, print_yaml},
    summary::{Key, Summary, SummaryList, told},
    uses::Uses,
};
use crate::cli::{
    cluster::{Caller, ClusterArguments},
    rights,
    table::{WARNING, printable},
    written,
};

/// Show everything about a secret but its values
///
/// Of several secrets of one name all are shown. JSON and YAML are those of `secret list`.
///
/// Exit codes: 0 done; 1 failed, or there is no such secret; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter secret show hugging-face
  keyporter secret show hugging-face-2bd806c9 -n vision
  keyporter secret show wandb --all-users -o yaml")]
pub(super) struct Show {
    /// The secret, by its name or by that of its object
    #[arg(value_name = "NAME")]
    name: String,

    /// Also those of other users that have this name
    #[arg(short = 'u', long)]
    all_users: bool,

    /// What is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,

    #[command(flatten)]
    cluster: ClusterArguments,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let client = self.cluster.client().await?;
        let caller = Caller::ask(&client).await?;
        let namespace = client.default_namespace().to_owned();
        let secrets = Secrets::new(client.clone(), Some(namespace.clone()));
        let known = secrets.all().await;
        let known = known
            .map_err(|error| rights::explained(error, "secrets", &caller, Some(&namespace)))?;
        let chosen: Vec<_> = known
            .iter()
            .filter(|secret| self.is_asked_for(secret, &caller))
            .collect();
        if chosen.is_empty() {
            return Err(format!(
                "no secret of yours or of the project {} is called {:?}; `keyporter secret list --all-users` shows all",
                secrets.place(),
                self.name
            )
            .into());
        }
        let uses = Uses::ask(&client, Some(&namespace), &chosen).await?;
        if let Some(note) = uses.note() {
            eprintln!("note: {note}");
        }
        let summaries: Vec<_> = chosen
            .iter()
            .map(|secret| Summary::of(secret, &uses))
            .collect();
        let mut out = anstream::stdout().lock();
        match self.output {
            Output::Json => print_json(&mut out, &SummaryList::new(summaries)),
            Output::Yaml => print_yaml(&mut out, &SummaryList::new(summaries)),
            Output::Text => written(print_all(&mut out, &summaries, Timestamp::now())),
        }
    }

    /// An object is the only one of its name.
    fn is_asked_for(&self, secret: &Metadata, caller: &Caller) -> bool {
        let visible =
            self.all_users || secret.is_project() || secret.owner() == Some(&caller.username);
        secret.object == self.name || visible && secret.name() == self.name
    }
}

fn print_all(out: &mut impl Write, summaries: &[Summary], now: Timestamp) -> io::Result<()> {
    for (number, summary) in summaries.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        print(out, summary, now)?;
    }
    Ok(())
}

fn print(out: &mut impl Write, summary: &Summary, now: Timestamp) -> io::Result<()> {
    let dated = |time: &str| format!("{time} ({} ago)", age(time, now));
    let kind = summary.kind.clone().unwrap_or_default();
    let change = summary.last_change.as_ref();
    let change = change.map(|change| format!("{} by {}", dated(&change.time), change.by));
    let used_by = if summary.used_by.is_empty() && summary.used_by_complete {
        "nobody".to_owned()
    } else {
        users(summary)
    };
    line(out, "Name", &summary.name)?;
    line(
        out,
        "Object",
        &format!("{}/{}", summary.namespace, summary.object),
    )?;
    line(out, "Kind", &kind)?;
    line(out, "Scope", &summary.scope)?;
    line(out, "Owner", summary.owner.as_deref().unwrap_or_default())?;
    if let Some(hash) = &summary.konduktor_owner {
        line(out, "Konduktor's hash", hash)?;
    }
    if let Some(use_case) = &summary.use_case {
        line(out, "Use case", use_case)?;
    }
    line(out, "Created", &dated(&summary.created))?;
    line(out, "Last change", &change.unwrap_or_default())?;
    line(out, "Size", &summary.told_size())?;
    print_keys(out, summary, &kind)?;
    line(out, "Pods get", &way(summary, &kind))?;
    line(out, "Used by", &used_by)?;
    if let Some(problem) = &summary.problem {
        write!(out, "{WARNING}")?;
        line(out, "Problem", &problem.message)?;
        write!(out, "{WARNING:#}")?;
    }
    Ok(())
}

fn line(out: &mut impl Write, title: &str, text: &str) -> io::Result<()> {
    let bold = Style::new().bold();
    let width = "Konduktor's hash: ".len();
    let title = format!("{title}:");
    let text = if text.is_empty() {
        "-".to_owned()
    } else {
        printable(text)
    };
    writeln!(out, "{bold}{title:width$}{bold:#}{text}")
}

fn users(summary: &Summary) -> String {
    let told = summary.used_by.iter().map(|user| {
        let pods = match user.pods {
            0 => "chooses it".to_owned(),
            1 => "1 pod".to_owned(),
            pods => format!("{pods} pods"),
        };
        match user.kind.as_str() {
            "Pod" => format!("Pod/{}", user.name),
            kind => format!("{kind}/{} ({pods})", user.name),
        }
    });
    let mut told: Vec<_> = told.collect();
    if !summary.used_by_complete {
        told.push("?".to_owned());
    }
    told.join(", ")
}

/// Files as the tree that a pod finds, other keys one below the other.
fn print_keys(out: &mut impl Write, summary: &Summary, kind: &str) -> io::Result<()> {
    let Some(keys) = &summary.keys else {
        return line(
            out,
            "Keys",
            "not known: the API server kept no account of who wrote them",
        );
    };
    if kind == "default" {
        line(out, "Files", &folder(&summary.name))?;
        return Tree::of(keys).print(out, 1);
    }
    line(out, "Keys", &keys.len().to_string())?;
    let width = keys.iter().map(|key| key.name.chars().count()).max();
    for key in keys {
        let (name, width) = (printable(&key.name), width.unwrap_or_default());
        writeln!(out, "  {name:width$}  {}", size(key))?;
    }
    Ok(())
}

fn size(key: &Key) -> String {
    key.size.map_or_else(|| "-".to_owned(), told)
}

/// How pods see it.
fn folder(name: &str) -> String {
    format!("$KONDUKTOR_DEFAULT_SECRETS/{name}/")
}

fn way(summary: &Summary, kind: &str) -> String {
    if summary.problem.is_some() {
        return "nothing of it, because of the problem below".to_owned();
    }
    let way = match kind {
        "default" => format!("files in {}", folder(&summary.name)),
        "env" => "a variable for each key".to_owned(),
        "git-ssh" => "GIT_SSH_COMMAND with its key".to_owned(),
        "auth" => format!(
            "the variable AUTH_SECRET, if it is their only auth secret or keyporter.dev/auth-secret names {}",
            summary.name
        ),
        _ => "it as imagePullSecret".to_owned(),
    };
    if summary.injection == "on-reference" && kind != "auth" {
        format!("{way}, only where a reference names it (on-reference)")
    } else {
        way
    }
}

/// Folders and files.
#[derive(Default)]
struct Tree<'a> {
    folders: BTreeMap<&'a str, Tree<'a>>,
    files: BTreeMap<&'a str, &'a Key>,
}

impl<'a> Tree<'a> {
    fn of(keys: &'a [Key]) -> Self {
        let mut root = Self::default();
        for key in keys {
            let path = key.path.as_deref().unwrap_or(&key.name);
            let (folders, file) = match path.rsplit_once('/') {
                Some((folders, file)) => (Some(folders), file),
                None => (None, path),
            };
            let mut place = &mut root;
            for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
                place = place.folders.entry(folder).or_default();
            }
            place.files.insert(file, key);
        }
        root
    }

    fn print(&self, out: &mut impl Write, depth: usize) -> io::Result<()> {
        let indent = depth * 2;
        for (name, folder) in &self.folders {
            writeln!(out, "{:indent$}{}/", "", printable(name))?;
            folder.print(out, depth + 1)?;
        }
        for (name, key) in &self.files {
            let executable = if key.executable { ", executable" } else { "" };
            let size = size(key);
            writeln!(out, "{:indent$}{}  {size}{executable}", "", printable(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(metadata: Value) -> String {
        let secret: Metadata = serde_json::from_value(metadata).unwrap();
        let summary = Summary::of(&secret, &Uses::default());
        let now = "2026-01-03T12:00:00Z".parse().unwrap();
        let mut out = vec![];
        print_all(&mut out, &[summary], now).unwrap();
        String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
    }

    fn secret(kind: &str, annotations: &Value, keys: &Value) -> Value {
        json!({
            "namespace": "vision",
            "name": "data-2bd806c9",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"keyporter.dev/kind": kind, "keyporter.dev/name": "data"},
            "annotations": annotations,
            "managedFields": [{
                "manager": "keyporter", "operation": "Update", "time": "2026-01-03T11:00:00Z",
                "fieldsV1": {"f:data": keys, "f:metadata": {"f:annotations": {"f:keyporter.dev/sizes": {}}}},
            }],
        })
    }

    #[test]
    fn a_folder_is_a_tree() {
        let annotations = json!({
            "keyporter.dev/owner": "alice",
            "keyporter.dev/use-case": "S3",
            "keyporter.dev/layout": r#"{"k1": "bin/run", "k2": "bin/deep/er/x", "k3": "aws"}"#,
            "keyporter.dev/executable": r#"["k1"]"#,
            "keyporter.dev/sizes": r#"{"k1": 2048, "k2": 3, "k3": 4}"#,
        });
        let keys = json!({"f:k1": {}, "f:k2": {}, "f:k3": {}, "f:README": {}});
        insta::assert_snapshot!(shown(secret("default", &annotations, &keys)));
    }

    #[test]
    fn a_broken_one_says_what_is_wrong_and_drives_no_terminal() {
        let annotations = json!({"keyporter.dev/owner": "alice\u{1b}[2J"});
        insta::assert_snapshot!(shown(secret(
            "git-ssh",
            &annotations,
            &json!({"f:token": {}})
        )));
    }

    #[test]
    fn what_nobody_knows_is_said_so() {
        let mut old = secret("env", &json!({"keyporter.dev/owner": "alice"}), &json!({}));
        old["managedFields"] = json!([]);
        let shown = shown(old);
        assert!(shown.contains("Keys:             not known"), "{shown}");
        assert!(shown.contains("Last change:      -\n"), "{shown}");
    }
}
