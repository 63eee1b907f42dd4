//! keyporter.

pub mod metrics;
