//! What of a parcel is taken into a store, field by field. An archive may be of any source: it says where a machine is,
//! by which keys it is known, and how its engine was set up, and nothing else.
//!
//! Every struct is taken apart by name, so that a new field does not compile before it is decided here. What is kept has
//! one of a few shapes ([`super::word`]); what is not kept is left out with a warning if it could be missed, and
//! refused where no honest program writes it.

use super::{
    parcel::{CA_KEY, CERTIFICATES, KEY_NAME, Parcel},
    word::{base64, hex, host, label, plain, port, tls_name, url, user},
};
use crate::{
    clock::Timestamp,
    engine::{EngineSpec, Source, Variable, env, spec::TLS_PORT},
    excerpt,
    hook::HookRecord,
    name::MachineName,
    provisioner::PROVISIONERS,
    record::{
        CertificateRecord, EngineRecord, Instance, MachineRecord, OptionValues, SshEndpoint,
        docker_machine::DEFAULT_INSTALL_URL, host_port,
    },
    transport::route::{self, Jump},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// The driver of a host that is only known, and of an engine that is only known.
const HOST: &str = "generic";
const ENGINE: &str = "none";
/// Of what there are several, more than any machine has.
const MANY: usize = 1000;

/// A parcel as it is to lie in a store.
#[derive(Debug)]
pub struct Unpacked {
    /// What to record.
    pub record: MachineRecord,
    /// Further names that certificates of its engine are made for.
    pub names: BTreeSet<String>,
    /// Keys and certificates. Secret.
    pub files: BTreeMap<String, Zeroizing<String>>,
    /// The driver that made it, which controls it here no more.
    pub was: Option<String>,
    /// What was left out and what to do about it, each as a sentence without its end.
    pub left_out: Vec<String>,
}

impl Unpacked {
    /// Whether it has keys of its own, or an authority that vouches for it: then no other's are used for it.
    #[must_use]
    pub fn has_own_authority(&self) -> bool {
        let login = self.record.instance.as_ref().is_some_and(|instance| instance.ssh.is_some());
        login || self.files.contains_key("ca.pem")
    }
}

/// What is left out, and the folder that paths lead to.
struct Taker<'a> {
    dir: &'a str,
    left_out: Vec<String>,
}

/// The machine, called `name`, for the store at `root`.
pub(super) fn take(parcel: Parcel, name: &MachineName, root: &str) -> Result<Unpacked, String> {
    let Parcel { record, config, mut files } = parcel;
    let MachineRecord {
        // What it is called here is said here.
        name: _,
        // It is the same instance as there. A uid has one shape, and where it is equal to another's it proves nothing.
        uid,
        // Whose it is and what must be there before it is for a fleet file of this account.
        fleet: _,
        depends_on: _,
        driver,
        // Where an instance can be seen is for the drivers of this computer to say: an archive must not make "not seen
        // there" mean "gone". Those that are left here see none.
        place: _,
        // The drivers that are left here need nothing that is not in the instance.
        options: _,
        protect,
        instance,
        certificate,
        engine,
        pending,
        hooks,
    } = record;
    let HookRecord { spec: hooks, pending: due } = hooks;
    let mut taker = Taker { dir: &format!("{root}/machines/{name}"), left_out: Vec::new() };
    if !pending.is_empty() {
        return Err("it was being made or changed when it was exported".to_owned());
    }
    if !(hooks.is_empty() && due.is_empty()) {
        let what = "its hooks are left out: commands come from a fleet file; write those you want under `hooks` of one";
        taker.left_out.push(what.to_owned());
    }
    if protect {
        taker.left_out.push("it is not protected here: a fleet file protects it with `protect: true`".to_owned());
    }
    let instance = taker.instance(instance.ok_or("it has no instance")?, &mut files)?;
    let driver_here = if instance.ssh.is_some() { HOST } else { ENGINE };
    let engine = engine.map(|engine| taker.engine(engine)).transpose()?;
    let record = MachineRecord {
        uid,
        options: options(&instance, engine.as_ref()),
        certificate: certificate.map(certificate_record).transpose()?,
        instance: Some(instance),
        engine,
        ..MachineRecord::new(name.clone(), None, driver_here, OptionValues::new())
    };
    let was = Some(driver).filter(|driver| ![HOST, ENGINE].contains(&driver.as_str()));
    if was.as_ref().is_some_and(|driver| !plain(driver, 60)) {
        return Err("its driver has no name".to_owned());
    }
    Ok(Unpacked { record, names: names(&config)?, files: certificates(files)?, was, left_out: taker.left_out })
}

