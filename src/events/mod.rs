//! Events: what becomes of a controller's pod, told on the workload that a person made.
//!
//! The answer to a pod's creation goes to whoever creates it. That is a controller mostly, and whoever made the Deployment
//! behind it waits for pods that never come. So a report names the pod's controller, and an Event appears on the object at
//! the top of the owner references, where `kubectl describe` and `kubectl events` show it.
//!
//! ```text
//! report -> queue -> owner references, upward -> at most one a minute for the same object and reason -> Event
//! ```
//!
//! Nobody waits for it. The queue is bounded, one task works it off, and what is too much is counted and dropped. No value
//! of a secret can be in an event: a [`Note`] is made from a denial or from a text of the program.

mod owners;
mod writer;

use std::fmt;
use std::time::Duration;

use kube::Client;
use tokio::sync::mpsc;

use crate::inject::Denial;
use crate::metrics::Metrics;
use crate::referents::Reference;
use writer::Writer;

/// The most reports that wait. The controllers of a large cluster try again all at once.
const QUEUE: usize = 256;
/// How long the API server may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest note, in bytes. The API server takes 1024 characters.
const NOTE_LENGTH: usize = 1000;

/// What is to be told of a pod that a controller creates.
#[derive(Debug, Clone)]
pub struct Report {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's controller. The event goes to the highest owner that is known above it.
    pub involved: Reference,
    /// How bad it is.
    pub severity: Severity,
    /// One word in `PascalCase`, which `kubectl describe` shows as `Reason`.
    pub reason: &'static str,
    /// What tells apart different things with the same reason.
    pub rule: &'static str,
    /// The sentence.
    pub note: Note,
}

impl Report {
    /// A pod is denied.
    #[must_use]
    pub fn denied(namespace: &str, involved: Reference, denial: &Denial) -> Self {
        Self {
            namespace: namespace.to_owned(),
            involved,
            severity: Severity::Warning,
            reason: "KeyporterDenied",
            rule: denial.as_str(),
            note: denial.into(),
        }
    }
}

/// The types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something to know.
    Normal,
    /// Something does not work.
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// A sentence for whoever made the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(String);

impl From<&Denial> for Note {
    fn from(denial: &Denial) -> Self {
        // The rule stays whole.
        let room = NOTE_LENGTH.saturating_sub(denial.ruled("").len());
        let sentence = format!("a pod is denied: {denial}");
        Self(denial.ruled(&shortened(sentence, room)))
    }
}

impl From<&'static str> for Note {
    fn from(text: &'static str) -> Self {
        Self(shortened(text.to_owned(), NOTE_LENGTH))
    }
}

fn shortened(mut text: String, length: usize) -> String {
    const SIGN: &str = "…";
    if text.len() > length {
        text.truncate(text.floor_char_boundary(length.saturating_sub(SIGN.len())));
        text.push_str(SIGN);
    }
    text
}

/// What becomes of a report: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// An event was made.
    Sent,
    /// The same was told within the last minute.
    Repeated,
    /// It is too much at once.
    Dropped,
    /// The API server did not take the event.
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Repeated => "repeated",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// Takes reports. A handle: clones report to the same task.
#[derive(Clone, Default)]
pub struct Events(Option<Queue>);

#[derive(Clone)]
struct Queue {
    reports: mpsc::Sender<Report>,
    metrics: Metrics,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("cluster", &self.0.is_some())
            .finish()
    }
}

impl Events {
    /// Events in this cluster, and the task that writes them. [`Events::default`] knows no cluster: it takes reports, and
    /// nothing comes of them.
    pub fn new(client: Client, metrics: Metrics) -> (Self, impl Future<Output = ()> + Send) {
        let (reports, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(client, metrics.clone());
        (Self(Some(Queue { reports, metrics })), writer.run(queue))
    }

    /// Takes a report, at once.
    pub fn report(&self, report: Report) {
        if let Some(Queue { reports, metrics }) = &self.0
            && reports.try_send(report).is_err()
        {
            metrics.event(Outcome::Dropped.as_str());
        }
    }
}

#[cfg(test)]
mod tests;
