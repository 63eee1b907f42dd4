//! Files of workloads, as commands read them.

use std::{
    error::Error,
    fs,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;

use crate::{
    documents::{Document, Documents},
    offline::{Offline, OfflineError, Outcome},
};

/// Which document of a file it is that cannot be worked on.
#[derive(Debug, thiserror::Error)]
#[error("{file}: document {number}, line {line}")]
pub(super) struct InDocument {
    file: String,
    number: usize,
    line: usize,
    source: OfflineError,
}

/// The name and the text of a file, or of standard input.
pub(super) fn read(file: &Path) -> Result<(String, String), Box<dyn Error>> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| format!("cannot read standard input: {error}"))?;
        return Ok(("standard input".to_owned(), text));
    }
    let name = file.display().to_string();
    if file.is_dir() {
        return Err(
            format!("cannot read {name}: it is a folder; name its files, each with -f").into(),
        );
    }
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {name}: {error}"))?;
    Ok((name, text))
}

/// The documents of a text, of which there is one at least.
pub(super) fn split<'a>(name: &str, text: &'a str) -> Result<Documents<'a>, Box<dyn Error>> {
    let documents = Documents::split(text);
    if documents.is_empty() {
        return Err(format!("{name}: no document in it").into());
    }
    Ok(documents)
}

/// What becomes of a document, which is read already.
pub(super) fn work(
    offline: &Offline<'_>,
    file: &str,
    document: &Document<'_>,
    value: Value,
) -> Result<Outcome, InDocument> {
    offline.document(value).map_err(|error| InDocument {
        file: file.to_owned(),
        number: document.number,
        line: document.line,
        source: error,
    })
}
