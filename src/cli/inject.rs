//! `keyporter inject`: the webhook's work on files.

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
};

use anstyle::{AnsiColor, Color, Style};
use clap::{Args, ValueEnum};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{
    explanation::{self, Denied as Explained},
    settings::SettingsArguments,
    values::{domain, namespace, username},
    workloads, written,
};
use crate::{
    catalog::{Catalog, files},
    documents::{Documents, to_yaml},
    inject::identity::Identity,
    offline::{Fate, Offline, Outcome, Subject},
};

/// The namespace of whoever names none, as in kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// Print workloads as the webhook would make them
///
/// Takes Pods, everything with a pod template (Jobs, CronJobs, Deployments, JobSets and the like) and Lists of them;
/// other documents pass unchanged. What was decided, and why, goes to standard error.
///
/// Exit codes: 0 done; 1 denied, or a file is invalid; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter inject -f job.yaml --secrets secrets.yaml --as alice
  keyporter inject -f job.yaml --secrets secrets/ --as alice -o explain
  kustomize build . | keyporter inject -f - --secrets secrets/ --as alice -o diff")]
pub(super) struct Inject {
    /// A file of YAML or JSON documents, or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// A file or folder of Secrets; may be repeated
    #[arg(long = "secrets", value_name = "PATH", required = true)]
    secrets: Vec<PathBuf>,

    /// Who creates the workload: the pods get this user's secrets and the project's. Without it: only the project's
    #[arg(long = "as", value_name = "USER", value_parser = username)]
    user: Option<String>,

    /// A group of that user, as kubectl takes it; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,

    /// The namespace of workloads and Secrets that name none; workloads that name another are an error
    #[arg(short, long, value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Option<String>,

    /// The domain that the namespaces belong to, for ${secrets.KEY}; without it, what the label keyporter.dev/domain of
    /// Namespaces among the --secrets says
    #[arg(long, value_name = "NAME", value_parser = domain)]
    domain: Option<String>,

    /// What is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,

    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The documents, as YAML
    #[default]
    Yaml,
    /// The documents, as JSON
    Json,
    /// One JSON Patch (RFC 6902) a line, for each document
    Patch,
    /// What changes
    Diff,
    /// Every secret in reach: how it comes, or why not
    Explain,
}

/// Something was denied. The sentences are on standard error already.
#[derive(Debug, thiserror::Error)]
#[error("nothing is printed, because {0} of the pods would be denied")]
struct Denied(usize);

/// A file with what became of its documents.
struct Done<'a> {
    documents: Documents<'a>,
    outcomes: Vec<Outcome>,
}

impl Inject {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let namespace = self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let settings = self.settings.settings();
        let labels_tell = settings.identity == Identity::Konduktor;
        let catalog = Catalog::of(&settings);
        let mut loaded = files::load(&self.secrets, namespace)?;
        if let Some(warning) = loaded.warning(&catalog) {
            eprintln!("warning: {warning}");
        }
        if let Some(domain) = &self.domain {
            loaded.set_domain(domain, namespace);
        }
        loaded.fill(&catalog);
        let offline = Offline {
            catalog: &catalog,
            settings: &settings,
            requester: self.user.as_deref().or(labels_tell.then_some("")),
            groups: self
                .groups
                .iter()
                .map(|group| group.as_str().into())
                .collect(),
            namespace,
            only_namespace: self.namespace.is_some(),
        };
        let texts = self
            .files
            .iter()
            .map(|file| workloads::read(file))
            .collect::<Result<Vec<_>, _>>()?;
        let done = texts
            .iter()
            .map(|(name, text)| self.work(&offline, name, text))
            .collect::<Result<Vec<_>, _>>()?;
        if subjects(&done).next().is_none() {
            eprintln!("note: there is no pod and no pod template in what was given");
        } else if self.user.is_none() && !labels_tell {
            eprintln!("note: without --as USER only secrets of the project come");
        }
        match subjects(&done)
            .filter(|subject| matches!(subject.fate, Fate::Denied { .. }))
            .count()
        {
            0 => self.print(&done),
            denied if self.output == Output::Explain => {
                self.print(&done)?;
                Err(Explained(denied).into())
            }
            denied => Err(Denied(denied).into()),
        }
    }

    fn work<'a>(
        &self,
        offline: &Offline<'_>,
        name: &str,
        text: &'a str,
    ) -> Result<Done<'a>, Box<dyn Error>> {
        let documents = workloads::split(name, text)?;
        let mut outcomes = Vec::with_capacity(documents.len());
        for document in &documents {
            let outcome = workloads::work(offline, name, document, document.value(name)?)?;
            tell(&outcome.subjects, self.output);
            outcomes.push(outcome);
        }
        Ok(Done {
            documents,
            outcomes,
        })
    }

    fn print(&self, done: &[Done<'_>]) -> Result<(), Box<dyn Error>> {
        let mut out = anstream::stdout().lock();
        let printed = match self.output {
            Output::Yaml => print_yaml(&mut out, done),
            Output::Json => print_json(&mut out, done),
            Output::Patch => print_patches(&mut out, done),
            Output::Diff => print_diff(&mut out, done),
            Output::Explain => explanation::print(&mut out, subjects(done)),
        };
        written(printed)
    }
}

