//! Hostile input for everything that reads what others wrote: the committed corpus as it is, then what becomes of it by
//! cutting, joining and putting in words of the language. A panic, an input that takes too long, or memory without bound is
//! a failure; the input is kept and named, and belongs into the corpus once the fault is corrected.
//!
//! The usual run makes the same inputs every time, `MACHINE_CRASH=full` (`just lab-full`) new ones, for longer.
//! `MACHINE_FUZZ_SECONDS` makes inputs for so long for each target, `MACHINE_FUZZ_SEED` takes a seed, `MACHINE_FUZZ_TARGET`
//! one target alone.

#[path = "../../fuzz/targets.rs"]
mod targets;

use crate::{full::full, sample::SEED};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime},
};
use targets::{TARGETS, Target};

/// No input of this size may take longer, in a build without optimisation on a computer that does other things too.
const SLOW: Duration = Duration::from_secs(20);
/// How many inputs are made for each target in the usual run.
const USUAL: usize = 400;
/// Larger ones are made no longer.
const LARGE: usize = 4 * 1024;
/// What all of this may need at most.
const MEMORY_KIB: u64 = 2 << 20;

/// Numbers that are the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = if self.below(4) == 0 { len - start } else { (len - start).min(24) };
        start..start + self.below(most + 1)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut all: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    all.sort();
    all
}

fn mutate(chance: &mut Chance, input: &mut Vec<u8>, others: &[(PathBuf, Vec<u8>)], words: &[&str]) {
    for _ in 0..=chance.below(6) {
        match chance.below(8) {
            0 | 1 => {
                let (at, word) = (chance.below(input.len() + 1), chance.pick(words));
                input.splice(at..at, word.bytes());
            }
            2 => {
                let (range, word) = (chance.range(input.len()), chance.pick(words));
                input.splice(range, word.bytes());
            }
            3 => drop(input.drain(chance.range(input.len()))),
            4 => {
                let other = &chance.pick(others).1;
                let (part, at) = (other[chance.range(other.len())].to_vec(), chance.below(input.len() + 1));
                input.splice(at..at, part);
            }
            5 => {
                let part = input[chance.range(input.len())].to_vec();
                let times = if chance.below(8) == 0 { chance.below(400) } else { chance.below(4) };
                let at = chance.below(input.len() + 1);
                input.splice(at..at, part.repeat(times).into_iter().take(LARGE));
            }
            6 if !input.is_empty() => {
                let at = chance.below(input.len());
                input[at] = u8::try_from(chance.below(256)).unwrap();
            }
            _ => input.truncate(chance.below(input.len() + 1)),
        }
    }
    input.truncate(LARGE);
}

/// When a target has had enough: after a time if one was asked for, or after a number of inputs, which is the same on
/// every computer.
enum Enough {
    After(Duration),
    Inputs(usize),
}

impl Enough {
    fn asked() -> Self {
        let seconds = std::env::var("MACHINE_FUZZ_SECONDS").ok();
        let seconds = seconds.map(|text| text.parse().expect("MACHINE_FUZZ_SECONDS is a number"));
        match seconds.or(full().then_some(20.0)) {
            Some(seconds) => Self::After(Duration::from_secs_f64(seconds)),
            None => Self::Inputs(USUAL),
        }
    }
}

fn seed() -> u64 {
    let now = || u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() & u128::from(u64::MAX)).unwrap();
    match std::env::var("MACHINE_FUZZ_SEED") {
        Ok(text) => text.parse().expect("MACHINE_FUZZ_SEED is a number"),
        Err(_) if full() => now(),
        Err(_) => *SEED,
    }
}

/// Feeds one target in a thread of its own, which is watched.
fn feed(target: &'static Target, seed: u64) {
    let (sender, inbox) = mpsc::channel::<Vec<u8>>();
    let worker = thread::Builder::new().name(target.name.to_owned()).stack_size(2 << 20).spawn(move || {
        let tell = |input: &[u8]| {
            sender.send(input.to_vec()).unwrap();
            (target.run)(input);
        };
        let corpus = corpus(target.name);
        assert!(!corpus.is_empty());
        for (_, input) in &corpus {
            tell(input);
        }
        let mut chance = Chance(seed);
        let (begun, enough) = (Instant::now(), Enough::asked());
        let mut runs = corpus.len();
        while match enough {
            Enough::After(time) => begun.elapsed() < time,
            Enough::Inputs(number) => runs < corpus.len() + number,
        } {
            let mut input = chance.pick(&corpus).1.clone();
            mutate(&mut chance, &mut input, &corpus, target.words);
            tell(&input);
            runs += 1;
        }
        println!("{}: {runs} inputs, seed {seed}", target.name);
    });
    let worker = worker.unwrap();
    let mut last = Vec::new();
    let why = loop {
        match inbox.recv_timeout(SLOW) {
            Ok(input) => last = input,
            Err(mpsc::RecvTimeoutError::Timeout) => break Some("takes too long"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break worker.join().err().map(|_| "panics"),
        }
    };
    if let Some(why) = why {
        let path = std::env::temp_dir().join(format!("machine-fuzz-{}-{seed}", target.name));
        fs::File::create(&path).and_then(|mut file| std::io::Write::write_all(&mut file, &last)).unwrap();
        panic!(
            "target `{}` {why} with {} (seed {seed}): {:?}",
            target.name,
            path.display(),
            String::from_utf8_lossy(&last)
        );
    }
}

#[test]
fn no_input_makes_a_reader_panic_hang_or_swell() {
    let seed = seed();
    let only = std::env::var("MACHINE_FUZZ_TARGET").ok();
    let mut wanted = TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| *only == target.name)).peekable();
    assert!(wanted.peek().is_some(), "there is no such target");
    for target in wanted {
        feed(target, seed);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MEMORY_KIB, "{peak} KiB");
}

/// The one above can fail.
#[test]
#[should_panic(expected = "target `secret` panics with ")]
fn a_reader_that_panics_is_noticed() {
    static BROKEN: Target =
        Target { name: "secret", run: |bytes| assert!(bytes.is_empty(), "a reader with a mistake"), words: &["x"] };
    feed(&BROKEN, 1);
}
