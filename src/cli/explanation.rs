//! What was decided about pods, for people and for programs.
//!
//! The JSON is an interface: `apiVersion: keyporter.dev/v1`, `kind: ExplanationList`. Fields may be added, never renamed.

use std::{
    error::Error,
    io::{self, Write},
};

use serde::Serialize;
use tabwriter::TabWriter;

use super::{secret::output::print_json as print_value, table::printable};
use crate::{
    inject::name,
    offline::{Fate, Row, Subject},
};

/// Something would be denied. The sentences stand in the explanation.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the pods would be denied")]
pub(super) struct Denied(pub(super) usize);

/// Every secret in reach of every pod: how it comes, or why not.
pub(super) fn print<'a>(
    out: &mut impl Write,
    subjects: impl Iterator<Item = &'a Subject>,
) -> io::Result<()> {
    for subject in subjects {
        writeln!(out, "{}", subject.title)?;
        match &subject.owner {
            Some((Some(name), rule)) => writeln!(
                out,
                "owner: {name} (owner id {}): {rule}",
                name::owner_id(name)
            )?,
            Some((None, rule)) => writeln!(out, "owner: {rule}")?,
            None => {}
        }
        for note in &subject.notes {
            writeln!(out, "{}", printable(note))?;
        }
        match &subject.fate {
            Fate::Skipped { reason } => writeln!(out, "nothing added: {reason}")?,
            Fate::Denied { message } => writeln!(out, "denied: {message}")?,
            Fate::Injected { .. } => {}
        }
        if subject.rows.is_empty() {
            // Of a workload that is denied the pods were not looked at.
            let denied = matches!(subject.fate, Fate::Denied { .. });
            let none = if denied { "" } else { "no secrets in reach\n" };
            writeln!(out, "{none}")?;
            continue;
        }
        let mut table = TabWriter::new(&mut *out).minwidth(4).padding(2);
        writeln!(table, "SECRET\tKIND\tSCOPE\tCONTAINER\tHOW")?;
        for row in &subject.rows {
            let or_dash = |text: &str| {
                if text.is_empty() {
                    "-".to_owned()
                } else {
                    printable(text)
                }
            };
            let (kind, scope, container) = (
                or_dash(&row.kind),
                or_dash(&row.scope),
                or_dash(&row.container),
            );
            writeln!(
                table,
                "{}\t{kind}\t{scope}\t{container}\t{}",
                row.secret, row.how
            )?;
        }
        table.flush()?;
        for warning in &subject.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExplanationList<'a> {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Explanation<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'a> {
    title: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    /// How that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_rule: Option<&'a str>,
    /// `injected`, `skipped` or `denied`.
    fate: &'static str,
    /// Why it was skipped, a word, or denied, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    notes: &'a [String],
    secrets: Vec<Explained<'a>>,
    warnings: &'a [String],
}

/// A secret and a container; no container where it concerns the pod as a whole.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained<'a> {
    name: &'a str,
    object: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    container: &'a str,
    injected: bool,
    how: &'a str,
}

/// The same for programs.
pub(super) fn print_json<'a>(
    out: &mut impl Write,
    subjects: impl Iterator<Item = &'a Subject>,
) -> Result<(), Box<dyn Error>> {
    let list = ExplanationList {
        api_version: "keyporter.dev/v1",
        kind: "ExplanationList",
        items: subjects.map(Explanation::of).collect(),
    };
    print_value(out, &list)
}

impl<'a> Explanation<'a> {
    fn of(subject: &'a Subject) -> Self {
        let (fate, reason) = match &subject.fate {
            Fate::Injected { .. } => ("injected", None),
            Fate::Skipped { reason } => ("skipped", Some(*reason)),
            Fate::Denied { message } => ("denied", Some(message.as_str())),
        };
        let owner = subject.owner.as_ref();
        Self {
            title: &subject.title,
            namespace: &subject.namespace,
            owner: owner.and_then(|(name, _)| name.as_deref()),
            owner_rule: owner.map(|(_, rule)| rule.as_str()),
            fate,
            reason,
            notes: &subject.notes,
            secrets: subject.rows.iter().map(Explained::of).collect(),
            warnings: &subject.warnings,
        }
    }
}

impl<'a> Explained<'a> {
    fn of(row: &'a Row) -> Self {
        Self {
            name: &row.secret,
            object: &row.object,
            kind: &row.kind,
            scope: &row.scope,
            container: &row.container,
            injected: row.comes,
            how: &row.how,
        }
    }
}
