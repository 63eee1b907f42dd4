//! Large catalogues, many secrets, many containers, secrets that change.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyporter_bench::process::{self, Process, free_address};
use keyporter_bench::reviews::Size;
use keyporter_bench::secrets::{self, OWN};
use serde_json::{Value, json};
use tokio::task::LocalSet;

use crate::load::{Ground, Plan, Target};
use crate::report::{Cell, Connections, Report};

/// How large catalogues are.
const COUNTS: [(&str, usize); 3] = [
    ("100 secrets", 100),
    ("10,000 secrets", 10_000),
    ("100,000 secrets", 100_000),
];
/// How many secrets the pods of an owner with many get.
const MANY: usize = 50;
/// How many secrets change in a second.
const CHANGES: usize = 1000;

#[derive(clap::Args)]
pub(crate) struct Scale {
    /// The program that is measured
    #[arg(long, default_value = "target/release/keyporter")]
    keyporter: PathBuf,
    /// Where the results go, as JSON
    #[arg(long, default_value = "target/bench/scale.json")]
    output: PathBuf,
}

impl Scale {
    pub(crate) fn run(self) -> io::Result<()> {
        process::pin_self()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, self.measure())
    }

    async fn measure(self) -> io::Result<()> {
        let mut report = Report::default();
        let ground = Ground::new(&[Size::Medium])?;
        let mut targets = Vec::new();
        println!(
            "{:<18} {:>17} {:>9} {:>13} {:>10}",
            "", "ready, both cores", "one core", "resident MiB", "peak MiB"
        );
        for (name, count) in COUNTS {
            let files = ground.secrets(&count.to_string(), count, OWN)?;
            report.note(name, self.beginning(&ground, name, &files)?);
            let process = ground.keyporter(&self.keyporter, &files, free_address()?, "info")?;
            targets.push(ground.target(name, process, OWN).await?);
        }
        let (_, largest) = COUNTS[2];
        let folder = ground.path("json");
        std::fs::create_dir(&folder)?;
        secrets::write_json(&folder, largest, OWN)?;
        report.note(
            "as JSON",
            self.beginning(&ground, "100,000 as JSON", &folder)?,
        );
        plan(Size::Medium)
            .measure(&ground, &targets, &mut report)
            .await?;
        drop(targets);

        let large = ground.path(&COUNTS[2].1.to_string());
        let resting = churning(&ground, "nothing changes", &large, 0).await?;
        let changing = churning(&ground, "1,000 changes/s", &large, CHANGES).await?;
        plan(Size::Medium)
            .measure(&ground, &[resting, changing], &mut report)
            .await?;

        let files = ground.secrets("many", MANY, MANY)?;
        let process = ground.keyporter(&self.keyporter, &files, free_address()?, "info")?;
        let many = ground.target("50 secrets a pod", process, MANY).await?;
        plan(Size::Medium)
            .measure(&ground, &[many], &mut report)
            .await?;

        let ground = Ground::new(&[Size::Containers200])?;
        let files = ground.secrets("five", OWN, OWN)?;
        let process = ground.keyporter(&self.keyporter, &files, free_address()?, "info")?;
        let containers = ground.target("200 containers", process, OWN).await?;
        plan(Size::Containers200)
            .measure(&ground, &[containers], &mut report)
            .await?;
        report.write(&self.output)
    }

    /// How long it takes until the program is ready, and how much memory it has then.
    fn beginning(&self, ground: &Ground, name: &str, files: &std::path::Path) -> io::Result<Value> {
        let begin = |cores| {
            let begun = Instant::now();
            let admin = free_address()?;
            let process = ground.keyporter_on(cores, &self.keyporter, files, admin, "info")?;
            Ok::<_, io::Error>((process, begun.elapsed().as_secs_f64()))
        };
        let (_, ready_on_all) = begin(process::ALL_CORES)?;
        let (process, ready) = begin(process::SERVER_CORE)?;
        // What was needed for reading is given back by then.
        std::thread::sleep(Duration::from_secs(3));
        let mebibytes = |field| Ok::<_, io::Error>(process.memory(field)? as f64 / 1024.0);
        let (resident, peak) = (mebibytes("VmRSS")?, mebibytes("VmHWM")?);
        println!("{name:<18} {ready_on_all:>15.2} s {ready:>7.2} s {resident:>13.1} {peak:>10.1}",);
        Ok(json!({
            "ready_seconds": ready_on_all, "ready_seconds_on_one_core": ready,
            "resident_mib": resident, "peak_mib": peak,
        }))
    }
}

fn plan(size: Size) -> Plan {
    Plan {
        cells: vec![Cell {
            connections: Connections::Kept,
            in_flight: 8,
            size,
        }],
        slices: 12,
        slice: Duration::from_millis(250),
    }
}

async fn churning(
    ground: &Ground,
    name: &'static str,
    files: &std::path::Path,
    rate: usize,
) -> io::Result<Target> {
    let process = Process::start(&std::env::current_exe()?, |address| {
        let number = |number: usize| number.to_string().into();
        let folder = ground.path("");
        vec![
            "churn".into(),
            address.to_string().into(),
            folder.into(),
            files.into(),
            number(rate),
            number(COUNTS[2].1),
        ]
    })?;
    ground.target(name, process, OWN).await
}
