//! A server as a process of its own, on a core of its own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The core of the servers.
pub const SERVER_CORE: &str = "0";
/// The core of the load generator, and of who reads the logs.
pub const CLIENT_CORE: &str = "1";
/// Both.
pub const ALL_CORES: &str = "0,1";

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(120);
/// `sysconf(_SC_CLK_TCK)` on every Linux there is: the unit of CPU time in `/proc`.
const TICK: Duration = Duration::from_millis(10);

/// A running server. It ends when this is dropped.
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    lines: Arc<AtomicU64>,
    panics: Arc<AtomicU64>,
}

impl Process {
    /// Starts a program on the servers' core.
    pub fn start(
        program: &Path,
        arguments: impl Fn(SocketAddr) -> Vec<OsString>,
    ) -> io::Result<Self> {
        Self::start_on(SERVER_CORE, program, arguments)
    }

    /// Starts a program on some cores, and waits until it takes connections. What it logs is read through a pipe, as a
    /// container's runtime does, and counted.
    pub fn start_on(
        cores: &str,
        program: &Path,
        arguments: impl Fn(SocketAddr) -> Vec<OsString>,
    ) -> io::Result<Self> {
        let address = free_address()?;
        let mut child = Command::new("taskset")
            .args(["--cpu-list", cores])
            .arg(program)
            .args(arguments(address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let (lines, panics) = (Arc::default(), Arc::default());
        let counted = (Arc::clone(&lines), Arc::clone(&panics));
        if let Some(log) = child.stderr.take() {
            thread::spawn(move || count_lines(log, &counted.0, &counted.1));
        }
        let mut process = Self {
            child,
            address,
            lines,
            panics,
        };
        process.wait_until(|| TcpStream::connect(address).is_ok())?;
        Ok(process)
    }

    /// Waits for something, as long as the program runs.
    pub fn wait_until(&mut self, happened: impl Fn() -> bool) -> io::Result<()> {
        let begun = Instant::now();
        while !happened() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended: {status}")));
            }
            if begun.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// How many lines it has logged.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// How many threads have panicked, by the log.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Its number in the system; nothing once it has ended.
    pub fn number(&mut self) -> io::Result<u32> {
        match self.child.try_wait()? {
            None => Ok(self.child.id()),
            Some(status) => Err(io::Error::other(format!("the server ended: {status}"))),
        }
    }

    /// How many file descriptors it has open.
    pub fn descriptors(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// The CPU time that it took until now, in user and system mode.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }

    /// How much memory it has, in KiB: `VmRSS` is what is resident, `VmHWM` the most that ever was.
    pub fn memory(&self, field: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let memory = status.lines().find_map(|line| {
            let kib = line.strip_prefix(field)?.strip_prefix(':')?;
            kib.trim().strip_suffix(" kB")?.parse().ok()
        });
        memory.ok_or_else(|| io::Error::other(format!("no {field}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The CPU time of a process, by its number or `self`.
pub fn cpu_of(process: &str) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before may hold anything but this.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u32 = rest
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks)
}

/// Keeps this process away from the servers' core.
pub fn pin_self() -> io::Result<()> {
    let process = std::process::id().to_string();
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", CLIENT_CORE, &process]);
    let status = taskset.stdout(Stdio::null()).status()?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| io::Error::other("taskset failed"))
}

/// A port that was free a moment ago.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Whether a keyporter with this administration address says that it is ready.
#[must_use]
pub fn is_ready(admin: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(admin)?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, io::Error>(answer.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

fn count_lines(mut log: impl Read, lines: &AtomicU64, panics: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    let mut at_start = true;
    while let Ok(length @ 1..) = log.read(&mut buffer) {
        let read = &buffer[..length];
        let ends = read.iter().filter(|byte| **byte == b'\n').count();
        lines.fetch_add(ends as u64, Ordering::Relaxed);
        // The log is lines of JSON, which begin with a brace; what Rust says of a panic begins with "thread".
        let mut starts = u64::from(at_start && read.starts_with(b"t"));
        starts += read.windows(2).filter(|two| two == b"\nt").count() as u64;
        panics.fetch_add(starts, Ordering::Relaxed);
        at_start = read.ends_with(b"\n");
    }
}
