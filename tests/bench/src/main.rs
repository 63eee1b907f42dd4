//! Measures keyporter: see the README beside.

use std::error::Error;
use std::io::Write as _;

use clap::{Parser, Subcommand};
use keyporter_bench::reviews::Size;
use keyporter_bench::{churn, floor};

mod faults;
mod instructions;
mod load;
mod report;
mod scale;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Puts keyporter and what it is compared with under load
    Load(load::Load),
    /// Measures large catalogues
    Scale(scale::Scale),
    /// Breaks connections in every way while others are served, then looks for a leak
    Faults(faults::Faults),
    /// Serves while secrets change
    Churn(churn::Churn),
    /// Serves what keyporter is compared with
    Serve(floor::Serve),
    /// Admits reviews in this process: for callgrind
    Admit(instructions::Admit),
    /// Counts the instructions of admissions with callgrind
    Instructions(instructions::Instructions),
    /// Writes a body to standard output
    Body {
        /// What is written
        #[arg(value_enum)]
        size: Size,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().command {
        Command::Load(load) => load.run()?,
        Command::Scale(scale) => scale.run()?,
        Command::Faults(faults) => faults.run()?,
        Command::Churn(churn) => churn.run(),
        Command::Serve(serve) => serve.run(),
        Command::Admit(admit) => admit.run()?,
        Command::Instructions(instructions) => instructions.run()?,
        Command::Body { size } => std::io::stdout().write_all(&size.body(0))?,
    }
    Ok(())
}
