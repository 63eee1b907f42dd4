//! A child process that cannot outlive its test.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::Result;

/// A running child. Dropping it kills it and waits for its end.
pub(crate) struct Process {
    name: String,
    child: Child,
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints is appended to the file `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        // A test run that is killed runs no destructor. The guard waits at the other end of a pipe
        // that closes however this process ends.
        let guard = Command::new("sh")
            .arg("-c")
            .arg("trap '' HUP INT TERM; read -r _; kill -KILL \"$0\"")
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            child,
            guard,
            log: log.to_owned(),
        })
    }

    /// The status it ended with, unless it still runs.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// An error that says how it ended and what it printed last, if it ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => Err(format!(
                "{} ended with {status}. Its last lines:\n{}",
                self.name,
                self.tail(15)
            )
            .into()),
        }
    }

    /// All that it printed so far.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines that it printed.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        let last = all
            .get(all.len().saturating_sub(lines)..)
            .unwrap_or_default();
        format!("  {}\n", last.join("\n  "))
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}"))
            .arg(self.child.id().to_string());
        if kill.status()?.success() {
            return Ok(());
        }
        Err(format!("{} cannot be sent SIG{signal}", self.name).into())
    }

    /// Sends SIGTERM and waits for the end, at most for `bound`.
    pub(crate) fn terminate(&mut self, bound: Duration) -> Result<ExitStatus> {
        let _gone_already = self.signal("TERM");
        let start = Instant::now();
        while start.elapsed() < bound {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!(
            "{} still runs {bound:?} after SIGTERM:\n{}",
            self.name,
            self.tail(15)
        )
        .into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard first: it must not kill whoever gets the number of a child that is gone.
        for child in [&mut self.guard, &mut self.child] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
