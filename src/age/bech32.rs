//! Bech32 (BIP 173) without its limit of 90 characters, as age writes its keys.

/// The 32 characters, by value.
const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
const CHECKSUM: usize = 6;

fn polymod(values: impl Iterator<Item = u8>) -> u32 {
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let next = ((sum & 0x01ff_ffff) << 5) ^ u32::from(value);
        GENERATOR.iter().enumerate().filter(|(i, _)| (top >> i) & 1 == 1).fold(next, |sum, (_, g)| sum ^ g)
    })
}

fn expanded(prefix: &str) -> impl Iterator<Item = u8> {
    prefix.bytes().map(|b| b >> 5).chain([0]).chain(prefix.bytes().map(|b| b & 31))
}

/// Data in groups of five bits; the last is filled up with zeros.
#[cfg(test)]
fn in_fives(data: &[u8]) -> Vec<u8> {
    let (mut groups, mut kept, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in data {
        kept = (kept << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            groups.push(u8::try_from((kept >> bits) & 31).expect("five bits"));
        }
    }
    if bits > 0 {
        groups.push(u8::try_from((kept << (5 - bits)) & 31).expect("five bits"));
    }
    groups
}

/// The bytes of groups of five bits; `None` when what fills up the last is not zero, or more than a group.
fn in_eights(groups: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut kept, mut bits) = (Vec::new(), 0_u32, 0);
    for group in groups {
        kept = ((kept << 5) | u32::from(*group)) & 0xffff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            data.push(u8::try_from((kept >> bits) & 0xff).expect("eight bits"));
        }
    }
    (bits < 5 && kept & ((1 << bits) - 1) == 0).then_some(data)
}

/// In lower case.
#[cfg(test)]
pub(super) fn encode(prefix: &str, data: &[u8]) -> String {
    let groups = in_fives(data);
    let sum = polymod(expanded(prefix).chain(groups.iter().copied()).chain([0; CHECKSUM])) ^ 1;
    let check = (0..CHECKSUM).map(|i| u8::try_from((sum >> (5 * (5 - i))) & 31).expect("five bits"));
    let text: String = groups.iter().copied().chain(check).map(|v| char::from(CHARSET[usize::from(v)])).collect();
    format!("{prefix}1{text}")
}

/// Prefix (in lower case) and data; `None` when it is mistyped.
pub(super) fn decode(text: &str) -> Option<(String, Vec<u8>)> {
    let mixed = text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_uppercase());
    if mixed || !text.bytes().all(|b| (33..127).contains(&b)) {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let (prefix, rest) = text.rsplit_once('1')?;
    let groups: Option<Vec<u8>> =
        rest.bytes().map(|b| CHARSET.iter().position(|c| *c == b).and_then(|at| u8::try_from(at).ok())).collect();
    let groups = groups?;
    let data = groups.len().checked_sub(CHECKSUM)?;
    let sound = !prefix.is_empty() && polymod(expanded(prefix).chain(groups.iter().copied())) == 1;
    if sound { Some((prefix.to_owned(), in_eights(&groups[..data])?)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    /// Vectors of BIP 173.
    #[test]
    fn what_is_mistyped_is_refused() {
        for good in ["A12UEL5L", "a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "?1ezyfcl"] {
            assert!(decode(good).is_some(), "{good}");
        }
        for bad in
            ["pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A1G7SGD8", "10a06t8", "1qzzfhee", "a12UEL5L"]
        {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(properties(64))]
        #[test]
        fn what_was_written_reads_back(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = encode("age", &data);
            prop_assert_eq!(decode(&text), Some(("age".to_owned(), data.clone())));
            prop_assert_eq!(decode(&text.to_ascii_uppercase()), Some(("age".to_owned(), data)));
        }
    }
}
