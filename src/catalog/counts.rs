//! How many secrets the catalog holds.

use super::item::Item;
use crate::inject::secret::{Kind, Problem, Scope};

const SCOPES: [Scope; 2] = [Scope::User, Scope::Project];

/// How many secrets there are of each sort. Closed lists, fit for metric labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    usable: [[u64; SCOPES.len()]; Kind::ALL.len()],
    broken: [u64; Problem::WORDS.len()],
}

impl Counts {
    /// The secrets that can be injected, for each kind and scope, zeros too.
    pub fn usable(&self) -> impl Iterator<Item = (Kind, Scope, u64)> {
        let kinds = Kind::ALL.into_iter().zip(self.usable);
        kinds.flat_map(|(kind, counts)| {
            let scopes = SCOPES.into_iter().zip(counts);
            scopes.map(move |(scope, count)| (kind, scope, count))
        })
    }

    /// The secrets that cannot be injected, for each [`Problem::WORDS`], zeros too.
    pub fn broken(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Problem::WORDS.into_iter().zip(self.broken)
    }

    /// All secrets.
    #[must_use]
    pub fn total(&self) -> u64 {
        let usable: u64 = self.usable.iter().flatten().sum();
        usable + self.broken.iter().sum::<u64>()
    }

    pub(super) fn add(&mut self, item: &Item) {
        if let Some(count) = self.count(item) {
            *count += 1;
        }
    }

    pub(super) fn remove(&mut self, item: &Item) {
        if let Some(count) = self.count(item) {
            *count = count.saturating_sub(1);
        }
    }

    fn count(&mut self, item: &Item) -> Option<&mut u64> {
        match item {
            Item::Usable(secret) => {
                let kind = Kind::ALL.iter().position(|kind| *kind == secret.kind)?;
                let scope = SCOPES.iter().position(|scope| *scope == secret.scope)?;
                self.usable.get_mut(kind)?.get_mut(scope)
            }
            Item::Broken(broken) => {
                let word = broken.problem.as_str();
                let problem = Problem::WORDS.iter().position(|known| *known == word)?;
                self.broken.get_mut(problem)
            }
        }
    }
}
