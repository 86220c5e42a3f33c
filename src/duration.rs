//! Times a person may wait, in words: `90s`, `10m`, `1h30m`.

use std::time::Duration;
use thiserror::Error;

/// A text that is no time.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("write it as a number and a unit: 500ms, 45s, 10m, 1h30m, or 0")]
pub struct DurationError;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a time. A number alone is of seconds, for that is what most programs mean by one.
///
/// # Errors
/// When it is none, or no computer will ever wait so long.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if let Ok(seconds) = text.parse() {
        return sane(Duration::from_secs(seconds));
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError)?;
        let number: u64 = rest[..digits].parse().map_err(|_| DurationError)?;
        let unit = &rest[digits..];
        let unit = &unit[..unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len())];
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(DurationError)?;
        sum = number.checked_mul(*millis).and_then(|more| sum.checked_add(more)).ok_or(DurationError)?;
        rest = &rest[digits + unit.len()..];
    }
    if text.is_empty() { Err(DurationError) } else { sane(Duration::from_millis(sum)) }
}

/// A hundred years: what is added to a clock's reading must not go past its end.
const LONGEST: Duration = Duration::from_hours(876_000);

fn sane(time: Duration) -> Result<Duration, DurationError> {
    if time <= LONGEST { Ok(time) } else { Err(DurationError) }
}

/// In words that [`parse`] reads.
#[must_use]
pub fn text(time: Duration) -> String {
    let mut left = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in UNITS.iter().rev() {
        if left >= *millis {
            text += &format!("{}{unit}", left / millis);
            left %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (words, want) in [
            ("0", Some(0)),
            ("90", Some(90_000)),
            ("45s", Some(45_000)),
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("2 m", Some(120_000)),
            ("", None),
            ("m", None),
            ("10x", None),
            ("-1s", None),
            ("1.5m", None),
            ("10m5", None),
            ("99999999999999999999h", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(parse(words).ok(), want.map(Duration::from_millis), "{words}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (millis, want) in [(0, "0s"), (61_500, "1m1s500ms"), (3_600_000, "1h"), (90_000, "1m30s")] {
            let time = Duration::from_millis(millis);
            assert_eq!(text(time), want);
            assert_eq!(parse(want), Ok(time));
        }
    }
}
