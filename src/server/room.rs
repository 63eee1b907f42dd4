//! Room for new connections where there is none: who has been silent for a while makes it.
//!
//! Otherwise a crowd of peers that hold connections and ask nothing would keep everybody else out until they run into the
//! idle timeout, which has to be long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// Who has been silent for less is not asked: a request may be on its way, and would be lost.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// A listener's connections share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many connections are to end.
    wanted: AtomicUsize,
    asked: Notify,
}

impl Room {
    /// Has so many of the silent connections end. Those that are asked for and not found are forgotten at the next call.
    pub(super) fn make(&self, places: usize) {
        self.0.wanted.store(places, Ordering::Relaxed);
        self.0.asked.notify_waiters();
    }

    /// Completes when a connection is to end for others; `is_silent` says whether it may.
    pub(super) async fn asked(&self, is_silent: impl Fn() -> bool) {
        loop {
            self.0.asked.notified().await;
            if is_silent() && self.takes_part() {
                return;
            }
        }
    }

    fn takes_part(&self) -> bool {
        let less = |wanted: usize| wanted.checked_sub(1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.wanted.fetch_update(set, fetch, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use futures::{
        FutureExt,
        future::{BoxFuture, join_all},
    };

    use super::*;

    fn ended(waiting: &mut Vec<BoxFuture<'_, ()>>) {
        waiting.retain_mut(|one| one.now_or_never().is_none());
    }

    #[tokio::test]
    async fn as_many_end_as_are_asked_for() {
        let room = Room::default();
        let mut waiting: Vec<_> = (0..5)
            .map(|number| room.asked(move || number != 0).boxed())
            .collect();
        ended(&mut waiting);
        assert_eq!(waiting.len(), 5);
        room.make(2);
        ended(&mut waiting);
        assert_eq!(waiting.len(), 3);
        ended(&mut waiting);
        assert_eq!(waiting.len(), 3);
        // The one that is not silent stays.
        room.make(5);
        ended(&mut waiting);
        assert_eq!(waiting.len(), 1);
    }

    #[tokio::test]
    async fn who_falls_silent_later_is_asked_again() {
        let room = Room::default();
        let silent = AtomicBool::new(false);
        let ends = room.asked(|| silent.load(Ordering::Relaxed));
        let asks = async {
            tokio::task::yield_now().await;
            room.make(1);
            tokio::task::yield_now().await;
            silent.store(true, Ordering::Relaxed);
            room.make(1);
        };
        tokio::time::timeout(Duration::from_secs(10), async {
            join_all([ends.boxed_local(), asks.boxed_local()]).await;
        })
        .await
        .unwrap();
    }
}
