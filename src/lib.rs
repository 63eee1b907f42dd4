//! keyporter: a Kubernetes add-on that gives every pod the secrets of its authenticated owner and project.

pub mod admin;
pub mod catalog;
pub mod certificates;
pub mod cli;
pub mod documents;
pub mod inject;
pub mod metrics;
pub mod server;
pub mod telemetry;
