//! Reading the history back, from its end: what is asked for is mostly what happened last.

use super::{Begun, Ended, Entry};
use crate::{
    clock::Timestamp,
    name::MachineName,
    store::{Store, StoreError},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::ControlFlow, result::Result};

/// Version of the JSON form; grows when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The runs of a store, as `machine history --json` prints them.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(title = "History", rename = "history")]
pub struct History {
    /// Version of this document.
    pub version: u32,
    /// The newest first.
    pub runs: Vec<Run>,
    /// Lines that could not be read, as far as was looked: a writer that was killed leaves half a line.
    pub unreadable: usize,
}

/// One run.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Run {
    /// How it began.
    #[serde(flatten)]
    pub begun: Begun,
    /// How it ended; null when it did not, because it was killed or is still under way.
    pub ended: Option<End>,
}

/// How a run ended.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct End {
    /// How long it took, in seconds.
    pub seconds: i64,
    /// When, and how for each machine.
    #[serde(flatten)]
    pub ended: Ended,
}

/// Which runs are asked for.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    /// Only those about this fleet or machine.
    pub about: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Pick {
    fn takes(&self, begun: &Begun) -> bool {
        let Some(about) = &self.about else { return true };
        let machine = |name: &MachineName| name.as_str() == about;
        begun.fleet.as_ref().is_some_and(|fleet| fleet.as_str() == about)
            || begun.steps.iter().any(|step| machine(&step.machine))
    }
}

impl History {
    /// Reads the runs that are asked for, and no more of a store than it takes to find them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn of(store: &Store, pick: &Pick) -> Result<Self, StoreError> {
        let mut reading = Reading::new(pick);
        store.journal.tail(&mut |line| reading.line(line)).await?;
        Ok(reading.history)
    }

    /// Reads the runs that are asked for from a text, from its end.
    #[must_use]
    pub fn read(bytes: &[u8], pick: &Pick) -> Self {
        let mut reading = Reading::new(pick);
        let _ = bytes.rsplit(|byte| *byte == b'\n').try_for_each(|line| reading.line(line));
        reading.history
    }
}

/// A history while it is read, the newest line first.
struct Reading<'a> {
    pick: &'a Pick,
    history: History,
    ends: BTreeMap<String, Ended>,
}

impl<'a> Reading<'a> {
    fn new(pick: &'a Pick) -> Self {
        let history = History { version: VERSION, ..History::default() };
        Self { pick, history, ends: BTreeMap::new() }
    }

    fn has_enough(&self) -> bool {
        self.pick.limit.is_some_and(|limit| self.history.runs.len() >= limit)
    }

    fn line(&mut self, line: &[u8]) -> ControlFlow<()> {
        if self.has_enough() {
            return ControlFlow::Break(());
        }
        match serde_json::from_slice(line) {
            _ if line.is_empty() => {}
            Ok(Entry::End(ended)) => drop(self.ends.insert(ended.run.clone(), ended)),
            Ok(Entry::Begin(begun)) => {
                let ended = self.ends.remove(&begun.run);
                if self.pick.takes(&begun) {
                    self.history.runs.push(Run::new(begun, ended));
                }
            }
            Err(_) => self.history.unreadable += 1,
        }
        if self.has_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Run {
    fn new(begun: Begun, ended: Option<Ended>) -> Self {
        let took = |Timestamp(end): Timestamp| (end - begun.at.0).max(0);
        let ended = ended.map(|ended| End { seconds: took(ended.at), ended });
        Self { begun, ended }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::{Deed, Result},
        name::FleetName,
        plan::Action,
        record::Part,
    };

    fn name(text: &str) -> MachineName {
        MachineName::new(text).unwrap()
    }

    fn begun(run: &str, fleet: &str, machine: &str, at: i64) -> Entry {
        Entry::Begin(Begun {
            run: run.to_owned(),
            at: Timestamp(at),
            who: "anna@build-7".to_owned(),
            pid: 7,
            command: "apply".to_owned(),
            version: "0.1.0".to_owned(),
            fleet: FleetName::new(fleet).ok(),
            file: None,
            commit: None,
            consents: Vec::new(),
            steps: vec![Deed {
                machine: name(machine),
                uid: None,
                part: Part::Engine,
                action: Action::Upgrade,
                reasons: vec!["labels.tier: web → api".to_owned()],
            }],
        })
    }

    fn ended(run: &str, at: i64) -> Entry {
        let (hosts, failures) = (BTreeMap::new(), BTreeMap::new());
        Entry::End(Ended {
            run: run.to_owned(),
            at: Timestamp(at),
            result: Result::Done,
            cancelled: None,
            hosts,
            failures,
        })
    }

    fn text(entries: &[Entry]) -> String {
        entries.iter().map(|entry| entry.line() + "\n").collect()
    }

    fn runs(text: &str, pick: &Pick) -> Vec<(String, Option<i64>)> {
        let read = History::read(text.as_bytes(), pick);
        read.runs.into_iter().map(|run| (run.begun.run, run.ended.map(|end| end.seconds))).collect()
    }

    #[test]
    fn runs_are_joined_with_their_ends_newest_first() {
        // Two at once, and one that was killed.
        let text = text(&[
            begun("a", "shop", "web", 100),
            begun("b", "lab", "x", 101),
            ended("a", 130),
            ended("b", 140),
            begun("c", "shop", "db", 150),
        ]);
        let run = |name: &str, seconds| (name.to_owned(), seconds);
        assert_eq!(runs(&text, &Pick::default()), [run("c", None), run("b", Some(39)), run("a", Some(30))]);
        let pick = |about: &str, limit| Pick { about: Some(about.to_owned()), limit };
        assert_eq!(runs(&text, &pick("shop", None)), [run("c", None), run("a", Some(30))]);
        assert_eq!(runs(&text, &pick("shop", Some(1))), [run("c", None)]);
        assert_eq!(runs(&text, &pick("web", None)), [run("a", Some(30))]);
        assert_eq!(runs(&text, &pick("nobody", None)), []);
    }

    /// Pain 8: a killed writer costs its own line and no other.
    #[test]
    fn half_a_line_is_passed_over_and_counted() {
        let (first, second) = (begun("a", "shop", "web", 100).line(), begun("b", "shop", "web", 200).line());
        for cut in 1..first.len() {
            if !first.is_char_boundary(cut) {
                continue;
            }
            let text = format!("{}\n{second}\n", &first[..cut]);
            let read = History::read(text.as_bytes(), &Pick::default());
            assert_eq!((read.runs.len(), read.unreadable), (1, 1), "cut at {cut}");
        }
        let torn = format!("{second}\n{}", &first[..20]);
        assert_eq!(History::read(torn.as_bytes(), &Pick::default()).runs.len(), 1);
    }

    #[test]
    fn fields_of_later_versions_are_passed_over() {
        let line = begun("a", "shop", "web", 100).line().replace("\"run\"", "\"new\":{\"x\":1},\"run\"");
        assert_eq!(History::read(line.as_bytes(), &Pick::default()).runs.len(), 1);
    }
}
