//! Drivers and their options: named configurations, what hosts add to them, defaults, and what is missing.

use super::{
    node::{Entry, Node, Scalar, Value},
    problem::{Code, Problem, Problems},
    raw::RawConfiguration,
    read::{Strange, read},
    reference,
    resolve::unsupported,
    suggest,
};
use crate::{
    driver::{AnyDriver, Drivers, Kind, OptionSpec, Secrecy, options},
    record::OptionValues,
};
use std::collections::BTreeMap;

/// A driver, and options some hosts share.
pub(super) struct Configuration<'a> {
    pub(super) driver: &'a dyn AnyDriver,
    /// As given, in normal form, without defaults.
    options: OptionValues,
    /// Where they stand; `None`: a driver without a configuration.
    node: Option<&'a Node>,
    /// Whether an option was wrong: then nothing can be said about what is missing.
    broken: bool,
}

/// All configurations by name. A driver's own name is one without options.
pub(super) struct Configurations<'a> {
    /// `None`: it is there, and wrong, which has been said.
    by_name: BTreeMap<&'a str, Option<Configuration<'a>>>,
    pub(super) drivers: &'a Drivers,
    /// Defaults of each driver, read once.
    defaults: BTreeMap<&'a str, OptionValues>,
}

impl<'a> Configurations<'a> {
    /// Reads the section `drivers`.
    pub(super) fn read(section: Option<&'a Node>, drivers: &'a Drivers, problems: &mut Problems) -> Self {
        let bare = |d: &'a dyn AnyDriver| {
            let options = OptionValues::new();
            (d.name(), Some(Configuration { driver: d, options, node: None, broken: false }))
        };
        let mut by_name: BTreeMap<&str, Option<Configuration<'_>>> = drivers.iter().map(bare).collect();
        for entry in section.map(Node::entries).unwrap_or_default() {
            by_name.insert(&entry.key, configuration(entry, drivers, problems));
        }
        let defaults = drivers.iter().map(|d| (d.name(), options::with_defaults(d.options(), &OptionValues::new())));
        Self { by_name, drivers, defaults: defaults.collect() }
    }

    /// The configuration a host or `defaults` names at `place`. `None`: there is none, which has been said.
    pub(super) fn find(&self, name: &str, at: &Node, problems: &mut Problems) -> Option<&Configuration<'a>> {
        if let Some(found) = self.by_name.get(name) {
            return found.as_ref();
        }
        let meant = problems.did_you_mean(name, self.by_name.keys().copied());
        let known = suggest::list(self.by_name.keys().copied());
        let problem = Problem::new(Code::UnknownDriver, format!("unknown driver `{name}`"))
            .at(at.at, "no driver and no configuration has this name")
            .suggest(meant, format!("there are {known}"));
        problems.push(problem);
        None
    }

    /// Names that `driver:` can have.
    pub(super) fn names(&self) -> Vec<&str> {
        self.by_name.keys().copied().collect()
    }

    /// All options of a host: its own, its configuration's, the driver's defaults. `None`: problems.
    pub(super) fn options(
        &self,
        configuration: &Configuration<'_>,
        host: &Entry,
        own: &[Strange<'_>],
        problems: &mut Problems,
    ) -> Option<OptionValues> {
        let driver = configuration.driver;
        let mut values = configuration.options.clone();
        let fine = read_options(self.drivers, driver, own, &mut values, problems);
        if !fine || configuration.broken {
            return None;
        }
        for (key, value) in &self.defaults[driver.name()] {
            if !values.contains_key(key) {
                values.insert(key.clone(), value.clone());
            }
        }
        let missing = driver.options().iter().filter(|spec| spec.required && !values.contains_key(&spec.key));
        let mut complete = true;
        for spec in missing {
            complete = false;
            let message = format!("host `{}` needs `{}`: {}", host.key, spec.key, reference::lower_first(&spec.help));
            let problem = Problem::new(Code::MissingOption, message)
                .at(host.key_at, format!("driver `{}` cannot do without it", driver.name()))
                .help(format!("add `{}: …` to the host", spec.key));
            problems.push(problem);
        }
        if !complete {
            return None;
        }
        for wrong in driver.check(&values).into_iter().chain(driver.doubts(&values)) {
            complete = false;
            let key = wrong.key.as_deref();
            let shared = |key| configuration.node.and_then(|node| node.entry(key));
            let place =
                key.and_then(|key| host.node.entry(key).or_else(|| shared(key))).map_or(host.key_at, |e| e.node.at);
            let problem = Problem::new(Code::BadOption, wrong.message)
                .at(place, format!("driver `{}` cannot take this", driver.name()))
                .suggest(None, wrong.help.unwrap_or_default());
            problems.push(problem);
        }
        complete.then_some(values)
    }
}

