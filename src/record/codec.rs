//! A machine's record as a KDL document, `record.kdl`.
//!
//! The format only grows: a reader keeps nodes it does not know and writes them back, so an older
//! program does not lose what a newer one noted. What would be misread by an older program gets a new
//! number in `record`. No secret is ever in it.

use super::{
    CertificateRecord, EngineRecord, Instance, MachineRecord, Part, Pending, SshEndpoint, codec_hooks,
    nodes::{Node, Reader, parse},
    text::Writer,
};
use crate::{
    clock::Timestamp,
    engine::{EngineSpec, Variable},
    name::{FleetName, MachineName},
    secret::Secret,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub use super::text::CodecError;

/// The version of the format this program writes and the highest it reads.
pub const VERSION: u32 = 1;

/// The config.json that belongs to a record, by content.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConfigDigest {
    /// SHA-256 in hex of the config.json we wrote; `None`: we wrote none.
    pub current: Option<String>,
    /// SHA-256 in hex of the one it replaces, while that write is not known to have ended.
    pub replaces: Option<String>,
}

impl ConfigDigest {
    /// Whether a config.json is one that we wrote, or that we were about to replace when we were stopped.
    #[must_use]
    pub fn covers(&self, sha256: &str) -> bool {
        [&self.current, &self.replaces].into_iter().flatten().any(|digest| digest == sha256)
    }
}

/// Nodes that a newer program wrote, by the block they are in.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Unknown(BTreeMap<&'static str, Vec<String>>);

/// All that a `record.kdl` holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Document {
    /// The record.
    pub record: MachineRecord,
    /// The config.json beside it.
    pub config: ConfigDigest,
    /// What we do not know and keep.
    pub unknown: Unknown,
}

/// The text of a record. `unknown` is what [`decode`] found in the text that this one replaces.
#[must_use]
pub fn encode(record: &MachineRecord, config: &ConfigDigest, unknown: &Unknown) -> String {
    let MachineRecord {
        name,
        fleet,
        driver,
        options,
        depends_on,
        protect,
        instance,
        certificate,
        engine,
        pending,
        hooks,
    } = record;
    let mut w = Writer::default();
    w.raw("// What `machine` knows about one machine. Written by the program; edit it only while nothing runs.");
    w.value("record", &Value::from(VERSION));
    w.text("name", name.as_str());
    if let Some(fleet) = fleet {
        w.text("fleet", fleet.as_str());
    }
    w.text("driver", driver);
    if *protect {
        w.value("protect", &Value::Bool(true));
    }
    if !depends_on.is_empty() {
        w.texts("depends-on", depends_on.iter().map(MachineName::as_str));
    }
    if !options.is_empty() {
        w.children("options", |w| options.iter().for_each(|(key, value)| w.value(key, value)));
    }
    if !pending.is_empty() {
        w.children("pending", |w| pending.iter().for_each(|(part, what)| w.text(&word(part), &word(what))));
    }
    if let Some(instance) = instance {
        w.children("instance", |w| encode_instance(w, instance, unknown));
    }
    if let Some(certificate) = certificate {
        w.children("certificate", |w| encode_certificate(w, certificate, unknown));
    }
    if let Some(engine) = engine {
        w.children("engine", |w| encode_engine(w, engine, unknown));
    }
    if !hooks.is_empty() {
        w.children("hooks", |w| codec_hooks::encode(w, hooks, || unknown.of("hooks")));
    }
    let ConfigDigest { current, replaces } = config;
    if current.is_some() || replaces.is_some() {
        w.children("config-json", |w| {
            optional(w, "sha256", current.as_ref());
            optional(w, "replaces", replaces.as_ref());
            unknown.write(w, "config-json");
        });
    }
    unknown.write(&mut w, "");
    w.finish()
}

