//! keyporter.

pub mod documents;
pub mod inject;
