//! A terminal of its own for a program, and somebody who types.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
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
    let (sender, screen) = mpsc::channel();
    let mut reader = keyboard.try_clone()?;
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // It ends with an error when nobody has the other end open any more.
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            let Some(bytes) = buffer.get(..length) else {
                break;
            };
            if sender.send(bytes.to_vec()).is_err() {
                break;
            }
        }
    });
    let mut shown = vec![];
    let mut seen = 0;
    for (question, answer) in typed {
        loop {
            let text = String::from_utf8_lossy(&shown);
            if let Some(place) = text.get(seen..).and_then(|rest| rest.find(question)) {
                seen += place + question.len();
                break;
            }
            let Ok(bytes) = screen.recv_timeout(PATIENCE) else {
                let _ended = child.kill();
                return Err(io::Error::other(format!("{question:?} is not in {text:?}")));
            };
            shown.extend(bytes);
        }
        keyboard.write_all(answer.as_bytes())?;
    }
    let code = child.wait()?.code();
    let restored = modes()? == before;
    drop(end);
    shown.extend(screen.iter().flatten());
    Ok(Session {
        code,
        shown: String::from_utf8_lossy(&shown).into_owned(),
        restored,
    })
}
