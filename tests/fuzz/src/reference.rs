//! Any text where a reference may stand, and where a list of IOMETE's may stand.

use std::collections::HashSet;

use keyporter::inject::name::{is_data_key, is_label};
use keyporter::inject::reference::iomete::{self, List};
use keyporter::inject::reference::{Named, Piece, Stored, entries, named, pieces};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Some(Ok(named)) = named(text) {
        check(named);
        assert_eq!(format!("secret:{}", written(named)), text);
    }
    let mut paths = 0;
    for (entry, read) in entries(text) {
        assert!(!entry.is_empty() && text.contains(entry));
        if let Ok(entry) = read {
            check(entry.secret);
            assert!(entry.path.starts_with('/') && !entry.path.contains(':'));
            let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
            assert!(entry.path.split('/').skip(1).all(plain), "{}", entry.path);
            paths += 1;
        }
    }
    assert!(paths <= text.len());
    all_of_a_text_is_in_its_pieces(text);
    for list in [List::Variables, List::Configuration] {
        a_list(list, text);
    }
}

fn check(named: Named<'_>) {
    assert!(is_label(named.name), "{named:?}");
    assert!(named.key.is_none_or(is_data_key), "{named:?}");
}

fn written(
    Named {
        name,
        key,
        optional,
    }: Named<'_>,
) -> String {
    let optional = if optional { "?" } else { "" };
    let key = key.map(|key| format!("/{key}")).unwrap_or_default();
    format!("{name}{optional}{key}")
}

fn all_of_a_text_is_in_its_pieces(text: &str) {
    let mut together = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Plain(part) | Piece::Literal(part) => {
                assert!(!part.is_empty());
                together.push_str(part);
            }
            Piece::Reference(Stored { key, optional }) => {
                assert!(is_data_key(key), "{key}");
                let optional = if optional { "?" } else { "" };
                together.extend(["${secrets.", key, optional, "}"]);
            }
        }
    }
    assert_eq!(together, text);
}

fn a_list(list: List, text: &str) {
    let (assignments, mistakes) = iomete::read(list, text);
    let keys: HashSet<_> = assignments.iter().map(|entry| entry.key).collect();
    assert_eq!(keys.len(), assignments.len(), "a key twice");
    let numbers: HashSet<_> = assignments
        .iter()
        .map(|entry| entry.number)
        .chain(mistakes.iter().filter_map(|mistake| mistake.number))
        .collect();
    if mistakes.iter().any(|mistake| mistake.number.is_none()) {
        assert!(assignments.is_empty() && mistakes.len() == 1);
    } else {
        assert_eq!(
            numbers.len(),
            assignments.len() + mistakes.len(),
            "an entry twice"
        );
        assert!(
            (1..=numbers.len()).all(|number| numbers.contains(&number)),
            "an entry is missing"
        );
    }
    for mistake in &mistakes {
        assert!(mistake.why.to_string().chars().count() < 600, "{mistake:?}");
    }
}
