//! What could be adopted, as a table.

use std::io::{self, Write};

use k8s_openapi::jiff::Timestamp;
use tabwriter::TabWriter;

use super::{age::age, metadata::Metadata};

/// Those of one hash stand together: what one person made on one workstation.
pub(super) fn print(out: &mut impl Write, mut secrets: Vec<&Metadata>) -> io::Result<()> {
    // What nobody's hash is on comes last.
    secrets.sort_by_key(|secret| {
        let hash = secret.konduktor_owner();
        (hash.is_none(), hash, &secret.namespace, &secret.object)
    });
    let now = Timestamp::now();
    let mut table = TabWriter::new(out).minwidth(4).padding(2);
    writeln!(table, "HASH\tNAMESPACE\tOBJECT\tNAME\tKIND\tAGE")?;
    for secret in secrets {
        let hash = secret.konduktor_owner().unwrap_or("-");
        let kind = secret.kind().unwrap_or("-");
        let Metadata {
            namespace, object, ..
        } = secret;
        let (name, age) = (secret.name(), age(&secret.created, now));
        writeln!(
            table,
            "{hash}\t{namespace}\t{object}\t{name}\t{kind}\t{age}"
        )?;
    }
    table.flush()
}
