//! Private keys for git over ssh, and the host keys beside them.

use data_encoding::BASE64;
use thiserror::Error;
use zeroize::Zeroizing;

use super::value::Value;

/// The largest part of a key file that is decoded to see how it is protected.
const HEAD: usize = 64;
/// How OpenSSH's own format begins.
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";

/// Why a file is no key that a pod can use.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum GitKeyError {
    #[error(
        "a public key; the secret needs the private key, the file of the same name without .pub"
    )]
    Public,
    #[error(
        "protected by a passphrase, which nobody types in a pod; make a key for this use with `ssh-keygen -N ''`, or \
         take the passphrase off a copy with `ssh-keygen -p`"
    )]
    Protected,
    #[error("a key of PuTTY; convert it with `puttygen KEY.ppk -O private-openssh -o KEY`")]
    Putty,
    #[error(
        "no private key in OpenSSH or PEM form (it begins with \"-----BEGIN ... PRIVATE KEY-----\")"
    )]
    NoKey,
    #[error("more than one private key; git uses one")]
    Several,
    #[error(
        "a key with the line ends of Windows, which ssh does not read; convert it with `dos2unix`"
    )]
    LineEnds,
    #[error("cut off: its END line is missing")]
    CutOff,
}

/// Whether this is one private key that ssh uses without asking anybody.
pub(super) fn check(file: &Value) -> Result<(), GitKeyError> {
    let text = file.text().ok_or(GitKeyError::NoKey)?;
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
    if first.starts_with("PuTTY-User-Key-File") {
        return Err(GitKeyError::Putty);
    }
    let publics = [
        "ssh-",
        "ecdsa-",
        "sk-",
        "---- BEGIN SSH2 PUBLIC",
        "-----BEGIN PUBLIC",
        "-----BEGIN RSA PUBLIC",
    ];
    if publics.iter().any(|head| first.starts_with(head)) {
        return Err(GitKeyError::Public);
    }
    let label = first
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.strip_suffix("-----"));
    let label = label
        .filter(|label| label.ends_with("PRIVATE KEY"))
        .ok_or(GitKeyError::NoKey)?;
    if text.contains('\r') {
        return Err(GitKeyError::LineEnds);
    }
    if text.matches("-----BEGIN ").count() > 1 {
        return Err(GitKeyError::Several);
    }
    if !lines.clone().any(|line| {
        line.strip_prefix("-----END ")
            .is_some_and(|end| end.starts_with(label))
    }) {
        return Err(GitKeyError::CutOff);
    }
    let by_header = lines
        .clone()
        .any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"));
    if label.starts_with("ENCRYPTED")
        || by_header
        || label.starts_with("OPENSSH") && is_protected(lines)
    {
        return Err(GitKeyError::Protected);
    }
    Ok(())
}

/// Whether a key in OpenSSH's own format names a cipher.
/// <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>
fn is_protected<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    let mut head = Zeroizing::new(String::with_capacity(HEAD + 128));
    for line in lines {
        if head.len() >= HEAD || line.starts_with('-') {
            break;
        }
        head.push_str(line.get(..HEAD.min(line.len())).unwrap_or_default());
    }
    let whole = head.len() / 4 * 4;
    let head = head.as_bytes().get(..whole.min(HEAD)).unwrap_or_default();
    let Ok(decoded) = BASE64.decode(head).map(Zeroizing::new) else {
        return false;
    };
    let cipher = decoded.strip_prefix(OPENSSH_MAGIC);
    cipher.is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

/// Why a file holds no host keys.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum KnownHostsError {
    #[error("line {0} is no host with its key, as `ssh-keyscan HOST` prints them")]
    Line(usize),
    #[error(
        "it names no host; `ssh-keyscan github.com` prints the keys of one, to be compared with those it publishes"
    )]
    Empty,
}

