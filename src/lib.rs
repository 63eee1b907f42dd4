//! keyporter.

pub mod inject;
