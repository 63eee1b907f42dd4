//! What came of it: a table for people, JSON for programs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use keyporter_bench::reviews::Size;
use serde_json::{Value, json};

use crate::instructions;

/// How requests reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// HTTP/1.1, a connection for each request in flight, kept alive: as kube-apiserver does.
    Kept,
    /// HTTP/1.1, a connection with a full handshake for each request: as in a burst.
    New,
    /// HTTP/2, one connection for all requests in flight.
    Http2,
}

impl Connections {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept HTTP/1.1",
            Self::New => "new HTTP/1.1",
            Self::Http2 => "one HTTP/2",
        }
    }
}

/// What is measured together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) connections: Connections,
    pub(crate) in_flight: usize,
    pub(crate) size: Size,
}

/// What one server did in one cell.
pub(crate) struct Row {
    server: &'static str,
    cell: Cell,
    /// In nanoseconds.
    pub(crate) latencies: Rc<RefCell<Histogram<u64>>>,
    pub(crate) time: Duration,
    pub(crate) cpu: Duration,
    pub(crate) client_cpu: Duration,
    pub(crate) resident_kib: u64,
}

impl Row {
    pub(crate) fn new(server: &'static str, cell: Cell) -> Self {
        // From a microsecond to a minute, with three digits.
        let histogram = Histogram::new_with_bounds(1000, 60_000_000_000, 3).expect("bounds");
        Self {
            server,
            cell,
            latencies: Rc::new(RefCell::new(histogram)),
            time: Duration::ZERO,
            cpu: Duration::ZERO,
            client_cpu: Duration::ZERO,
            resident_kib: 0,
        }
    }

    fn numbers(&self) -> Numbers {
        let latencies = self.latencies.borrow();
        let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let at = |quantile| milliseconds(latencies.value_at_quantile(quantile));
        let count = latencies.len() as f64;
        Numbers {
            requests: latencies.len(),
            per_second: count / self.time.as_secs_f64(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(latencies.max()),
            cpu_per_1000: self.cpu.as_secs_f64() * 1e6 / count,
            resident: self.resident_kib as f64 / 1024.0,
            server_busy: self.cpu.as_secs_f64() / self.time.as_secs_f64(),
            client_busy: self.client_cpu.as_secs_f64() / self.time.as_secs_f64(),
        }
    }
}

#[derive(Clone, Copy)]
struct Numbers {
    requests: u64,
    per_second: f64,
    /// Milliseconds, as are the others.
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    /// Milliseconds of CPU time for 1,000 requests.
    cpu_per_1000: f64,
    /// MiB.
    resident: f64,
    server_busy: f64,
    client_busy: f64,
}

/// All rows.
#[derive(Default)]
pub(crate) struct Report {
    cells: Vec<(Cell, BTreeMap<&'static str, Numbers>)>,
    ratios: Vec<Value>,
    notes: BTreeMap<String, Value>,
}

impl Report {
    /// Takes in the rows of one cell, and prints them.
    pub(crate) fn add(&mut self, rows: Vec<Row>) {
        if let Some(first) = rows.first() {
            let Cell {
                connections,
                in_flight,
                size,
            } = first.cell;
            println!(
                "\n{}, {in_flight} in flight, {}",
                connections.as_str(),
                size.as_str()
            );
            println!(
                "  {:<18} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>7}",
                "server",
                "req/s",
                "p50 ms",
                "p90 ms",
                "p99 ms",
                "p99.9",
                "max",
                "CPU/1000",
                "MiB",
                "server",
                "client"
            );
        }
        let mut servers = BTreeMap::new();
        for row in &rows {
            let n = row.numbers();
            println!(
                "  {:<18} {:>9.0} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>8.2} {:>6.1} ms {:>7.1} {:>6.0}% {:>6.0}%",
                row.server,
                n.per_second,
                n.p50,
                n.p90,
                n.p99,
                n.p999,
                n.max,
                n.cpu_per_1000,
                n.resident,
                n.server_busy * 100.0,
                n.client_busy * 100.0
            );
            servers.insert(row.server, n);
        }
        self.cells
            .extend(rows.first().map(|row| (row.cell, servers)));
    }

    /// Takes in what else was measured.
    pub(crate) fn note(&mut self, name: &str, note: Value) {
        self.notes.insert(name.to_owned(), note);
    }

    /// How many requests a server answered.
    pub(crate) fn answered(&self, server: &str) -> u64 {
        let rows = self
            .cells
            .iter()
            .filter_map(|(_, servers)| servers.get(server));
        rows.map(|numbers| numbers.requests).sum()
    }

    /// Compares keyporter with the floors, cell by cell.
    pub(crate) fn compare_with_floors(&mut self) {
        println!("\nkeyporter compared with the floors");
        println!(
            "  {:<15} {:>9} {:<22} {:>12} {:>12} {:>12} {:>12}",
            "", "in flight", "", "req/s, bare", "req/s, typed", "p99, typed", "CPU, typed"
        );
        for (cell, servers) in &self.cells {
            let (own, typed, bare) = (
                servers["keyporter"],
                servers["typed floor"],
                servers["bare TLS echo"],
            );
            let to_bare = own.per_second / bare.per_second;
            let to_typed = own.per_second / typed.per_second;
            let (p99, cpu) = (own.p99 / typed.p99, own.cpu_per_1000 / typed.cpu_per_1000);
            println!(
                "  {:<15} {:>9} {:<22} {to_bare:>11.2}x {to_typed:>11.2}x {p99:>11.2}x {cpu:>11.2}x",
                cell.connections.as_str(),
                cell.in_flight,
                cell.size.as_str()
            );
            self.ratios.push(json!({
                "connections": cell.connections.as_str(), "in_flight": cell.in_flight, "size": cell.size.as_str(),
                "throughput_to_bare": to_bare, "throughput_to_typed": to_typed, "p99_to_typed": p99, "cpu_to_typed": cpu,
            }));
        }
    }

    /// Writes everything as JSON.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let rows = self.cells.iter();
        let rows = rows
            .flat_map(|(cell, servers)| servers.iter().map(move |(server, n)| (cell, server, n)));
        let rows: Vec<_> = rows
            .map(|(cell, server, n)| {
                json!({
                    "server": server, "connections": cell.connections.as_str(), "in_flight": cell.in_flight,
                    "size": cell.size.as_str(), "requests": n.requests, "requests_per_second": n.per_second,
                    "p50_ms": n.p50, "p90_ms": n.p90, "p99_ms": n.p99, "p99_9_ms": n.p999, "max_ms": n.max,
                    "cpu_ms_per_1000_requests": n.cpu_per_1000, "resident_mib": n.resident,
                    "server_busy": n.server_busy, "client_busy": n.client_busy,
                })
            })
            .collect();
        instructions::write(
            path,
            &json!({"rows": rows, "ratios": self.ratios, "notes": self.notes}),
        )
    }
}
