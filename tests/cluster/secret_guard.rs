//! Secrets are guarded by the policies of `deploy/helm/keyporter/policies`, without keyporter itself but before Kubernetes
//! 1.36.
//!
//! | module | subject |
//! |---|---|
//! | [`attacks`] | everybody tries every row of the table |
//! | [`before_1_36`] | keyporter writes the owners, as the policy would |
//! | [`force_delete`] | who may let a secret go while pods use it |
//! | [`names`] | variables that a secret may not set |
//! | [`peaceful`] | what honest people and programs do works as before |
//! | [`pods`] | what keyporter wrote on a pod stays |
//! | [`table`] | what may be tried, and what becomes of it |
//! | [`town`] | the people of a namespace, and requests in their names |

mod attacks;
mod before_1_36;
mod force_delete;
mod names;
mod peaceful;
mod pods;
mod table;
mod town;

use libtest_mimic::Trial;

use crate::harness::Harness;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    [
        attacks::trials(harness),
        before_1_36::trials(harness),
        force_delete::trials(harness),
        names::trials(harness),
        peaceful::trials(harness),
        pods::trials(harness),
    ]
    .into_iter()
    .flatten()
    .collect()
}
