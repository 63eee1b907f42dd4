//! Many more silent connections than the server keeps.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{Trial, crowd};

const IDLE: usize = 10_000;
/// So many do not even begin with TLS.
const MUTE: usize = 300;
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
    let mute = crowd(MUTE, |_| {
        let client = client.clone();
        async move { client.tcp().await }
    })
    .await;
    sleep(HELD).await;
    let still = trial.process.descriptors()?;
    let note = format!(
        "{} answered, then idle ({open} fds, {resident} MiB); {} more are mute ({still} fds)",
        idle.len(),
        mute.len(),
    );
    if idle.len() < IDLE {
        return Err(io::Error::other(note));
    }
    Ok(note)
}
