//! What is wrong with a PEM file, without a word of the file.

use std::io;

use rustls::pki_types::pem;
use thiserror::Error;

/// Why a file cannot be read as PEM.
///
/// The parser's own error quotes the line that it stumbles over. In a file whose line breaks were lost that is all of it,
/// and the file may be a private key.
#[derive(Debug, Error)]
pub enum PemError {
    /// A block without its last line.
    #[error(
        "a block has no END line of its own: the file is cut off, or its line breaks were lost"
    )]
    NoEnd,
    /// A first line that is none.
    #[error(
        "a BEGIN line does not end with five dashes: the file's line breaks were lost, perhaps"
    )]
    Begin,
    /// What stands in a block is something else.
    #[error("what stands between BEGIN and END is not base64")]
    NotBase64,
    /// Nothing of the expected kind.
    #[error("nothing of the kind is in it")]
    Empty,
    /// Far more than any certificate has.
    #[error("a block is too large")]
    TooLarge,
    /// The file cannot be read at all.
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
    /// Something that the parser has learned to say since.
    #[error("it is malformed")]
    Malformed,
}

impl From<pem::Error> for PemError {
    fn from(error: pem::Error) -> Self {
        match error {
            pem::Error::MissingSectionEnd { .. } => Self::NoEnd,
            pem::Error::IllegalSectionStart { .. } => Self::Begin,
            pem::Error::Base64Decode(_) => Self::NotBase64,
            pem::Error::NoItemsFound => Self::Empty,
            pem::Error::SectionTooLarge => Self::TooLarge,
            pem::Error::Io(source) => Self::Read(source),
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;

    use rstest::rstest;

    use crate::certificates::Credentials;
    use crate::server::tls::{CertificateResolver, server_config};

    const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSECRET";
    const BEGINNING: &str = "MIGH";

    /// As text, and as the numbers of its bytes.
    fn assert_tells_nothing(error: &dyn Error) {
        let mut told = format!("{error:?} {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            told.push_str(&error.to_string());
            cause = error.source();
        }
        let numbers = format!("{:?}", BEGINNING.as_bytes());
        let numbers = numbers.trim_matches(['[', ']']);
        assert!(
            KEY.starts_with(BEGINNING) && !told.contains(BEGINNING) && !told.contains(numbers),
            "{told}"
        );
    }

    #[rstest]
    #[case::on_one_line(format!("-----BEGIN PRIVATE KEY-----{KEY}-----END PRIVATE KEY-----"))]
    #[case::with_spaces(format!("-----BEGIN PRIVATE KEY----- {KEY} -----END PRIVATE KEY-----"))]
    #[case::cut_off(format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n"))]
    #[case::another_end(format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END {KEY}-----\n"))]
    #[case::called_so(format!("-----BEGIN {KEY}-----\n"))]
    #[case::no_base64(format!("-----BEGIN PRIVATE KEY-----\n{KEY}!\n-----END PRIVATE KEY-----\n"))]
    fn a_damaged_key_is_not_quoted(#[case] key: String) {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");
        let certificate = format!("{fixtures}/ec.crt");
        let file = folder.path().join("tls.key");
        fs::write(&file, key).unwrap();
        assert_tells_nothing(&Credentials::read(certificate.as_ref(), &file).unwrap_err());
        // Nor where somebody takes it for the certificate, or for a CA.
        assert_tells_nothing(&Credentials::read(&file, &file).unwrap_err());
        let resolver = CertificateResolver::default();
        assert_tells_nothing(&server_config(resolver.into(), Some(&file)).unwrap_err());
    }
}
