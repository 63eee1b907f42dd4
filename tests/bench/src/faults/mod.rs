//! What goes wrong on networks, against the program as a process: others are served meanwhile, and it recovers.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyporter_bench::client::{Client, Prepared, patiently};
use keyporter_bench::process::{self, Process, free_address};
use keyporter_bench::reviews::Size;
use keyporter_bench::{answer, secrets};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::Ground;

use self::steady::Steady;

mod descriptors;
mod half_closed;
mod handshakes;
mod headers;
mod idle;
mod resets;
mod slow;
mod soak;
mod steady;

/// How long the server may take to close what a fault has left.
const RECOVERY: Duration = Duration::from_secs(20);
/// Connections of the steady client that come and go.
const TOLERATED: usize = 8;

#[derive(clap::Args)]
pub(crate) struct Faults {
    /// How long the soak takes after the faults
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The program that is tried
    #[arg(long, default_value = "target/release/keyporter")]
    keyporter: PathBuf,
}

/// The server that is tried, and who tries it.
struct Trial {
    process: Process,
    client: Client,
    review: Prepared,
}

impl Faults {
    pub(crate) fn run(self) -> io::Result<()> {
        process::pin_self()?;
        raise_descriptors()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(self.try_all())
    }

    async fn try_all(self) -> io::Result<()> {
        let ground = Ground::new(&[])?;
        let files = ground.secrets("secrets", secrets::OWN, secrets::OWN)?;
        let process = ground.keyporter(&self.keyporter, &files, free_address()?, "info")?;
        let client = Client::new(process.address, ground.authority());
        let review = Prepared::new(Size::Small.body(0));
        let mut connection = client.http1().await?;
        let answer = connection.exchange(&review).await?;
        answer::check(&review.body, answer, secrets::OWN).map_err(io::Error::other)?;
        let answer = answer.to_vec();
        drop(connection);
        let steady = Steady::start(&client, &review, answer);
        let mut trial = Trial {
            process,
            client,
            review,
        };
        // What the allocator and the pools take once is no leak of a fault.
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!(
            "{:<20} {:>7} {:>6} {:>9} {:>15} {:>11}  the faulty connections",
            "fault", "served", "failed", "slowest", "resident MiB", "fds"
        );
        let mut failed = false;
        failed |= trial.row(&steady, "idle", idle::run).await?;
        failed |= trial.row(&steady, "slow senders", slow::run).await?;
        failed |= trial.row(&steady, "half-closed", half_closed::run).await?;
        failed |= trial.row(&steady, "resets mid-body", resets::run).await?;
        failed |= trial
            .row(&steady, "oversized headers", headers::run)
            .await?;
        failed |= trial
            .row(&steady, "handshake flood", handshakes::run)
            .await?;
        failed |= trial
            .row(&steady, "out of descriptors", descriptors::run)
            .await?;
        failed |= soak::run(&mut trial, &steady, Duration::from_mins(self.minutes)).await?;
        if failed {
            return Err(io::Error::other("a fault hurt others, see above"));
        }
        Ok(())
    }
}

impl Trial {
    /// Runs one fault and prints its row; whether others were hurt by it.
    async fn row(
        &mut self,
        steady: &Steady,
        name: &str,
        fault: impl AsyncFnOnce(&mut Self) -> io::Result<String>,
    ) -> io::Result<bool> {
        steady.take();
        let (memory, descriptors) = self.size()?;
        let note = fault(self).await?;
        let recovered = self.recovers(descriptors).await?;
        let seen = steady.take();
        let (memory_after, descriptors_after) = self.size()?;
        println!(
            "{name:<20} {:>7} {:>6} {:>6} ms {memory:>6.1} → {memory_after:>6.1} {descriptors:>4} → {descriptors_after:>4}  {note}",
            seen.served,
            seen.failed,
            seen.slowest.as_millis(),
        );
        if let Some(error) = &seen.error {
            println!("  a request of others failed: {error}");
        }
        if !recovered {
            println!("  not recovered after {} seconds", RECOVERY.as_secs());
        }
        Ok(seen.failed > 0 || seen.served == 0 || !recovered || self.panicked())
    }

    /// Waits until what the fault has opened is closed, and a new connection is answered.
    async fn recovers(&mut self, descriptors: usize) -> io::Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < RECOVERY {
            if self.process.descriptors()? <= descriptors + TOLERATED {
                let mut connection = patiently(self.client.http1()).await?;
                return Ok(patiently(connection.exchange(&self.review)).await.is_ok());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(false)
    }

    /// Resident memory in MiB and open file descriptors; an error when the program has ended.
    fn size(&mut self) -> io::Result<(f64, usize)> {
        self.process.number()?;
        let memory = self.process.memory("VmRSS")? as f64 / 1024.0;
        Ok((memory, self.process.descriptors()?))
    }

    fn panicked(&self) -> bool {
        let panics = self.process.panics();
        if panics > 0 {
            println!("  the log tells of {panics} panics");
        }
        panics > 0
    }
}

/// That enough of a fault's connections did what they were to do: otherwise nothing was tried.
fn enough(done: usize, of: usize) -> io::Result<()> {
    if done * 10 >= of * 9 {
        return Ok(());
    }
    let message = format!("only {done} of {of} connections could be made to go wrong");
    Err(io::Error::other(message))
}

/// As many as the system grants: the server inherits it, too.
fn raise_descriptors() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Does something `count` times, at most 64 at once; the results of those that went well.
async fn crowd<T, F>(count: usize, one: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    let mut done = Vec::new();
    for number in 0..count {
        if tasks.len() >= 64
            && let Some(Ok(Ok(one))) = tasks.join_next().await
        {
            done.push(one);
        }
        tasks.spawn(patiently(one(number)));
    }
    while let Some(joined) = tasks.join_next().await {
        if let Ok(Ok(one)) = joined {
            done.push(one);
        }
    }
    done
}
