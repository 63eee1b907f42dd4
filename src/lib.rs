//! keyporter.
