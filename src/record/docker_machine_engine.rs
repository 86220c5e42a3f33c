//! What docker-machine can say about an engine: `EngineOptions` of its config.json and the `--engine-*` flags of
//! its `create`, as an [`EngineSpec`] and back.
//!
//! docker-machine puts flags and variables as they are into files on the host. Here they mean something: a flag is
//! a key of daemon.json. What a document says is kept as it is spelled wherever it means the same.

use super::{Object, get, put, text_of, texts_of};
use crate::engine::{Api, EngineSpec, Flag, Source, env, flag};
use serde_json::{Map, Value};

/// Where docker-machine takes an engine from unless told otherwise.
pub const DEFAULT_INSTALL_URL: &str = "https://get.docker.com";
/// The word for "install nothing" (a fork's).
const NONE: &str = "none";
/// The label docker-machine adds to every engine.
const PROVIDER: &str = "provider";
/// Keys that follow from how a machine is reached.
const RESERVED: &[&str] = &["hosts", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey", "validate", "config-file"];

/// The engine's options, in docker-machine's own words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EngineOptions {
    /// Flags of dockerd without their `--` (`--engine-opt`).
    pub flags: Vec<String>,
    /// `NAME=value` each (`--engine-env`).
    pub env: Vec<String>,
    /// Registries that may be spoken to without TLS (`--engine-insecure-registry`).
    pub insecure: Vec<String>,
    /// Mirrors of the public registry (`--engine-registry-mirror`).
    pub mirrors: Vec<String>,
    /// `name=value` each (`--engine-label`).
    pub labels: Vec<String>,
    /// Empty: dockerd chooses (`--engine-storage-driver`).
    pub storage: String,
    /// Where the script that installs an engine is; empty is the default (`--engine-install-url`).
    pub install_url: String,
}

impl EngineOptions {
    /// Those of the object `EngineOptions` of a config.json.
    #[must_use]
    pub fn from_document(options: &Object) -> Self {
        Self {
            flags: texts_of(options, "ArbitraryFlags"),
            env: texts_of(options, "Env"),
            insecure: texts_of(options, "InsecureRegistry"),
            mirrors: texts_of(options, "RegistryMirror"),
            labels: texts_of(options, "Labels"),
            storage: text_of(options, "StorageDriver").to_owned(),
            install_url: text_of(options, "InstallURL").to_owned(),
        }
    }

    /// Those that say what a spec says, as far as docker-machine can say it. `providers` are names of the driver:
    /// a label that docker-machine would add itself is not stored.
    #[must_use]
    pub fn from_spec(spec: &EngineSpec, providers: &[&str]) -> Self {
        let stored = |(name, value): &(&String, &String)| *name != PROVIDER || !providers.contains(&value.as_str());
        let storage = spec.daemon.get("storage-driver").and_then(Value::as_str);
        let others = spec.daemon.iter().filter(|(key, _)| *key != "storage-driver" || storage.is_none());
        Self {
            flags: others.filter_map(|(key, value)| flag::of_key(key, value)).flatten().collect(),
            // docker-machine has no word for a secret.
            env: spec.plain_env().iter().map(|(name, value)| format!("{name}={value}")).collect(),
            insecure: spec.insecure_registries.clone(),
            mirrors: spec.registry_mirrors.clone(),
            labels: spec.labels.iter().filter(stored).map(|(name, value)| format!("{name}={value}")).collect(),
            storage: storage.unwrap_or_default().to_owned(),
            install_url: match spec.source {
                Source::Script => spec.install_url.clone().unwrap_or_default(),
                Source::Present => NONE.to_owned(),
                Source::DockerCe | Source::Distro => DEFAULT_INSTALL_URL.to_owned(),
            },
        }
    }