/// Whether every line is a host with its key.
pub(super) fn check_known_hosts(file: &Value) -> Result<(), KnownHostsError> {
    let text = file.text().ok_or(KnownHostsError::Line(1))?;
    let mut hosts = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.split_whitespace();
        if line.starts_with('@') {
            fields.next();
        }
        let (_host, kind, key) = (fields.next(), fields.next(), fields.next());
        let is_kind = |kind: &str| {
            ["ssh-", "ecdsa-", "sk-"]
                .iter()
                .any(|head| kind.starts_with(head))
        };
        if !kind.is_some_and(is_kind) || key.is_none() {
            return Err(KnownHostsError::Line(number));
        }
        hosts += 1;
    }
    if hosts == 0 {
        return Err(KnownHostsError::Empty);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// `ssh-keygen -t ed25519` without a passphrase, and with one: their first lines.
    const PLAIN: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
    const PROTECTED: &str =
        "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCGdJp9Xl";

    fn pem(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[rstest]
    #[case::openssh(pem("OPENSSH PRIVATE KEY", PLAIN))]
    #[case::rsa(pem("RSA PRIVATE KEY", "MIIB"))]
    #[case::ec(pem("EC PRIVATE KEY", "MHcC"))]
    #[case::pkcs8(pem("PRIVATE KEY", "MC4C"))]
    #[case::no_newline(pem("PRIVATE KEY", "MC4C").trim_end().to_owned())]
    #[case::blank_lines_before(format!("\n\n{}", pem("PRIVATE KEY", "MC4C")))]
    fn keys(#[case] text: String) {
        assert_eq!(check(&Value::from(&*text)), Ok(()));
    }

    #[rstest]
    #[case::public("ssh-ed25519 AAAAC3 alice@laptop\n".to_owned(), GitKeyError::Public)]
    #[case::public_of_a_token("sk-ssh-ed25519@openssh.com AAAA\n".to_owned(), GitKeyError::Public)]
    #[case::public_pem(pem("PUBLIC KEY", "MCow"), GitKeyError::Public)]
    #[case::protected(pem("OPENSSH PRIVATE KEY", PROTECTED), GitKeyError::Protected)]
    #[case::protected_pkcs8(pem("ENCRYPTED PRIVATE KEY", "MIIF"), GitKeyError::Protected)]
    #[case::protected_pem(
        pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nMIIB"),
        GitKeyError::Protected
    )]
    #[case::putty("PuTTY-User-Key-File-3: ssh-ed25519\n".to_owned(), GitKeyError::Putty)]
    #[case::nothing(String::new(), GitKeyError::NoKey)]
    #[case::text("hunter2\n".to_owned(), GitKeyError::NoKey)]
    #[case::certificate(pem("CERTIFICATE", "MIIB"), GitKeyError::NoKey)]
    #[case::two(format!("{0}{0}", pem("PRIVATE KEY", "MC4C")), GitKeyError::Several)]
    #[case::windows(pem("PRIVATE KEY", "MC4C").replace('\n', "\r\n"), GitKeyError::LineEnds)]
    #[case::cut_off("-----BEGIN PRIVATE KEY-----\nMC4C\n".to_owned(), GitKeyError::CutOff)]
    fn what_is_no_key(#[case] text: String, #[case] expected: GitKeyError) {
        assert_eq!(check(&Value::from(&*text)), Err(expected));
    }

    #[rstest]
    #[case("github.com ssh-ed25519 AAAA\n# c\n\n|1|a|b ecdsa-sha2-nistp256 AAAA\n@cert-authority *.x ssh-rsa AAAA c\n", Ok(()))]
    #[case("# c\n", Err(KnownHostsError::Empty))]
    #[case(
        "github.com ssh-ed25519 AAAA\nhunter2\n",
        Err(KnownHostsError::Line(2))
    )]
    #[case("-----BEGIN PRIVATE KEY-----\n", Err(KnownHostsError::Line(1)))]
    fn known_hosts(#[case] text: &str, #[case] expected: Result<(), KnownHostsError>) {
        assert_eq!(check_known_hosts(&Value::from(text)), expected);
    }
}
