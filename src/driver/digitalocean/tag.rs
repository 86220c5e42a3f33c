//! The tag by which a droplet is found again, whatever was recorded.

use crate::{digest::sha256_hex, driver::DriverContext};
use std::fmt;

/// The provider takes no longer ones.
const LONGEST: usize = 255;

/// `machine:STORE:FLEET:NAME`: letters, digits, `:`, `-` and `_` only, and no two that differ in case alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn of(cx: &DriverContext<'_>) -> Self {
        Self::new(cx.store_id, cx.fleet.map_or("", |fleet| fleet.as_str()), cx.machine.as_str())
    }

    fn new(store: &str, fleet: &str, machine: &str) -> Self {
        let names = format!("{}:{}", plain(fleet), plain(machine));
        let tag = format!("machine:{}:{names}", plain(store));
        // Only the longest of names come to this.
        Self(if tag.len() <= LONGEST { tag } else { format!("machine:{}", sha256_hex(tag.as_bytes())) })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tags have no dots, and the provider does not tell capitals: `Web.1` is `_web__1`. Names have no `_` of their own.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '.' => plain.push_str("__"),
            c if c.is_ascii_uppercase() => plain.extend(['_', c.to_ascii_lowercase()]),
            c if c.is_ascii_alphanumeric() || c == '-' => plain.push(c),
            other => plain.push_str(&format!("_{:x}_", u32::from(other))),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    #[test]
    fn a_tag_says_whose_machine_it_is() {
        assert_eq!(Tag::new("5f2a", "shop", "web-1").as_str(), "machine:5f2a:shop:web-1");
        assert_eq!(Tag::new("5f2a", "", "Web.1").as_str(), "machine:5f2a::_web__1");
    }

    proptest! {

        #![proptest_config(properties(256))]

        #[test]
        fn different_machines_have_different_tags_that_the_provider_takes(
            a in ("[a-f0-9]{8}", "[a-bA-B.-]{0,63}", "[a-bA-B.-]{1,63}"),
            b in ("[a-f0-9]{8}", "[a-bA-B.-]{0,63}", "[a-bA-B.-]{1,63}"),
        ) {
            let tags = [&a, &b].map(|(store, fleet, machine)| Tag::new(store, fleet, machine).0.to_lowercase());
            prop_assert_eq!(tags[0] == tags[1], a == b);
            let legal = |tag: &String| tag.bytes().all(|c| c.is_ascii_alphanumeric() || b":_-".contains(&c));
            prop_assert!(tags.iter().all(|tag| legal(tag) && tag.len() <= LONGEST));
        }
    }
}