fn encode_instance(w: &mut Writer, instance: &Instance, unknown: &Unknown) {
    let Instance { id, address, ssh, url, host_keys, jump_keys } = instance;
    w.text("id", id);
    w.text("address", address);
    optional(w, "url", url.as_ref());
    if let Some(SshEndpoint { host, port, user, key, passphrase, jump }) = ssh {
        w.children("ssh", |w| {
            w.text("host", host);
            w.value("port", &Value::from(*port));
            w.text("user", user);
            optional(w, "key", key.as_ref());
            if let Some(passphrase) = passphrase {
                w.value("passphrase", &passphrase.to_json());
            }
            optional(w, "jump", jump.as_ref());
            unknown.write(w, "ssh");
        });
    }
    for key in host_keys {
        w.text("host-key", key);
    }
    for key in jump_keys {
        w.text("jump-key", key);
    }
    unknown.write(w, "instance");
}

fn encode_certificate(w: &mut Writer, certificate: &CertificateRecord, unknown: &Unknown) {
    let CertificateRecord { sha256, ca_sha256, names, not_after } = certificate;
    w.text("sha256", sha256);
    w.text("ca-sha256", ca_sha256);
    w.texts("names", names);
    w.text("not-after", &not_after.to_string());
    unknown.write(w, "certificate");
}

fn encode_engine(w: &mut Writer, engine: &EngineRecord, unknown: &Unknown) {
    let EngineRecord { spec, version, provisioner, os } = engine;
    w.text("version", version);
    w.text("provisioner", provisioner);
    w.text("os", os);
    w.children("spec", |w| {
        let EngineSpec {
            version,
            source,
            mirror,
            install_url,
            api,
            port,
            labels,
            registry_mirrors,
            insecure_registries,
            env,
            daemon,
            open_firewall,
        } = spec;
        optional(w, "version", version.as_ref().map(crate::engine::VersionPin::as_str));
        w.text("source", &word(source));
        optional(w, "mirror", mirror.as_ref());
        optional(w, "install-url", install_url.as_ref());
        w.text("api", &word(api));
        w.value("port", &Value::from(*port));
        w.value("open-firewall", &Value::Bool(*open_firewall));
        if !labels.is_empty() {
            w.children("labels", |w| labels.iter().for_each(|(key, value)| w.text(key, value)));
        }
        if !registry_mirrors.is_empty() {
            w.texts("registry-mirrors", registry_mirrors);
        }
        if !insecure_registries.is_empty() {
            w.texts("insecure-registries", insecure_registries);
        }
        if !env.is_empty() {
            w.children("env", |w| {
                for (name, variable) in env {
                    match variable {
                        Variable::Plain(value) => w.text(name, value),
                        Variable::Secret(at) => w.value(name, &at.secret.to_json()),
                    }
                }
            });
        }
        if !daemon.is_empty() {
            w.children("daemon", |w| daemon.iter().for_each(|(key, value)| w.value(key, value)));
        }
        unknown.write(w, "spec");
    });
    unknown.write(w, "engine");
}

fn optional(w: &mut Writer, name: &str, text: Option<impl AsRef<str>>) {
    if let Some(text) = text {
        w.text(name, text.as_ref());
    }
}

/// How serde writes a unit variant.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        other => unreachable!("a unit variant is a word, not {other:?}"),
    }
}

impl Unknown {
    /// What is kept of a block.
    fn of(&self, block: &'static str) -> impl Iterator<Item = &str> {
        self.0.get(block).into_iter().flatten().map(String::as_str)
    }

    fn write(&self, w: &mut Writer, block: &'static str) {
        for node in self.0.get(block).into_iter().flatten() {
            w.raw(node);
        }
    }
}

