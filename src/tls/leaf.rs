//! What an authority signs: identities of engines and of the client.

use super::{
    Authority, Pair, Purpose, TlsError,
    authority::{failed, new_key, params},
};
use crate::clock::Timestamp;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use std::{collections::BTreeSet, net::IpAddr};

/// The names an engine answers to: its machine's name, its address, this host itself, and `extra`.
#[must_use]
pub fn server_names<'a>(
    machine: &'a str,
    address: &'a str,
    extra: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<String> {
    let fixed = [machine, address, "localhost", "127.0.0.1"];
    fixed.into_iter().chain(extra).filter(|name| !name.is_empty()).map(canonical).collect()
}

/// An address in its one textual form, so that names compare.
fn canonical(name: &str) -> String {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |ip| ip.to_string())
}

/// Signs an engine's identity for `names`, host names and addresses; the master of a classic swarm is a client of
/// others with it as well. It is valid no longer than its authority.
///
/// # Errors
/// When a name cannot be one, or the authority has expired.
pub fn issue_server(
    authority: &Authority,
    machine: &str,
    names: &BTreeSet<String>,
    purposes: &[Purpose],
    now: Timestamp,
    days: i64,
) -> Result<Pair, TlsError> {
    let mut params = leaf(authority, machine, now, days)?;
    params.extended_key_usages = purposes.iter().copied().map(usage).collect();
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(dns(name)?),
        });
    }
    sign(authority, &params)
}

/// Signs the identity by which engines know this store's user.
///
/// # Errors
/// When the authority has expired.
pub fn issue_client(authority: &Authority, user: &str, now: Timestamp, days: i64) -> Result<Pair, TlsError> {
    let mut params = leaf(authority, user, now, days)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(authority, &params)
}

fn usage(purpose: Purpose) -> ExtendedKeyUsagePurpose {
    match purpose {
        Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }
}

fn leaf(authority: &Authority, name: &str, now: Timestamp, days: i64) -> Result<CertificateParams, TlsError> {
    authority.check_valid(now)?;
    let mut params = params("machine", name, now, days);
    params.not_after = params.not_after.min(authority.about.not_after.to_utc());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn sign(authority: &Authority, params: &CertificateParams) -> Result<Pair, TlsError> {
    let key = new_key()?;
    let cert = params.signed_by(&key, &authority.issuer).map_err(failed)?;
    Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
}

/// Letters, digits, `-`, `_`, `.` and a leading `*.`: what TLS libraries compare (RFC 6125).
fn dns(name: &str) -> Result<rcgen::string::Ia5String, TlsError> {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let legal = !plain.is_empty()
        && plain.len() <= 253
        && plain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !legal {
        return Err(TlsError::Name(name.to_owned()));
    }
    name.try_into().map_err(|_| TlsError::Name(name.to_owned()))
}
