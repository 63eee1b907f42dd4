//! Shows what `keyporter` does for the Job of `deploy/examples`: `make demo`.
//!
//! On a node of its own, gone afterwards, the real Helm installs the chart; alice applies the examples with kubectl, and the
//! Job runs to its end. Where no node can be, the API server alone shows what admission does.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for a person to read, on objects that it knows"
)]
#![allow(
    dead_code,
    reason = "shared with the tests; each program uses a part of it"
)]

#[path = "../node/command.rs"]
mod command;
#[path = "../node/enclosure.rs"]
mod enclosure;
mod examples;
#[path = "../node/git_server.rs"]
mod git_server;
#[path = "../node/harness.rs"]
mod harness;
#[path = "../node/image.rs"]
mod image;
#[path = "../node/images.rs"]
mod images;
#[path = "../node/installation.rs"]
mod installation;
#[path = "../node/node.rs"]
mod node;
mod on_node;
#[path = "../node/registry.rs"]
mod registry;
mod report;
#[path = "../node/requirements.rs"]
mod requirements;
#[path = "../support/mod.rs"]
mod support;
mod without_node;

use std::process::ExitCode;

use tokio::runtime::Runtime;

use enclosure::Enclosure;
use requirements::Requirements;
use support::Result;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let requirements = match Requirements::find() {
        Ok(requirements) => requirements,
        Err(missing) => {
            println!(
                "No pod runs here, as a node needs {}; `make node` as root on Debian installs and builds that.\n\
                 So this shows what admission does.\n",
                missing.join(", ")
            );
            Runtime::new()?.block_on(without_node::show())?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let Some(enclosure) = Enclosure::entered() else {
        println!("Building keyporter's image, some minutes the first time ...");
        // Inside there is no network.
        image::build()?;
        return enclosure::run_again_inside();
    };
    enclosure.prepare()?;
    Runtime::new()?.block_on(on_node::show(&requirements))?;
    Ok(ExitCode::SUCCESS)
}