/// Reads the text of a record.
///
/// # Errors
/// Says where and why when it is not one, or is of a newer format than this program knows.
pub fn decode(text: &str) -> Result<Document, CodecError> {
    let nodes = parse(text)?;
    let r = Reader::new(text);
    let mut unknown = Unknown::default();
    let mut config = ConfigDigest::default();
    let mut version = None;
    let (mut name, mut fleet, mut driver) = (None, None, None);
    let (mut options, mut depends_on, mut pending, mut protect) = (None, None, None, None);
    let (mut instance, mut certificate, mut engine, mut digest, mut hooks) = (None, None, None, None, None);
    for node in &nodes {
        match node.name() {
            "record" => {
                let number: u32 = r.number(node)?;
                if number > VERSION {
                    let why = format!("the record is of format {number}, this program reads up to {VERSION}");
                    return Err(r.err(node, why));
                }
                set(&r, node, &mut version, number)?;
            }
            "name" => set(&r, node, &mut name, r.checked::<MachineName>(node)?)?,
            "fleet" => set(&r, node, &mut fleet, r.checked::<FleetName>(node)?)?,
            "driver" => set(&r, node, &mut driver, r.text(node)?)?,
            "protect" => set(&r, node, &mut protect, r.flag(node)?)?,
            "depends-on" => set(&r, node, &mut depends_on, decode_names(&r, node)?)?,
            "options" => set(&r, node, &mut options, r.map(node)?.into_iter().collect())?,
            "pending" => set(&r, node, &mut pending, decode_pending(&r, node)?)?,
            "instance" => set(&r, node, &mut instance, decode_instance(&r, node, &mut unknown)?)?,
            "certificate" => set(&r, node, &mut certificate, decode_certificate(&r, node, &mut unknown)?)?,
            "engine" => set(&r, node, &mut engine, decode_engine(&r, node, &mut unknown)?)?,
            "hooks" => set(&r, node, &mut hooks, codec_hooks::decode(&r, node, |n| unknown.keep("hooks", n))?)?,
            "config-json" => {
                set(&r, node, &mut digest, ())?;
                config = decode_config(&r, node, &mut unknown)?;
            }
            _ => unknown.keep("", node),
        }
    }
    let missing = |what: &str| CodecError::at(text, 0, format!("`{what}` is missing"));
    version.ok_or_else(|| missing("record"))?;
    let record = MachineRecord {
        name: name.ok_or_else(|| missing("name"))?,
        fleet,
        driver: driver.ok_or_else(|| missing("driver"))?,
        options: options.unwrap_or_default(),
        depends_on: depends_on.unwrap_or_default(),
        protect: protect.unwrap_or_default(),
        instance,
        certificate,
        engine,
        pending: pending.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
    };
    Ok(Document { record, config, unknown })
}

impl Unknown {
    fn keep(&mut self, block: &'static str, node: &Node<'_>) {
        self.0.entry(block).or_default().push(node.raw().to_owned());
    }
}

/// Fills a field, once.
pub(super) fn set<T>(r: &Reader<'_>, node: &Node<'_>, field: &mut Option<T>, value: T) -> Result<(), CodecError> {
    if field.replace(value).is_some() {
        return Err(r.err(node, format!("`{}` is there twice", node.name())));
    }
    Ok(())
}

pub(super) fn need<T>(r: &Reader<'_>, node: &Node<'_>, field: Option<T>, what: &str) -> Result<T, CodecError> {
    field.ok_or_else(|| r.err(node, format!("`{}` lacks `{what}`", node.name())))
}

/// Reads what [`word`] wrote.
pub(super) fn unword<T: DeserializeOwned>(r: &Reader<'_>, node: &Node<'_>, word: String) -> Result<T, CodecError> {
    serde_json::from_value(Value::String(word)).map_err(|e| r.err(node, e.to_string()))
}

fn decode_names(r: &Reader<'_>, node: &Node<'_>) -> Result<BTreeSet<MachineName>, CodecError> {
    r.texts(node)?.into_iter().map(|t| MachineName::new(t).map_err(|e| r.err(node, e.to_string()))).collect()
}

fn decode_pending(r: &Reader<'_>, node: &Node<'_>) -> Result<BTreeMap<Part, Pending>, CodecError> {
    let mut pending = BTreeMap::new();
    for child in node.inside() {
        let part = unword(r, child, child.name().to_owned())?;
        if pending.insert(part, unword(r, child, r.text(child)?)?).is_some() {
            return Err(r.err(child, format!("`{part}` is there twice")));
        }
    }
    Ok(pending)
}

