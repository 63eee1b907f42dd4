//! Admissions in this process, counted by callgrind: the same whatever else the machine does.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use clap::ValueEnum;
use keyporter::telemetry::{self, LogFilter, LogFormat};
use keyporter_bench::admission::{Called, Step, Steps};
use keyporter_bench::folder::Folder;
use keyporter_bench::reviews::Size;
use keyporter_bench::{answer, secrets};
use serde_json::json;

/// How often an admission is repeated; the difference is what they cost without the beginning and the end.
const COUNTS: (usize, usize) = (50, 250);

#[derive(clap::Args)]
pub(crate) struct Admit {
    /// What is admitted
    #[arg(value_enum)]
    size: Size,
    /// How often
    count: usize,
    /// How many Secrets there are
    #[arg(long, default_value_t = 5)]
    secrets: usize,
    /// How many of them the pod gets
    #[arg(long, default_value_t = 5)]
    own: usize,
    /// Only as far as to this step
    #[arg(long, value_enum)]
    step: Option<Step>,
    /// Without the line in the log
    #[arg(long)]
    quiet: bool,
}

impl Admit {
    pub(crate) fn run(self) -> io::Result<()> {
        if !self.quiet {
            telemetry::init(LogFormat::Json, &LogFilter::INFO).map_err(io::Error::other)?;
        }
        let folder = Folder::new()?;
        secrets::write(folder.path(), self.secrets, self.own)?;
        let body = Bytes::from(self.size.body(1));
        if let Some(step) = self.step {
            let steps = Steps::with_secrets(folder.path());
            (0..self.count).for_each(|_| steps.take(step, &body));
            return Ok(());
        }
        let webhook = Called::with_secrets(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let first = webhook.admit(body.clone()).await;
            answer::check(&body, &first, self.own).map_err(io::Error::other)?;
            for _ in 0..self.count {
                assert_eq!(webhook.admit(body.clone()).await, first);
            }
            Ok(())
        })
    }
}

#[derive(clap::Args)]
pub(crate) struct Instructions {
    /// Only the main ones
    #[arg(long)]
    quick: bool,
    /// Where the results go, as JSON
    #[arg(long, default_value = "target/bench/instructions.json")]
    output: PathBuf,
}

impl Instructions {
    pub(crate) fn run(self) -> io::Result<()> {
        let mut results = BTreeMap::new();
        let mut count = |name: &str, arguments: &[&str]| -> io::Result<()> {
            let instructions = per_admission(arguments)?;
            println!("{name:<48} {instructions:>10}");
            results.insert(name.to_owned(), json!(instructions));
            Ok(())
        };
        println!("{:<48} {:>10}", "instructions for each admission", "");
        count("12 KB pod, five secrets", &["medium"])?;
        count("12 KB pod, five secrets, no log", &["medium", "--quiet"])?;
        for step in Step::value_variants() {
            let word = step.to_possible_value();
            let word = word.as_ref().map_or("", |word| word.get_name());
            count(
                &format!("12 KB pod, five secrets, as far as to {word}"),
                &["medium", "--step", word],
            )?;
        }
        if !self.quick {
            count("small pod, five secrets", &["small"])?;
            count("60 KB pod, five secrets", &["large"])?;
            count("300 KB Deployment", &["workload"])?;
            count("pod of 200 containers, five secrets", &["containers200"])?;
            count(
                "12 KB pod, 50 secrets",
                &["medium", "--secrets=50", "--own=50"],
            )?;
            for secrets in [100, 10_000, 100_000] {
                let option = format!("--secrets={secrets}");
                count(
                    &format!("12 KB pod, five secrets of {secrets}"),
                    &["medium", &option],
                )?;
            }
        }
        write(&self.output, &json!(results))
    }
}

fn per_admission(arguments: &[&str]) -> io::Result<u64> {
    let (few, many) = COUNTS;
    let difference = run(arguments, many)?.saturating_sub(run(arguments, few)?);
    Ok(difference / (many - few) as u64)
}

fn run(arguments: &[&str], count: usize) -> io::Result<u64> {
    let (first, others) = arguments
        .split_first()
        .ok_or_else(|| io::Error::other("no size"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["admit", first, &count.to_string()])
        .args(others)
        .stdout(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let instructions = collected.and_then(|(_, number)| number.trim().parse().ok());
    instructions
        .filter(|_| output.status.success())
        .ok_or_else(|| io::Error::other(format!("valgrind failed: {text}")))
}

/// Writes results as JSON.
pub(crate) fn write(path: &Path, results: &serde_json::Value) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, results.to_string())?;
    println!("written to {}", path.display());
    Ok(())
}
