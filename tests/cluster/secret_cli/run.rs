//! One run of the program.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::{canary, support::Result};

/// What a run left behind.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Run {
    /// Ended well, and printed just this line.
    #[track_caller]
    pub(super) fn said(self, line: &str) {
        assert_eq!(
            (self.code, self.stdout.trim_end()),
            (Some(0), line),
            "{self:?}"
        );
        assert_eq!(self.stderr, "");
    }

    /// Ended well, printed just this line, and warned of this.
    #[track_caller]
    pub(super) fn warned(self, line: &str, warning: &str) {
        assert_eq!(
            (self.code, self.stdout.trim_end()),
            (Some(0), line),
            "{self:?}"
        );
        assert!(self.stderr.contains(warning), "{self:?}");
    }

    /// Ended with this code, printed nothing, and said this in one line.
    #[track_caller]
    pub(super) fn failed(self, code: i32, sentence: &str) {
        assert_eq!((self.code, &*self.stdout), (Some(code), ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        let error = self.stderr.strip_prefix("error: ");
        assert!(
            error.is_some_and(|error| error.contains(sentence)),
            "{}",
            self.stderr
        );
    }
}

/// Runs `keyporter secret ARGUMENTS` with a text as standard input. It logs all that there is, and no value is in what it
/// says.
pub(super) fn run(
    kubeconfig: &Path,
    folder: &Path,
    arguments: &[&str],
    input: &str,
) -> Result<Run> {
    let run = once(kubeconfig, folder, arguments, input, &[])?;
    Ok(run)
}

/// The same, with all that it logs among what it says.
pub(super) fn run_verbose(
    kubeconfig: &Path,
    folder: &Path,
    arguments: &[&str],
    input: &str,
) -> Result<Run> {
    let verbose = ["--log-level", "trace", "--log-format", "text"];
    once(kubeconfig, folder, arguments, input, &verbose)
}

fn once(
    kubeconfig: &Path,
    folder: &Path,
    arguments: &[&str],
    input: &str,
    more: &[&str],
) -> Result<Run> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_keyporter"))
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env_remove("KEYPORTER_LOG")
        .env("KUBECONFIG", kubeconfig)
        .current_dir(folder)
        .args(more)
        .arg("secret")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // A program that fails early does not read its input.
    let _closed = child
        .stdin
        .take()
        .ok_or("no input")?
        .write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    };
    assert!(
        !canary::is_in(&run.stdout) && !canary::is_in(&run.stderr),
        "{run:?}"
    );
    Ok(run)
}
