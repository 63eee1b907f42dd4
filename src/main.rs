//! The `keyporter` program.
fn main() {}
