//! How many of a fleet's machines something may happen to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A number of machines, a share of those there are, or both: then the larger of the two.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Limit {
    /// So many, however many there are.
    number: usize,
    /// So many of a hundred.
    percent: u8,
}

impl Limit {
    /// So many, however many there are.
    #[must_use]
    pub const fn number(number: usize) -> Self {
        Self { number, percent: 0 }
    }

    /// The larger of a number and of a share in percent.
    #[must_use]
    pub const fn larger(number: usize, percent: u8) -> Self {
        Self { number, percent }
    }

    /// How many of `total` that is. A share is rounded down: a limit is not exceeded by a fraction.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        self.number.max(total.saturating_mul(self.percent.into()) / 100)
    }

    /// Whether it allows nothing at all.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.number == 0 && self.percent == 0
    }
}

/// As fleet files have it: `2`, `25%`, `1 or 10%`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.number, self.percent) {
            (number, 0) => write!(f, "{number}"),
            (0, percent) => write!(f, "{percent}%"),
            (number, percent) => write!(f, "{number} or {percent}%"),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no number of machines: write `2`, `25%`, or `1 or 10%` for the larger one");
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or_else(wrong)
        };
        let percent = |text: &str| {
            let digits = text.strip_suffix('%').map(str::trim_end).ok_or_else(wrong)?;
            let percent = number(digits)?;
            u8::try_from(percent).ok().filter(|percent| *percent <= 100).ok_or_else(wrong)
        };
        match text.trim().split_once(" or ") {
            Some((first, second)) => Ok(Self { number: number(first.trim())?, percent: percent(second.trim())? }),
            None if text.contains('%') => Ok(Self { number: 0, percent: percent(text.trim())? }),
            None => Ok(Self::number(number(text.trim())?)),
        }
    }
}

impl TryFrom<String> for Limit {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_a_share_or_the_larger_of_both() {
        for (text, of_10, of_50) in [("0", 0, 0), ("3", 3, 3), ("10%", 1, 5), ("25 %", 2, 12), ("2 or 10%", 2, 5)] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!((limit.of(10), limit.of(50)), (of_10, of_50), "{text}");
            assert_eq!(limit.to_string().parse(), Ok(limit), "{text} reads back");
        }
    }

    #[test]
    fn nonsense_is_no_limit() {
        for bad in ["", "-1", "+1", "1.5", "%", "101%", "10%%", "all", "1 or 2", "10% or 1", "1e3"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }
}
