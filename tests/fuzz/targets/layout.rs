//! See `src/layout.rs`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

#[path = "../src/layout.rs"]
mod layout;
#[path = "../src/mutate.rs"]
#[allow(dead_code, reason = "each target uses one of its ways")]
mod mutate;

fuzz_target!(|bytes: &[u8]| layout::run(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::any(data, size, max_size, seed, fuzzer_mutate)
});
