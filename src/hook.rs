//! Commands of the user's own, around what is done to a machine: what they are. How they are run is not known here.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// One command, and when it has taken too long. One that has more to it than is known is not read: half a command must
/// not be run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hook {
    /// What it is called; one of a kind at its point.
    pub name: String,
    /// What is run.
    pub run: Command,
    /// Where it is run.
    pub on: On,
    /// Seconds until it is ended.
    pub timeout: u64,
}

/// What a hook runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A text for `sh -c`, as the user wrote it.
    Shell(String),
    /// A program and its arguments; no shell reads them.
    Program(Vec<String>),
}

/// Where a hook is run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// On this computer, in the folder of the fleet file.
    #[default]
    Local,
    /// On the machine, as root.
    Host,
}

/// Around what a hook is run, in the order in which one plan comes to them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// Before the machine is removed.
    PreRm,
    /// After it was removed.
    PostRm,
    /// Before the machine is made.
    PreCreate,
    /// Before something on it is changed.
    PreUpgrade,
    /// After all of the machine was made.
    PostCreate,
    /// After all changes.
    PostUpgrade,
}

impl Point {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::PreRm, Self::PostRm, Self::PreCreate, Self::PreUpgrade, Self::PostCreate, Self::PostUpgrade];

    /// As fleet files have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::PreRm => "pre-rm",
            Self::PostRm => "post-rm",
            Self::PreCreate => "pre-create",
            Self::PreUpgrade => "pre-upgrade",
            Self::PostCreate => "post-create",
            Self::PostUpgrade => "post-upgrade",
        }
    }

    /// The point of this name.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.word() == word)
    }

    /// What is done there, as hooks are told in `MACHINE_ACTION`.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::PreRm | Self::PostRm => "rm",
            Self::PreCreate | Self::PostCreate => "create",
            Self::PreUpgrade | Self::PostUpgrade => "upgrade",
        }
    }

    /// Whether it belongs to a removal.
    #[must_use]
    pub fn is_rm(self) -> bool {
        matches!(self, Self::PreRm | Self::PostRm)
    }

    /// Whether it comes before what is done.
    #[must_use]
    pub fn is_before(self) -> bool {
        matches!(self, Self::PreRm | Self::PreCreate | Self::PreUpgrade)
    }

    /// Whether there is a host to run something on.
    #[must_use]
    pub fn has_host(self) -> bool {
        !matches!(self, Self::PreCreate | Self::PostRm)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Which hook of a machine. Hooks of one point run in the order of their numbers.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HookId {
    /// Its point.
    pub point: Point,
    /// Its place in the list, from 0.
    pub number: usize,
    /// Its name.
    pub name: String,
}

/// `post-create/1.dns`: its point, its place from 1, its name.
impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.point, self.number + 1, self.name)
    }
}

impl FromStr for HookId {
    type Err = String;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (point, rest) = text.split_once('/')?;
            let (number, name) = rest.split_once('.')?;
            let number = number.parse::<usize>().ok()?.checked_sub(1)?;
            Some(Self { point: Point::of(point)?, number, name: name.to_owned() })
        };
        read().ok_or_else(|| format!("`{text}` is not the name of a hook"))
    }
}

/// Hooks by the point at which they run, in the order of the file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Hooks(pub BTreeMap<Point, Vec<Hook>>);

impl Hooks {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// The hooks of a point with their names.
    pub fn at(&self, point: Point) -> impl Iterator<Item = (HookId, &Hook)> {
        let hooks = self.0.get(&point).into_iter().flatten();
        hooks.enumerate().map(move |(number, hook)| (HookId { point, number, name: hook.name.clone() }, hook))
    }

    /// The hook of this point and name.
    #[must_use]
    pub fn get(&self, point: Point, name: &str) -> Option<&Hook> {
        self.0.get(&point)?.iter().find(|hook| hook.name == name)
    }
}