    /// The engine they describe, listening on `port`. With `provider` it has the label that docker-machine gives
    /// to engines of that driver.
    ///
    /// # Errors
    /// Everything that cannot be, one text each.
    pub fn to_spec(&self, port: u16, provider: Option<&str>) -> Result<EngineSpec, Vec<String>> {
        let problems = self.read(port).1;
        if problems.is_empty() { Ok(self.as_found(port, provider)) } else { Err(problems) }
    }

    /// As [`Self::to_spec`] for a machine that is there: what cannot be is left out.
    #[must_use]
    pub fn as_found(&self, port: u16, provider: Option<&str>) -> EngineSpec {
        let mut spec = self.read(port).0;
        if let Some(provider) = provider {
            spec.labels.entry(PROVIDER.to_owned()).or_insert_with(|| provider.to_owned());
        }
        spec
    }

    /// The spec, and what could not become part of it.
    fn read(&self, port: u16) -> (EngineSpec, Vec<String>) {
        let mut spec = EngineSpec { port, api: Api::Tls, ..EngineSpec::default() };
        let mut problems = Vec::new();
        (spec.source, spec.install_url) = source(&self.install_url);
        if spec.install_url.as_ref().is_some_and(|url| !is_url(url)) {
            let url = env::without_passwords(&self.install_url);
            problems.push(format!("`--engine-install-url {url}`: this is not a URL of http or https"));
            (spec.source, spec.install_url) = (Source::default(), None);
        }
        for label in &self.labels {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            if name.is_empty() || !label.contains('=') {
                problems.push(format!("`--engine-label {label}`: a label is written `name=value`"));
            }
            if !name.is_empty() {
                spec.labels.insert(name.to_owned(), value.to_owned());
            }
        }
        for variable in &self.env {
            let problem = match variable.split_once('=') {
                None => Some("a variable is written `NAME=value`".to_owned()),
                Some((name, value)) => env::problem(name, value).or_else(|| {
                    spec.env.insert(name.to_owned(), value.into());
                    None
                }),
            };
            let name = variable.split('=').next().unwrap_or_default();
            problems.extend(problem.map(|why| format!("`--engine-env {name}`: {why}")));
        }
        spec.insecure_registries.clone_from(&self.insecure);
        spec.registry_mirrors.clone_from(&self.mirrors);
        for option in &self.flags {
            if let Err(why) = read_flags(option, &mut spec) {
                problems.push(format!("`--engine-opt {}`: {why}", env::without_passwords(option)));
            }
        }
        if !self.storage.is_empty() {
            spec.daemon.insert("storage-driver".to_owned(), Value::from(self.storage.as_str()));
        }
        (spec, problems)
    }

    /// Writes them into an object `EngineOptions`. Keys that mean the same already stay as they are, and so do
    /// entries of lists, in their order.
    pub fn write(&self, options: &mut Object) {
        let found = Self::from_document(options);
        if found.read(0).0 == self.read(0).0 {
            return;
        }
        let mut list = |key: &str, pick: Pick, meaning: fn(&str) -> Meaning| {
            if let Some(list) = settled(&found, self, pick, meaning) {
                put(options, key, list.into());
            }
        };
        list("ArbitraryFlags", |o| &mut o.flags, of_flags);
        list("Env", |o| &mut o.env, of_variable);
        list("InsecureRegistry", |o| &mut o.insecure, of_itself);
        list("Labels", |o| &mut o.labels, of_label);
        list("RegistryMirror", |o| &mut o.mirrors, of_itself);
        if found.storage != self.storage {
            put(options, "StorageDriver", Value::from(self.storage.as_str()));
        }
        if source(&found.install_url) != source(&self.install_url) || get(options, "InstallURL").is_none() {
            put(options, "InstallURL", Value::from(self.install_url.as_str()));
        }
    }
}

/// What one entry of a list says; nothing when it says nothing that can be understood.
type Meaning = Vec<(String, String)>;

fn of_itself(entry: &str) -> Meaning {
    vec![(entry.to_owned(), String::new())]
}

