//! The body of an age file: STREAM with ChaCha20-Poly1305 over chunks of 64 KiB. That a chunk is the last is part of
//! its nonce, so nothing can be cut off or added.

use super::AgeError;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

const CHUNK: usize = 64 << 10;
const TAG: usize = 16;

fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("a key of this cipher has 32 bytes"))
}

/// Eleven bytes of the chunk's number and one that says whether it is the last.
fn nonce(number: usize, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&u64::try_from(number).expect("a number of chunks fits").to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// The key must be for this body alone.
pub(super) fn seal(key_bytes: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let key = key(key_bytes);
    let mut sealed = Vec::with_capacity(plain.len() + TAG * (plain.len() / CHUNK + 1));
    let count = plain.len().div_ceil(CHUNK).max(1);
    for number in 0..count {
        let begin = number * CHUNK;
        let chunk = &plain[begin..plain.len().min(begin + CHUNK)];
        let mut buffer = chunk.to_vec();
        key.seal_in_place_append_tag(nonce(number, number + 1 == count), Aad::empty(), &mut buffer)
            .expect("a chunk is far shorter than the cipher's limit");
        sealed.extend_from_slice(&buffer);
    }
    sealed
}

pub(super) fn open(key_bytes: &[u8; 32], sealed: &[u8]) -> Result<Vec<u8>, AgeError> {
    let broken = || AgeError::Broken("its content is cut off or was changed");
    let key = key(key_bytes);
    let mut plain = Vec::with_capacity(sealed.len());
    let count = sealed.len().div_ceil(CHUNK + TAG).max(1);
    for (number, chunk) in sealed.chunks(CHUNK + TAG).enumerate() {
        let mut buffer = chunk.to_vec();
        let opened =
            key.open_in_place(nonce(number, number + 1 == count), Aad::empty(), &mut buffer).map_err(|_| broken())?;
        // Only a body of nothing at all ends in an empty chunk.
        if opened.is_empty() && number > 0 {
            return Err(broken());
        }
        plain.extend_from_slice(opened);
    }
    if sealed.is_empty() { Err(broken()) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_be_cut_off_added_or_moved() {
        let key = [9; 32];
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let sealed = seal(&key, &plain);
            assert_eq!(open(&key, &sealed).unwrap(), plain);
            assert!(open(&key, &sealed[..sealed.len() - 1]).is_err());
            assert!(open(&[8; 32], &sealed).is_err());
            let cut = sealed.len().saturating_sub(1) / (CHUNK + TAG) * (CHUNK + TAG);
            assert!(open(&key, &sealed[..cut]).is_err(), "a whole chunk less, of {length}");
            let added = [&sealed[..], &seal(&key, b"")[..]].concat();
            assert!(open(&key, &added).is_err());
        }
        let two = seal(&key, &vec![1; 2 * CHUNK]);
        let (first, second) = two.split_at(CHUNK + TAG);
        assert!(open(&key, &[second, first].concat()).is_err());
    }
}
