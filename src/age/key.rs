//! Keys of people, and how the key of a file is wrapped for them.

use super::{AgeError, FILE_KEY, bech32, derive, header::Stanza, random};
use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{self, PrivateKey, UnparsedPublicKey, X25519},
};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

const X25519_KIND: &str = "X25519";
pub(super) const SCRYPT: &str = "scrypt";
const X25519_INFO: &[u8] = b"age-encryption.org/v1/X25519";
const SCRYPT_SALT: &[u8] = b"age-encryption.org/v1/scrypt";
/// As `age` has it: about a second, 256 MiB.
pub(super) const WORK: u8 = 18;
/// What we do at most for a foreign file: some seconds, 1 GiB.
pub(super) const MAX_WORK: u8 = 20;

/// A public key, `age1…`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient([u8; 32]);

impl FromStr for Recipient {
    type Err = AgeError;
    fn from_str(text: &str) -> Result<Self, AgeError> {
        let wrong = || AgeError::Recipient(text.escape_debug().to_string());
        // What is given by mistake must not be shown: it may be the private key.
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY") {
            return Err(AgeError::Recipient("AGE-SECRET-KEY-…".to_owned()));
        }
        match bech32::decode(text) {
            Some((prefix, data)) if prefix == "age" && text.starts_with("age1") => {
                data.try_into().map(Self).map_err(|_| wrong())
            }
            _ => Err(wrong()),
        }
    }
}

impl Recipient {
    pub(super) fn wrap(&self, file_key: &[u8; FILE_KEY]) -> Result<Stanza, AgeError> {
        let secret = Zeroizing::new(random::<32>()?);
        let private = private_key(&*secret).map_err(|()| AgeError::Random)?;
        let share = public_of(&private).map_err(|()| AgeError::Random)?;
        // Of a public key of low order, no secret comes: everyone could open the file.
        let wrap_key = agree(&private, &self.0, &share, &self.0)
            .map_err(|()| AgeError::Recipient("age1… of no use".to_owned()))?;
        Ok(Stanza {
            args: vec![X25519_KIND.to_owned(), BASE64_STANDARD_NO_PAD.encode(share)],
            body: seal(&wrap_key, file_key),
        })
    }
}

/// A private key, `AGE-SECRET-KEY-1…`.
pub struct Identity {
    private: PrivateKey,
    public: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl FromStr for Identity {
    type Err = AgeError;
    fn from_str(text: &str) -> Result<Self, AgeError> {
        let (prefix, data) = bech32::decode(text).ok_or(AgeError::Identity)?;
        let data = Zeroizing::new(data);
        if prefix != "age-secret-key-" || data.len() != 32 {
            return Err(AgeError::Identity);
        }
        let private = private_key(&data).map_err(|()| AgeError::Identity)?;
        let public = public_of(&private).map_err(|()| AgeError::Identity)?;
        Ok(Self { private, public })
    }
}

impl Identity {
    /// All of a file as `age-keygen` writes it: one a line, lines with `#` are comments.
    ///
    /// # Errors
    /// When there is none, or one that is not understood.
    pub fn all(text: &str) -> Result<Vec<Self>, AgeError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all: Vec<Self> = lines.map(str::parse).collect::<Result<_, _>>()?;
        if all.is_empty() { Err(AgeError::Identity) } else { Ok(all) }
    }

    /// Its public half.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(self.public)
    }

    /// The file's key, if the stanza is for us.
    fn unwrap(&self, stanza: &Stanza) -> Result<Option<Zeroizing<[u8; FILE_KEY]>>, AgeError> {
        let [kind, share] = stanza.args.as_slice() else { return Ok(None) };
        if kind != X25519_KIND {
            return Ok(None);
        }
        let broken = || AgeError::Broken("a recipient in its head is none");
        let share: [u8; 32] =
            BASE64_STANDARD_NO_PAD.decode(share).ok().and_then(|s| s.try_into().ok()).ok_or_else(broken)?;
        let wrap_key = agree(&self.private, &share, &share, &self.public).map_err(|()| broken())?;
        if stanza.body.len() != FILE_KEY + CHACHA20_POLY1305.tag_len() {
            return Err(broken());
        }
        Ok(open(&wrap_key, &stanza.body))
    }
}

