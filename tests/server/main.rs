//! The server over real sockets: a small router behind it, real TLS before it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "clippy takes the helpers of tests for no tests"
)]

#[path = "../support/https.rs"]
mod https;

mod admin;
mod bind;
mod certificates;
mod client_ca;
mod descriptors;
mod drain;
mod fixture;
mod limits;
mod protocols;
mod reload;
