//! Authorities: making one, reading one.

use super::{AUTHORITY_DAYS, Inspected, Pair, SKEW, TlsError, inspect};
use crate::{clock::Timestamp, spoken::spoken};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SerialNumber,
};

/// An authority that can sign.
pub struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// What its certificate says.
    pub about: Inspected,
    /// Its certificate, as PEM.
    pub cert_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("about", &self.about).finish_non_exhaustive()
    }
}

impl Authority {
    /// Refuses to sign what no client would accept.
    ///
    /// # Errors
    /// [`TlsError::Expired`].
    pub fn check_valid(&self, now: Timestamp) -> Result<(), TlsError> {
        if self.about.not_after <= now { Err(TlsError::Expired(self.about.not_after)) } else { Ok(()) }
    }
}

/// Makes an authority with a new ECDSA P-256 key. `org` tells people whose it is.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_authority(org: &str, now: Timestamp) -> Result<Pair, TlsError> {
    let key = new_key()?;
    let cert = root(org, now).self_signed(&key).map_err(failed)?;
    Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
}

/// The certificate of an authority again, for the key it has and from now on. With the name that `old` says it has, what
/// it signed stays signed by it; without, it is called as a new one of `org`.
///
/// # Errors
/// When the key cannot be used, or the name cannot be written again.
pub fn again(key_pem: &str, old: Option<&Inspected>, org: &str, now: Timestamp) -> Result<Pair, TlsError> {
    let key = read_key(key_pem)?;
    let mut params = root(org, now);
    if let Some(old) = old {
        params.distinguished_name = old.subject()?;
        if let Some(identifier) = old.key_identifier()? {
            params.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
        }
    }
    // Two certificates of one authority must not have one number (RFC 5280, 4.1.2.2).
    let number = crate::digest::sha256_hex(&[key.public_key_raw(), &now.0.to_be_bytes()].concat());
    params.serial_number = Some(SerialNumber::from_slice(&number.as_bytes()[..16]));
    let cert = params.self_signed(&key).map_err(failed)?;
    Ok(Pair { cert: cert.pem(), key: key_pem.to_owned() })
}

fn root(org: &str, now: Timestamp) -> CertificateParams {
    let mut params = params(org, "machine authority", now, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// Reads an authority, of ours or docker-machine's.
///
/// # Errors
/// When either text is not what it should be, they do not belong together, or the certificate may not
/// sign. An expired authority is read: see [`Authority::check_valid`].
pub fn load_authority(cert_pem: &str, key_pem: &str) -> Result<Authority, TlsError> {
    let about = inspect(cert_pem)?;
    if !about.authority {
        return Err(TlsError::NotAuthority);
    }
    let key = read_key(key_pem)?;
    if about.public_key != key.public_key_raw() {
        return Err(TlsError::Mismatch);
    }
    let issuer = Issuer::from_ca_cert_der(&about.der.as_slice().into(), key).map_err(|e| {
        // rcgen's errors name what it could not parse, never content.
        TlsError::Certificate(spoken(&e.to_string()))
    })?;
    Ok(Authority { issuer, about, cert_pem: cert_pem.to_owned() })
}

pub(super) fn new_key() -> Result<KeyPair, TlsError> {
    KeyPair::generate().map_err(failed)
}

/// PKCS#8, PKCS#1 and SEC1, as OpenSSL and Go write them. OpenSSL puts the curve in a block of its own
/// before an EC key.
pub(super) fn read_key(pem: &str) -> Result<KeyPair, TlsError> {
    let block = ["-----BEGIN PRIVATE KEY", "-----BEGIN RSA PRIVATE KEY", "-----BEGIN EC PRIVATE KEY"]
        .iter()
        .find_map(|begin| pem.find(begin))
        .ok_or(TlsError::Key)?;
    KeyPair::from_pem(&pem[block..]).map_err(|_| TlsError::Key)
}

/// What all certificates have in common.
pub(super) fn params(org: &str, name: &str, now: Timestamp, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, limited(org));
    params.distinguished_name.push(DnType::CommonName, limited(name));
    params.not_before = now.plus(-SKEW).to_utc();
    params.not_after = now.plus_days(days).to_utc();
    params
}

/// Organisation and common name may have 64 characters (RFC 5280, appendix A.1).
fn limited(text: &str) -> String {
    text.chars().take(64).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the form `map_err` wants")]
pub(super) fn failed(error: rcgen::Error) -> TlsError {
    TlsError::Failed(spoken(&error.to_string()))
}
