//! JSON where each microsecond counts: reviews, patches and lines of the log. Elsewhere `serde_json` alone reads and writes.

pub(crate) mod managed_fields;
pub(crate) mod read;
pub(crate) mod write;

mod special;