fn decode_config(r: &Reader<'_>, node: &Node<'_>, unknown: &mut Unknown) -> Result<ConfigDigest, CodecError> {
    let mut digest = ConfigDigest::default();
    for child in node.inside() {
        match child.name() {
            "sha256" => set(r, child, &mut digest.current, r.text(child)?)?,
            "replaces" => set(r, child, &mut digest.replaces, r.text(child)?)?,
            _ => unknown.keep("config-json", child),
        }
    }
    Ok(digest)
}

fn decode_instance(r: &Reader<'_>, node: &Node<'_>, unknown: &mut Unknown) -> Result<Instance, CodecError> {
    let (mut id, mut address, mut url, mut ssh) = (None, None, None, None);
    let (mut host_keys, mut jump_keys) = (Vec::new(), Vec::new());
    for child in node.inside() {
        match child.name() {
            "id" => set(r, child, &mut id, r.text(child)?)?,
            "address" => set(r, child, &mut address, r.text(child)?)?,
            "url" => set(r, child, &mut url, r.text(child)?)?,
            "ssh" => set(r, child, &mut ssh, decode_ssh(r, child, unknown)?)?,
            "host-key" => host_keys.push(r.text(child)?),
            "jump-key" => jump_keys.push(r.text(child)?),
            _ => unknown.keep("instance", child),
        }
    }
    let (id, address) = (need(r, node, id, "id")?, need(r, node, address, "address")?);
    Ok(Instance { id, address, ssh, url, host_keys, jump_keys })
}

fn decode_ssh(r: &Reader<'_>, node: &Node<'_>, unknown: &mut Unknown) -> Result<SshEndpoint, CodecError> {
    let (mut host, mut port, mut user, mut key, mut passphrase, mut jump) = (None, None, None, None, None, None);
    for child in node.inside() {
        match child.name() {
            "host" => set(r, child, &mut host, r.text(child)?)?,
            "port" => set(r, child, &mut port, r.number(child)?)?,
            "user" => set(r, child, &mut user, r.text(child)?)?,
            "key" => set(r, child, &mut key, r.text(child)?)?,
            "passphrase" => {
                let secret = Secret::from_json(&r.value(child)?).map_err(|why| r.err(child, why))?;
                set(r, child, &mut passphrase, secret)?;
            }
            "jump" => set(r, child, &mut jump, r.text(child)?)?,
            _ => unknown.keep("ssh", child),
        }
    }
    Ok(SshEndpoint {
        host: need(r, node, host, "host")?,
        port: need(r, node, port, "port")?,
        user: need(r, node, user, "user")?,
        key,
        passphrase,
        jump,
    })
}

fn decode_certificate(r: &Reader<'_>, node: &Node<'_>, unknown: &mut Unknown) -> Result<CertificateRecord, CodecError> {
    let (mut sha256, mut ca_sha256, mut names, mut not_after) = (None, None, None, None);
    for child in node.inside() {
        match child.name() {
            "sha256" => set(r, child, &mut sha256, r.text(child)?)?,
            "ca-sha256" => set(r, child, &mut ca_sha256, r.text(child)?)?,
            "names" => set(r, child, &mut names, r.texts(child)?.into_iter().collect())?,
            "not-after" => set(r, child, &mut not_after, r.checked::<Timestamp>(child)?)?,
            _ => unknown.keep("certificate", child),
        }
    }
    Ok(CertificateRecord {
        sha256: need(r, node, sha256, "sha256")?,
        ca_sha256: need(r, node, ca_sha256, "ca-sha256")?,
        names: need(r, node, names, "names")?,
        not_after: need(r, node, not_after, "not-after")?,
    })
}

