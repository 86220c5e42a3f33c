//! `ls --filter KEY=VALUE`: keys are joined by "and", values of one key by "or".

use super::{
    CliError,
    document::Document,
    pattern::{self, Pattern},
};
use crate::record::MachineRecord;

/// The keys, and what their values are.
pub(super) const KEYS: [(&str, &str); 5] = [
    ("driver", "name of a driver"),
    ("label", "KEY=VALUE of the engine"),
    ("name", "regular expression"),
    ("state", "what the machine does"),
    ("swarm", "name of the swarm's master"),
];

/// The words that `state` knows.
pub(super) const STATES: [&str; 8] =
    ["Error", "Paused", "Running", "Saved", "Starting", "Stopped", "Stopping", "Timeout"];

/// All filters of a command line.
#[derive(Debug, Default)]
pub(super) struct Filters {
    drivers: Vec<String>,
    states: Vec<String>,
    names: Vec<Pattern>,
    swarms: Vec<String>,
    labels: Vec<(String, String)>,
}

impl Filters {
    /// Reads them.
    pub(super) fn parse(texts: &[String]) -> Result<Self, CliError> {
        let mut filters = Self::default();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| CliError::said("Unsupported filter syntax"))?;
            match key.to_lowercase().as_str() {
                "driver" => filters.drivers.push(value.to_owned()),
                "state" => filters.states.push(value.to_owned()),
                "name" => {
                    let wrong = |why| CliError::said(format!("error parsing regexp: {why}"));
                    filters.names.push(pattern::parse(value).map_err(wrong)?);
                }
                "swarm" => filters.swarms.push(value.to_owned()),
                "label" => {
                    let (key, value) = value.split_once('=').unwrap_or((value, ""));
                    filters.labels.push((key.to_owned(), value.to_owned()));
                }
                _ => return Err(CliError::said(format!("Unsupported filter key '{key}'"))),
            }
        }
        Ok(filters)
    }

    /// Whether machines must be looked at before it is known which are shown.
    pub(super) fn need_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Whether docker-machine's documents must be read before it is known which are shown.
    pub(super) fn need_documents(&self) -> bool {
        !self.swarms.is_empty() || !self.labels.is_empty()
    }

    /// Whether a machine passes by what is recorded of it. `master` is the name of its swarm's master.
    pub(super) fn pass(&self, record: &MachineRecord, document: &Document, master: &str) -> bool {
        let labelled = |key: &str, value: &str| {
            let applied = record.engine.iter().flat_map(|engine| &engine.spec.labels);
            let applied = applied.map(|(key, value)| (key.as_str(), value.as_str()));
            document.labels().chain(applied).any(|(k, v)| k == key && same(v, value))
        };
        any(&self.drivers, |driver| same(driver, &record.driver))
            && any(&self.names, |name| name.matches(record.name.as_str()))
            && any(&self.swarms, |swarm| same(swarm, master))
            && any(&self.labels, |(key, value)| labelled(key, value))
    }

    /// Whether a machine passes by what was seen of it.
    pub(super) fn pass_state(&self, state: &str) -> bool {
        any(&self.states, |wanted| same(wanted, state))
    }
}

/// Whether any matches; none at all let everything pass.
fn any<T>(filters: &[T], matches: impl Fn(&T) -> bool) -> bool {
    filters.is_empty() || filters.iter().any(matches)
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{name::MachineName, record::OptionValues};
    use serde_json::json;

    fn passes(filters: &[&str]) -> bool {
        let texts: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
        let record = MachineRecord::new(MachineName::new("web-1").unwrap(), None, "generic", OptionValues::new());
        let document = Document(json!({"HostOptions": {"EngineOptions": {"Labels": ["tier=Web", "bare"]}}}));
        Filters::parse(&texts).unwrap().pass(&record, &document, "boss")
    }

    #[test]
    fn keys_are_joined_by_and_values_of_one_key_by_or() {
        for (filters, want) in [
            (&["driver=GENERIC"][..], true),
            (&["driver=none"], false),
            (&["driver=none", "driver=generic"], true),
            (&["DRIVER=generic", "name=^db"], false),
            (&["name=web"], true),
            (&["label=tier=web"], true),
            (&["label=Tier=web"], false),
            (&["label=bare"], true),
            (&["swarm=boss"], true),
            (&["swarm="], false),
            (&["state=Stopped"], true),
        ] {
            assert_eq!(passes(filters), want, "{filters:?}");
        }
    }

    #[test]
    fn unknown_filters_are_refused_in_docker_machines_words() {
        for (bad, want) in [
            ("x", "Unsupported filter syntax"),
            ("engine=x", "Unsupported filter key 'engine'"),
            ("name=[", "error parsing regexp: missing closing ]: `[`"),
        ] {
            assert_eq!(Filters::parse(&[bad.to_owned()]).unwrap_err().to_string(), want);
        }
    }
}
