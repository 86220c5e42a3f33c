//! Which of many points are tried, and by which test.
//!
//! Tests of points come in equal shares, each a test of its own, so that they can run in any process and on any number of
//! computers: which share a point is in follows from its name. Of a share, the usual run tries one point of each kind and
//! some more, chosen by a seed; `MACHINE_CRASH=full` (`just lab-full`) tries all.

use crate::{
    full::full,
    sample::{SEED, VARIABLE, draw, pick},
};
use libtest_mimic::Trial;

/// One of the tests among which points are shared out.
pub(crate) struct Share {
    name: String,
    nth: u64,
    of: u64,
}

impl Share {
    /// Tests that share out what `test` does, called `NAME_01_of_16` and so on.
    pub(crate) fn all(name: &'static str, of: u64, test: fn(&Share)) -> impl Iterator<Item = Trial> {
        (0..of).map(move |nth| {
            let share = Self { name: format!("{name}_{:02}_of_{of:02}", nth + 1), nth, of };
            Trial::test(share.name.clone(), move || {
                test(&share);
                Ok(())
            })
        })
    }

    /// A test for each of several cases, which has all points of its case to itself.
    pub(crate) fn each<C: Sync>(
        name: &'static str,
        cases: &'static [C],
        test: fn(&Share, &'static C),
    ) -> impl Iterator<Item = Trial> {
        let of = cases.len();
        (1..).zip(cases).map(move |(nth, case): (usize, _)| {
            let share = Self { name: format!("{name}_{nth:02}_of_{of:02}"), nth: 0, of: 1 };
            Trial::test(share.name.clone(), move || {
                test(&share, case);
                Ok(())
            })
        })
    }

    /// The `nth` of the numbers that are its own.
    pub(crate) fn number(&self, nth: usize) -> usize {
        let own = self.nth + self.of * nth as u64;
        usize::try_from(own).expect("a small number")
    }

    /// Of all there are, those that are tried here; one percentage of them besides one of each kind.
    pub(crate) fn pick<T>(&self, all: Vec<T>, percent: u64, say: impl Fn(&T) -> (String, String)) -> Vec<T> {
        let there = all.len();
        let picked = pick(all, if full() { 100 } else { percent }, *SEED, say);
        let tried = picked.len();
        let own: Vec<T> =
            picked.into_iter().filter(|(text, _)| draw(0, text) % self.of == self.nth).map(|(_, t)| t).collect();
        println!("  {} here, of {tried} that are tried, of {there}; the same again:", own.len());
        println!("  {VARIABLE}={} cargo test --test crash -- --exact {}", *SEED, self.name);
        own
    }
}

/// Every kind is in every sample, a sample is the same twice, and another seed takes others.
pub(crate) fn a_sample_has_every_kind_and_follows_from_its_seed() {
    let all: Vec<(u32, u32)> = (0..40).flat_map(|kind| (0..=kind).map(move |n| (kind, n))).collect();
    let take = |percent, seed| {
        let say = |(kind, n): &(u32, u32)| (kind.to_string(), format!("{kind}/{n}"));
        pick(all.clone(), percent, seed, say).into_iter().map(|(_, item)| item).collect::<Vec<_>>()
    };
    for seed in 0..50 {
        let sample = take(10, seed);
        let kinds: std::collections::BTreeSet<u32> = sample.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds.len(), 40, "{seed}");
        assert!((60..260).contains(&sample.len()), "{seed}: {}", sample.len());
        assert_eq!(sample, take(10, seed));
        assert_ne!(sample, take(10, seed + 1));
        assert_eq!(take(100, seed), all);
    }
}
