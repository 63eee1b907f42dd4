use crate::harness::Harness;
use libtest_mimic::Trial;
pub(crate) fn trials(_: &Harness) -> Vec<Trial> {
    vec![]
}
