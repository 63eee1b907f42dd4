//! What an admission costs: bodies, catalogues, servers to compare with, and a client.

pub mod admission;
pub mod answer;
pub mod churn;
pub mod client;
pub mod floor;
pub mod folder;
pub mod process;
pub mod reviews;
pub mod secrets;
