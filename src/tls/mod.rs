//! The store's certificate authority and what it vouches for. Pure functions over PEM texts: time is an
//! argument, and what is random is a key or a serial number. Files, and who may read them, are the
//! store's business ([`crate::store::authority`]).
//!
//! Authorities that docker-machine made (RSA, PKCS#1) are read and used; docker-machine can use ours
//! (ECDSA P-256, PKCS#8), since Go's `tls.LoadX509KeyPair` accepts both.

mod authority;
pub mod flawed;
mod inspect;
pub mod judge;
mod leaf;

#[cfg(test)]
mod flawed_tests;
#[cfg(test)]
mod judge_tests;
#[cfg(test)]
mod tests;

pub use authority::{Authority, again, load_authority, new_authority};
pub use flawed::{Flawed, Repair, Role};
pub use inspect::{Inspected, Purpose, check_pair, inspect};
pub use judge::{Flaw, Found, Standing};
pub use leaf::{issue_client, issue_server, server_names};

use crate::clock::Timestamp;
use thiserror::Error;

/// How long an authority is valid, in days.
pub const AUTHORITY_DAYS: i64 = 3650;
/// How long the certificates of engines and of the client are valid, in days: the most that every TLS
/// library in use accepts.
pub const LEAF_DAYS: i64 = 825;
/// How long before now validity begins, in seconds: the clock of a host may be behind.
pub const SKEW: i64 = 300;

/// A certificate and its private key, as PEM texts.
#[derive(Clone, Eq, PartialEq)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key. Secret.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// Why a certificate or key cannot be used or made. No text of a key is ever in it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TlsError {
    /// Not a PEM text with a certificate.
    #[error("the certificate is not a PEM text")]
    NotPem,
    /// PEM, but no certificate in it.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// No private key that we can use.
    #[error("the private key cannot be read; it must be an unencrypted RSA or ECDSA key in PEM")]
    Key,
    /// A key that belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// A certificate that may not sign others.
    #[error("the certificate is not one of an authority")]
    NotAuthority,
    /// No longer valid.
    #[error("the certificate of the authority expired at {0}")]
    Expired(Timestamp),
    /// A name that cannot stand in a certificate.
    #[error("`{0}` cannot be a name in a certificate")]
    Name(String),
    /// Signing or making a key failed.
    #[error("a certificate could not be made: {0}")]
    Failed(String),
}

impl TlsError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::NotPem | Self::Certificate(_) | Self::Key => {
                "restore the file from a backup, or remove both the certificate and its key to have new ones made"
            }
            Self::Mismatch => "restore the pair that belongs together, or remove both files to have new ones made",
            Self::NotAuthority => "put a certificate with `CA:TRUE` there, or remove it and its key to have one made",
            Self::Expired(_) => "make a new authority; every engine then gets a new certificate when it is applied",
            Self::Name(_) => "use a host name or an IP address",
            Self::Failed(_) => return None,
        };
        Some(text.to_owned())
    }
}
