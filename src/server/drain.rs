//! How many connections there are, and when they shall end.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use super::room::Room;

/// How long to wait for a place before those that are silent are asked again.
const ROUND: Duration = Duration::from_millis(100);
/// Which part of all connections are to end where there is no room: to ask all of them takes a while.
const PART: u32 = 32;

/// What became of the connections that were open when the shutdown began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a cut-off connection may have been a refused pod"]
pub struct Drained {
    /// Connections that still had work when the drain timeout ended, and were closed in the midst of it.
    pub cut_off: usize,
}

/// All connections of a listener.
///
/// One semaphore is both the limit and the count: when every permit is back, nobody is connected. When this is dropped,
/// every connection that is left is cut off.
pub(super) struct Connections {
    slots: Arc<Semaphore>,
    max: u32,
    draining: watch::Sender<bool>,
    room: Room,
}

impl Connections {
    pub(super) fn new(max: u32) -> Self {
        // None at all would be a listener that accepts nobody; more than the semaphore holds cannot be counted.
        let max = max.clamp(1, u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self {
            slots: Arc::new(Semaphore::new(max as usize)),
            max,
            draining: watch::Sender::new(false),
            room: Room::default(),
        }
    }

    /// By what silent connections are ended.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Waits until there is room for one more connection, and has silent ones make it.
    pub(super) async fn slot(&self) -> Slot {
        let places = (self.max / PART).max(1) as usize;
        let mut patience = Duration::ZERO;
        let permit = loop {
            let permit = Arc::clone(&self.slots).acquire_owned();
            if let Ok(permit) = timeout(patience, permit).await {
                // The semaphore is never closed; if it were, serving without a count is better than not serving.
                break permit.ok();
            }
            self.room.make(places);
            patience = ROUND;
        };
        Slot {
            _permit: permit,
            draining: self.draining.subscribe(),
            room: self.room.clone(),
        }
    }

    /// Tells every connection to finish, and cuts off those that have not after `limit`.
    pub(super) async fn drain(self, limit: Duration) -> Drained {
        self.draining.send_replace(true);
        if timeout(limit, self.slots.acquire_many(self.max))
            .await
            .is_ok()
        {
            return Drained { cut_off: 0 };
        }
        Drained {
            cut_off: (self.max as usize).saturating_sub(self.slots.available_permits()),
        }
    }
}

/// A connection's place among the [`Connections`], held as long as it lives.
pub(super) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    draining: watch::Receiver<bool>,
    room: Room,
}

impl Slot {
    /// Completes when the connection shall finish what it has begun.
    pub(super) async fn draining(&mut self) {
        // An error means that the server is gone, which is the end as well.
        let _gone = self.draining.wait_for(|draining| *draining).await;
    }

    /// By what the connection is asked to end for others.
    pub(super) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Completes when the connection shall end whatever it is doing.
    pub(super) async fn cut_off(&mut self) {
        let _gone = self.draining.wait_for(|_| false).await;
    }
}
