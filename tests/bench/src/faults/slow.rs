//! Byte by byte: headers, which the server cuts after 10 seconds, and bodies, which it bears for 30.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Trial, crowd};

const SENDERS: usize = 60;
const PATIENCE: Duration = Duration::from_secs(14);
const PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn run(trial: &mut Trial) -> io::Result<String> {
    let streams = crowd(SENDERS, |_| {
        let client = trial.client.clone();
        async move { client.raw().await }
    })
    .await;
    let mut tasks = tokio::task::JoinSet::new();
    for (number, mut stream) in streams.into_iter().enumerate() {
        let review = trial.review.clone();
        tasks.spawn(async move {
            let all = review.as_http1();
            let quickly = if number % 2 == 0 {
                0
            } else {
                all.len() - review.body.len()
            };
            let begun = Instant::now();
            stream.write_all(&all[..quickly]).await?;
            for byte in &all[quickly..] {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                let mut answer = [0; 256];
                // Anything, be it an end, is a cut: nothing was asked completely.
                if timeout(PAUSE, stream.read(&mut answer)).await.is_ok() {
                    return Ok(true);
                }
                if begun.elapsed() > PATIENCE {
                    break;
                }
            }
            Ok::<_, io::Error>(false)
        });
    }
    let results = tasks.join_all().await;
    let cut = results
        .iter()
        .filter(|cut| !matches!(cut, Ok(false)))
        .count();
    let note = format!("{cut} of {SENDERS} cut within {} s", PATIENCE.as_secs());
    // Those with slow headers must be.
    if cut < SENDERS / 2 {
        return Err(io::Error::other(note));
    }
    Ok(note)
}
