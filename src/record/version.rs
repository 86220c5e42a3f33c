//! Which state of a machine was read: whether it is still the same when it is to be written.

use crate::digest::{sha256_hex, sha256_hex_of};
use std::fmt;

/// A state of all that a store records of a machine. Two that are equal are of the same content; what it is made of is
/// the store's business.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Version(String);

impl Version {
    /// Of documents that were read together; `None`: there is none of its kind.
    #[must_use]
    pub fn of(documents: &[Option<&[u8]>]) -> Self {
        // Digests have one length, so what is in one cannot be taken for a part of the next.
        let digests: Vec<String> =
            documents.iter().map(|document| document.map_or_else(|| "-".repeat(64), sha256_hex)).collect();
        let parts: Vec<&[u8]> = digests.iter().map(String::as_bytes).collect();
        Self(sha256_hex_of(&parts))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_documents_are_another_version() {
        let same = Version::of(&[Some(b"ab"), Some(b"c")]);
        assert_eq!(same, Version::of(&[Some(b"ab"), Some(b"c")]));
        for other in
            [[Some(&b"a"[..]), Some(&b"bc"[..])], [Some(b"ab"), None], [None, Some(b"c")], [Some(b"c"), Some(b"ab")]]
        {
            assert_ne!(same, Version::of(&other), "{other:?}");
        }
        assert_ne!(Version::of(&[None]), Version::of(&[Some(b"")]));
    }
}
