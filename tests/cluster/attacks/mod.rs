//! Pods and workloads on the real API server with its real controllers: no pod that somebody else decided about carries
//! alice's secrets, unless they may impersonate her.
//!
//! | module | subject |
//! |---|---|
//! | [`by_kubectl`] | two people take turns at one Deployment |
//! | [`call`] | requests of the table |
//! | [`every_row`] | everybody tries every row |
//! | [`job_sets`] | rows on JobSets, where their controller runs |
//! | [`on_pods`] | rows that make and change pods |
//! | [`on_templates`] | rows that make workloads |
//! | [`on_workloads`] | rows that change alice's workloads |
//! | [`opt_in`] | what was made while no webhook looked |
//! | [`out_and_in`] | what was changed while a namespace was opted out |
//! | [`peaceful`] | what honest people and programs do works |
//! | [`people`] | who tries |
//! | [`references`] | rows that name alice's Secret |
//! | [`strange_names`] | usernames that look like alice's |
//! | [`table`] | what a row is |

mod by_kubectl;
mod call;
mod every_row;
pub(crate) mod job_sets;
mod on_pods;
mod on_templates;
mod on_workloads;
mod opt_in;
mod out_and_in;
mod peaceful;
mod people;
mod references;
mod strange_names;
mod table;

use libtest_mimic::Trial;

use crate::harness::Harness;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    [
        by_kubectl::trials(harness),
        every_row::trials(harness),
        opt_in::trials(harness),
        out_and_in::trials(harness),
        peaceful::trials(harness),
        strange_names::trials(harness),
    ]
    .into_iter()
    .flatten()
    .collect()
}
