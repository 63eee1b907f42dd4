//! Peers that close their half, before the handshake, in a request and after one, and never the other.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Trial, crowd, enough};

const CONNECTIONS: usize = 600;

pub(super) async fn run(trial: &mut Trial) -> io::Result<String> {
    let sockets = crowd(CONNECTIONS, |number| {
        let (client, review) = (trial.client.clone(), trial.review.clone());
        async move {
            let mut socket = if number % 3 == 0 {
                client.tcp().await?
            } else {
                let all = review.as_http1();
                let part = if number % 3 == 1 {
                    all.len() / 2
                } else {
                    all.len()
                };
                let mut stream = client.raw().await?;
                stream.write_all(&all[..part]).await?;
                stream.flush().await?;
                stream.into_inner().0
            };
            // The FIN of TCP alone, without the alert of TLS.
            socket.shutdown().await?;
            Ok(socket)
        }
    })
    .await;
    enough(sockets.len(), CONNECTIONS)?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let open = trial.process.descriptors()?;
    Ok(format!(
        "{} half-closed, {open} fds after 3 s",
        sockets.len()
    ))
}
