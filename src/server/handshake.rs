//! Why TLS handshakes fail, in the words of a closed list.

use std::io;

use rustls::{AlertDescription, Error, InvalidMessage};

/// Why no TLS connection came about: a metric's label and a log's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The peer took longer than the limit.
    Timeout,
    /// The peer went away: port scans and TCP health checks do.
    Disconnected,
    /// The peer spoke something else, most often plain HTTP.
    NotTls,
    /// The peer has no certificate of the client CA.
    ClientCertificate,
    /// The peer does not trust our certificate: for an API server, the webhook configuration's `caBundle` is wrong.
    Rejected,
    /// No version or cipher suite that both ends know.
    Incompatible,
    /// The rest.
    Other,
}

impl Failure {
    /// Finds the cause in what tokio-rustls returned.
    pub(super) fn from_error(error: &io::Error) -> Self {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
        match cause {
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Self::NotTls,
            Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => {
                Self::ClientCertificate
            }
            Some(Error::AlertReceived(alert)) if distrusts(*alert) => Self::Rejected,
            Some(Error::PeerIncompatible(_)) => Self::Incompatible,
            Some(_) => Self::Other,
            None => Self::Disconnected,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::NotTls => "not_tls",
            Self::ClientCertificate => "client_certificate",
            Self::Rejected => "rejected_by_client",
            Self::Incompatible => "incompatible",
            Self::Other => "other",
        }
    }
}

/// The alerts of RFC 8446 section 6.2 that a peer sends about a certificate it was shown. `decrypt_error` is among
/// them: it says that a signature is wrong, which is what a CA of the same name with another key looks like.
fn distrusts(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use rustls::{CertificateError, PeerIncompatible};

    use super::*;

    #[rstest]
    #[case(Error::InvalidMessage(InvalidMessage::InvalidContentType), "not_tls")]
    #[case(Error::NoCertificatesPresented, "client_certificate")]
    #[case(
        Error::InvalidCertificate(CertificateError::UnknownIssuer),
        "client_certificate"
    )]
    #[case(
        Error::AlertReceived(AlertDescription::UnknownCA),
        "rejected_by_client"
    )]
    #[case(Error::AlertReceived(AlertDescription::CloseNotify), "other")]
    #[case(
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        "incompatible"
    )]
    fn a_tls_error_has_a_word(#[case] error: Error, #[case] word: &str) {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        assert_eq!(Failure::from_error(&error).as_str(), word);
    }

    #[test]
    fn an_error_without_a_tls_cause_is_a_disconnection() {
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Failure::from_error(&error).as_str(), "disconnected");
    }
}
