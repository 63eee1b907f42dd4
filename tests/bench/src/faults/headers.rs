//! Headers larger than the server's limit of 64 KiB.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Trial, crowd};

const REQUESTS: usize = 300;
const BYTES: usize = 512 * 1024;

pub(super) async fn run(trial: &mut Trial) -> io::Result<String> {
    let statuses = crowd(REQUESTS, |_| {
        let client = trial.client.clone();
        async move {
            let mut stream = client.raw().await?;
            let request = format!(
                "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}",
                "x".repeat(BYTES)
            );
            // The answer comes before all is sent; then the rest cannot be.
            let _sent = stream.write_all(request.as_bytes()).await;
            let mut status = [0; 12];
            stream.read_exact(&mut status).await?;
            Ok(status)
        }
    })
    .await;
    // Some are still sending when the connection ends.
    if statuses.len() * 2 < REQUESTS {
        return Err(io::Error::other("hardly any answer was read"));
    }
    if statuses.iter().any(|status| status != b"HTTP/1.1 431") {
        return Err(io::Error::other("another status than 431"));
    }
    Ok(format!(
        "{} answered with 431, {} reset before they read it",
        statuses.len(),
        REQUESTS - statuses.len()
    ))
}