impl Taker<'_> {
    fn instance(
        &mut self,
        instance: Instance,
        files: &mut BTreeMap<String, Zeroizing<String>>,
    ) -> Result<Instance, String> {
        // A provider's id is worth something to its driver alone.
        let Instance { id: _, address, ssh, url: told, host_keys, jump_keys } = instance;
        if !(address.is_empty() || host(&address)) {
            return Err(no_place(&address));
        }
        let Some(ssh) = ssh else {
            let told = told.ok_or("there is no way to it: it has neither a login nor a URL")?;
            if !url(&told) {
                return Err(no_place(&told));
            }
            let (host_keys, jump_keys) = (Vec::new(), Vec::new());
            return Ok(Instance { id: told.clone(), address, ssh: None, url: Some(told), host_keys, jump_keys });
        };
        let ssh = self.ssh(ssh, files)?;
        // A port that leads to the engine of this very host.
        if let Some(told) = told.as_deref() {
            let number = told.rsplit_once(':').and_then(|(_, number)| number.parse().ok()).filter(|n| port(*n));
            let own = number.is_some_and(|number| *told == format!("tcp://{}", host_port(&address, number)));
            if address.is_empty() || !own {
                return Err(no_place(told));
            }
        }
        Ok(Instance {
            id: if address.is_empty() { ssh.host.clone() } else { address.clone() },
            address,
            ssh: Some(ssh),
            url: told,
            host_keys: keys(&host_keys)?,
            jump_keys: keys(&jump_keys)?,
        })
    }

    fn ssh(
        &mut self,
        ssh: SshEndpoint,
        files: &mut BTreeMap<String, Zeroizing<String>>,
    ) -> Result<SshEndpoint, String> {
        let SshEndpoint { host: to, port: number, user: login, key, passphrase, jump } = ssh;
        if !host(&to) {
            return Err(no_place(&to));
        }
        if !user(&login) {
            return Err(no_place(&login));
        }
        if !port(number) {
            return Err("its SSH server has port 0".to_owned());
        }
        let jump = jump.filter(|jump| jump != "none" && !jump.is_empty()).map(|jump| through(&jump)).transpose()?;
        let key = key.filter(|key| !key.is_empty()).map(|key| landed(&key, files)).transpose()?;
        if passphrase.is_some() {
            self.left_out.push(
                "where the passphrase of its key is was left out: it would be looked for on this computer; take the \
                 passphrase off the key with `ssh-keygen -p`, or say where it is in a fleet file, as `ssh-key-passphrase`"
                    .to_owned(),
            );
        }
        let key = key.map(|file| format!("{}/{file}", self.dir));
        Ok(SshEndpoint { host: to, port: number, user: login, key, passphrase: None, jump })
    }

    fn engine(&mut self, engine: EngineRecord) -> Result<EngineRecord, String> {
        let EngineRecord { spec, version, provisioner, os } = engine;
        if !(version.is_empty() || plain(&version, 100)) {
            return Err("the version of its engine is none".to_owned());
        }
        let known = PROVISIONERS.iter().any(|known| known.name() == provisioner);
        let os = os.chars().filter(|c| !c.is_control()).take(100).collect();
        let provisioner = if known { provisioner } else { String::new() };
        Ok(EngineRecord { spec: self.spec(spec)?, version, provisioner, os })
    }

    fn spec(&mut self, spec: EngineSpec) -> Result<EngineSpec, String> {
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
            env: variables,
            daemon,
            open_firewall,
        } = spec;
        if mirror.is_some() {
            self.left_out.push(
                "the mirror its engine came from is left out: packages come from Docker, or from the `mirror` of a fleet \
                 file"
                    .to_owned(),
            );
        }
        // A script that is run as root on a host is named in a fleet file here, or is the usual one.
        let install_url = install_url.filter(|url| url == DEFAULT_INSTALL_URL);
        let source = match source {
            Source::Script if install_url.is_none() => {
                self.left_out.push(
                    "the script its engine was installed by is left out: the engine is used as it is there, or a fleet \
                     file names a script as `install-url`"
                        .to_owned(),
                );
                Source::Present
            }
            other => other,
        };
        let mut env = BTreeMap::new();
        let mut secret = Vec::new();
        for (name, variable) in variables {
            match variable {
                Variable::Plain(value) if env::problem(&name, &value).is_none() => {
                    env.insert(name, Variable::Plain(value));
                }
                Variable::Secret(_) if env::is_name(&name) && name.len() <= 100 => secret.push(name),
                Variable::Plain(_) | Variable::Secret(_) => {
                    return Err("a variable of its engine has no name, or no value".to_owned());
                }
            }
        }
        if !secret.is_empty() {
            self.left_out.push(format!(
                "the secret {} of its engine ({}) would be looked for on this computer and is left out, so `provision` takes \
                 it off the host: to keep it there, say where it is in a fleet file, under `engine.env`",
                if secret.len() == 1 { "variable" } else { "variables" },
                secret.join(", ")
            ));
        }
        let few = labels.len() + env.len() + registry_mirrors.len() + insecure_registries.len() <= MANY;
        let texts = labels.iter().all(|(name, value)| label(name, value))
            && registry_mirrors.iter().chain(&insecure_registries).all(|text| !text.contains(char::is_control));
        if !(few && texts) {
            return Err("a label or a registry of its engine is none".to_owned());
        }
        Ok(EngineSpec {
            version,
            source,
            mirror: None,
            install_url,
            api,
            port,
            labels,
            registry_mirrors,
            insecure_registries,
            env,
            // It is merged into a file of its host's, as data.
            daemon,
            open_firewall,
        })
    }
}

