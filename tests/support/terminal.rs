//! A terminal of its own for a program, and somebody who types.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

/// How long a program may take until it asks.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a program at a terminal left behind.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) code: Option<i32>,
    /// All that was to be seen, what was typed included where it was shown.
    pub(crate) shown: String,
    /// Whether the terminal shows what is typed and collects lines, as it did before.
    pub(crate) restored: bool,
}

/// Runs a program at a terminal. Where it shows the first text of a pair, somebody types the second.
pub(crate) fn at_terminal(mut command: Command, typed: &[(&str, &str)]) -> io::Result<Session> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let name = ptsname(&terminal, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let end: OwnedFd = rustix::fs::open(name, flags, Mode::empty())?;
    let modes = || tcgetattr(&end).map(|modes| modes.local_modes);
    let before = modes()?;
    assert!(before.contains(LocalModes::ECHO | LocalModes::ICANON));

    let mut child = command
        .stdin(Stdio::from(end.try_clone()?))
        .stdout(Stdio::from(end.try_clone()?))
        .stderr(Stdio::from(end.try_clone()?))
        .spawn()?;
    // It has the terminal open, too.
    drop(command);
    let mut keyboard = File::from(terminal);
    let shown = Arc::new(Mutex::new(Vec::new()));
    let reader = {
        let (mut screen, shown) = (keyboard.try_clone()?, Arc::clone(&shown));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends with an error when nobody has the other end open any more.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        })
    };
    let text = || String::from_utf8_lossy(&shown.lock().unwrap()).into_owned();
    let mut seen = 0;
    for (question, answer) in typed {
        let start = Instant::now();
        loop {
            let now = text();
            if let Some(place) = now.get(seen..).and_then(|rest| rest.find(question)) {
                seen += place + question.len();
                break;
            }
            if start.elapsed() > PATIENCE || child.try_wait()?.is_some() {
                let _ended = child.kill();
                return Err(io::Error::other(format!("{question:?} is not in {now:?}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        keyboard.write_all(answer.as_bytes())?;
    }
    let code = child.wait()?.code();
    let restored = modes()? == before;
    drop(end);
    let _ended = reader.join();
    Ok(Session {
        code,
        shown: text(),
        restored,
    })
}
