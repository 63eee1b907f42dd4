//! keyporter.

pub mod catalog;
pub mod documents;
pub mod inject;
