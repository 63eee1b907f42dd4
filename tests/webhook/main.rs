//! The webhook in this process, over real TLS: what it answers to whom.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "../support/https.rs"]
mod https;

mod admission;
mod bad_input;
mod fixture;
mod folders;
mod secrets;
