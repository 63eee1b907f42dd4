//! Connections that are reset in the midst of a body.

use std::io;

use tokio::io::AsyncWriteExt;

use super::{Trial, crowd, enough};

const CONNECTIONS: usize = 1_000;

pub(super) async fn run(trial: &mut Trial) -> io::Result<String> {
    let reset = crowd(CONNECTIONS, |_| {
        let (client, review) = (trial.client.clone(), trial.review.clone());
        async move {
            let mut stream = client.raw().await?;
            let all = review.as_http1();
            stream.write_all(&all[..all.len() - 1_000]).await?;
            stream.flush().await?;
            stream.into_inner().0.set_zero_linger()
        }
    })
    .await;
    enough(reset.len(), CONNECTIONS)?;
    Ok(format!("{} reset", reset.len()))
}
