//! Any bytes in the files of a certificate, its key and a client CA: `CERTIFICATE NUL KEY`, or both in one.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use keyporter::certificates::{self, Credentials, DEFAULT_VALIDITY};
use keyporter::server::tls::{self, CertificateResolver};
use rustls::pki_types::ServerName;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    // In memory where there is such a place: every run writes.
    let shared = Path::new("/dev/shm");
    let made = if shared.is_dir() {
        tempfile::tempdir_in(shared)
    } else {
        tempfile::tempdir()
    };
    made.expect("a folder")
});

pub(crate) fn run(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0);
    let (certificate, key) = match at {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, bytes),
    };
    let folder = FOLDER.path();
    let write = |name: &str, content: &[u8]| fs::write(folder.join(name), content).expect("a file");
    write(tls::CERTIFICATE_FILE, certificate);
    write(tls::KEY_FILE, key);
    let read = Credentials::read(
        &folder.join(tls::CERTIFICATE_FILE),
        &folder.join(tls::KEY_FILE),
    );
    let told = match &read {
        Ok(credentials) => {
            assert!(!credentials.certified_key().cert.is_empty());
            format!("{credentials:?}")
        }
        Err(error) => sentence(error),
    };
    tells_nothing_of(&told, key);
    if let Err(error) = tls::load(folder) {
        tells_nothing_of(&sentence(&error), key);
    }
    let resolver = Arc::new(CertificateResolver::default());
    let client_ca = folder.join(tls::CERTIFICATE_FILE);
    if let Err(error) = tls::server_config(resolver, Some(&client_ca)) {
        tells_nothing_of(&sentence(&error), key);
    }
    what_is_not_ours_stays(certificate, key);
}

/// A folder of development certificates with these in the place of the CA: what cannot be read is left as it is.
fn what_is_not_ours_stays(certificate: &[u8], key: &[u8]) {
    let folder = FOLDER.path().join("development");
    let _none = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a folder");
    let (certificate_file, key_file) = (folder.join("ca.crt"), folder.join("ca.key"));
    fs::write(&certificate_file, certificate).expect("a file");
    fs::write(&key_file, key).expect("a file");
    let hosts = [ServerName::try_from("localhost").expect("a name")];
    if let Err(error) = certificates::ensure(&folder, &hosts, DEFAULT_VALIDITY) {
        tells_nothing_of(&sentence(&error), key);
        assert_eq!(
            fs::read(&certificate_file).expect("it is there"),
            certificate
        );
        assert_eq!(fs::read(&key_file).expect("it is there"), key);
    }
}

fn sentence(error: &dyn Error) -> String {
    let mut text = format!("{error:?}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

/// No line of the key, as far as lines of keys have a length: neither as text nor as the numbers of its bytes. All that is said
/// is short, so that it has no room for a file. Lines of keys are base64; sentences are not, and a fuzzer learns them and puts
/// them into keys.
fn tells_nothing_of(told: &str, key: &[u8]) {
    assert!(told.len() < 2000, "{told}");
    let lines = key
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .filter(|line| line.len() >= 40 && line.iter().copied().all(is_base64));
    for line in lines.take(100) {
        let numbers = format!("{:?}", &line[..8]);
        assert!(!told.contains(numbers.trim_matches(['[', ']'])), "{told}");
        let line = str::from_utf8(line).expect("base64");
        assert!(!told.contains(line), "{told}");
    }
}
