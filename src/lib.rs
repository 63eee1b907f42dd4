//! keyporter.

pub mod certificates;
pub mod metrics;
pub mod telemetry;
