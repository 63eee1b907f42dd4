//! The decision from outside: who gets which secrets, where they go, and who is written into workloads.
//!
//! `builders` makes secrets, pods and decisions in a line each; every other module has one subject. Golden files stand in
//! `snapshots`, real AdmissionReviews in `tests/fixtures/reviews`.

// Helpers are not `#[test]` functions, where the lints would allow these on their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod auth;
mod builders;
mod chart;
mod deploy;
mod environment;
mod files;
mod generate;
mod git_ssh;
mod golden;
mod guard;
mod identity;
mod image_pull;
mod in_use;
mod iomete;
mod owners;
mod pods;
mod precedence;
mod properties;
mod purity;
mod record;
mod reference_properties;
mod references;
mod second_pass;
mod secret_stamps;
mod secrets;
mod single_key;
mod spark_application;
mod stamp_properties;
mod stamps;
