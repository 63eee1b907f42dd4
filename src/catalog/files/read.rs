//! Reading one file.

use std::fs;
use std::path::Path;
use std::str;

use zeroize::Zeroizing;

use super::super::decode::{NamespaceHead, Object, WatchedSecret};
use super::{LoadError, Place, unreadable};
use crate::documents::{Document, Documents};
use crate::inject::secret::Description;

/// What a file holds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) secrets: Vec<(Description, Spot)>,
    /// Namespaces and the domains that they belong to.
    pub(super) domains: Vec<(String, String)>,
}

/// Where something stands in a file.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    document: usize,
    line: usize,
}

impl Spot {
    fn of(document: &Document<'_>) -> Self {
        Self {
            document: document.number,
            line: document.line,
        }
    }

    pub(super) fn place(self, file: &Path) -> Place {
        Place {
            file: file.to_owned(),
            document: self.document,
            line: self.line,
        }
    }
}

/// Reads a file.
pub(super) fn file(path: &Path, default_namespace: &str) -> Result<Found, LoadError> {
    let bytes = Zeroizing::new(fs::read(path).map_err(|source| unreadable(path, source))?);
    let text = str::from_utf8(&bytes).map_err(|_| LoadError::NotText(path.to_owned()))?;
    let mut reader = Reader {
        path,
        default_namespace,
        found: Found::default(),
    };
    let name = path.display().to_string();
    for document in &Documents::split(text) {
        reader.object(document.read(&name)?, Spot::of(document))?;
    }
    Ok(reader.found)
}

struct Reader<'a> {
    path: &'a Path,
    default_namespace: &'a str,
    found: Found,
}

impl Reader<'_> {
    fn object(&mut self, object: Object, spot: Spot) -> Result<(), LoadError> {
        match (object.api_version.as_str(), object.kind.as_str()) {
            ("v1", "Secret") => self.secret(object.secret, spot),
            ("v1", "Namespace") => {
                self.namespace(&NamespaceHead::of(object));
                Ok(())
            }
            // The items of a typed list do not name their kind.
            ("v1", "SecretList") => {
                let mut secrets = object.items.into_iter().map(|item| item.secret);
                secrets.try_for_each(|secret| self.secret(secret, spot))
            }
            ("v1", "NamespaceList") => {
                let items = object.items.into_iter().map(NamespaceHead::of);
                items.for_each(|namespace| self.namespace(&namespace));
                Ok(())
            }
            ("v1", "List") => {
                let mut items = object.items.into_iter();
                items.try_for_each(|item| self.object(item, spot))
            }
            _ => Ok(()),
        }
    }

    fn namespace(&mut self, namespace: &NamespaceHead) {
        if let Some(domain) = namespace.domain() {
            let name = namespace.name().to_owned();
            self.found.domains.push((name, domain.to_owned()));
        }
    }

    fn secret(&mut self, secret: WatchedSecret, spot: Spot) -> Result<(), LoadError> {
        if let Some(flaw) = secret.flaw() {
            let place = spot.place(self.path);
            return Err(LoadError::Flawed { place, flaw });
        }
        let mut secret = Description::from(secret);
        if secret.namespace.is_empty() {
            self.default_namespace.clone_into(&mut secret.namespace);
        }
        self.found.secrets.push((secret, spot));
        Ok(())
    }
}