fn decode_engine(r: &Reader<'_>, node: &Node<'_>, unknown: &mut Unknown) -> Result<EngineRecord, CodecError> {
    let (mut version, mut provisioner, mut os, mut spec) = (None, None, None, None);
    for child in node.inside() {
        match child.name() {
            "version" => set(r, child, &mut version, r.text(child)?)?,
            "provisioner" => set(r, child, &mut provisioner, r.text(child)?)?,
            "os" => set(r, child, &mut os, r.text(child)?)?,
            "spec" => set(r, child, &mut spec, decode_spec(r, child, unknown)?)?,
            _ => unknown.keep("engine", child),
        }
    }
    Ok(EngineRecord {
        spec: need(r, node, spec, "spec")?,
        version: need(r, node, version, "version")?,
        provisioner: need(r, node, provisioner, "provisioner")?,
        os: need(r, node, os, "os")?,
    })
}

fn decode_spec(r: &Reader<'_>, node: &Node<'_>, unknown: &mut Unknown) -> Result<EngineSpec, CodecError> {
    let (mut version, mut source, mut mirror, mut api, mut port) = (None, None, None, None, None);
    let (mut labels, mut registry_mirrors, mut insecure_registries) = (None, None, None);
    let (mut install_url, mut env, mut daemon, mut open_firewall) = (None, None, None, None);
    for child in node.inside() {
        match child.name() {
            "version" => set(r, child, &mut version, r.checked(child)?)?,
            "source" => set(r, child, &mut source, unword(r, child, r.text(child)?)?)?,
            "mirror" => set(r, child, &mut mirror, r.text(child)?)?,
            "install-url" => set(r, child, &mut install_url, r.text(child)?)?,
            "api" => set(r, child, &mut api, unword(r, child, r.text(child)?)?)?,
            "port" => set(r, child, &mut port, r.number(child)?)?,
            "open-firewall" => set(r, child, &mut open_firewall, r.flag(child)?)?,
            "labels" => set(r, child, &mut labels, decode_texts(r, child)?)?,
            "registry-mirrors" => set(r, child, &mut registry_mirrors, r.texts(child)?)?,
            "insecure-registries" => set(r, child, &mut insecure_registries, r.texts(child)?)?,
            "env" => set(r, child, &mut env, decode_env(r, child)?)?,
            "daemon" => set(r, child, &mut daemon, r.map(child)?)?,
            _ => unknown.keep("spec", child),
        }
    }
    Ok(EngineSpec {
        version,
        source: need(r, node, source, "source")?,
        mirror,
        install_url,
        api: need(r, node, api, "api")?,
        port: need(r, node, port, "port")?,
        labels: labels.unwrap_or_default(),
        registry_mirrors: registry_mirrors.unwrap_or_default(),
        insecure_registries: insecure_registries.unwrap_or_default(),
        env: env.unwrap_or_default(),
        daemon: daemon.unwrap_or_default(),
        open_firewall: open_firewall.unwrap_or_default(),
    })
}

fn decode_env(r: &Reader<'_>, node: &Node<'_>) -> Result<BTreeMap<String, Variable>, CodecError> {
    let mut env = BTreeMap::new();
    for child in node.inside() {
        let variable = match r.value(child)? {
            map @ Value::Object(_) => Secret::from_json(&map).map_err(|why| r.err(child, why))?.into(),
            _ => r.text(child)?.into(),
        };
        if env.insert(child.name().to_owned(), variable).is_some() {
            return Err(r.err(child, format!("`{}` is there twice", child.name())));
        }
    }
    Ok(env)
}

fn decode_texts(r: &Reader<'_>, node: &Node<'_>) -> Result<BTreeMap<String, String>, CodecError> {
    let mut labels = BTreeMap::new();
    for child in node.inside() {
        if labels.insert(child.name().to_owned(), r.text(child)?).is_some() {
            return Err(r.err(child, format!("`{}` is there twice", child.name())));
        }
    }
    Ok(labels)
}

#[cfg(test)]
#[path = "codec_tests.rs"]
pub(crate) mod tests;