fn no_place(text: &str) -> String {
    format!("`{}` is no place to connect to", shown(text))
}

/// The first characters of an unexpected text.
fn shown(text: &str) -> String {
    excerpt::word(text).escape_debug().to_string()
}

/// Options with which a driver knows the machine that makes nothing.
fn options(instance: &Instance, engine: Option<&EngineRecord>) -> OptionValues {
    let Some(SshEndpoint { host, port, user, key, passphrase: _, jump }) = &instance.ssh else {
        let url = instance.url.as_deref().unwrap_or_default();
        return OptionValues::from([("url".to_owned(), Value::from(url))]);
    };
    // No `ssh-config`: a name that an archive says must not mean what it means in a file of this account.
    let mut options = OptionValues::from([
        ("ip".to_owned(), Value::from(host.as_str())),
        ("ssh-user".to_owned(), Value::from(user.as_str())),
        ("ssh-port".to_owned(), Value::from(*port)),
    ]);
    let texts = [("ssh-key", key), ("jump", jump)];
    options.extend(texts.into_iter().filter_map(|(k, v)| Some((k.to_owned(), Value::from(v.as_deref()?)))));
    let port = engine.map(|engine| engine.spec.port).filter(|port| *port != 0).unwrap_or(TLS_PORT);
    options.insert("engine-port".to_owned(), Value::from(port));
    options
}

/// Jump hosts, written anew from what was read.
fn through(text: &str) -> Result<String, String> {
    let jumps = route::jumps(text).map_err(|_| no_place(text))?;
    let written = jumps.into_iter().map(|jump| {
        let Jump { user: login, host: to, port: number } = jump;
        if !(host(&to) && login.as_deref().is_none_or(user)) {
            return Err(no_place(text));
        }
        let to =
            number.map_or_else(|| if to.contains(':') { format!("[{to}]") } else { to.clone() }, |n| host_port(&to, n));
        Ok(login.map_or_else(|| to.clone(), |login| format!("{login}@{to}")))
    });
    written.collect::<Result<Vec<_>, _>>().map(|jumps| jumps.join(","))
}

/// Pinned keys without comments, each an algorithm and a text in base64.
fn keys(keys: &[String]) -> Result<Vec<String>, String> {
    let bare = |key: &String| {
        let mut words = key.split_whitespace();
        let (kind, data) = (words.next()?, words.next()?);
        (plain(kind, 60) && base64(data)).then(|| format!("{kind} {data}"))
    };
    let bare: Option<Vec<_>> = keys.iter().take(MANY).map(bare).collect();
    bare.ok_or_else(|| "one of its host keys is none".to_owned())
}

/// The file of its key, under the name it has here: no other file of a machine's folder has such a name.
fn landed(key: &str, files: &mut BTreeMap<String, Zeroizing<String>>) -> Result<String, String> {
    let missing = || format!("its key `{}` is not in it", shown(key));
    if CERTIFICATES.contains(&key) || key == CA_KEY {
        return Err(missing());
    }
    let content = files.remove(key).ok_or_else(missing)?;
    let usual = key.strip_prefix("id_").is_some_and(|rest| {
        !rest.is_empty() && rest.len() <= 60 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    });
    let name = if usual { key.to_owned() } else { KEY_NAME.to_owned() };
    files.insert(name.clone(), content);
    Ok(name)
}

/// What else may be beside it is known by name.
fn certificates(files: BTreeMap<String, Zeroizing<String>>) -> Result<BTreeMap<String, Zeroizing<String>>, String> {
    let known = |file: &str| CERTIFICATES.contains(&file) || file == CA_KEY || file.starts_with("id_");
    match files.keys().find(|file| !known(file)) {
        Some(file) => Err(format!("`{}` is no file of a machine", shown(file))),
        None => Ok(files),
    }
}

fn certificate_record(certificate: CertificateRecord) -> Result<CertificateRecord, String> {
    let CertificateRecord { sha256, ca_sha256, names, not_after } = certificate;
    let Timestamp(_) = not_after;
    if hex(&sha256)
        && hex(&ca_sha256)
        && names.len() <= MANY
        && names.iter().all(|name| host(name.strip_prefix("*.").unwrap_or(name)))
    {
        return Ok(CertificateRecord { sha256, ca_sha256, names, not_after });
    }
    Err("what it says of its certificate makes no sense".to_owned())
}

/// Of docker-machine's document: the names that were added to a certificate, if a certificate can hold them. The rest
/// follows from the record, as for any machine of ours: paths, commands and options of a driver are those of the account
/// that wrote it.
fn names(config: &Value) -> Result<BTreeSet<String>, String> {
    if !(config.is_null() || config.is_object()) {
        return Err("its config.json is not an object".to_owned());
    }
    let given = config.pointer("/HostOptions/AuthOptions/ServerCertSANs").and_then(Value::as_array);
    let name = |value: &Value| value.as_str().filter(|name| tls_name(name)).map(str::to_owned);
    Ok(given.into_iter().flatten().take(MANY).filter_map(name).collect())
}
