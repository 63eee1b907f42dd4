//! Many handshakes: complete ones, such that are no TLS, and such that never come.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Trial, crowd, enough};

const CONNECTIONS: usize = 6_000;

pub(super) async fn run(trial: &mut Trial) -> io::Result<String> {
    let done = crowd(CONNECTIONS, |number| {
        let client = trial.client.clone();
        async move {
            match number % 3 {
                0 => client.raw().await?.shutdown().await?,
                1 => {
                    let mut stream = client.tcp().await?;
                    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
                    let _answer = stream.read(&mut [0; 64]).await?;
                }
                // The beginning of a handshake record, and no more.
                _ => {
                    let mut stream = client.tcp().await?;
                    stream.write_all(&[22, 3, 1, 2, 0, 1]).await?;
                    return Ok(Some(stream));
                }
            }
            Ok(None)
        }
    })
    .await;
    enough(done.len(), CONNECTIONS)?;
    let open = trial.process.descriptors()?;
    let hanging = done.iter().flatten().count();
    Ok(format!(
        "{} begun, {hanging} of them hanging ({open} fds)",
        done.len()
    ))
}