fn configuration<'a>(entry: &'a Entry, drivers: &'a Drivers, problems: &mut Problems) -> Option<Configuration<'a>> {
    let (raw, own): (RawConfiguration, _) = read(&entry.key, &entry.node, problems);
    if !matches!(entry.node.value, Value::Map(_)) && !entry.node.is_null() {
        return None;
    }
    let Some(name) = raw.driver else {
        if entry.node.entry("driver").is_none()
            && !refuse_without_driver(&own, drivers, &drivers.names().collect::<Vec<_>>(), problems)
        {
            let problem = Problem::new(Code::MissingKey, format!("configuration `{}` has no `driver`", entry.key))
                .at(entry.key_at, "which driver are these options for?")
                .help(format!("add `driver: …`; there are {}", suggest::list(drivers.names())));
            problems.push(problem);
        }
        return None;
    };
    let place = entry.node.entry("driver").map_or(entry.key_at, |e| e.node.at);
    let Some(driver) = drivers.get(&name) else {
        let meant = problems.did_you_mean(&name, drivers.names());
        let problem = Problem::new(Code::UnknownDriver, format!("unknown driver `{name}`"))
            .at(place, "no driver has this name")
            .suggest(meant, format!("there are {}", suggest::list(drivers.names())));
        problems.push(problem);
        return None;
    };
    if entry.key != driver.name() && drivers.get(&entry.key).is_some() {
        let problem =
            Problem::new(Code::HiddenDriver, format!("configuration `{}` hides the driver of that name", entry.key))
                .at(entry.key_at, format!("this is driver `{}`", driver.name()))
                .help("give the configuration another name");
        problems.push(problem);
    }
    let mut options = OptionValues::new();
    let broken = !read_options(drivers, driver, &own, &mut options, problems);
    Some(Configuration { driver, options, node: Some(&entry.node), broken })
}

