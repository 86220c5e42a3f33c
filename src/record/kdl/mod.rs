//! A machine's record as earlier versions wrote it, in `record.kdl`, and as their exports have it. It is only read: the
//! first write makes a `record.json` of it.

mod hooks;
mod reader;

use super::{
    CertificateRecord, EngineRecord, Instance, MachineRecord, Part, Pending, SshEndpoint, Uid,
    codec::{Beside, CodecError, Document},
};
use crate::{
    clock::Timestamp,
    engine::{EngineSpec, Variable},
    name::{FleetName, MachineName},
    secret::Secret,
};
use reader::{Node, Reader, parse};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The format of the last program that wrote it.
const VERSION: u32 = 1;

/// What lies in the place of a `record.kdl` once there is a `record.json`. Earlier versions read only `record.kdl`: they
/// refuse this one, so they write no record that lacks what `record.json` holds.
pub const STUB: &str =
    "record 2\n// The record is in record.json; this keeps earlier versions of `machine` from writing one beside it.\n";

/// Whether a `record.kdl` only says that the record is elsewhere, in this version's words or in a later one's.
#[must_use]
pub fn is_stub(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let mut lines = text.lines().filter(|line| !line.starts_with("//") && !line.trim().is_empty());
    let number = lines.next().and_then(|line| line.strip_prefix("record ")?.trim().parse::<u32>().ok());
    number.is_some_and(|number| number > VERSION) && lines.next().is_none()
}

/// Reads the text of a record.
///
/// # Errors
/// Says where and why when it is not one, or is of a newer format than this program knows.
pub fn decode(text: &str) -> Result<Document, CodecError> {
    let nodes = parse(text)?;
    let r = Reader::new(text);
    let mut beside = Beside::default();
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
            "instance" => set(&r, node, &mut instance, decode_instance(&r, node)?)?,
            "certificate" => set(&r, node, &mut certificate, decode_certificate(&r, node)?)?,
            "engine" => set(&r, node, &mut engine, decode_engine(&r, node)?)?,
            "hooks" => set(&r, node, &mut hooks, hooks::decode(&r, node)?)?,
            "config-json" => {
                set(&r, node, &mut digest, ())?;
                beside = decode_config(&r, node)?;
            }
            // No version wrote others.
            _ => {}
        }
    }
    let missing = |what: &str| CodecError::at(text, 0, format!("`{what}` is missing"));
    version.ok_or_else(|| missing("record"))?;
    let name: MachineName = name.ok_or_else(|| missing("name"))?;
    let driver: String = driver.ok_or_else(|| missing("driver"))?;
    let record = MachineRecord {
        uid: Uid::derived(&name, &driver, instance.as_ref()),
        name,
        fleet,
        driver,
        place: None,
        options: options.unwrap_or_default(),
        depends_on: depends_on.unwrap_or_default(),
        protect: protect.unwrap_or_default(),
        instance,
        certificate,
        engine,
        pending: pending.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
    };
    Ok(Document { record, beside })
}

/// Fills a field, once.
fn set<T>(r: &Reader<'_>, node: &Node, field: &mut Option<T>, value: T) -> Result<(), CodecError> {
    if field.replace(value).is_some() {
        return Err(r.err(node, format!("`{}` is there twice", node.name())));
    }
    Ok(())
}

fn need<T>(r: &Reader<'_>, node: &Node, field: Option<T>, what: &str) -> Result<T, CodecError> {
    field.ok_or_else(|| r.err(node, format!("`{}` lacks `{what}`", node.name())))
}

/// A word for a unit variant, as serde writes it.
fn unword<T: DeserializeOwned>(r: &Reader<'_>, node: &Node, word: String) -> Result<T, CodecError> {
    serde_json::from_value(Value::String(word)).map_err(|e| r.err(node, e.to_string()))
}

fn decode_names(r: &Reader<'_>, node: &Node) -> Result<BTreeSet<MachineName>, CodecError> {
    r.texts(node)?.into_iter().map(|t| MachineName::new(t).map_err(|e| r.err(node, e.to_string()))).collect()
}

