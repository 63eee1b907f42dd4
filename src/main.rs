//! The `keyporter` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyporter::cli::run()
}
