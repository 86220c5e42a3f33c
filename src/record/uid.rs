//! What an instance is known by for as long as it exists: its machine's name may come to stand for another one.

use super::Instance;
use crate::{digest::sha256_hex_of, name::MachineName};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Hexadecimal digits of one.
const DIGITS: usize = 32;

/// Tells one instance of a machine from the next: 32 hexadecimal digits, new with every instance that is made. What is
/// adopted, changed, exported or imported stays the same instance.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct Uid(String);

/// A text that is none.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("a uid is {DIGITS} lowercase hexadecimal digits")]
pub struct NoUid;

impl Uid {
    /// From random bytes, which the caller has.
    #[must_use]
    pub fn of_random(bytes: [u8; 16]) -> Self {
        Self(
            bytes
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .map(|digit| char::from(HEX[usize::from(digit)]))
                .collect(),
        )
    }

    /// That of a machine whose record has none: the same each time, and another for another instance.
    #[must_use]
    pub fn derived(name: &MachineName, driver: &str, instance: Option<&Instance>) -> Self {
        let id = instance.map_or("", |instance| instance.id.as_str());
        // A NUL is in no name, so different parts never make the same text.
        let mut digest = sha256_hex_of(&[name.as_str().as_bytes(), &[0], driver.as_bytes(), &[0], id.as_bytes()]);
        digest.truncate(DIGITS);
        Self(digest)
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.0
    }
}

impl TryFrom<String> for Uid {
    type Error = NoUid;

    fn try_from(text: String) -> Result<Self, NoUid> {
        let digits = text.len() == DIGITS && text.bytes().all(|b| HEX.contains(&b));
        if digits { Ok(Self(text)) } else { Err(NoUid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str) -> Instance {
        let (address, host_keys, jump_keys) = (String::new(), Vec::new(), Vec::new());
        Instance { id: id.to_owned(), address, ssh: None, url: None, host_keys, jump_keys }
    }

    #[test]
    fn a_uid_reads_back_and_nothing_else_is_one() {
        let uid = Uid::of_random([0x0f, 0xa1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(uid.to_string(), "0fa102030405060708090a0b0c0d0eff");
        assert_eq!(Uid::try_from(uid.to_string()), Ok(uid));
        for wrong in ["", "0fa1", "0FA102030405060708090A0B0C0D0EFF", "../102030405060708090a0b0c0d0eff00"] {
            assert_eq!(Uid::try_from(wrong.to_owned()), Err(NoUid), "{wrong}");
        }
    }

    /// It is in plans and records of others by now: it must not change in a later version.
    #[test]
    fn a_uid_that_is_derived_is_the_same_in_every_version() {
        let (web, db) = (MachineName::new("web").unwrap(), MachineName::new("db").unwrap());
        let first = Uid::derived(&web, "amazonec2", Some(&instance("i-1")));
        assert_eq!(first.to_string(), &sha256_hex_of(&[b"web\0amazonec2\0i-1"])[..32]);
        for other in [
            Uid::derived(&db, "amazonec2", Some(&instance("i-1"))),
            Uid::derived(&web, "nspawn", Some(&instance("i-1"))),
            Uid::derived(&web, "amazonec2", Some(&instance("i-2"))),
            Uid::derived(&web, "amazonec2", None),
        ] {
            assert_ne!(first, other);
        }
    }
}
