//! Whoever ends the program, a person or a kubelet, has things taken away first.

use std::{future::pending, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::run::TrialError;

/// The signals that end a trial. They are heard between requests alone: what a request in the air makes is known only
/// from its answer, and would stay.
pub(super) struct Interruption {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl Interruption {
    /// From here on, neither signal ends the program by itself. It needs a running tokio runtime.
    pub(super) fn listen() -> Self {
        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
        }
    }

    /// Waits so long, or until there is a signal.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), TrialError> {
        async fn next(signal: Option<&mut Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => pending().await,
            }
        }
        tokio::select! {
            biased;
            () = next(self.interrupt.as_mut()) => Err(TrialError::Interrupted),
            () = next(self.terminate.as_mut()) => Err(TrialError::Interrupted),
            () = sleep(time) => Ok(()),
        }
    }

    /// Whether there was a signal before.
    pub(super) async fn check(&mut self) -> Result<(), TrialError> {
        self.pause(Duration::ZERO).await
    }
}
