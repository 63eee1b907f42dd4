//! Steady load with some of everything, and resident memory over time.

use std::io;
use std::time::{Duration, Instant};

use super::steady::Steady;
use super::{Trial, half_closed, headers, resets};

const INTERVAL: Duration = Duration::from_secs(10);
/// More growth in an hour than this is a leak: in MiB.
const FLAT: f64 = 60.0;
/// A slope of fewer points says nothing.
const ENOUGH: usize = 30;

/// Whether others were hurt, or memory grows.
pub(super) async fn run(trial: &mut Trial, steady: &Steady, length: Duration) -> io::Result<bool> {
    steady.take();
    let begun = Instant::now();
    let mut points = Vec::new();
    let mut failed = false;
    println!("soak: {} minutes", length.as_secs() / 60);
    for round in 1u32.. {
        match round % 3 {
            0 => headers::run(trial).await?,
            1 => resets::run(trial).await?,
            _ => half_closed::run(trial).await?,
        };
        tokio::time::sleep_until((begun + INTERVAL * round).into()).await;
        let (memory, descriptors) = trial.size()?;
        let seen = steady.take();
        println!(
            "  {:>4} s {memory:>7.1} MiB {descriptors:>5} fds {:>7} served {} failed",
            begun.elapsed().as_secs(),
            seen.served,
            seen.failed
        );
        failed |= seen.failed > 0;
        points.push((begun.elapsed().as_secs_f64() / 3600.0, memory));
        if begun.elapsed() >= length {
            break;
        }
    }
    // The first third warms up.
    let settled = &points[points.len() / 3..];
    let slope = slope(settled);
    let verdict = match (points.len() >= ENOUGH, slope.abs() <= FLAT) {
        (false, _) => "too short to tell",
        (true, true) => "flat",
        (true, false) => "not flat",
    };
    println!("resident memory: {slope:+.1} MiB an hour by least squares: {verdict}");
    Ok(failed || trial.panicked() || (points.len() >= ENOUGH && slope > FLAT))
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if below == 0.0 { 0.0 } else { above / below }
}
