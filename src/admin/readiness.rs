//! Whether the program can do its work, and what is missing.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The conditions under which this replica should get requests. A clone shares them.
///
/// With no condition registered it is ready.
///
/// # Example
///
/// ```
/// let readiness = keyporter::admin::Readiness::default();
/// let catalog = readiness.condition("catalog");
/// assert!(!readiness.is_ready());
///
/// catalog.ready();
/// assert!(readiness.is_ready());
///
/// readiness.drain();
/// assert!(!readiness.is_ready());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    draining: bool,
    conditions: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// Why it does not hold. None: it holds.
    failure: Option<String>,
}

impl Readiness {
    /// Registers a condition, which does not hold until its handle says so. The same name means the same condition.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let mut state = self.lock();
        if !state.conditions.iter().any(|entry| entry.name == name) {
            state.conditions.push(Entry {
                name,
                failure: Some("not started".to_owned()),
            });
        }
        drop(state);
        Condition {
            readiness: self.clone(),
            name,
        }
    }

    /// Withdraws readiness for good, whatever the conditions say: the program is about to stop.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Whether every condition holds and no drain has begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = self.lock();
        !state.draining && state.conditions.iter().all(|entry| entry.failure.is_none())
    }

    /// Whether it is ready, and a line for each condition in the manner of Kubernetes' own `/readyz`
    /// (<https://kubernetes.io/docs/reference/using-api/health-checks/>).
    pub(super) fn report(&self) -> (bool, String) {
        let state = self.lock();
        let mut ready = !state.draining;
        let mut report = String::new();
        // Writing into a string cannot fail.
        for Entry { name, failure } in &state.conditions {
            let _infallible = match failure {
                None => writeln!(report, "[+]{name} ok"),
                Some(reason) => {
                    ready = false;
                    writeln!(report, "[-]{name} failed: {reason}")
                }
            };
        }
        if state.draining {
            report.push_str("[-]shutdown failed: draining\n");
        }
        report.push_str(if ready {
            "readyz check passed\n"
        } else {
            "readyz check failed\n"
        });
        (ready, report)
    }

    fn set(&self, name: &'static str, failure: Option<String>) {
        let mut state = self.lock();
        if let Some(entry) = state.conditions.iter_mut().find(|entry| entry.name == name) {
            entry.failure = failure;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to one condition of a [`Readiness`]. The condition stays as it was last set when the handle is dropped.
#[derive(Clone, Debug)]
pub struct Condition {
    readiness: Readiness,
    name: &'static str,
}

impl Condition {
    /// The condition holds.
    pub fn ready(&self) {
        self.readiness.set(self.name, None);
    }

    /// The condition does not hold (any more). The reason is shown to whoever asks: no secrets, one line.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.readiness.set(self.name, Some(reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_a_line_per_condition_in_the_order_of_registration() {
        let readiness = Readiness::default();
        let catalog = readiness.condition("catalog");
        let certificate = readiness.condition("certificate");
        catalog.not_ready("first list not complete");
        certificate.ready();
        assert_eq!(
            readiness.report(),
            (
                false,
                "[-]catalog failed: first list not complete\n[+]certificate ok\nreadyz check failed\n"
                    .to_owned()
            )
        );

        catalog.ready();
        assert_eq!(
            readiness.report(),
            (
                true,
                "[+]catalog ok\n[+]certificate ok\nreadyz check passed\n".to_owned()
            )
        );
    }

    #[test]
    fn a_condition_does_not_hold_before_it_is_set() {
        let readiness = Readiness::default();
        let _catalog = readiness.condition("catalog");
        assert_eq!(
            readiness.report().1,
            "[-]catalog failed: not started\nreadyz check failed\n"
        );
    }

    #[test]
    fn the_same_name_is_the_same_condition() {
        let readiness = Readiness::default();
        let first = readiness.condition("catalog");
        first.ready();
        let second = readiness.condition("catalog");
        assert!(readiness.is_ready());
        second.not_ready("lost");
        assert!(!readiness.is_ready());
    }

    #[test]
    fn draining_outranks_every_condition() {
        let readiness = Readiness::default();
        let catalog = readiness.condition("catalog");
        readiness.drain();
        catalog.ready();
        assert_eq!(
            readiness.report(),
            (
                false,
                "[+]catalog ok\n[-]shutdown failed: draining\nreadyz check failed\n".to_owned()
            )
        );
    }
}
