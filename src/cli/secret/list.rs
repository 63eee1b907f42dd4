//! `keyporter secret list`: the secrets that a person has.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
};

use anstyle::Style;
use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;

use super::{
    age::age,
    filter::Filter,
    metadata::{Metadata, Secrets},
    output::{print_json, print_yaml},
    summary::{Summary, SummaryList},
    uses::Uses,
};
use crate::cli::{
    cluster::{Caller, ClusterArguments},
    rights,
    table::{Table, WARNING},
    written,
};

/// List your secrets, and those of the project
///
/// Values are neither asked for nor shown. What is not known is shown as a dash: the names of keys where the API server
/// kept no account of who wrote them, sizes of values that were written by other means than keyporter. A question mark in
/// the column USED BY stands for pods and workloads that you may not list.
///
/// JSON and YAML have `apiVersion: keyporter.dev/v1` and `kind: SecretSummaryList`; each of the `items` has name,
/// namespace, object, kind, scope, owner, konduktorOwner, useCase, injection, keys (name, size, path, executable), size,
/// created, lastChange (time, by), resourceVersion, usedBy (kind, name, pods), usedByComplete and problem (reason,
/// message), as far as they are known. Sizes are in bytes.
///
/// Exit codes: 0 done, also where there is none; 1 failed; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter secret list
  keyporter secret list token --kind env --kind auth
  keyporter secret ls -n vision --all-users -o wide
  keyporter secret list --name 'aws-*' -o json")]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,

    /// Those of all users
    #[arg(short = 'u', long)]
    all_users: bool,

    /// Only those of the project
    #[arg(long, conflicts_with = "all_users")]
    project: bool,

    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,

    /// What is printed; a table on a terminal, and its rows with tabs between the cells elsewhere, if it is not said
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,

    #[command(flatten)]
    cluster: ClusterArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// With the object, the owner, the injection and Konduktor's hash
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
    /// The objects alone, as kubectl takes them
    Name,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let client = self.cluster.client().await?;
        let caller = Caller::ask(&client).await?;
        let namespace = client.default_namespace().to_owned();
        let namespace = (!self.all_namespaces).then_some(namespace);
        let secrets = Secrets::new(client.clone(), namespace.clone());
        let known = secrets.all().await;
        let known = known
            .map_err(|error| rights::explained(error, "secrets", &caller, namespace.as_deref()))?;
        let mut chosen: Vec<_> = known
            .iter()
            .filter(|secret| self.is_asked_for(secret, &caller) && self.filter.takes(secret))
            .collect();
        chosen.sort_by_key(|secret| {
            let Metadata {
                namespace, object, ..
            } = secret;
            (namespace, secret.name(), secret.scope(), object)
        });
        if chosen.is_empty() {
            eprintln!(
                "note: no such secret {}{}",
                secrets.place(),
                self.hint(&known)
            );
        }
        if self.output == Some(Output::Name) {
            let mut out = anstream::stdout().lock();
            let mut names = chosen.iter().map(|secret| &secret.object);
            return written(names.try_for_each(|object| writeln!(out, "secret/{object}")));
        }
        let uses = Uses::ask(&client, namespace.as_deref(), &chosen).await?;
        if let Some(note) = uses.note().filter(|_| !chosen.is_empty()) {
            eprintln!("note: {note}");
        }
        let summaries = chosen.iter().map(|secret| Summary::of(secret, &uses));
        self.print(summaries.collect())
    }

    fn is_asked_for(&self, secret: &Metadata, caller: &Caller) -> bool {
        secret.is_project()
            || !self.project && (self.all_users || secret.owner() == Some(&caller.username))
    }

    /// Where there may be more.
    fn hint(&self, known: &[Metadata]) -> &'static str {
        let others = known.iter().any(|secret| !secret.is_project());
        if others && !self.all_users && !self.project {
            "; --all-users shows those of others"
        } else {
            ""
        }
    }

    fn print(&self, summaries: Vec<Summary>) -> Result<(), Box<dyn Error>> {
        let mut out = anstream::stdout().lock();
        match self.output {
            Some(Output::Json) => print_json(&mut out, &SummaryList::new(summaries)),
            Some(Output::Yaml) => print_yaml(&mut out, &SummaryList::new(summaries)),
            _ if summaries.is_empty() => Ok(()),
            None if !io::stdout().is_terminal() => {
                written(self.table(&summaries).print_tabs(&mut out))
            }
            _ => written(self.table(&summaries).print(&mut out)),
        }
    }

    fn table(&self, summaries: &[Summary]) -> Table {
        let wide = self.output == Some(Output::Wide);
        let broken = summaries.iter().any(|one| one.problem.is_some());
        let columns = [
            ("NAMESPACE", self.all_namespaces),
            ("NAME", true),
            ("KIND", true),
            ("SCOPE", true),
            ("OWNER", wide || self.all_users),
            ("USE CASE", true),
            ("KEYS", true),
            ("SIZE", true),
            ("AGE", true),
            ("OBJECT", wide),
            ("INJECTION", wide),
            ("HASH", wide),
            ("USED BY", true),
            ("PROBLEM", broken),
        ];
        let shown = || {
            columns
                .iter()
                .filter(|(_, shown)| *shown)
                .map(|(name, _)| *name)
        };
        let mut table = Table::new(&shown().collect::<Vec<_>>());
        let now = Timestamp::now();
        for summary in summaries {
            let style = match summary.problem {
                Some(_) => WARNING,
                None => Style::new(),
            };
            let cells = shown().map(|column| cell(summary, column, wide, now));
            table.row(style, &cells.collect::<Vec<_>>());
        }
        table
    }
}

fn cell(summary: &Summary, column: &str, wide: bool, now: Timestamp) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match column {
        "NAMESPACE" => summary.namespace.clone(),
        "NAME" => summary.name.clone(),
        "KIND" => text(&summary.kind),
        "SCOPE" => summary.scope.clone(),
        "OWNER" => text(&summary.owner),
        "USE CASE" => text(&summary.use_case),
        "KEYS" => summary.key_names(),
        "SIZE" => summary.told_size(),
        "AGE" => age(&summary.created, now),
        "OBJECT" => summary.object.clone(),
        "INJECTION" => summary.injection.clone(),
        "HASH" => text(&summary.konduktor_owner),
        "USED BY" => summary.told_users(wide),
        _ => {
            let problem = summary.problem.as_ref();
            problem
                .map(|problem| problem.message.clone())
                .unwrap_or_default()
        }
    }
}