fn of_variable(variable: &str) -> Meaning {
    let pair = variable.split_once('=').filter(|(name, value)| env::problem(name, value).is_none());
    pair.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn of_label(label: &str) -> Meaning {
    let (name, value) = label.split_once('=').unwrap_or((label, ""));
    if name.is_empty() { Vec::new() } else { vec![(name.to_owned(), value.to_owned())] }
}

fn of_flags(option: &str) -> Meaning {
    let mut keys = Map::new();
    let understood = flags(option).iter().all(|flag| flag.set(&mut keys).is_ok());
    let said = keys.into_iter().map(|(key, value)| (key, value.to_string()));
    if understood { said.collect() } else { Vec::new() }
}

/// One list of the options.
type Pick = fn(&mut EngineOptions) -> &mut Vec<String>;

/// A list with what is wanted, spelled and ordered as found where that means the same; `None` when it stays.
fn settled(
    found: &EngineOptions,
    wanted: &EngineOptions,
    pick: Pick,
    meaning: fn(&str) -> Meaning,
) -> Option<Vec<String>> {
    let (found, wanted) = (pick(&mut found.clone()).clone(), pick(&mut wanted.clone()).clone());
    let says = |list: &[String]| {
        let mut alone = EngineOptions::default();
        pick(&mut alone).extend_from_slice(list);
        alone.as_found(0, None)
    };
    if says(&found) == says(&wanted) {
        return None;
    }
    // What is not understood is not removed.
    let strange = |entry: &&String| meaning(entry).is_empty();
    let want: Vec<Meaning> = wanted.iter().map(|entry| meaning(entry)).collect();
    let mut list: Vec<String> =
        found.iter().filter(|entry| strange(entry) || want.contains(&meaning(entry))).cloned().collect();
    let have: Vec<Meaning> = list.iter().map(|entry| meaning(entry)).collect();
    let missing =
        |entry: &&String| if strange(entry) { !found.contains(entry) } else { !have.contains(&meaning(entry)) };
    list.extend(wanted.iter().filter(missing).cloned());
    // The order may matter, as that of mirrors does; the one that is wanted is right.
    if says(&list) != says(&wanted) {
        list.clone_from(&wanted);
        list.extend(found.iter().filter(strange).filter(|entry| !wanted.contains(entry)).cloned());
    }
    Some(list)
}

/// Where an engine is taken from, by `InstallURL`.
fn source(url: &str) -> (Source, Option<String>) {
    match url.trim().trim_end_matches('/') {
        "" | DEFAULT_INSTALL_URL => (Source::Distro, None),
        none if none.eq_ignore_ascii_case(NONE) => (Source::Present, None),
        _ => (Source::Script, Some(url.trim().to_owned())),
    }
}

fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty()) && url.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`<>\\".contains(&b))
}

/// One entry may be several flags: it is put on a command line as it is.
fn flags(option: &str) -> Vec<Flag> {
    let option = option.trim().trim_start_matches("--");
    Flag::of(&format!("dockerd --{option}"))
}

fn read_flags(option: &str, spec: &mut EngineSpec) -> Result<(), String> {
    for flag in flags(option) {
        let key = flag.key().to_owned();
        if RESERVED.contains(&key.as_str()) {
            return Err(format!("`{}` follows from how the machine is reached", flag.name));
        }
        let mut keys = Map::new();
        match key.as_str() {
            "labels" | "insecure-registries" | "registry-mirrors" => {
                flag.set(&mut keys)?;
                match (key.as_str(), flag.value.split_once('=')) {
                    ("labels", Some((name, value))) if !name.is_empty() => {
                        spec.labels.insert(name.to_owned(), value.to_owned());
                    }
                    ("labels", _) => return Err("a label is written `name=value`".to_owned()),
                    ("insecure-registries", _) => spec.insecure_registries.push(flag.value),
                    _ => spec.registry_mirrors.push(flag.value),
                }
            }
            _ => flag.set(&mut spec.daemon)?,
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "docker_machine_engine_tests.rs"]
mod tests;