fn decode_pending(r: &Reader<'_>, node: &Node) -> Result<BTreeMap<Part, Pending>, CodecError> {
    let mut pending = BTreeMap::new();
    for child in node.inside() {
        let part = unword(r, child, child.name().to_owned())?;
        if pending.insert(part, unword(r, child, r.text(child)?)?).is_some() {
            return Err(r.err(child, format!("`{part}` is there twice")));
        }
    }
    Ok(pending)
}

fn decode_config(r: &Reader<'_>, node: &Node) -> Result<Beside, CodecError> {
    let mut beside = Beside::default();
    for child in node.inside() {
        match child.name() {
            "sha256" => set(r, child, &mut beside.config, r.text(child)?)?,
            "replaces" => set(r, child, &mut beside.replaces, r.text(child)?)?,
            _ => {}
        }
    }
    Ok(beside)
}

fn decode_instance(r: &Reader<'_>, node: &Node) -> Result<Instance, CodecError> {
    let (mut id, mut address, mut url, mut ssh) = (None, None, None, None);
    let (mut host_keys, mut jump_keys) = (Vec::new(), Vec::new());
    for child in node.inside() {
        match child.name() {
            "id" => set(r, child, &mut id, r.text(child)?)?,
            "address" => set(r, child, &mut address, r.text(child)?)?,
            "url" => set(r, child, &mut url, r.text(child)?)?,
            "ssh" => set(r, child, &mut ssh, decode_ssh(r, child)?)?,
            "host-key" => host_keys.push(r.text(child)?),
            "jump-key" => jump_keys.push(r.text(child)?),
            _ => {}
        }
    }
    let (id, address) = (need(r, node, id, "id")?, need(r, node, address, "address")?);
    Ok(Instance { id, address, ssh, url, host_keys, jump_keys })
}

fn decode_ssh(r: &Reader<'_>, node: &Node) -> Result<SshEndpoint, CodecError> {
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
            _ => {}
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

fn decode_certificate(r: &Reader<'_>, node: &Node) -> Result<CertificateRecord, CodecError> {
    let (mut sha256, mut ca_sha256, mut names, mut not_after) = (None, None, None, None);
    for child in node.inside() {
        match child.name() {
            "sha256" => set(r, child, &mut sha256, r.text(child)?)?,
            "ca-sha256" => set(r, child, &mut ca_sha256, r.text(child)?)?,
            "names" => set(r, child, &mut names, r.texts(child)?.into_iter().collect())?,
            "not-after" => set(r, child, &mut not_after, r.checked::<Timestamp>(child)?)?,
            _ => {}
        }
    }
    Ok(CertificateRecord {
        sha256: need(r, node, sha256, "sha256")?,
        ca_sha256: need(r, node, ca_sha256, "ca-sha256")?,
        names: need(r, node, names, "names")?,
        not_after: need(r, node, not_after, "not-after")?,
    })
}

fn decode_engine(r: &Reader<'_>, node: &Node) -> Result<EngineRecord, CodecError> {
    let (mut version, mut provisioner, mut os, mut spec) = (None, None, None, None);
    for child in node.inside() {
        match child.name() {
            "version" => set(r, child, &mut version, r.text(child)?)?,
            "provisioner" => set(r, child, &mut provisioner, r.text(child)?)?,
            "os" => set(r, child, &mut os, r.text(child)?)?,
            "spec" => set(r, child, &mut spec, decode_spec(r, child)?)?,
            _ => {}
        }
    }
    Ok(EngineRecord {
        spec: need(r, node, spec, "spec")?,
        version: need(r, node, version, "version")?,
        provisioner: need(r, node, provisioner, "provisioner")?,
        os: need(r, node, os, "os")?,
    })
}

fn decode_spec(r: &Reader<'_>, node: &Node) -> Result<EngineSpec, CodecError> {
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
            _ => {}
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

fn decode_env(r: &Reader<'_>, node: &Node) -> Result<BTreeMap<String, Variable>, CodecError> {
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

fn decode_texts(r: &Reader<'_>, node: &Node) -> Result<BTreeMap<String, String>, CodecError> {
    let mut labels = BTreeMap::new();
    for child in node.inside() {
        if labels.insert(child.name().to_owned(), r.text(child)?).is_some() {
            return Err(r.err(child, format!("`{}` is there twice", child.name())));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
