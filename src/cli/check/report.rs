//! The findings, for people and for programs.
//!
//! The JSON is an interface: `apiVersion: keyporter.dev/v1`, `kind: CheckReport`. Fields may be added, never renamed.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use serde::Serialize;

use super::finding::{Finding, Severity};
use crate::cli::table::printable;

/// The longest word for a severity, and a space.
const MARGIN: usize = 8;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckReport<'a> {
    api_version: &'static str,
    kind: &'static str,
    healthy: bool,
    findings: &'a [Finding],
}

pub(super) fn json(findings: &[Finding], healthy: bool) -> CheckReport<'_> {
    CheckReport {
        api_version: "keyporter.dev/v1",
        kind: "CheckReport",
        healthy,
        findings,
    }
}

/// One line each, and under it how to mend what is wrong.
pub(super) fn print(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        let style = style(finding.severity);
        let word = finding.severity.as_str();
        writeln!(
            out,
            "{style}{word:MARGIN$}{style:#}{}: {}",
            printable(&finding.object),
            printable(&finding.message)
        )?;
        if let Some(advice) = &finding.advice {
            writeln!(out, "{:MARGIN$}  -> {}", "", printable(advice))?;
        }
    }
    writeln!(out, "{}", summary(findings))
}

fn style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Ok => AnsiColor::Green,
        Severity::Unseen => AnsiColor::Cyan,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Error => AnsiColor::Red,
    };
    Style::new().fg_color(Some(Color::Ansi(color)))
}

/// How many there are of each.
pub(super) fn summary(findings: &[Finding]) -> String {
    let count = |severity| {
        let of_it = |finding: &&Finding| finding.severity == severity;
        findings.iter().filter(of_it).count()
    };
    format!(
        "{} ok, {} warnings, {} errors, {} could not be looked at",
        count(Severity::Ok),
        count(Severity::Warning),
        count(Severity::Error),
        count(Severity::Unseen)
    )
}
