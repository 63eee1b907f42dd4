//! The limit of file descriptors is reached: kept connections are served, and silent ones make room for new ones.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::time::sleep;

use super::{Trial, crowd};

/// More than it has when the limit is set.
const ROOM: u64 = 40;
const CONNECTIONS: usize = 200;
/// Shorter than others wait for an answer.
const HELD: Duration = Duration::from_secs(3);

pub(super) async fn run(trial: &mut Trial) -> io::Result<String> {
    let number = i32::try_from(trial.process.number()?).map_err(io::Error::other)?;
    let pid = Pid::from_raw(number);
    let limit = trial.process.descriptors()? as u64 + ROOM;
    let low = Rlimit {
        current: Some(limit),
        maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(pid, Resource::Nofile, low)?;
    let flood = crowd(CONNECTIONS, |_| {
        let client = trial.client.clone();
        async move { client.tcp().await }
    })
    .await;
    let mut open = 0;
    for _ in 0..30 {
        sleep(HELD / 30).await;
        open = open.max(trial.process.descriptors()?);
    }
    let cpu = trial.process.cpu()?;
    sleep(Duration::from_secs(1)).await;
    let spent = trial.process.cpu()?.saturating_sub(cpu);
    // Those that wait are gone, and then there is room below the same limit.
    let count = flood.len();
    drop(flood);
    sleep(Duration::from_secs(1)).await;
    prlimit(pid, Resource::Nofile, before)?;
    let note = format!(
        "{count} connections, {open} fds of {limit} at most, {} ms of CPU in 1 s",
        spent.as_millis()
    );
    if (open as u64) + 2 < limit {
        return Err(io::Error::other(format!(
            "the limit was not reached: {note}"
        )));
    }
    Ok(note)
}
