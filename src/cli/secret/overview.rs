//! What could be adopted, as a table.

use std::io::{self, Write};

use k8s_openapi::jiff::Timestamp;
use tabwriter::TabWriter;

use super::metadata::Metadata;

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

/// In the largest unit that there is a whole one of.
fn age(created: &str, now: Timestamp) -> String {
    let Ok(created) = created.parse::<Timestamp>() else {
        return "-".to_owned();
    };
    // The clocks of two machines differ.
    let seconds = (now.as_second() - created.as_second()).max(0);
    let (length, unit) = match seconds {
        86400.. => (86400, 'd'),
        3600.. => (3600, 'h'),
        60.. => (60, 'm'),
        _ => (1, 's'),
    };
    format!("{}{unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::seconds("2026-01-01T11:59:01Z", "59s")]
    #[case::minutes("2026-01-01T11:59:00Z", "1m")]
    #[case::hours("2026-01-01T10:00:01Z", "1h")]
    #[case::days("2025-01-01T12:00:00Z", "365d")]
    #[case::of_another_clock("2026-01-01T12:00:01Z", "0s")]
    #[case::unknown("", "-")]
    fn ages(#[case] created: &str, #[case] expected: &str) {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        assert_eq!(age(created, now), expected);
    }
}
