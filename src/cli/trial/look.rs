//! `keyporter trial look`: what the pod of a trial does.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Component, Path},
    str::FromStr,
};

use clap::Args;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The variable that says where files of kind default are.
const FOLDER: &str = "KONDUKTOR_DEFAULT_SECRETS";

/// Look whether variables and files have the bytes of these digests
///
/// The pod of a trial runs it. No value is shown.
///
/// Exit codes: 0 they have; 1 they have not, and standard error says which; 2 the command line is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keyporter trial look --variable HOME=f21cb9c0d5d9ac1a1d8e0b9ab1cf2a5b4c1dbd2f2f7a31e5b5a6ca0f8d1f4c11")]
pub(super) struct Look {
    /// A variable, and the SHA-256 of its value; may be repeated
    #[arg(
        long = "variable",
        value_name = "NAME=SHA256",
        required_unless_present = "files"
    )]
    variables: Vec<Expected>,

    /// A file below `$KONDUKTOR_DEFAULT_SECRETS`, and its SHA-256; may be repeated
    #[arg(long = "file", value_name = "PATH=SHA256", value_parser = file)]
    files: Vec<Expected>,
}

/// What is looked at, and which bytes it has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    what: String,
    digest: String,
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, digest) = text
            .rsplit_once('=')
            .filter(|(what, digest)| !what.is_empty() && is_digest(digest))
            .ok_or("a name and 64 hex digits are needed, NAME=SHA256")?;
        Ok(Self {
            what: what.to_owned(),
            digest: digest.to_owned(),
        })
    }
}

fn is_digest(text: &str) -> bool {
    HEXLOWER
        .decode(text.as_bytes())
        .is_ok_and(|bytes| bytes.len() == 32)
}

/// A path that stays below the folder.
fn file(text: &str) -> Result<Expected, String> {
    let expected: Expected = text.parse()?;
    let mut parts = Path::new(&expected.what).components();
    if parts.all(|part| matches!(part, Component::Normal(_))) {
        Ok(expected)
    } else {
        Err("a relative path without \"..\" is needed".to_owned())
    }
}

/// As it is compared.
pub(super) fn digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The sentences are in it, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
struct Faults(Vec<String>);

impl Look {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let variables = self.variables.iter().map(look_at_variable);
        let files = self.files.iter().map(look_at_file);
        let faults: Vec<_> = variables.chain(files).filter_map(Result::err).collect();
        if !faults.is_empty() {
            return Err(Faults(faults).into());
        }
        println!("all is there, byte for byte");
        Ok(())
    }
}

fn look_at_variable(expected: &Expected) -> Result<(), String> {
    let what = format!("the variable {}", expected.what);
    let value = env::var_os(&expected.what).ok_or_else(|| format!("{what} is not set"))?;
    let value = Zeroizing::new(value.into_encoded_bytes());
    expected.compare(&what, &value)
}

fn look_at_file(expected: &Expected) -> Result<(), String> {
    let path = &expected.what;
    let folder = env::var_os(FOLDER).ok_or_else(|| format!("the variable {FOLDER} is not set"))?;
    let path = Path::new(&folder).join(path);
    let what = format!("the file {}", path.display());
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{what} is not there"),
        _ => format!("{what} cannot be read: {error}"),
    })?;
    expected.compare(&what, &Zeroizing::new(bytes))
}

impl Expected {
    fn compare(&self, what: &str, bytes: &[u8]) -> Result<(), String> {
        if digest(bytes) == self.digest {
            Ok(())
        } else {
            Err(format!("{what} has other bytes than the secret"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_a_name_and_a_digest() {
        let nothing = digest(b"");
        let expected: Expected = format!("A={nothing}").parse().unwrap();
        assert_eq!(expected.what, "A");
        assert_eq!(expected.compare("A", b""), Ok(()));
        let told = expected.compare("the variable A", b"hunter2").unwrap_err();
        assert_eq!(told, "the variable A has other bytes than the secret");
        for text in ["A", "A=", "A=00", "=00"] {
            assert!(text.parse::<Expected>().is_err(), "{text}");
        }
        assert!(file(&format!("a/b={nothing}")).is_ok());
        for path in ["/etc/passwd", "../a", "a/../../b"] {
            assert!(file(&format!("{path}={nothing}")).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let expected = |what: &str| Expected {
            what: what.to_owned(),
            digest: digest(b"x"),
        };
        let told = look_at_variable(&expected("KEYPORTER_NOT_SET")).unwrap_err();
        assert_eq!(told, "the variable KEYPORTER_NOT_SET is not set");
        let told = look_at_file(&expected("a")).unwrap_err();
        assert_eq!(told, "the variable KONDUKTOR_DEFAULT_SECRETS is not set");
        assert!(look_at_variable(&expected("PATH")).is_err());
    }
}
