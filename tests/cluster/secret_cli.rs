//! `keyporter secret` by people who may create, patch and delete Secrets, and neither get nor list them.

mod change;
mod create;
mod run;
mod workplace;

use libtest_mimic::Trial;

use crate::harness::Harness;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    [create::trials(harness), change::trials(harness)]
        .into_iter()
        .flatten()
        .collect()
}
