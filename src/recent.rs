//! What was heard or said a short while ago, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Entries that count for some time. There is a most of them: what has no room is not kept.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    age: Duration,
    room: usize,
    entries: HashMap<K, (Instant, V)>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Keeps up to `room` entries, each for `age`.
    pub(crate) fn new(age: Duration, room: usize) -> Self {
        Self {
            age,
            room,
            entries: HashMap::new(),
        }
    }

    /// An entry that still counts.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (at, value) = self.entries.get(key)?;
        (at.elapsed() < self.age).then_some(value)
    }

    /// Keeps an entry from now on. Says whether there is room for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> bool {
        if self.entries.len() >= self.room {
            let age = self.age;
            self.entries.retain(|_, (at, _)| at.elapsed() < age);
        }
        let fits = self.entries.len() < self.room;
        if fits {
            self.entries.insert(key, (Instant::now(), value));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Duration = Duration::from_secs(30);
    const AGE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn an_entry_counts_for_its_time() {
        let mut recent = Recent::new(AGE, 10);
        assert!(recent.insert("a", 1));
        tokio::time::advance(HALF).await;
        assert_eq!(recent.get(&"a"), Some(&1));
        tokio::time::advance(HALF).await;
        assert_eq!(recent.get(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn old_entries_make_room_and_others_do_not() {
        let mut recent = Recent::new(AGE, 2);
        recent.insert("a", 1);
        tokio::time::advance(HALF).await;
        recent.insert("b", 2);
        assert!(!recent.insert("c", 3));
        assert_eq!(recent.get(&"c"), None);
        tokio::time::advance(HALF).await;
        assert!(recent.insert("c", 3));
        assert_eq!(recent.get(&"b"), Some(&2));
        assert_eq!(recent.entries.len(), 2);
    }
}
