//! What a reference looks like. Parsers here borrow, allocate nothing and take any text.

use std::fmt;

use thiserror::Error;

use crate::inject::name::{is_data_key, is_label, is_of_data_key};

/// How a reference to a secret by its name begins.
const SECRET: &str = "secret:";
/// How a reference to a key of a store begins.
pub(super) const STORE: &str = "${secrets.";
/// The longest path of a file, in bytes: less than file systems take, and enough.
const PATH_LENGTH: usize = 1024;

/// `secret:NAME[?][/KEY]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// What the user calls the secret.
    pub name: &'a str,
    /// The key; `None` means the only one.
    pub key: Option<&'a str>,
    /// Whether the pod can do without it.
    pub optional: bool,
}

/// `${secrets.KEY[?]}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The key of a store.
    pub key: &'a str,
    /// Whether the pod can do without it.
    pub optional: bool,
}

/// An entry of the annotation `keyporter.dev/files`: `secret:NAME[?][/KEY]:/absolute/path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The secret.
    pub secret: Named<'a>,
    /// The file.
    pub path: &'a str,
}

/// Why something that is meant as a reference is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// No name of a secret.
    #[error(
        "bad name, a name has 1 to 63 characters a-z, 0-9 and -, and starts and ends with a letter or digit"
    )]
    Name,
    /// No key of a Secret.
    #[error(
        "bad key, a key has 1 to 253 characters a-z, A-Z, 0-9, -, _ and ., and does not start with \"..\""
    )]
    Key,
    /// A `?` somewhere else.
    #[error("a ? stands after the name (secret:NAME?/KEY)")]
    QuestionMark,
    /// An entry of files that names no secret or no path.
    #[error("an entry is secret:NAME:/path or secret:NAME/KEY:/path")]
    Entry,
    /// A relative path.
    #[error("mount path must be absolute")]
    Relative,
    /// A path of a folder.
    #[error("mount path must be that of a file: no / at its end")]
    Folder,
    /// A path that is not written as simply as it can be.
    #[error("mount path must have no empty part and none called \".\" or \"..\"")]
    Parts,
    /// A path that Kubernetes refuses.
    #[error("mount path must not contain ':'")]
    Colon,
    /// A path that no file system takes.
    #[error("mount path must not be longer than 1024 characters")]
    Long,
    /// Two files in one place.
    #[error("another entry has the same mount path")]
    PathTwice,
    /// A file inside a file.
    #[error("mount path lies below that of another entry, which is a file")]
    BelowFile,
}

/// Reads an env value that is a reference to a secret by its name. `None`: it is ordinary text.
///
/// What follows `secret:` is meant as a name if it is one word of the characters of names and keys, as people write them
/// (`secret:HF_TOKEN`): it would be a mistake to hand such a word to a program. A URL, a sentence or nothing at all is
/// text that happens to begin so.
#[must_use]
pub fn named(value: &str) -> Option<Result<Named<'_>, Malformed>> {
    let rest = value.strip_prefix(SECRET)?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_meant = rest.bytes().next().is_some_and(word)
        && rest
            .bytes()
            .all(|byte| word(byte) || byte == b'/' || byte == b'?');
    is_meant.then(|| Named::read(rest))
}

/// Reads the entries of the annotation `keyporter.dev/files`, one a line or separated by commas.
pub fn entries(list: &str) -> impl Iterator<Item = (&str, Result<Entry<'_>, Malformed>)> {
    list.split(['\n', ','])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| (entry, Entry::read(entry)))
}

impl<'a> Named<'a> {
    /// Reads what follows `secret:`.
    fn read(text: &'a str) -> Result<Self, Malformed> {
        let end = text.find(['/', '?']).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        if !is_label(name) {
            return Err(Malformed::Name);
        }
        let (optional, rest) = match rest.strip_prefix('?') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let key = match rest.strip_prefix('/') {
            Some(key) if is_data_key(key) => Some(key),
            Some(key) if key.contains('?') => return Err(Malformed::QuestionMark),
            Some(_) => return Err(Malformed::Key),
            None if rest.is_empty() => None,
            None => return Err(Malformed::QuestionMark),
        };
        Ok(Self {
            name,
            key,
            optional,
        })
    }
}

