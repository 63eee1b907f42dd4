//! Load on several servers by turns, in slices short enough that whatever else the machine does hits all alike.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use keyporter::certificates;
use keyporter_bench::client::{Client, Http1, Http2, Prepared, patiently};
use keyporter_bench::folder::Folder;
use keyporter_bench::process::{self, Process, free_address, is_ready};
use keyporter_bench::reviews::Size;
use keyporter_bench::{answer, secrets};
use rustls::pki_types::ServerName;
use tokio::task::LocalSet;

use crate::report::{Cell, Connections, Report, Row};

/// How many different bodies there are of each size.
const BODIES: usize = 8;

#[derive(clap::Args)]
pub(crate) struct Load {
    /// All combinations, for longer; without it the main ones for some seconds each
    #[arg(long)]
    full: bool,
    /// The program that is measured
    #[arg(long, default_value = "target/release/keyporter")]
    keyporter: PathBuf,
    /// Where the results go, as JSON
    #[arg(long, default_value = "target/bench/load.json")]
    output: PathBuf,
}

/// How much is measured.
pub(crate) struct Plan {
    pub(crate) cells: Vec<Cell>,
    pub(crate) slices: usize,
    pub(crate) slice: Duration,
}

impl Plan {
    fn quick() -> Self {
        let cell = |connections, in_flight, size| Cell {
            connections,
            in_flight,
            size,
        };
        Self {
            cells: vec![
                cell(Connections::Kept, 32, Size::Medium),
                cell(Connections::Kept, 8, Size::Small),
                cell(Connections::New, 8, Size::Medium),
                cell(Connections::Http2, 32, Size::Medium),
            ],
            slices: 8,
            slice: Duration::from_millis(250),
        }
    }

    fn full() -> Self {
        let mut cells = Vec::new();
        let sizes = [Size::Medium, Size::Small, Size::Large, Size::Workload];
        for connections in [Connections::Kept, Connections::New, Connections::Http2] {
            for size in sizes {
                for in_flight in [1, 8, 32, 128] {
                    cells.push(Cell {
                        connections,
                        in_flight,
                        size,
                    });
                }
            }
        }
        Self {
            cells,
            slices: 8,
            slice: Duration::from_millis(400),
        }
    }
}

/// A server under load.
pub(crate) struct Target {
    name: &'static str,
    pub(crate) process: Process,
    client: Client,
    /// What it has to answer to each body of a size; of servers that decide nothing, what they answer to all.
    answers: BTreeMap<&'static str, Vec<Bytes>>,
}

impl Load {
    pub(crate) fn run(self) -> io::Result<()> {
        process::pin_self()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, self.measure())
    }

    async fn measure(self) -> io::Result<()> {
        let plan = if self.full {
            Plan::full()
        } else {
            Plan::quick()
        };
        let ground = Ground::new(&[Size::Small, Size::Medium, Size::Large, Size::Workload])?;
        let targets = self.targets(&ground).await?;
        let mut report = Report::default();
        plan.measure(&ground, &targets, &mut report).await?;
        report.compare_with_floors();
        report.write(&self.output)?;
        for target in targets.iter().filter(|target| target.name == "keyporter") {
            let (answered, lines) = (report.answered(target.name), target.process.lines());
            println!("log: {lines} lines for {answered} admissions and their warm-ups");
            if lines < answered {
                return Err(io::Error::other("lines of the log are missing"));
            }
        }
        Ok(())
    }

    async fn targets(&self, ground: &Ground) -> io::Result<Vec<Target>> {
        let files = ground.secrets("secrets", secrets::OWN, secrets::OWN)?;
        let mut targets = Vec::new();
        for (name, level) in [("keyporter", "info"), ("keyporter, no log", "warn")] {
            let process = ground.keyporter(&self.keyporter, &files, free_address()?, level)?;
            targets.push(ground.target(name, process, secrets::OWN).await?);
        }
        let of_keyporter = targets
            .first()
            .and_then(|target| target.answers[Size::Medium.as_str()].first());
        let constant = of_keyporter.cloned().unwrap_or_default();
        let answer = ground.path("answer.json");
        std::fs::write(&answer, &constant)?;
        for (name, floor) in [("typed floor", "typed"), ("bare TLS echo", "bare")] {
            let process = Process::start(&std::env::current_exe()?, |address| {
                let folder = ground.folder.path();
                vec![
                    "serve".into(),
                    floor.into(),
                    address.to_string().into(),
                    folder.into(),
                    (&answer).into(),
                ]
            })?;
            let client = Client::new(process.address, &ground.authority);
            let answers = ground
                .bodies
                .keys()
                .map(|size| (*size, vec![constant.clone(); BODIES]))
                .collect();
            targets.push(Target {
                name,
                process,
                client,
                answers,
            });
        }
        Ok(targets)
    }
}

