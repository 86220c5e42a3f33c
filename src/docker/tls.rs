//! Mutual TLS with an engine, and what its failures mean to people.

use super::{
    DockerError,
    client::{Peer, io_text},
};
use crate::{clock::Timestamp, spoken, transport::Stream};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{error::Error, io, pin::Pin, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Trusts `ca` alone, and shows `cert`. The arguments are PEM texts.
pub(super) fn config(peer: &Peer, ca: &str, cert: &str, key: &str) -> Result<ClientConfig, DockerError> {
    let certificates = |pem: &str, whose: &str| match CertificateDer::pem_slice_iter(pem.as_bytes()).collect() {
        Ok(list) => Ok::<Vec<_>, _>(list),
        Err(_) => Err(peer.tls(format!("{whose} is not a certificate in PEM"))),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "the recorded authority")? {
        roots.add(certificate).map_err(|e| peer.tls(format!("the recorded authority: {}", spoken::tls(&e))))?;
    }
    if roots.is_empty() {
        return Err(peer.tls("the recorded authority is not a certificate in PEM"));
    }
    let chain = certificates(cert, "our certificate")?;
    // The error could quote the key, so it is not told.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| peer.tls("our private key is not one in PEM (PKCS#1, PKCS#8 or SEC1)"))?;
    // Named here, so that no other crate's choice of a process default can get in.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| peer.tls(spoken::tls(&e)))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| peer.tls(format!("our certificate and key cannot be used: {}", spoken::tls(&e))))
}

/// Shakes hands over `stream`; the certificate must be for `host`, a name or an address.
pub(super) async fn shake(
    peer: &Peer,
    config: ClientConfig,
    host: &str,
    stream: TcpStream,
) -> Result<Pin<Box<dyn Stream>>, DockerError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| peer.tls(format!("`{host}` is neither a host name nor an address")))?;
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(Box::pin(stream)),
        Err(e) => Err(match inside(&e) {
            Some(error) => refusal(peer, error, host),
            None if e.kind() == io::ErrorKind::UnexpectedEof => {
                peer.tls("it hung up during the handshake; it may not speak TLS")
            }
            None => peer.unreachable(io_text(&e)),
        }),
    }
}

/// The TLS error an error was caused by, if any.
pub(super) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        if let Some(found) = error.downcast_ref::<io::Error>().and_then(inside) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// `io::Error::source` skips the error it was made of.
fn inside(e: &io::Error) -> Option<&rustls::Error> {
    e.get_ref()?.downcast_ref()
}

/// What a TLS error means.
pub(super) fn refusal(peer: &Peer, error: &rustls::Error, host: &str) -> DockerError {
    peer.tls(match error {
        rustls::Error::InvalidCertificate(problem) => theirs(problem, host),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::NoCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => {
                format!("it refused our certificate ({})", alert_text(*alert))
            }
            other => format!("it refused the handshake ({})", alert_text(*other)),
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS on this port".to_owned(),
        other => spoken::tls(other),
    })
}

/// `UnknownCA` as `unknown CA`.
fn alert_text(alert: AlertDescription) -> String {
    spoken::spoken(&format!("{alert:?}"))
}

fn theirs(problem: &CertificateError, host: &str) -> String {
    let date = |t: &UnixTime| Timestamp(i64::try_from(t.as_secs()).unwrap_or(i64::MAX));
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not signed by the recorded authority".to_owned()
        }
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}", date(not_after))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet; are both clocks right?".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is valid from {} only; are both clocks right?", date(not_before))
        }
        CertificateError::NotValidForName => format!("its certificate is not for `{host}`"),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("its certificate is not for `{host}` nor for any other name")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("its certificate is not for `{host}` but for {}", presented.join(", "))
        }
        other => format!("its certificate cannot be used: {}", spoken::certificate(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::MachineName;

    #[test]
    fn alerts_read_as_words() {
        for (alert, want) in [
            (AlertDescription::UnknownCA, "unknown CA"),
            (AlertDescription::CertificateRequired, "certificate required"),
            (AlertDescription::BadCertificate, "bad certificate"),
        ] {
            assert_eq!(alert_text(alert), want);
        }
    }

    /// C21: whatever rustls says, it is said in words.
    #[test]
    fn no_refusal_reads_like_a_source() {
        let peer = Peer { machine: MachineName::new("web").unwrap(), address: "192.0.2.1:2376".to_owned() };
        for (error, want) in [
            (
                rustls::Error::InvalidCertificate(CertificateError::UnhandledCriticalExtension),
                "its certificate cannot be used: unhandled critical extension",
            ),
            (
                rustls::Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
                "it speaks another TLS than this program: no cipher suites in common",
            ),
            (
                rustls::Error::PeerMisbehaved(rustls::PeerMisbehaved::TooMuchEarlyDataReceived),
                "it breaks the rules of TLS: too much early data received",
            ),
        ] {
            let said = refusal(&peer, &error, "192.0.2.1").to_string();
            assert!(said.ends_with(want), "{said}");
        }
    }

    #[test]
    fn what_is_wrong_with_our_own_files_is_said_in_words() {
        let peer = Peer { machine: MachineName::new("web").unwrap(), address: "192.0.2.1:2376".to_owned() };
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (one, other) = (made("one"), made("other"));
        let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let wrong = |ca: &str, key: &str| config(&peer, ca, &cert, key).unwrap_err().to_string();
        assert!(config(&peer, &cert, &cert, &key).is_ok());
        let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let said = wrong(none, &key);
        assert!(
            said.contains("the recorded authority: its certificate cannot be used: it is not written as"),
            "{said}"
        );
        let said = wrong(&cert, &other.signing_key.serialize_pem());
        assert!(said.contains("our certificate and key cannot be used: "), "{said}");
        assert!(!said.contains("KeyMismatch") && !said.contains("Inconsistent"), "{said}");
    }
}
