//! Questions to the person at a terminal.
//!
//! Written to standard error and read from standard input, so that what a command prints can go elsewhere.

use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    os::fd::AsFd,
};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use thiserror::Error;
use zeroize::Zeroizing;

use super::value::{LARGEST, Value};

/// Keys of a terminal.
const INTERRUPT: [u8; 2] = [3, 28];
const END: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];
const KILL: u8 = 21;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum PromptError {
    #[error("nothing was done: interrupted")]
    Interrupted,
    #[error("nothing was done: no answer was given")]
    Nothing,
    #[error(
        "nothing was done: the answer has more than one line; give values of several lines with --from-file or \
         --from-stdin"
    )]
    SeveralLines,
    #[error(
        "nothing was done: the answer has control characters, such as those of arrow keys; type it again"
    )]
    Control,
    #[error("nothing was done: the answer is longer than a Secret can be")]
    TooLong,
    #[error("cannot ask at this terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Whether somebody is there to answer.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// Standard input without the buffer of the standard library, which is never wiped.
pub(super) fn unbuffered_stdin() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// Asks for a line that may be seen.
pub(super) fn line(question: &str) -> Result<String, PromptError> {
    ask(question)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim();
    if answer.is_empty() {
        return Err(PromptError::Nothing);
    }
    Ok(answer.to_owned())
}

/// Asks for a yes. Anything else is a no.
pub(super) fn yes(question: &str) -> Result<bool, PromptError> {
    match line(&format!("{question} [y/N] ")) {
        Ok(answer) => Ok(["y", "yes"].contains(&&*answer.to_lowercase())),
        Err(PromptError::Nothing) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks for a value, which the terminal does not show.
///
/// A terminal that collects lines itself cuts them at 4095 bytes, and keys of some services are longer: so the bytes are
/// taken as they come, and the few keys that edit a line are done here.
pub(super) fn value(question: &str) -> Result<Value, PromptError> {
    // Before the question: an answer may follow it at once.
    let hidden = Hidden::new()?;
    ask(question)?;
    let answer = read(&mut unbuffered_stdin()?);
    drop(hidden);
    // The person's own line break was not shown either.
    eprintln!();
    answer
}

fn ask(question: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    write!(out, "{question}")?;
    out.flush()
}

/// Up to the end of the line, which does not belong to it.
fn read(terminal: &mut impl Read) -> Result<Value, PromptError> {
    let mut answer = Zeroizing::new(Vec::with_capacity(LARGEST));
    let mut buffer = Zeroizing::new([0; 4096]);
    loop {
        let length = terminal.read(&mut *buffer)?;
        let mut bytes = buffer.get(..length).unwrap_or_default().iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\r' | b'\n' => {
                    // What comes in the same moment is the rest of what was pasted.
                    if bytes.any(|byte| !byte.is_ascii_whitespace()) {
                        return Err(PromptError::SeveralLines);
                    }
                    return finished(&answer);
                }
                byte if INTERRUPT.contains(&byte) => return Err(PromptError::Interrupted),
                END => return finished(&answer),
                KILL => answer.clear(),
                byte if BACKSPACE.contains(&byte) => {
                    // A character of several bytes goes as one.
                    while answer.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
                }
                byte if byte.is_ascii_control() && byte != b'\t' => {
                    return Err(PromptError::Control);
                }
                _ if answer.len() == LARGEST => return Err(PromptError::TooLong),
                byte => answer.push(byte),
            }
        }
        if length == 0 {
            return finished(&answer);
        }
    }
}

fn finished(answer: &[u8]) -> Result<Value, PromptError> {
    if answer.is_empty() {
        return Err(PromptError::Nothing);
    }
    Ok(Value::new(answer.to_vec()))
}

/// The terminal shows nothing that is typed until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        // Interrupts come as a byte: a signal would end the program with the terminal as it is now.
        modes.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that is gone.
        let _gone = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::newline(b"abc\n", Some("abc"))]
    #[case::carriage_return(b"abc\r", Some("abc"))]
    #[case::end(b"abc\x04", Some("abc"))]
    #[case::closed(b"abc", Some("abc"))]
    #[case::backspace(b"ab\x7fc\x08\x08d\n", Some("d"))]
    #[case::of_a_wide_character("a\u{e4}\x7fb\n".as_bytes(), Some("ab"))]
    #[case::of_nothing(b"\x7fa\n", Some("a"))]
    #[case::kill(b"abc\x15d\n", Some("d"))]
    #[case::white_space(b" a b \n\n", Some(" a b "))]
    #[case::nothing(b"\n", None)]
    #[case::tab(b"a\tb\n", Some("a\tb"))]
    #[case::interrupt(b"abc\x03", None)]
    #[case::quit(b"abc\x1c", None)]
    #[case::arrow(b"abc\x1b[D\n", None)]
    #[case::several_lines(b"abc\ndef\n", None)]
    fn answers(#[case] typed: &[u8], #[case] expected: Option<&str>) {
        assert_eq!(read(&mut &*typed).ok(), expected.map(Value::from));
    }

    #[test]
    fn an_answer_may_be_longer_than_a_line_of_a_terminal() {
        let typed = format!("{}\n", "x".repeat(100_000));
        assert_eq!(read(&mut typed.as_bytes()).unwrap().len(), 100_000);
        let typed = "x".repeat(LARGEST + 1);
        assert!(matches!(
            read(&mut typed.as_bytes()),
            Err(PromptError::TooLong)
        ));
    }
}
