//! The log of a program that serves: lines are gathered, and a thread writes them.
//!
//! To write each line alone would make an admission wait for whoever reads the log, and wake that reader thousands of times
//! a second; under load this costs as much as a tenth of an admission. So a line waits for those of the next few milliseconds.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long a line waits for others.
const GATHERING: Duration = Duration::from_millis(5);

/// How many bytes wait for a reader that is slow. Whoever has more to tell waits, too: nothing is lost.
const ROOM: usize = 4 << 20;

/// Writes the log until it is dropped, which it is when everything is said.
#[derive(Debug)]
#[must_use = "lines that were gathered are written when it is dropped"]
pub struct LogWriter {
    lines: Arc<Lines>,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Writes to `out` what comes to the other part.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Gathered)> {
        let lines = Arc::new(Lines::default());
        let thread = thread::Builder::new().name("log".to_owned()).spawn({
            let lines = Arc::clone(&lines);
            move || lines.write_all(out)
        })?;
        let writer = Self {
            lines: Arc::clone(&lines),
            thread: Some(thread),
        };
        Ok((writer, Gathered(lines)))
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.lines.lock().ended = true;
        self.lines.come.notify_all();
        self.lines.gone.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ends with an error if writing panics, and then there is nowhere to say so.
            let _ended = thread.join();
        }
    }
}

/// Where lines are gathered.
#[derive(Debug)]
pub(super) struct Gathered(Arc<Lines>);

#[derive(Debug, Default)]
struct Lines {
    waiting: Mutex<Waiting>,
    /// There are some.
    come: Condvar,
    /// There is room for more.
    gone: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    ended: bool,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is left half done where this could be poisoned.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut out: impl Write) {
        let mut text = Vec::new();
        loop {
            let idle = |waiting: &mut Waiting| waiting.text.is_empty() && !waiting.ended;
            let waiting = self.come.wait_while(self.lock(), idle);
            let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            if !waiting.ended {
                drop(waiting);
                thread::sleep(GATHERING);
                waiting = self.lock();
            }
            if waiting.text.is_empty() {
                return;
            }
            mem::swap(&mut text, &mut waiting.text);
            drop(waiting);
            self.gone.notify_all();
            // Without a reader the service goes on.
            let _written = out.write_all(&text).and_then(|()| out.flush());
            text.clear();
        }
    }
}

impl<'w> MakeWriter<'w> for Gathered {
    type Writer = &'w Self;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}

impl Write for &Gathered {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let full = |waiting: &mut Waiting| waiting.text.len() >= ROOM && !waiting.ended;
        let waiting = self.0.gone.wait_while(self.0.lock(), full);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        if waiting.ended {
            drop(waiting);
            return io::stderr().write(line);
        }
        let first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        drop(waiting);
        if first {
            self.0.come.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Passes on what is written; whoever receives it is its reader.
    struct Pipe(mpsc::SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(bytes.to_vec());
            sent.map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_is_written_in_order_before_the_end() {
        let (pipe, reader) = mpsc::sync_channel(1000);
        let (writer, gathered) = LogWriter::start(Pipe(pipe)).unwrap();
        for number in 0..1000 {
            writeln!(&mut &gathered, "{number}").unwrap();
            if number == 500 {
                thread::sleep(GATHERING * 5);
            }
        }
        drop(writer);
        let written: Vec<u8> = reader.into_iter().flatten().collect();
        let written = String::from_utf8(written).unwrap();
        let numbers: Vec<i32> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_does_not_wait_for_another() {
        let (pipe, reader) = mpsc::sync_channel(1);
        let (_writer, gathered) = LogWriter::start(Pipe(pipe)).unwrap();
        (&gathered).write_all(b"alone\n").unwrap();
        let written = reader.recv_timeout(Duration::from_secs(10));
        assert_eq!(written.unwrap(), b"alone\n");
    }

    #[test]
    fn whoever_says_too_much_waits_for_the_reader() {
        let (pipe, reader) = mpsc::sync_channel(0);
        let (writer, gathered) = LogWriter::start(Pipe(pipe)).unwrap();
        let line = vec![b'x'; ROOM / 4];
        let (told, tells) = mpsc::channel();
        let teller = thread::spawn(move || {
            for number in 0..20 {
                (&gathered).write_all(&line).unwrap();
                told.send(number).unwrap();
            }
        });
        let mut said = 0;
        while tells.recv_timeout(Duration::from_millis(500)).is_ok() {
            said += 1;
        }
        assert!(said < 20, "nobody reads, and all is taken");
        let reading =
            thread::spawn(move || reader.into_iter().map(|text| text.len()).sum::<usize>());
        teller.join().unwrap();
        drop(writer);
        assert_eq!(reading.join().unwrap(), 20 * (ROOM / 4));
    }

    #[test]
    fn the_service_goes_on_without_a_reader() {
        let (pipe, reader) = mpsc::sync_channel(0);
        drop(reader);
        let (writer, gathered) = LogWriter::start(Pipe(pipe)).unwrap();
        for _ in 0..3 {
            (&gathered).write_all(&vec![b'x'; ROOM]).unwrap();
        }
        drop(writer);
    }
}
