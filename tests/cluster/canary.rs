//! A value of secrets that nobody but the API server may tell.

/// The value.
pub(crate) const VALUE: &str = "hunter2-canary";
/// The same in base64.
pub(crate) const ENCODED: &str = "aHVudGVyMi1jYW5hcnk=";

/// Whether the value is in an answer or a log.
pub(crate) fn is_in(text: &str) -> bool {
    text.contains(VALUE) || text.contains(ENCODED)
}
