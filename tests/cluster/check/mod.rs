//! `keyporter check` on an installation of the chart: healthy first, and then each thing is broken, its line is read, and
//! what the line says is done.
//!
//! On control planes of their own: what is broken here holds for a whole cluster.

mod calling;
mod installation;
mod objects_of_chart;

use libtest_mimic::Trial;

use crate::harness::Harness;

pub(crate) fn trials(harness: &Harness) -> Vec<Trial> {
    vec![
        harness.trial_with_helm("check::what_calls_and_what_answers", calling::breaks),
        harness.trial_with_helm(
            "check::what_the_chart_makes_and_people_write",
            objects_of_chart::breaks,
        ),
    ]
}
