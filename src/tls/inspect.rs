//! What a certificate says, and whether it belongs to a key or an authority.

use super::{TlsError, authority::read_key};
use crate::{clock::Timestamp, spoken::spoken};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use x509_parser::{extensions::GeneralName, nom::Err, parse_x509_certificate, pem::parse_x509_pem};

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// By an engine.
    Server,
    /// By a client.
    Client,
}

/// What a certificate says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inspected {
    /// SHA-256 of the PEM text, in hex, as `sha256sum` of its file has it.
    pub sha256: String,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it stops being valid.
    pub not_after: Timestamp,
    /// Host names and addresses in it.
    pub names: BTreeSet<String>,
    /// Whether it may sign others.
    pub authority: bool,
    /// Whether it says that an engine may use it.
    pub server: bool,
    /// Whether it says that a client may use it.
    pub client: bool,
    /// Its public key, as in `subjectPublicKey`.
    pub(super) public_key: Vec<u8>,
    /// The whole.
    pub(super) der: Vec<u8>,
}

impl Inspected {
    /// Whether `authority` signed it, by name and by signature. Says nothing about time.
    ///
    /// # Errors
    /// When either cannot be read any more, which cannot be since both were read once.
    pub fn signed_by(&self, authority: &Self) -> Result<bool, TlsError> {
        let (_, leaf) = parse_x509_certificate(&self.der).map_err(unreadable)?;
        let (_, issuer) = parse_x509_certificate(&authority.der).map_err(unreadable)?;
        Ok(leaf.issuer() == issuer.subject() && leaf.verify_signature(Some(issuer.public_key())).is_ok())
    }

    /// Whether it is of use for a purpose at a moment and for `days` more.
    #[must_use]
    pub fn valid_for(&self, purpose: Purpose, now: Timestamp, days: i64) -> bool {
        let usable = match purpose {
            Purpose::Server => self.server,
            Purpose::Client => self.client,
        };
        usable && self.not_before <= now && self.not_after > now.plus_days(days)
    }
}

/// Reads the first certificate of a PEM text.
///
/// # Errors
/// When there is none.
pub fn inspect(cert_pem: &str) -> Result<Inspected, TlsError> {
    let begin = cert_pem.find("-----BEGIN CERTIFICATE-----").ok_or(TlsError::NotPem)?;
    let (_, pem) = parse_x509_pem(&cert_pem.as_bytes()[begin..]).map_err(|_| TlsError::NotPem)?;
    let (_, cert) = parse_x509_certificate(&pem.contents).map_err(unreadable)?;
    let mut names = BTreeSet::new();
    let alternatives = cert.subject_alternative_name().map_err(|e| TlsError::Certificate(spoken(&e.to_string())))?;
    for name in alternatives.iter().flat_map(|san| &san.value.general_names) {
        match name {
            GeneralName::DNSName(dns) => names.insert((*dns).to_owned()),
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(ip) => names.insert(ip.to_string()),
                None => continue,
            },
            _ => continue,
        };
    }
    let usage = cert.extended_key_usage().map_err(|e| TlsError::Certificate(spoken(&e.to_string())))?;
    // Without the extension a certificate may be used for anything (RFC 5280, 4.2.1.12).
    let (server, client) =
        usage.map_or((true, true), |u| (u.value.any || u.value.server_auth, u.value.any || u.value.client_auth));
    Ok(Inspected {
        sha256: crate::digest::sha256_hex(cert_pem.as_bytes()),
        not_before: Timestamp(cert.validity().not_before.timestamp()),
        not_after: Timestamp(cert.validity().not_after.timestamp()),
        names,
        authority: cert.is_ca(),
        server,
        client,
        public_key: cert.public_key().subject_public_key.data.to_vec(),
        der: pem.contents.clone(),
    })
}

/// Checks that a key belongs to a certificate.
///
/// # Errors
/// When either cannot be read, or [`TlsError::Mismatch`].
pub fn check_pair(cert_pem: &str, key_pem: &str) -> Result<Inspected, TlsError> {
    let about = inspect(cert_pem)?;
    if about.public_key != read_key(key_pem)?.public_key_raw() {
        return Err(TlsError::Mismatch);
    }
    Ok(about)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(|b| IpAddr::V4(Ipv4Addr::from(b)))
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(|b| IpAddr::V6(Ipv6Addr::from(b))))
        .ok()
}

fn unreadable(error: Err<x509_parser::error::X509Error>) -> TlsError {
    TlsError::Certificate(match error {
        Err::Incomplete(_) => "it ends too early".to_owned(),
        Err::Error(e) | Err::Failure(e) => spoken(&e.to_string()),
    })
}
