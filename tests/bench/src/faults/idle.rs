//! As many silent connections as the server takes, and more.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{Trial, crowd};

/// With those of others just below the server's limit of 10,000.
const IDLE: usize = 9_990;
/// So many wait in the accept queue for a place; those of others, too, until there is one.
const BEYOND: usize = 300;
const HELD: Duration = Duration::from_secs(2);

pub(super) async fn run(trial: &mut Trial) -> io::Result<String> {
    let client = &trial.client;
    // One request each: without one, a connection ends after 10 seconds.
    let idle = crowd(IDLE, |_| {
        let client = client.clone();
        async move {
            let mut stream = client.raw().await?;
            stream
                .write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await?;
            let mut answer = [0; 1024];
            if stream.read(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            Ok(stream)
        }
    })
    .await;
    sleep(HELD).await;
    let open = trial.process.descriptors()?;
    let resident = trial.process.memory("VmRSS")? / 1024;
    let client = &trial.client;
    let beyond = crowd(BEYOND, |_| {
        let client = client.clone();
        async move { client.tcp().await }
    })
    .await;
    sleep(HELD).await;
    let still = trial.process.descriptors()?;
    let note = format!(
        "{} idle of {IDLE} ({open} fds, {resident} MiB); of {} more {} accepted, the others queued",
        idle.len(),
        beyond.len(),
        still.saturating_sub(open)
    );
    if idle.len() < IDLE {
        return Err(io::Error::other(note));
    }
    Ok(note)
}
