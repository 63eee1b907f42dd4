//! Programs that are needed to go on.

use std::process::Command;

use crate::support::Result;

/// Runs `program` to its end; returns what it printed, or an error with what it complained of.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    output(&mut command)
}

/// The same for a command with more to it than arguments.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?}: {}", error.trim()).into())
}