/// All documents of all files.
fn outcomes<'a>(done: &'a [Done<'_>]) -> impl Iterator<Item = &'a Outcome> {
    done.iter().flat_map(|file| &file.outcomes)
}

/// All pods and pod templates of all files.
fn subjects<'a>(done: &'a [Done<'_>]) -> impl Iterator<Item = &'a Subject> {
    outcomes(done).flat_map(|outcome| &outcome.subjects)
}

/// What was decided about each pod, for the person at the terminal.
fn tell(subjects: &[Subject], output: Output) {
    for subject in subjects {
        let Subject {
            title,
            fate,
            owner,
            warnings,
            ..
        } = subject;
        let whose = match owner {
            Some((Some(name), _)) => format!(" for {name}"),
            _ => String::new(),
        };
        match fate {
            Fate::Denied { message } => eprintln!("{title}: denied: {message}"),
            Fate::Skipped { reason } => eprintln!("{title}: nothing added{whose}: {reason}"),
            Fate::Injected { secrets: 1 } => eprintln!("{title}: 1 secret{whose}"),
            Fate::Injected { secrets } => eprintln!("{title}: {secrets} secrets{whose}"),
        }
        if output != Output::Explain {
            for warning in warnings {
                eprintln!("warning: {title}: {warning}");
            }
        }
    }
}

/// Documents that stay as they are come out byte for byte, with their comments.
fn print_yaml(out: &mut impl Write, done: &[Done<'_>]) -> io::Result<()> {
    for (
        index,
        Done {
            documents,
            outcomes,
        },
    ) in done.iter().enumerate()
    {
        if index > 0 {
            writeln!(out, "---")?;
        }
        let mut outcomes = outcomes.iter();
        let printed = documents.print(|_| {
            let outcome = outcomes
                .next()
                .filter(|outcome| !outcome.patch.is_empty())?;
            Some(to_yaml(&outcome.document))
        });
        writeln!(out, "{}", printed.strip_suffix('\n').unwrap_or(&printed))?;
    }
    Ok(())
}

fn print_json(out: &mut impl Write, done: &[Done<'_>]) -> io::Result<()> {
    for outcome in outcomes(done) {
        writeln!(out, "{:#}", outcome.document)?;
    }
    Ok(())
}

fn print_patches(out: &mut impl Write, done: &[Done<'_>]) -> io::Result<()> {
    for outcome in outcomes(done) {
        writeln!(out, "{}", Value::Array(outcome.patch.clone()))?;
    }
    Ok(())
}

fn print_diff(out: &mut impl Write, done: &[Done<'_>]) -> io::Result<()> {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(Color::Ansi(colour)));
    for outcome in outcomes(done).filter(|outcome| !outcome.patch.is_empty()) {
        // Both sides come from the same writer, so that only what the patch did differs.
        let (old, new) = (to_yaml(&outcome.before), to_yaml(&outcome.document));
        let title = outcome
            .subjects
            .first()
            .map_or("", |subject| &subject.title);
        let bold = Style::new().bold();
        writeln!(
            out,
            "{bold}--- {title}{bold:#}\n{bold}+++ {title} (injected){bold:#}"
        )?;
        let diff = TextDiff::from_lines(&old, &new);
        for hunk in diff.unified_diff().iter_hunks() {
            let cyan = colour(AnsiColor::Cyan);
            writeln!(out, "{cyan}{}{cyan:#}", hunk.header())?;
            for change in hunk.iter_changes() {
                let (sign, style) = match change.tag() {
                    ChangeTag::Delete => ('-', colour(AnsiColor::Red)),
                    ChangeTag::Insert => ('+', colour(AnsiColor::Green)),
                    ChangeTag::Equal => (' ', Style::new()),
                };
                writeln!(
                    out,
                    "{style}{sign}{}{style:#}",
                    change.value().trim_end_matches('\n')
                )?;
            }
        }
    }
    Ok(())
}