impl Plan {
    /// Puts the servers under load by turns.
    pub(crate) async fn measure(
        &self,
        ground: &Ground,
        targets: &[Target],
        report: &mut Report,
    ) -> io::Result<()> {
        for &cell in &self.cells {
            let mut rows: Vec<_> = targets
                .iter()
                .map(|target| Row::new(target.name, cell))
                .collect();
            for _ in 0..self.slices {
                for (target, row) in targets.iter().zip(&mut rows) {
                    target
                        .slice(cell, &ground.bodies[cell.size.as_str()], self.slice, row)
                        .await?;
                }
            }
            for (target, row) in targets.iter().zip(&mut rows) {
                row.resident_kib = target.process.memory("VmRSS")?;
            }
            report.add(rows);
        }
        Ok(())
    }
}

/// What servers and load have in common: certificates, files and bodies.
pub(crate) struct Ground {
    folder: Folder,
    authority: Vec<u8>,
    bodies: Bodies,
}

impl Ground {
    pub(crate) fn new(sizes: &[Size]) -> io::Result<Self> {
        let folder = Folder::new()?;
        let host = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let made = certificates::ensure(folder.path(), &[host], certificates::DEFAULT_VALIDITY);
        let authority = std::fs::read(made.map_err(io::Error::other)?.authority_certificate)?;
        let of = |size: Size| {
            Rc::new(
                (0..BODIES)
                    .map(|number| Prepared::new(size.body(number)))
                    .collect(),
            )
        };
        let bodies = sizes
            .iter()
            .map(|size| (size.as_str(), of(*size)))
            .collect();
        Ok(Self {
            folder,
            authority,
            bodies,
        })
    }

