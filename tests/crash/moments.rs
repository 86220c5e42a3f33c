//! Killed at any moment, not only at points.

use crate::{chance::Share, child, full::full, points::Bench, sample::SEED, story::Place};
use libtest_mimic::Trial;
use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How many processes are killed.
const KILLS: usize = 200;
/// How many of them in a row, each in the middle of what the one before left.
const LINKS: usize = 4;
const HOSTS: &str = "20";
/// Among how many tests they are shared out, and how many chains of each there are in the usual run.
const TESTS: usize = 5;
const USUAL: usize = 2;

/// xorshift64*: good enough to choose moments.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit.max(1)
    }
}

fn fresh(place: &Place) {
    if place.root.exists() {
        fs::remove_dir_all(&place.root).unwrap();
    }
    fs::create_dir_all(&place.root).unwrap();
}

/// One kill after the other, then one run that is not killed.
fn chain(bench: &Bench, seed: u64, n: usize, whole: &mut Option<Duration>, kills: &AtomicUsize, partial: &AtomicUsize) {
    let place = bench.place();
    let nth = u64::try_from(n).expect("a small number");
    let mut dice = Dice(seed.wrapping_add(nth.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
    dice.below(1);
    fresh(&place);
    let whole = *whole.get_or_insert_with(|| {
        let begun = Instant::now();
        assert!(child::command(HOSTS, &place.root).status().unwrap().success());
        let took = begun.elapsed();
        fresh(&place);
        took
    });
    let mut said = format!("chain {n} of MACHINE_SEED={seed}:");
    for link in 0..LINKS {
        // The last one of every other chain hits a removal.
        let step = if link + 1 == LINKS && n % 2 == 1 { "destroy" } else { HOSTS };
        let wait = Duration::from_micros(dice.below(u64::try_from(whole.as_micros()).expect("a short time")));
        let mut running = child::command(step, &place.root).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(wait);
        running.kill().unwrap();
        let status = running.wait().unwrap();
        kills.fetch_add(usize::from(status.signal() == Some(9)), Ordering::Relaxed);
        said += &format!(" `{step}` after {wait:?} of {whole:?};");
        place.nothing_is_forgotten(&[], &said);
        let there = place.machines().len();
        partial.fetch_add(usize::from(there > 0 && there < 20), Ordering::Relaxed);
    }
    if n % 4 == 1 { place.vanishes(&[], &said) } else { place.converges(HOSTS, &said) }
}

/// Pain 8: SIGKILL at 200 random moments of applies of 20 hosts: the store always loads and lists every instance the
/// provider has, and the next apply that is let live converges.
pub(crate) fn killed_at_200_moments() -> impl Iterator<Item = Trial> {
    Share::all("moments::killed_at_200_moments_twenty_hosts_converge", TESTS as u64, killed)
}

fn killed(share: &Share) {
    let planned = if full() { KILLS / LINKS / TESTS } else { USUAL };
    println!("  {planned} chains of {LINKS} kills; the same again: MACHINE_SEED={}", *SEED);
    let (next, kills, partial) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let wanted = planned * LINKS / 2;
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let (bench, mut whole) = (Bench::new(), None);
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    // Where many had ended before they were to be killed, as on a busy computer, others take their place.
                    let enough = nth >= planned && kills.load(Ordering::Relaxed) > wanted;
                    if enough || nth >= 3 * planned {
                        return;
                    }
                    // How long an apply takes changes with what else this computer does.
                    whole = whole.filter(|_| !nth.is_multiple_of(2));
                    chain(&bench, *SEED, share.number(nth), &mut whole, &kills, &partial);
                }
            });
        }
    });
    let (kills, partial) = (kills.into_inner(), partial.into_inner());
    println!("  {kills} were killed, {partial} of them with some hosts made and others not");
    assert!(kills > wanted, "only {kills} were killed before they had ended, of {}", 3 * planned * LINKS);
}
