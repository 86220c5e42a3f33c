//! Which of many cases are tried.
//!
//! The usual run tries a sample that follows from a seed, so that a commit's answer is the same twice: `MACHINE_SEED` takes
//! another one. `MACHINE_CRASH=full` (`just lab-full`) tries every case.

use crate::full::full;
use machine::digest::sha256_hex;
use std::{collections::BTreeMap, sync::LazyLock};

const USUAL: u64 = 20_261_129;
pub(crate) const VARIABLE: &str = "MACHINE_SEED";

/// What chooses.
pub(crate) static SEED: LazyLock<u64> = LazyLock::new(|| {
    let asked = std::env::var(VARIABLE).ok();
    asked.map_or(USUAL, |text| text.parse().expect("MACHINE_SEED is a number"))
});

/// Pure. A number that follows from a seed and a text, evenly spread.
pub(crate) fn draw(seed: u64, text: &str) -> u64 {
    let digest = sha256_hex(format!("{seed} {text}").as_bytes());
    u64::from_str_radix(&digest[..16], 16).expect("it is hexadecimal")
}

/// Whether a case is tried that is known by its name only when its turn comes: in the usual run one of so many.
pub(crate) fn is_tried(name: &str, one_of: u64) -> bool {
    full() || draw(*SEED, name).is_multiple_of(one_of)
}

/// Of all there are, those that are tried: the first of each kind, and so many of a hundred of the others. `say` gives a
/// case's kind, and a name that no other case has.
pub(crate) fn sample<T>(all: Vec<T>, percent: u64, say: impl Fn(&T) -> (String, String)) -> Vec<T> {
    let there = all.len();
    let picked = pick(all, if full() { 100 } else { percent }, *SEED, say);
    println!("  {} of {there} are tried; the same again: {VARIABLE}={}", picked.len(), *SEED);
    picked.into_iter().map(|(_, case)| case).collect()
}

/// Pure. Of each kind the one that the seed draws first, and those that are below a percentage.
pub(crate) fn pick<T>(all: Vec<T>, percent: u64, seed: u64, say: impl Fn(&T) -> (String, String)) -> Vec<(String, T)> {
    let mut first: BTreeMap<String, u64> = BTreeMap::new();
    for item in &all {
        let (kind, text) = say(item);
        let drawn = draw(seed, &text);
        first.entry(kind).and_modify(|least| *least = drawn.min(*least)).or_insert(drawn);
    }
    let named = all.into_iter().map(|item| (say(&item), item));
    let wanted = named.filter(|((kind, text), _)| {
        let drawn = draw(seed, text);
        drawn == first[kind] || drawn % 100 < percent
    });
    wanted.map(|((_, text), item)| (text, item)).collect()
}
