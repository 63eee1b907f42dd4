//! The inputs that fuzzing has found to take ways of their own, through what each fuzz target does with them: see
//! `tests/fuzz`. They stay in this quick form when nobody fuzzes.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "fuzz/src/archive.rs"]
mod archive;
#[path = "fuzz/src/catalogue.rs"]
mod catalogue;
#[path = "fuzz/src/certificates.rs"]
mod certificates;
#[path = "fuzz/src/layout.rs"]
mod layout;
#[path = "fuzz/src/reference.rs"]
mod reference;
#[path = "fuzz/src/review.rs"]
mod review;

use std::fs;
use std::path::Path;

use rstest::rstest;

#[rstest]
#[case::archive("archive", archive::run)]
#[case::catalogue("catalogue", catalogue::run)]
#[case::certificates("certificates", certificates::run)]
#[case::layout("layout", layout::run)]
#[case::reference("reference", reference::run)]
#[case::review("review", |bytes: &[u8]| { review::run(bytes); })]
fn every_input_of_the_corpus_holds(#[case] target: &str, #[case] run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut files: Vec<_> = fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 5, "{target} has a corpus");
    for file in files {
        // Which one it is, where it fails.
        println!("{}", file.display());
        run(&fs::read(&file).unwrap());
    }
}
