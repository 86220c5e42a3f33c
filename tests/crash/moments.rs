//! Killed at any moment, not only at points.

use crate::{
    child,
    points::Bench,
    story::{Place, wanted},
};
use machine::store::Store as _;
use std::{
    collections::BTreeSet,
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

/// Pain 8: SIGKILL at 200 random moments of an apply of 20 hosts: the store always loads and lists every instance the
/// provider has, and the next apply converges.
pub(crate) fn killed_at_200_moments() {
    let mut seed = [0; 8];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut seed).unwrap();
    let seed = std::env::var(SEED).ok().map_or(u64::from_ne_bytes(seed), |text| text.parse().unwrap()) | 1;
    println!("  {SEED}={seed}");
    let (next, killed, partial) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let bench = Bench::new();
                let place = bench.place();
                let mut whole = Duration::from_secs(1);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= KILLS {
                        return;
                    }
                    let mut dice =
                        Dice(seed.wrapping_add(u64::try_from(n).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
                    dice.below(1);
                    fresh(&place);
                    if n % 20 == 0 || whole == Duration::from_secs(1) {
                        // How long it takes changes with what else this computer does.
                        let begun = Instant::now();
                        assert!(child::command(HOSTS, &place.root).status().unwrap().success());
                        whole = begun.elapsed();
                        fresh(&place);
                    }
                    let wait = Duration::from_micros(dice.below(u64::try_from(whole.as_micros()).unwrap()));
                    let mut running = child::command(HOSTS, &place.root).stderr(Stdio::null()).spawn().unwrap();
                    thread::sleep(wait);
                    running.kill().unwrap();
                    let status = running.wait().unwrap();
                    killed.fetch_add(usize::from(status.signal() == Some(9)), Ordering::Relaxed);
                    let context = format!("{SEED}={seed}, kill {n} after {wait:?} of {whole:?}");
                    place.nothing_is_forgotten(&[], &context);
                    let there = place.machines().len();
                    partial.fetch_add(usize::from(there > 0 && there < 20), Ordering::Relaxed);
                    if n % 4 == 3 {
                        place.vanishes(&[], &context);
                    } else {
                        place.converges(HOSTS, &context);
                        let hosts: BTreeSet<String> = wanted(HOSTS).hosts.keys().map(ToString::to_string).collect();
                        assert_eq!(place.store().names().unwrap().into_iter().collect::<BTreeSet<_>>(), hosts);
                    }
                }
            });
        }
    });
    let (killed, partial) = (killed.into_inner(), partial.into_inner());
    println!("  {killed} of {KILLS} were killed, {partial} of them with some hosts made and others not");
    assert!(killed > KILLS / 2, "only {killed} of {KILLS} were killed before they had ended");
}