impl<'a> Stored<'a> {
    /// Reads a reference at the head of a text, and gives back what follows it.
    pub(super) fn at_head(text: &'a str) -> Option<(Self, &'a str)> {
        let rest = text.strip_prefix(STORE)?;
        let end = rest.bytes().position(|byte| !is_of_data_key(byte))?;
        let (key, rest) = rest.split_at_checked(end)?;
        let (optional, rest) = match rest.strip_prefix('?') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let rest = rest.strip_prefix('}')?;
        is_data_key(key).then_some((Self { key, optional }, rest))
    }
}

impl fmt::Display for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.optional { "?" } else { "" };
        write!(f, "{STORE}{}{mark}}}", self.key)
    }
}

impl<'a> Entry<'a> {
    fn read(entry: &'a str) -> Result<Self, Malformed> {
        let reference = entry.strip_prefix(SECRET).ok_or(Malformed::Entry)?;
        let (secret, path) = reference.split_once(':').ok_or(Malformed::Entry)?;
        let secret = Named::read(secret)?;
        check_path(path)?;
        Ok(Self { secret, path })
    }
}

fn check_path(path: &str) -> Result<(), Malformed> {
    let inner = path.strip_prefix('/').ok_or(Malformed::Relative)?;
    if path.len() > PATH_LENGTH {
        return Err(Malformed::Long);
    }
    if path.contains(':') {
        return Err(Malformed::Colon);
    }
    if path.ends_with('/') {
        return Err(Malformed::Folder);
    }
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Malformed::Parts);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn reference(name: &'static str, key: Option<&'static str>, optional: bool) -> Named<'static> {
        Named {
            name,
            key,
            optional,
        }
    }

    #[rstest]
    #[case("secret:token", "token", None, false)]
    #[case("secret:token/HF_TOKEN", "token", Some("HF_TOKEN"), false)]
    #[case("secret:token?", "token", None, true)]
    #[case("secret:token?/tls.key", "token", Some("tls.key"), true)]
    #[case("secret:9", "9", None, false)]
    #[case("secret:a/.dockerconfigjson", "a", Some(".dockerconfigjson"), false)]
    fn references(
        #[case] value: &str,
        #[case] name: &'static str,
        #[case] key: Option<&'static str>,
        #[case] optional: bool,
    ) {
        assert_eq!(named(value), Some(Ok(reference(name, key, optional))));
    }

    #[rstest]
    #[case("secret:HF_TOKEN", Malformed::Name)]
    #[case("secret:-a", Malformed::Name)]
    #[case("secret:a-", Malformed::Name)]
    #[case("secret:a.b", Malformed::Name)]
    #[case("secret:a/", Malformed::Key)]
    #[case("secret:a/..", Malformed::Key)]
    #[case("secret:a/b/c", Malformed::Key)]
    #[case("secret:a/b?", Malformed::QuestionMark)]
    #[case("secret:a??", Malformed::QuestionMark)]
    #[case("secret:a?b", Malformed::QuestionMark)]
    fn meant_as_references(#[case] value: &str, #[case] problem: Malformed) {
        assert_eq!(named(value), Some(Err(problem)));
    }

    #[test]
    fn names_and_keys_have_a_length() {
        let name = format!("secret:{}", "x".repeat(63));
        assert!(named(&name).unwrap().is_ok());
        assert_eq!(named(&format!("{name}x")), Some(Err(Malformed::Name)));
        let key = format!("secret:a/{}", "x".repeat(253));
        assert!(named(&key).unwrap().is_ok());
        assert_eq!(named(&format!("{key}x")), Some(Err(Malformed::Key)));
    }

    #[rstest]
    #[case("")]
    #[case("secret")]
    #[case("secret:")]
    #[case("secret: token")]
    #[case("secret:token ")]
    #[case(" secret:token")]
    #[case("secret:a b")]
    #[case("secret:token\n")]
    #[case("secret://vault/path")]
    #[case("secret:https://host/path")]
    #[case("secret:/etc/token")]
    #[case("secret:?")]
    #[case("secret:a:b")]
    #[case("secret:pass$word!")]
    #[case("secret:naïve")]
    #[case("secrets:x")]
    #[case("Secret:x")]
    #[case("my-secret:x")]
    #[case("x secret:y")]
    fn ordinary_text(#[case] value: &str) {
        assert_eq!(named(value), None);
    }

    #[rstest]
    #[case("${secrets.A}", Some(("A", false, "")))]
    #[case("${secrets.a-b_c.9}/x", Some(("a-b_c.9", false, "/x")))]
    #[case("${secrets.A?}}", Some(("A", true, "}")))]
    #[case("${secret.A}", None)]
    #[case("${secrets.}", None)]
    #[case("${secrets.?}", None)]
    #[case("${secrets.A??}", None)]
    #[case("${secrets.A", None)]
    #[case("${secrets.A B}", None)]
    #[case("${secrets.A:-x}", None)]
    #[case("${secrets...}", None)]
    #[case("${ secrets.A}", None)]
    #[case("${Secrets.A}", None)]
    #[case("$secrets.A", None)]
    fn keys_of_stores(#[case] text: &str, #[case] expected: Option<(&str, bool, &str)>) {
        let read =
            Stored::at_head(text).map(|(Stored { key, optional }, rest)| (key, optional, rest));
        assert_eq!(read, expected);
    }

    #[rstest]
    #[case("secret:a:/b", "a", None, false, "/b")]
    #[case(
        "secret:tls/tls.crt:/etc/tls/tls.crt",
        "tls",
        Some("tls.crt"),
        false,
        "/etc/tls/tls.crt"
    )]
    #[case("secret:a?/k:/b c/d", "a", Some("k"), true, "/b c/d")]
    #[case("secret:a:/..b", "a", None, false, "/..b")]
    fn files(
        #[case] entry: &str,
        #[case] name: &'static str,
        #[case] key: Option<&'static str>,
        #[case] optional: bool,
        #[case] path: &str,
    ) {
        let secret = reference(name, key, optional);
        assert_eq!(Entry::read(entry), Ok(Entry { secret, path }));
    }

    #[rstest]
    #[case("a:/b", Malformed::Entry)]
    #[case("secret:a", Malformed::Entry)]
    #[case("secret:a/k", Malformed::Entry)]
    #[case("secret::/b", Malformed::Name)]
    #[case("secret:A:/b", Malformed::Name)]
    #[case("secret:a/:/b", Malformed::Key)]
    #[case("secret:a/k?:/b", Malformed::QuestionMark)]
    #[case("secret:a:b", Malformed::Relative)]
    #[case("secret:a:", Malformed::Relative)]
    #[case("secret:a:./b", Malformed::Relative)]
    #[case("secret:a:/", Malformed::Folder)]
    #[case("secret:a:/b/", Malformed::Folder)]
    #[case("secret:a:/b/../c", Malformed::Parts)]
    #[case("secret:a:/..", Malformed::Parts)]
    #[case("secret:a:/b/./c", Malformed::Parts)]
    #[case("secret:a://b", Malformed::Parts)]
    #[case("secret:a:/b:ro", Malformed::Colon)]
    fn no_files(#[case] entry: &str, #[case] problem: Malformed) {
        assert_eq!(Entry::read(entry), Err(problem));
    }

    #[test]
    fn paths_have_a_length() {
        let entry = format!("secret:a:/{}", "x".repeat(PATH_LENGTH - 1));
        assert!(Entry::read(&entry).is_ok());
        assert_eq!(Entry::read(&format!("{entry}x")), Err(Malformed::Long));
    }

    #[test]
    fn entries_stand_in_lines_or_between_commas() {
        let list = "\n secret:a:/a ,secret:b:/b\r\n\n,secret:c:c,";
        let read: Vec<_> = entries(list)
            .map(|(entry, read)| (entry, read.is_ok()))
            .collect();
        assert_eq!(
            read,
            [
                ("secret:a:/a", true),
                ("secret:b:/b", true),
                ("secret:c:c", false)
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in any::<String>(), tail in "[-_.?/:a-zA-Z0-9${}]{0,20}") {
            for text in [text.clone(), format!("secret:{tail}"), format!("{STORE}{tail}"), format!("{tail}{text}")] {
                let _ = named(&text);
                let _ = Stored::at_head(&text);
                let _ = entries(&text).count();
            }
        }

        #[test]
        fn what_is_read_says_the_same(value in "secret:[a-z0-9][-a-z0-9]{0,9}[?]?(/[-._a-zA-Z0-9]{1,9})?") {
            if let Some(Ok(Named { name, key, optional })) = named(&value) {
                let mark = if optional { "?" } else { "" };
                let key = key.map(|key| format!("/{key}")).unwrap_or_default();
                prop_assert_eq!(format!("secret:{name}{mark}{key}"), value);
            }
        }
    }
}
