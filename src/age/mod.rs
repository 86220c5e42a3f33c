//! Files encrypted with a passphrase or for public keys, in the format of age (C2SP `age.md`, version 1), so that the
//! program `age` reads what we write and the other way round. Of its recipients, X25519 and scrypt.
//!
//! It knows nothing of what is in such a file, and touches no disk.

mod armor;
mod bech32;
mod header;
mod key;
mod stream;

pub use key::{Identity, Recipient};

use aws_lc_rs::{hkdf, hmac, rand};
use header::Stanza;
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

const FILE_KEY: usize = 16;
const NONCE: usize = 16;

/// What ends badly with an encrypted file.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AgeError {
    /// It does not begin as such files do.
    #[error("this is not an age file")]
    NotAge,
    /// It was damaged or is not as the format says.
    #[error("the age file is broken: {0}")]
    Broken(&'static str),
    /// Not encrypted for any of the keys at hand.
    #[error("none of the given keys opens it")]
    NoMatch,
    /// The passphrase is another.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// It wants more work than a foreign file is worth.
    #[error("it asks for 2^{0} rounds of scrypt, and more than 2^{max} are not done", max = key::MAX_WORK)]
    Work(u32),
    /// A text that is no public key.
    #[error("`{0}` is not an age recipient (age1…)")]
    Recipient(String),
    /// A file without a usable private key. What is in it is never shown.
    #[error("there is no age identity (AGE-SECRET-KEY-1…) in it")]
    Identity,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// With what a file is encrypted.
pub enum Lock {
    /// The private key of any of these opens it.
    Recipients(Vec<Recipient>),
    /// This opens it.
    Passphrase(Zeroizing<String>),
}

/// With what a file is opened.
pub enum Key {
    /// Private keys.
    Identities(Vec<Identity>),
    /// A passphrase.
    Passphrase(Zeroizing<String>),
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipients(_) => "Lock::Recipients",
            Self::Passphrase(_) => "Lock::Passphrase",
        })
    }
}

/// What opens a file, told by its head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opens {
    /// A passphrase.
    Passphrase,
    /// A private key.
    Identity,
}

/// Whether it looks like an age file, as bytes or as text.
#[must_use]
pub fn is_age(file: &[u8]) -> bool {
    armor::is_armored(file) || file.starts_with(header::VERSION.as_bytes())
}

/// What is needed to open a file.
///
/// # Errors
/// When it is no sound age file.
pub fn opens(file: &[u8]) -> Result<Opens, AgeError> {
    let file = bytes(file)?;
    let header = header::parse(&file)?;
    let scrypt = header.stanzas.iter().any(|stanza| stanza.args[0] == key::SCRYPT);
    Ok(if scrypt { Opens::Passphrase } else { Opens::Identity })
}

/// Encrypts, as text.
///
/// # Errors
/// When there is no randomness.
pub fn encrypt(lock: &Lock, plain: &[u8]) -> Result<String, AgeError> {
    let file_key = Zeroizing::new(random::<FILE_KEY>()?);
    let stanzas: Vec<Stanza> = match lock {
        Lock::Recipients(all) => all.iter().map(|recipient| recipient.wrap(&file_key)).collect::<Result<_, _>>()?,
        Lock::Passphrase(passphrase) => vec![key::wrap_with_passphrase(passphrase, key::WORK, &file_key)?],
    };
    let head = header::unsigned(&stanzas);
    let mac = hmac::sign(&mac_key(&file_key), head.as_bytes());
    let nonce = random::<NONCE>()?;
    let mut file = header::signed(&head, mac.as_ref()).into_bytes();
    file.extend_from_slice(&nonce);
    file.extend(stream::seal(&payload_key(&file_key, &nonce), plain));
    Ok(armor::wrap(&file))
}

/// Decrypts bytes or text. All or nothing: what was changed anywhere gives an error.
///
/// # Errors
/// When the key does not open it, or it is broken.
pub fn decrypt(key: &Key, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let file = bytes(file)?;
    let header = header::parse(&file)?;
    let file_key = match key {
        Key::Passphrase(passphrase) => key::unwrap_with_passphrase(passphrase, &header.stanzas)?,
        Key::Identities(all) => key::unwrap_with_identities(all, &header.stanzas)?,
    };
    hmac::verify(&mac_key(&file_key), header.authenticated, &header.mac)
        .map_err(|_| AgeError::Broken("its head was changed"))?;
    let (nonce, sealed) = header.payload.split_at_checked(NONCE).ok_or(AgeError::Broken("its content is cut off"))?;
    stream::open(&payload_key(&file_key, nonce), sealed).map(Zeroizing::new)
}

fn bytes(file: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, AgeError> {
    if armor::is_armored(file) { armor::unwrap(file).map(Into::into) } else { Ok(file.into()) }
}

fn random<const N: usize>() -> Result<[u8; N], AgeError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| AgeError::Random)?;
    Ok(bytes)
}

fn mac_key(file_key: &[u8; FILE_KEY]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &*derive(file_key, &[], b"header"))
}

fn payload_key(file_key: &[u8; FILE_KEY], nonce: &[u8]) -> Zeroizing<[u8; 32]> {
    derive(file_key, nonce, b"payload")
}

/// HKDF-SHA-256.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("a hash gives one block of itself");
    key
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
