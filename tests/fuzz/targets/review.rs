//! See `src/review.rs`.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};

#[path = "../src/mutate.rs"]
#[allow(dead_code, reason = "each target uses one of its ways")]
mod mutate;
#[path = "../src/review.rs"]
mod review;

// From what is no review nothing is made: all of the time would go to the reader of JSON.
fuzz_target!(|bytes: &[u8]| -> Corpus {
    if review::run(bytes) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::json(data, size, max_size, seed, fuzzer_mutate)
});
