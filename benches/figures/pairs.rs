//! Two that are compared: they run in alternation, and what is quoted is the ratio of each turn.

use std::{fmt, time::Duration};

/// Fewest turns from which a ratio says anything.
pub(crate) const TURNS: usize = 15;

/// From here on the first counts as slower.
const SLOWER: f64 = 1.05;

/// The times of both, turn by turn.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    pub(crate) ours: Vec<Duration>,
    pub(crate) theirs: Vec<Duration>,
}

impl Pairs {
    /// Runs both in each turn. Every other turn begins with the other one, so that neither always finds what the first
    /// of a turn has warmed up or used up.
    pub(crate) fn run(turns: usize, mut ours: impl FnMut() -> Duration, mut theirs: impl FnMut() -> Duration) -> Self {
        let mut pairs = Self::default();
        for turn in 0..turns {
            if turn % 2 == 0 {
                pairs.ours.push(ours());
                pairs.theirs.push(theirs());
            } else {
                pairs.theirs.push(theirs());
                pairs.ours.push(ours());
            }
        }
        pairs
    }

    pub(crate) fn ratio(&self) -> Ratio {
        Ratio::of(&self.ours, &self.theirs)
    }
}

/// How long ours take in units of theirs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    median: f64,
    /// In which the true median lies nine times in ten; `None`: there are too few turns to say.
    interval: Option<(f64, f64)>,
}

impl Ratio {
    /// Of times that were taken turn by turn.
    pub(crate) fn of(ours: &[Duration], theirs: &[Duration]) -> Self {
        let ratios = super::sorted(ours.iter().zip(theirs).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()));
        let interval = rank(ratios.len()).map(|k| (ratios[k - 1], ratios[ratios.len() - k]));
        Self { median: super::middle(&ratios), interval }
    }

    /// In one word. What may be noise is neither slower nor faster.
    pub(crate) fn verdict(self) -> &'static str {
        match self.interval {
            None => "too few turns",
            Some((low, _)) if low > SLOWER => "SLOWER",
            Some((_, high)) if high < 1.0 / SLOWER => "faster",
            Some(_) => "the same",
        }
    }
}

/// `0.97 [0.95 – 1.01]`.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.median)?;
        match self.interval {
            Some((low, high)) => write!(f, " [{low:.2} – {high:.2}]"),
            None => f.write_str(" [too few turns]"),
        }
    }
}

/// The k for which the k-th least and the k-th largest of n values have the median between them in at least 90 of 100
/// cases, whatever its distribution: each value lies below the median with a chance of one half.
fn rank(n: usize) -> Option<usize> {
    let mut outside = 0.0;
    let mut chance = 0.5_f64.powi(i32::try_from(n).ok()?);
    let mut found = None;
    for below in 0..n / 2 {
        outside += chance;
        if 2.0 * outside > 0.10 {
            break;
        }
        found = Some(below + 1);
        #[expect(clippy::cast_precision_loss, reason = "turns are counted in tens")]
        let next = (n - below) as f64 / (below + 1) as f64;
        chance *= next;
    }
    found
}

/// What the numbers say of values that are known, before any is believed.
pub(crate) fn check() {
    assert_eq!([4, 5, 15, 21, 200].map(rank), [None, Some(1), Some(4), Some(7), Some(88)]);
    let ms = |n: u64| Duration::from_millis(n);
    let theirs = vec![ms(100); 15];
    let of = |ours: [u64; 15]| Ratio::of(&ours.map(ms), &theirs).verdict();
    assert_eq!(of([110; 15]), "SLOWER");
    assert_eq!(of([90; 15]), "faster");
    // Three of fifteen may be anything; a fourth opens the interval.
    assert_eq!(of([90, 90, 90, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110]), "SLOWER");
    assert_eq!(of([90, 90, 90, 90, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110]), "the same");
    assert_eq!(Ratio::of(&[ms(1)], &[ms(2)]).verdict(), "too few turns");
}
