//! What programs read.

use std::{error::Error, io::Write};

use serde::Serialize;

use crate::{cli::written, documents::to_yaml};

pub(in crate::cli) fn print_json(
    out: &mut impl Write,
    value: &impl Serialize,
) -> Result<(), Box<dyn Error>> {
    let json = serde_json::to_value(value)?;
    written(writeln!(out, "{json:#}"))
}

pub(in crate::cli) fn print_yaml(
    out: &mut impl Write,
    value: &impl Serialize,
) -> Result<(), Box<dyn Error>> {
    let json = serde_json::to_value(value)?;
    written(write!(out, "{}", to_yaml(&json)))
}
