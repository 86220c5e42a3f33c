//! What a certificate says, and whether it belongs to a key or an authority.

use super::{TlsError, authority::read_key};
use crate::{clock::Timestamp, spoken::spoken};
use rcgen::{DistinguishedName, DnType, DnValue};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use x509_parser::{
    der_parser::asn1_rs::Tag,
    extensions::{GeneralName, ParsedExtension},
    nom::Err,
    parse_x509_certificate,
    pem::parse_x509_pem,
};

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
        self.is_for(purpose) && self.not_before <= now && self.not_after > now.plus_days(days)
    }

    /// Whom it is of, to be written again so that it compares as the same.
    ///
    /// # Errors
    /// When a part of the name is of a kind that is not in use.
    pub(super) fn subject(&self) -> Result<DistinguishedName, TlsError> {
        let (_, cert) = parse_x509_certificate(&self.der).map_err(unreadable)?;
        let strange = || TlsError::Certificate("its name is of a kind that cannot be written again".to_owned());
        let mut name = DistinguishedName::new();
        for attribute in cert.subject().iter_attributes() {
            let oid: Vec<u64> = attribute.attr_type().iter().ok_or_else(strange)?.collect();
            let text = std::str::from_utf8(attribute.attr_value().data).map_err(|_| strange())?;
            // The kind of text is a part of what is compared.
            let value = match attribute.attr_value().header.tag() {
                Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
                Tag::PrintableString => DnValue::PrintableString(text.try_into().map_err(|_| strange())?),
                Tag::Ia5String => DnValue::Ia5String(text.try_into().map_err(|_| strange())?),
                _ => return Err(strange()),
            };
            name.push(DnType::from_oid(&oid), value);
        }
        Ok(name)
    }

    /// What its subject's key is called by, where it says so.
    pub(super) fn key_identifier(&self) -> Result<Option<Vec<u8>>, TlsError> {
        let (_, cert) = parse_x509_certificate(&self.der).map_err(unreadable)?;
        Ok(cert.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        }))
    }

    /// Whether it may be used for a purpose.
    #[must_use]
    pub const fn is_for(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Server => self.server,
            Purpose::Client => self.client,
        }
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
