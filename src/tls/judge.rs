//! What is wrong with files of TLS, told from their bytes: nothing is read or written here.

use super::{Inspected, Purpose, SKEW, TlsError, authority::read_key, inspect};
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use x509_parser::{parse_x509_certificate, pem::Pem};

/// What is wrong with one file.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case", tag = "flaw", content = "more")]
pub enum Flaw {
    /// There is no such file, or nothing in it.
    Absent,
    /// The system does not let us read it; what it said.
    NoAccess(String),
    /// There is no certificate or key in it that can be used; why.
    Unreadable(String),
    /// A key that belongs to another certificate than the one beside it.
    OtherKey,
    /// A certificate of another authority than the one it is used with.
    OtherAuthority,
    /// A certificate that is not made for what it is used for.
    OtherPurpose,
    /// A certificate of the future: it, or this computer's clock, is wrong.
    NotYet(Timestamp),
    /// A certificate that has ended, or is about to.
    Ends(Timestamp),
}

impl Flaw {
    /// Whether the file is whole, and only its time is not now.
    #[must_use]
    pub const fn is_of_time(&self) -> bool {
        matches!(self, Self::NotYet(_) | Self::Ends(_))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("it is not there, or empty"),
            Self::NoAccess(why) => write!(f, "it cannot be read: {why}"),
            Self::Unreadable(why) => f.write_str(why),
            Self::OtherKey => f.write_str("the private key does not belong to the certificate"),
            Self::OtherAuthority => f.write_str("it is of another authority"),
            Self::OtherPurpose => f.write_str("the certificate is not made for this"),
            Self::NotYet(from) => write!(f, "not valid before {from}; is the clock of this computer right?"),
            Self::Ends(at) => write!(f, "ends {at}"),
        }
    }
}

/// A file as it was found: its bytes, none, or why it cannot be read.
pub type Found = Result<Option<Vec<u8>>, String>;

/// What is wrong with a certificate and its key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Judged {
    /// With the certificate.
    pub cert: Option<Flaw>,
    /// With the key.
    pub key: Option<Flaw>,
    /// What the certificate says, if it can be read.
    pub about: Option<Inspected>,
}

impl Judged {
    /// Whether both can be used.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.cert.is_none() && self.key.is_none()
    }

    /// Whether both are whole, and belong together.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.key.is_none() && self.cert.as_ref().is_none_or(Flaw::is_of_time)
    }
}

/// What can become of an authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It can sign.
    Sound,
    /// Nothing of it is there, or it has ended and its key is there: a new one takes its place.
    New,
    /// Its key is there: the same authority can have a certificate again.
    Again,
    /// Certificate and key are two different ones; which is the right one, only a copy of the certificate can tell.
    Mixed,
    /// Its key is lost. Only a new one helps, which all its engines must be given: that is for a person to decide.
    Lost,
}

/// What can become of the authority with these files.
#[must_use]
pub fn standing(judged: &Judged) -> Standing {
    match (&judged.cert, &judged.key) {
        (None, None) => Standing::Sound,
        (Some(Flaw::Absent), Some(Flaw::Absent)) | (Some(Flaw::Ends(_)), None) => Standing::New,
        (Some(Flaw::NoAccess(_)), _) => Standing::Lost,
        (Some(_), None) => Standing::Again,
        (_, Some(Flaw::OtherKey)) => Standing::Mixed,
        (_, Some(_)) => Standing::Lost,
    }
}

/// Judges an authority; one that ends within `days` is not good any more.
#[must_use]
pub fn authority(cert: &Found, key: &Found, now: Timestamp, days: i64) -> Judged {
    pair(cert, key, |about| if about.authority { in_time(about, now, days) } else { Some(Flaw::OtherPurpose) })
}

/// Judges what an authority signed, or may have signed where it cannot be read itself.
#[must_use]
pub fn leaf(
    cert: &Found,
    key: &Found,
    purpose: Purpose,
    authority: Option<&Inspected>,
    now: Timestamp,
    days: i64,
) -> Judged {
    pair(cert, key, |about| {
        if authority.is_some_and(|authority| !about.signed_by(authority).unwrap_or(false)) {
            return Some(Flaw::OtherAuthority);
        }
        if !about.is_for(purpose) {
            return Some(Flaw::OtherPurpose);
        }
        in_time(about, now, days)
    })
}

/// Judges the copy of an authority's certificate.
///
/// # Errors
/// What is wrong with it.
pub fn copy(cert: &Found) -> Result<Inspected, Flaw> {
    let about = read_certificate(cert)?;
    if about.authority { Ok(about) } else { Err(Flaw::OtherPurpose) }
}

fn pair(cert: &Found, key: &Found, judge: impl Fn(&Inspected) -> Option<Flaw>) -> Judged {
    let found_key = text(key).and_then(|pem| read_key(pem).map_err(|e| Flaw::Unreadable(e.to_string())));
    match (read_certificate(cert), found_key) {
        (Ok(about), found_key) => {
            let fits = |key: &rcgen::KeyPair| about.public_key == key.public_key_raw();
            let key = match found_key {
                Ok(key) if fits(&key) => None,
                Ok(_) => Some(Flaw::OtherKey),
                Err(flaw) => Some(flaw),
            };
            Judged { cert: judge(&about), key, about: Some(about) }
        }
        (Err(flaw), found_key) => Judged { cert: Some(flaw), key: found_key.err(), about: None },
    }
}

pub(crate) fn in_time(about: &Inspected, now: Timestamp, days: i64) -> Option<Flaw> {
    // Two clocks that differ by less than the margin do not take turns in replacing what the other made.
    if about.not_before > now.plus(SKEW) {
        Some(Flaw::NotYet(about.not_before))
    } else {
        (about.not_after <= now.plus_days(days)).then_some(Flaw::Ends(about.not_after))
    }
}

fn text(found: &Found) -> Result<&str, Flaw> {
    match found {
        Err(why) => Err(Flaw::NoAccess(why.clone())),
        Ok(None) => Err(Flaw::Absent),
        Ok(Some(bytes)) if bytes.iter().all(u8::is_ascii_whitespace) => Err(Flaw::Absent),
        Ok(Some(bytes)) => std::str::from_utf8(bytes).map_err(|_| Flaw::Unreadable("it is not a PEM text".to_owned())),
    }
}

/// All that are in the file must be readable: other programs read all of them.
fn read_certificate(found: &Found) -> Result<Inspected, Flaw> {
    let pem = text(found)?;
    let wrong = |error: TlsError| Flaw::Unreadable(error.to_string());
    let about = inspect(pem).map_err(wrong)?;
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        let block = block.map_err(|_| wrong(TlsError::NotPem))?;
        if block.label == "CERTIFICATE" && parse_x509_certificate(&block.contents).is_err() {
            return Err(wrong(TlsError::Certificate("one of several in the file is damaged".to_owned())));
        }
    }
    Ok(about)
}

/// Whether an authority's certificate was made for a key.
#[must_use]
pub fn belongs(about: &Inspected, key_pem: &str) -> bool {
    read_key(key_pem).is_ok_and(|key| about.public_key == key.public_key_raw())
}
