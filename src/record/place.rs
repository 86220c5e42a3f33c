//! Where an instance was made: an account, a folder, whatever its driver looks into. That an instance is not seen says
//! something only where it was made.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Where a driver makes instances and looks for them, as `amazonec2 account 123456789012 in eu-west-1`. Its text is what
/// people read and what is recorded: equal texts are the same place, so a driver never words one in two ways.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct Place {
    driver: String,
    at: String,
}

/// A text that is no place.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("a place is a driver, a blank, and where that makes instances")]
pub struct NoPlace;

impl Place {
    /// That of a driver, whose name is one word.
    #[must_use]
    pub fn new(driver: &str, at: impl Into<String>) -> Self {
        Self { driver: driver.to_owned(), at: at.into() }
    }

    /// The driver that knows it.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.driver
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.driver, self.at)
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        match text.split_once(' ') {
            Some((driver, at)) if !driver.is_empty() && !at.is_empty() => Ok(Self::new(driver, at)),
            _ => Err(NoPlace),
        }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_is_written() {
        for at in ["account 123456789012 in eu-west-1", "folder /a b/ c on computer 0f", "x"] {
            let place = Place::new("amazonec2", at);
            assert_eq!(place.to_string(), format!("amazonec2 {at}"));
            assert_eq!(place.to_string().parse(), Ok(place.clone()));
            let json = serde_json::to_string(&place).unwrap();
            assert_eq!(json, format!("\"amazonec2 {at}\""), "one text, in records too");
            assert_eq!(serde_json::from_str::<Place>(&json).unwrap(), place);
        }
        for wrong in ["", "qemu", "qemu ", " folder /x"] {
            assert_eq!(wrong.parse::<Place>(), Err(NoPlace), "{wrong:?}");
        }
    }
}
