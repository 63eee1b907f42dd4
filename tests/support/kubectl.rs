//! The real kubectl, as a given user.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Result;

/// kubectl with the kubeconfig of one user and, if chosen, a namespace.
#[derive(Clone)]
pub(crate) struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
    namespace: Option<String>,
}

/// What one call of a program brought.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether it ended with 0.
    pub(crate) success: bool,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error: errors, and the lines `Warning: ...` of webhooks.
    pub(crate) stderr: String,
}

impl Kubectl {
    /// The discovery `cache` may be shared by all users of a cluster.
    pub(crate) fn new(binary: &Path, kubeconfig: &Path, cache: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            cache: cache.to_owned(),
            namespace: None,
        }
    }

    /// The same user in `namespace`.
    pub(crate) fn within(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    /// Runs `kubectl ARGUMENTS`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        self.run_with_input(arguments, "")
    }

    /// Runs `kubectl ARGUMENTS` with `input` as standard input, for `-f -`.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Outcome> {
        let mut command = Command::new(&self.binary);
        command
            .env_remove("KUBECONFIG")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(&self.cache);
        if let Some(namespace) = &self.namespace {
            command.args(["--namespace", namespace]);
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A kubectl that refuses its arguments reads nothing; its own message says more than EPIPE.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        Ok(Outcome {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Outcome {
    /// Standard output, or an error with what the program said.
    pub(crate) fn ok(self) -> Result<String> {
        if self.success {
            Ok(self.stdout)
        } else {
            Err(format!("the program failed: {}", self.stderr).into())
        }
    }

    /// The warnings of admission webhooks and of the API server itself.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter_map(|line| line.strip_prefix("Warning: "))
            .collect()
    }
}