/// Hooks as a machine's record knows them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HookRecord {
    /// As the fleet file had them at last: those of a removal are needed when it has none any more.
    pub spec: Hooks,
    /// Those that are due and not known to have ended well, by point and name.
    pub pending: Vec<(Point, String)>,
}

impl HookRecord {
    /// Whether a hook is due.
    #[must_use]
    pub fn is_pending(&self, id: &HookId) -> bool {
        self.pending.iter().any(|(point, name)| *point == id.point && *name == id.name)
    }

    /// Whether there is nothing to record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spec.is_empty() && self.pending.is_empty()
    }
}

/// Characters of a command that one line of a plan shows.
const SHOWN: usize = 160;

impl Hook {
    /// When it has taken too long.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The command on one line: the first of several, and not more than a line holds.
    #[must_use]
    pub fn short(&self) -> String {
        let whole = match &self.run {
            Command::Shell(text) => text.trim().to_owned(),
            Command::Program(words) => crate::quote::Sh::words(words).as_str().to_owned(),
        };
        // What moves a cursor or hides text has no place in a plan that people approve.
        let line: String =
            whole.lines().next().unwrap_or_default().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        if line.chars().count() > SHOWN || whole.lines().count() > 1 {
            return format!("{} …", line.chars().take(SHOWN).collect::<String>().trim_end());
        }
        line
    }
}

/// `dns: ./dns add $MACHINE_NAME (on this computer, at most 1 min)`.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.on {
            On::Local => "on this computer",
            On::Host => "on the host",
        };
        write!(f, "{}: {} ({place}, at most {})", self.name, self.short(), limit_text(self.timeout))
    }
}

/// `45 s`, `5 min`, `2 h`.
#[must_use]
pub fn limit_text(seconds: u64) -> String {
    match seconds {
        s if s > 0 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s > 0 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// Seconds of `90`, `90s`, `5m` or `2h`; at least one, at most a day.
#[must_use]
pub fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| all_digits)?;
    number.checked_mul(unit).filter(|s| (1..=86_400).contains(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_said_with_units() {
        for (text, want) in
            [("90", Some(90)), ("60s", Some(60)), ("5m", Some(300)), ("2min", Some(120)), ("1h", Some(3600))]
        {
            assert_eq!(seconds(text), want, "{text}");
        }
        for bad in ["", "s", "0", "0s", "-1s", "1d", "1.5m", "5 m m", "25h", "99999999999999999999"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        assert_eq!([45, 60, 300, 7200, 90].map(limit_text), ["45 s", "1 min", "5 min", "2 h", "90 s"]);
    }

    #[test]
    fn a_plan_shows_one_line_of_a_command_and_nothing_that_moves_the_cursor() {
        let hook = |run| Hook { name: "x".to_owned(), run, on: On::Local, timeout: 60 };
        assert_eq!(hook(Command::Shell("a\nb".to_owned())).short(), "a …");
        assert_eq!(hook(Command::Shell("a\u{1b}[2Kb".to_owned())).short(), "a?[2Kb");
        assert_eq!(hook(Command::Program(vec!["echo".to_owned(), "a b".to_owned()])).short(), "echo 'a b'");
        assert!(hook(Command::Shell("x".repeat(300))).short().chars().count() < 170);
    }

    #[test]
    fn the_name_of_a_hook_reads_back() {
        let id = HookId { point: Point::PostCreate, number: 1, name: "a.b/c".to_owned() };
        assert_eq!(id.to_string(), "post-create/2.a.b/c");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "post-create", "post-create/dns", "post-create/0.x", "post/1.x"] {
            assert!(bad.parse::<HookId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn points_are_known_by_their_words_and_stand_in_the_order_of_a_plan() {
        for point in Point::ALL {
            assert_eq!(Point::of(point.word()), Some(point));
            assert_eq!(serde_json::to_value(point).unwrap(), point.word());
        }
        assert!(Point::ALL.is_sorted());
    }
}