    /// The CA of the servers, as PEM.
    pub(crate) fn authority(&self) -> &[u8] {
        &self.authority
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder with `count` Secrets, of which `own` are those of the pods' owner.
    pub(crate) fn secrets(&self, name: &str, count: usize, own: usize) -> io::Result<PathBuf> {
        let folder = self.path(name);
        std::fs::create_dir(&folder)?;
        secrets::write(&folder, count, own)?;
        Ok(folder)
    }

    /// The program, as its users start it, once it is ready.
    pub(crate) fn keyporter(
        &self,
        program: &Path,
        secrets: &Path,
        admin: SocketAddr,
        level: &str,
    ) -> io::Result<Process> {
        self.keyporter_on(process::SERVER_CORE, program, secrets, admin, level)
    }

    /// The same on some cores.
    pub(crate) fn keyporter_on(
        &self,
        cores: &str,
        program: &Path,
        secrets: &Path,
        admin: SocketAddr,
        level: &str,
    ) -> io::Result<Process> {
        let certificates = self.folder.path().display();
        let mut process = Process::start_on(cores, program, |address| {
            vec![
                "serve".into(),
                format!("--listen={address}").into(),
                format!("--admin-listen={admin}").into(),
                format!("--cert-dir={certificates}").into(),
                format!("--secrets={}", secrets.display()).into(),
                format!("--log-level={level}").into(),
            ]
        })?;
        process.wait_until(|| is_ready(admin))?;
        Ok(process)
    }

    /// Asks for every answer once, and looks whether it is right.
    pub(crate) async fn target(
        &self,
        name: &'static str,
        process: Process,
        own: usize,
    ) -> io::Result<Target> {
        let client = Client::new(process.address, &self.authority);
        let mut answers = BTreeMap::new();
        let mut connection = client.http1().await?;
        for (size, bodies) in &self.bodies {
            let mut of_size = Vec::new();
            for prepared in bodies.iter() {
                let answer = connection.exchange(prepared).await?;
                answer::check(&prepared.body, answer, own).map_err(io::Error::other)?;
                of_size.push(Bytes::copy_from_slice(answer));
            }
            answers.insert(*size, of_size);
        }
        Ok(Target {
            name,
            process,
            client,
            answers,
        })
    }
}

type Bodies = BTreeMap<&'static str, Rc<Vec<Prepared>>>;

impl Target {
    /// Puts it under load for a while.
    async fn slice(
        &self,
        cell: Cell,
        bodies: &Rc<Vec<Prepared>>,
        length: Duration,
        row: &mut Row,
    ) -> io::Result<()> {
        let answers = Rc::new(self.answers[cell.size.as_str()].clone());
        let worker = |number| Worker {
            number,
            bodies: Rc::clone(bodies),
            answers: Rc::clone(&answers),
            latencies: Rc::clone(&row.latencies),
        };
        let mut workers = Vec::new();
        let http2 = match cell.connections {
            Connections::Http2 => Some(self.client.http2().await?),
            _ => None,
        };
        let mut kept = Vec::new();
        if cell.connections == Connections::Kept {
            for number in 0..cell.in_flight {
                let mut connection = self.client.http1().await?;
                worker(number).warm_up(connection.exchange(&bodies[0]).await?)?;
                kept.push(connection);
            }
        }
        let (begun, cpu, own_cpu) = (
            Instant::now(),
            self.process.cpu()?,
            process::cpu_of("self")?,
        );
        let deadline = begun + length;
        for number in 0..cell.in_flight {
            let worker = worker(number);
            workers.push(match (cell.connections, &http2) {
                (Connections::Kept, _) => {
                    let connection = kept.pop().expect("one for each");
                    tokio::task::spawn_local(worker.on_kept(connection, deadline))
                }
                (_, Some(connection)) => {
                    tokio::task::spawn_local(worker.on_http2(connection.clone(), deadline))
                }
                _ => tokio::task::spawn_local(worker.on_new(self.client.clone(), deadline)),
            });
        }
        for worker in workers {
            worker.await.map_err(io::Error::other)??;
        }
        row.time += begun.elapsed();
        row.cpu += self.process.cpu()? - cpu;
        row.client_cpu += process::cpu_of("self")? - own_cpu;
        Ok(())
    }
}

/// One request in flight.
struct Worker {
    number: usize,
    bodies: Rc<Vec<Prepared>>,
    answers: Rc<Vec<Bytes>>,
    latencies: Rc<RefCell<Histogram<u64>>>,
}

impl Worker {
    fn warm_up(&self, answer: &[u8]) -> io::Result<()> {
        self.check(0, answer)
    }

    async fn on_kept(self, mut connection: Http1, deadline: Instant) -> io::Result<()> {
        let mut number = self.number;
        while Instant::now() < deadline {
            let at = number % self.bodies.len();
            let begun = Instant::now();
            let answer = patiently(connection.exchange(&self.bodies[at])).await?;
            self.note(begun);
            self.check(at, answer)?;
            number += 1;
        }
        Ok(())
    }

    async fn on_new(self, client: Client, deadline: Instant) -> io::Result<()> {
        let mut number = self.number;
        while Instant::now() < deadline {
            let at = number % self.bodies.len();
            let begun = Instant::now();
            let mut connection = patiently(client.http1()).await?;
            let answer = patiently(connection.exchange(&self.bodies[at])).await?;
            self.note(begun);
            self.check(at, answer)?;
            connection.close().await?;
            number += 1;
        }
        Ok(())
    }

    async fn on_http2(self, mut connection: Http2, deadline: Instant) -> io::Result<()> {
        let mut number = self.number;
        while Instant::now() < deadline {
            let at = number % self.bodies.len();
            let begun = Instant::now();
            let answer = patiently(connection.exchange(&self.bodies[at])).await?;
            self.note(begun);
            self.check(at, &answer)?;
            number += 1;
        }
        Ok(())
    }

    fn note(&self, begun: Instant) {
        let nanoseconds = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.latencies.borrow_mut().saturating_record(nanoseconds);
    }

    fn check(&self, at: usize, answer: &[u8]) -> io::Result<()> {
        if self.answers[at] != *answer {
            let answer = String::from_utf8_lossy(answer);
            return Err(io::Error::other(format!("a wrong answer: {answer}")));
        }
        Ok(())
    }
}