pub(super) fn unwrap_with_identities(
    identities: &[Identity],
    stanzas: &[Stanza],
) -> Result<Zeroizing<[u8; FILE_KEY]>, AgeError> {
    for stanza in stanzas {
        for identity in identities {
            if let Some(key) = identity.unwrap(stanza)? {
                return Ok(key);
            }
        }
    }
    Err(AgeError::NoMatch)
}

pub(super) fn wrap_with_passphrase(passphrase: &str, work: u8, file_key: &[u8; FILE_KEY]) -> Result<Stanza, AgeError> {
    let salt = random::<16>()?;
    let wrap_key = stretched(passphrase, &salt, work);
    Ok(Stanza {
        args: vec![SCRYPT.to_owned(), BASE64_STANDARD_NO_PAD.encode(salt), work.to_string()],
        body: seal(&wrap_key, file_key),
    })
}

pub(super) fn unwrap_with_passphrase(
    passphrase: &str,
    stanzas: &[Stanza],
) -> Result<Zeroizing<[u8; FILE_KEY]>, AgeError> {
    let broken = AgeError::Broken("its head is not that of a file with a passphrase");
    let [Stanza { args, body }] = stanzas else {
        // Beside a passphrase there must be nothing: its user could otherwise not tell who else can read it.
        let any = stanzas.iter().any(|stanza| stanza.args[0] == SCRYPT);
        return Err(if any { broken } else { AgeError::NoMatch });
    };
    let [kind, salt, work] = args.as_slice() else { return Err(broken) };
    if kind != SCRYPT {
        return Err(AgeError::NoMatch);
    }
    let salt: Option<[u8; 16]> = BASE64_STANDARD_NO_PAD.decode(salt).ok().and_then(|s| s.try_into().ok());
    let decimal = !work.starts_with('0') && work.bytes().all(|b| b.is_ascii_digit());
    let (Some(salt), Some(work), true) = (salt, work.parse::<u32>().ok().filter(|_| decimal), body.len() == 32) else {
        return Err(broken);
    };
    let work = u8::try_from(work).ok().filter(|work| *work <= MAX_WORK).ok_or(AgeError::Work(work))?;
    open(&stretched(passphrase, &salt, work), body).ok_or(AgeError::Passphrase)
}

fn stretched(passphrase: &str, salt: &[u8; 16], work: u8) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let params = scrypt::Params::new(work, 8, 1).expect("these are within scrypt's limits");
    scrypt::scrypt(passphrase.as_bytes(), &[SCRYPT_SALT, salt].concat(), &params, &mut *key)
        .expect("32 bytes are within scrypt's limits");
    key
}

fn private_key(bytes: &[u8]) -> Result<PrivateKey, ()> {
    PrivateKey::from_private_key(&X25519, bytes).map_err(|_| ())
}

fn public_of(private: &PrivateKey) -> Result<[u8; 32], ()> {
    private.compute_public_key().ok().and_then(|key| key.as_ref().try_into().ok()).ok_or(())
}

/// The key under which the key of the file is wrapped, from a Diffie-Hellman.
fn agree(
    private: &PrivateKey,
    with: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, ()> {
    let salt = [share.as_slice(), recipient].concat();
    agreement::agree(private, UnparsedPublicKey::new(&X25519, with), (), |secret| {
        // The library says no to most points of low order; all of them give this.
        if secret.iter().all(|b| *b == 0) { Err(()) } else { Ok(derive(secret, &salt, X25519_INFO)) }
    })
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of this cipher has 32 bytes"))
}

/// Each such key wraps one other, so the nonce may be zero.
fn seal(wrap_key: &[u8; 32], file_key: &[u8; FILE_KEY]) -> Vec<u8> {
    let mut body = file_key.to_vec();
    cipher(wrap_key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut body)
        .expect("a key is far shorter than the cipher's limit");
    body
}

fn open(wrap_key: &[u8; 32], body: &[u8]) -> Option<Zeroizing<[u8; FILE_KEY]>> {
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let opened = cipher(wrap_key).open_in_place(nonce, Aad::empty(), &mut body).ok()?;
    <[u8; FILE_KEY]>::try_from(&*opened).ok().map(Zeroizing::new)
}
