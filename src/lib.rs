//! keyporter.

pub mod admin;
pub mod certificates;
pub mod cli;
pub mod metrics;
pub mod server;
pub mod telemetry;
