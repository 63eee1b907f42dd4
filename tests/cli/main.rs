//! The program as a person starts it: what it prints, and how it ends.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "../support/https.rs"]
mod https;
#[path = "../support/terminal.rs"]
mod terminal;

mod explain;
mod inject;
mod inject_errors;
mod program;
mod readme;
mod secret;
mod secret_write;
mod serve;
mod shell;
mod stores;
