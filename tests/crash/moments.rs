//! Killed at any moment, not only at points.

use crate::{child, points::Bench, story::Place};
use std::{
    fs,
    io::Read as _,
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
/// To repeat a run: `CRASH_SEED=… cargo test --test crash 200_moments`.
const SEED: &str = "CRASH_SEED";

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
    let mut said = format!("{SEED}={seed}, chain {n}:");
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
pub(crate) fn killed_at_200_moments_twenty_hosts_converge() {
    let mut seed = [0; 8];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut seed).unwrap();
    let seed = std::env::var(SEED).ok().map_or(u64::from_ne_bytes(seed), |text| text.parse().unwrap()) | 1;
    println!("  {SEED}={seed}");
    let (next, kills, partial) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let (bench, mut whole) = (Bench::new(), None);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= KILLS / LINKS {
                        return;
                    }
                    // How long an apply takes changes with what else this computer does.
                    whole = whole.filter(|_| n % 10 != 0);
                    chain(&bench, seed, n, &mut whole, &kills, &partial);
                }
            });
        }
    });
    let (kills, partial) = (kills.into_inner(), partial.into_inner());
    println!("  {kills} of {KILLS} were killed, {partial} of them with some hosts made and others not");
    assert!(kills > KILLS / 2, "only {kills} of {KILLS} were killed before they had ended");
}
