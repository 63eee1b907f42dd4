//! keyporter.

pub mod metrics;
pub mod telemetry;
