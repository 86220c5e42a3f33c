//! How property tests run: the only place that says so.
//!
//! The usual run takes the same cases every time, so that a commit's answer is the same twice. With
//! `MACHINE_PROPERTIES=fresh` (`just lab-full`) there are new cases, fifty times as many; a number instead of `fresh`
//! takes those of that seed again. What fails is written beside the source, as `NAME.proptest-regressions`; it belongs
//! in the commit that corrects it, and is tried first from then on.

use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

const VARIABLE: &str = "MACHINE_PROPERTIES";
/// Of the usual run. Any number does; another one would only be other cases.
const USUAL: u64 = 20_261_129;
/// How many times as many cases there are when they are fresh.
const MORE: u32 = 50;

/// The seed that was asked for; `None` in the usual run.
static ASKED: LazyLock<Option<u64>> = LazyLock::new(|| match std::env::var(VARIABLE) {
    Err(_) => None,
    // Keyed anew in every process.
    Ok(word) if word == "fresh" => Some(RandomState::new().hash_one(VARIABLE)),
    Ok(number) => Some(number.parse().expect("MACHINE_PROPERTIES is `fresh` or a seed")),
});

/// The configuration of a test that tries so many cases in the usual run.
pub(crate) fn properties(cases: u32) -> Config {
    let (seed, cases) = match *ASKED {
        None => (USUAL, cases),
        Some(seed) => {
            // Shown when the test fails.
            println!("to try these cases again: {VARIABLE}={seed}");
            (seed, cases.saturating_mul(MORE))
        }
    };
    Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..Config::default()
    }
}