/// Refuses the keys that no driver has, where none is named. Gives whether one of them was meant to name it: then the
/// missing driver has been told of. `names` are those that `driver` can have.
pub(super) fn refuse_without_driver(
    own: &[Strange<'_>],
    drivers: &Drivers,
    names: &[&str],
    problems: &mut Problems,
) -> bool {
    let mut is_told = false;
    for strange in own.iter().filter(|s| s.top) {
        let key = &strange.entry.key;
        if drivers.have_option(key) || unsupported(strange.entry, problems) {
            continue;
        }
        let options = drivers.iter().flat_map(|d| d.options().iter().map(|spec| spec.key.as_str()));
        let mut meant = problems.did_you_mean(key, strange.known.iter().copied().chain(options));
        if meant.as_deref() == Some("driver") {
            let names_one = matches!(&strange.entry.node.value, Value::Scalar(value) if names.contains(&&*value.text));
            is_told |= names_one;
            meant = meant.filter(|_| names_one);
        }
        let otherwise = if reference::is_of_engine(key) {
            format!("write it under `engine`: `engine: {{ {key}: … }}`")
        } else {
            format!("known here are {}, and the options of the driver", suggest::list(strange.known.iter().copied()))
        };
        let problem = Problem::new(Code::UnknownKey, format!("unknown key `{key}`"))
            .at(strange.entry.key_at, "no driver has this option")
            .suggest(meant, otherwise);
        problems.push(problem);
    }
    is_told
}

/// Reads the keys that are a driver's. Gives whether all of them are right.
fn read_options(
    drivers: &Drivers,
    driver: &dyn AnyDriver,
    own: &[Strange<'_>],
    values: &mut OptionValues,
    problems: &mut Problems,
) -> bool {
    let mut fine = true;
    for strange in own.iter().filter(|s| s.top) {
        let entry = strange.entry;
        let result = match driver.options().iter().find(|spec| spec.key == entry.key) {
            Some(spec) if !entry.node.is_unknown() => read_option(spec, entry),
            Some(_) => {
                fine = false;
                continue;
            }
            None if unsupported(entry, problems) => continue,
            None => Err(unknown_option(drivers, driver, strange, problems)),
        };
        match result {
            Ok(value) => {
                values.insert(entry.key.clone(), value);
            }
            Err(problem) => {
                fine = false;
                problems.push(problem);
            }
        }
    }
    fine
}

fn read_option(spec: &OptionSpec, entry: &Entry) -> Result<serde_json::Value, Problem> {
    let node = &entry.node;
    let value = match (&node.value, spec.kind) {
        // As it was written: `image: 12.10` keeps its zero.
        (Value::Scalar(Scalar { text, .. }), Kind::Text | Kind::Path | Kind::List)
            if matches!(node.noun(), "a number" | "a text") =>
        {
            serde_json::Value::from(text.as_str())
        }
        _ => node.to_json(),
    };
    // `config` is for machines that docker-machine made, and their records only.
    let of_record = value.get("config").is_some();
    if spec.secrecy == Secrecy::Secret && (!value.is_object() || of_record) {
        return Err(Problem::new(
            Code::SecretInFile,
            format!("`{}` is a secret and cannot stand in a fleet file", spec.key),
        )
        .at(node.at, "all who can read the file can read this")
        .help(format!(
            "say where it is: `{0}: {{ env: NAME }}`, `{0}: {{ file: PATH }}` or `{0}: {{ command: COMMAND }}`",
            spec.key
        ))
        .hide(&value));
    }
    let hide = |problem: Problem| if spec.secrecy == Secrecy::Secret { problem.hide(&value) } else { problem };
    options::read(spec, &value).map_err(|message| {
        let label = if node.is_null() { "there is no value".to_owned() } else { format!("this is {}", node.noun()) };
        hide(Problem::new(Code::BadOption, message).at(node.at, label).help(format!(
            "`{}`: {}",
            spec.key,
            reference::lower_first(&spec.help)
        )))
    })
}

fn unknown_option(
    drivers: &Drivers,
    driver: &dyn AnyDriver,
    strange: &Strange<'_>,
    problems: &mut Problems,
) -> Problem {
    let key = &strange.entry.key;
    let keys = || driver.options().iter().map(|spec| spec.key.as_str());
    let meant = problems.did_you_mean(key, keys().chain(strange.known.iter().copied()));
    let elsewhere: Vec<&str> =
        drivers.iter().filter(|d| d.options().iter().any(|spec| spec.key == *key)).map(AnyDriver::name).collect();
    let otherwise = if reference::is_of_engine(key) {
        format!("write it under `engine`: `engine: {{ {key}: … }}`")
    } else if elsewhere.is_empty() || meant.is_some() {
        format!("options of `{}` are {}", driver.name(), suggest::list(keys()))
    } else {
        format!("it is an option of driver {}", suggest::list(elsewhere))
    };
    Problem::new(Code::UnknownOption, format!("driver `{}` has no option `{key}`", driver.name()))
        .at(strange.entry.key_at, "not known")
        .suggest(meant, otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str) -> Result<serde_json::Value, Problem> {
        let mut problems = Problems::default();
        let node = super::super::parse::parse(0, &format!("token: {value}"), &mut problems).unwrap();
        let spec = OptionSpec::new("token", "x-token", Kind::Text, "Token of the API").env("X_TOKEN");
        read_option(&spec.required().secret().recorded(), &node.entries()[0])
    }

    #[test]
    fn a_secret_is_a_reference_and_never_a_text() {
        for reference in ["{ env: A_TOKEN }", "{ file: ~/.token }", "{ command: pass token }"] {
            assert!(token(reference).unwrap().is_object(), "{reference}");
        }
        for (plain, code) in [
            ("hunter2", Code::SecretInFile),
            ("[hunter2]", Code::SecretInFile),
            ("{ value: hunter2 }", Code::BadOption),
            ("{ env: hunter2, file: x }", Code::BadOption),
            ("{ env: [hunter2] }", Code::BadOption),
        ] {
            let problem = token(plain).unwrap_err();
            assert_eq!(problem.code, code, "{plain}");
            assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
        }
    }
}
