//! The client that must not notice anything.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyporter_bench::client::{Client, Http1, Prepared, patiently};

/// Requests in flight on kept connections.
const KEPT: usize = 3;
/// Between two requests of one connection.
const PAUSE: Duration = Duration::from_millis(10);

/// Sends reviews until the program ends.
pub(super) struct Steady(Arc<Mutex<Seen>>);

/// What the client saw since it was last asked.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) served: u64,
    pub(super) failed: u64,
    pub(super) slowest: Duration,
    /// Why the first of those failed.
    pub(super) error: Option<io::Error>,
}

impl Steady {
    /// Begins: some kept connections, and one after the other that is new.
    pub(super) fn start(client: &Client, review: &Prepared, answer: Vec<u8>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        for number in 0..=KEPT {
            let worker = Worker {
                client: client.clone(),
                review: review.clone(),
                answer: answer.clone(),
                seen: Arc::clone(&seen),
            };
            tokio::spawn(worker.run(number < KEPT));
        }
        Self(seen)
    }

    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Worker {
    client: Client,
    review: Prepared,
    answer: Vec<u8>,
    seen: Arc<Mutex<Seen>>,
}

impl Worker {
    async fn run(self, keeps: bool) {
        let mut kept = None;
        loop {
            let begun = Instant::now();
            let result = patiently(self.ask(&mut kept)).await;
            {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.slowest = seen.slowest.max(begun.elapsed());
                match result {
                    Ok(()) => seen.served += 1,
                    Err(error) => {
                        kept = None;
                        seen.failed += 1;
                        seen.error.get_or_insert(error);
                    }
                }
            }
            if !keeps && let Some(connection) = kept.take() {
                let _closed = connection.close().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self, kept: &mut Option<Http1>) -> io::Result<()> {
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(self.client.http1().await?),
        };
        let answer = connection.exchange(&self.review).await?;
        (answer == self.answer)
            .then_some(())
            .ok_or_else(|| io::Error::other("another answer than before"))
    }
}
