//! `export`: machines in one encrypted text, for another account or computer.

use super::{CliError, Cx, Exit, Group, Out, Run, machine::Machine, names, passphrase, stored::stored};
use crate::{
    age::{self, Lock, Recipient},
    archive::{
        Archive, Source,
        parcel::{CA_KEY, CERTIFICATES},
    },
    fault,
    store::{Area, Store, issued},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Write machines, with their keys, for another account: `machine export NAME > file`
#[derive(clap::Args)]
#[command(
    after_help = "The certificate that clients show goes along. All engines of this store accept it: with one machine\nthe engines of the others can be used as well, if their addresses can be reached."
)]
pub(super) struct Export {
    /// Encrypt for this public key of age (age1…); for several, give it several times
    #[arg(short, long = "recipient", value_name = "KEY")]
    recipients: Vec<Recipient>,
    /// Encrypt with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "recipients")]
    passphrase_file: Option<PathBuf>,
    /// Do not encrypt: all who can read it can log in to the machines
    #[arg(long, conflicts_with_all = ["recipients", "passphrase_file"])]
    plain: bool,
    /// Export the authority's key as well: others can then issue certificates for the engines
    #[arg(long)]
    with_ca: bool,
    /// Leave out the keys to log in with
    #[arg(long)]
    without_ssh_key: bool,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The machines; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Larger than any key.
const MAX_KEY: u64 = 64 << 10;

impl Run for Export {
    const NAME: &'static str = "export";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let mut seen = BTreeSet::new();
        let mut names = names::any(&world.store, &self.names)?;
        names.retain(|name| seen.insert(name.clone()));
        let machines = Machine::load_all(&world, &names)?;
        let (mut parcels, mut errors) = (Vec::new(), Vec::new());
        for machine in &machines {
            match self.pack(cx, &world.store, machine) {
                Ok(parcel) => parcels.push(parcel),
                Err(e) => errors.push(e),
            }
        }
        CliError::all(errors)?;
        let store = stored(world.store.records.id())?;
        let plain = Archive { store, machines: parcels }.text();
        let text = match self.lock(cx)? {
            None => plain,
            Some(lock) => {
                let text = age::encrypt(&lock, plain.as_bytes()).map_err(|e| CliError::said(e.to_string()))?;
                Zeroizing::new(text)
            }
        };
        match &self.output {
            None => out.text(&text)?,
            Some(path) => write_private(path, text.as_bytes())?,
        }
        Ok(Exit::Done)
    }
}

impl Export {
    /// With what it is encrypted; `None`: not at all.
    fn lock(&self, cx: &Cx) -> Result<Option<Lock>, CliError> {
        if self.plain {
            return Ok(None);
        }
        if !self.recipients.is_empty() {
            return Ok(Some(Lock::Recipients(self.recipients.clone())));
        }
        let passphrase = match passphrase::given(cx, self.passphrase_file.as_deref())? {
            Some(given) => Some(given),
            None => passphrase::ask("for the export", passphrase::Asked::Twice)?,
        };
        let keyless = || CliError::Keyless {
            what: "an export holds private keys",
            help: format!(
                "encrypt it for a public key, or with a passphrase from a file or ${}:\n  \
                 {program} export {names} --recipient age1… > machine.age\n  \
                 {program} export {names} --passphrase-file FILE > machine.age\n\
                 Through a pipe to a program you trust, `--plain` needs no key.",
                passphrase::VARIABLE,
                program = cx.program,
                names = self.names.join(" "),
            ),
        };
        passphrase.map(|passphrase| Some(Lock::Passphrase(passphrase))).ok_or_else(keyless)
    }

    fn pack(&self, cx: &Cx, store: &Store, machine: &Machine) -> Result<crate::archive::Parcel, CliError> {
        let record = &machine.record;
        let name = &record.name;
        if !record.pending.is_empty() || record.instance.is_none() {
            return Err(CliError::Said {
                what: format!("`{name}` is not whole: it was being made or changed when that was broken off"),
                help: Some("bring that to an end first, then export it".to_owned()),
            });
        }
        let mut certificates = BTreeMap::new();
        for file in CERTIFICATES {
            if let Some(text) = read(store, Area::Machine(name), file)? {
                certificates.insert(file.to_owned(), text);
            }
        }
        // A machine that has none of its own uses those of the store; an engine known by its URL alone uses none.
        let told = record.instance.as_ref().is_some_and(|instance| instance.url.is_some());
        if !told && let Some(identity) = stored(issued::identity(store, name))? {
            let all = [("ca.pem", identity.ca), ("cert.pem", identity.cert), ("key.pem", identity.key)];
            certificates.extend(all.map(|(file, text)| (file.to_owned(), Zeroizing::new(text))));
        }
        if self.with_ca {
            certificates.insert(CA_KEY.to_owned(), ca_key(store, name.as_str(), certificates.get("ca.pem"))?);
        }
        let config = read(store, Area::Machine(name), "config.json")?;
        let root = store.files.root().to_string_lossy().into_owned();
        let home = std::env::home_dir().map(|home| home.to_string_lossy().into_owned());
        let key = if self.without_ssh_key { None } else { key(cx, machine, home.as_deref())? };
        let source = Source {
            record,
            config: config.as_ref().map(|text| text.as_str()),
            drivers: &cx.drivers,
            root: &root,
            home: home.as_deref(),
            certificates,
            key,
        };
        let packed =
            source.pack().map_err(|e| CliError::said(format!("the config.json of `{name}` will not parse: {e}")))?;
        if !packed.secrets.is_empty() {
            warn(&format!(
                "`{name}` goes without the provider's secrets ({}): there it can be used, not started or removed",
                packed.secrets.join(", ")
            ));
        }
        Ok(packed.parcel)
    }
}

/// The authority's key, of which it is certain that it belongs to the machine's authority.
fn ca_key(store: &Store, name: &str, ca: Option<&Zeroizing<String>>) -> Result<Zeroizing<String>, CliError> {
    let own = crate::name::MachineName::new(name).ok();
    let own = own.map(|name| read(store, Area::Machine(&name), CA_KEY)).transpose()?.flatten();
    let key = if own.is_some() {
        own
    } else {
        let same = read(store, Area::Certs, "ca.pem")?.as_ref() == ca;
        read(store, Area::Certs, CA_KEY)?.filter(|_| same)
    };
    key.ok_or_else(|| CliError::Said {
        what: format!("the key of the authority that `{name}` trusts is not in this store"),
        help: Some("export it without `--with-ca`".to_owned()),
    })
}

fn read(store: &Store, area: Area<'_>, file: &str) -> Result<Option<Zeroizing<String>>, CliError> {
    let Some(bytes) = stored(store.files.read(area, file))? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| CliError::said(format!("`{file}` in the store is not text")))?;
    Ok(Some(Zeroizing::new(text)))
}

/// The private key to log in with; `None`: it is held by an agent, which is told.
fn key(cx: &Cx, machine: &Machine, home: Option<&str>) -> Result<Option<Zeroizing<String>>, CliError> {
    let name = machine.name();
    let Some(ssh) = machine.record.instance.as_ref().and_then(|instance| instance.ssh.as_ref()) else {
        return Ok(None);
    };
    let Some(path) = ssh.key.as_deref().filter(|key| !key.is_empty()) else {
        warn(&format!("`{name}` goes without a key: it is logged in to with keys of the agent"));
        return Ok(None);
    };
    let folder = machine.dir();
    let file = match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => folder.join(path),
    };
    let about = fs::metadata(&file);
    let text = about.and_then(|about| {
        if about.len() > MAX_KEY { Err(std::io::ErrorKind::FileTooLarge.into()) } else { fs::read_to_string(&file) }
    });
    let text = text.map(Zeroizing::new).map_err(|e| CliError::Said {
        what: format!("cannot read the SSH key of `{name}`, {}: {e}", file.display()),
        help: Some(format!("leave it out:\n  {} export --without-ssh-key {name}", cx.program)),
    })?;
    if !text.contains("PRIVATE KEY") {
        warn(&format!("`{name}` goes without a key: {} is not a private key", file.display()));
        return Ok(None);
    }
    if !file.starts_with(folder) {
        warn(&format!(
            "{} goes along, and opens whatever else it opens; `--without-ssh-key` leaves it out",
            file.display()
        ));
    }
    Ok(Some(text))
}

pub(super) fn warn(text: &str) {
    // A closed standard error stops nothing.
    let _ = writeln!(anstream::stderr(), "warning: {}", crate::harmless::harmless(&crate::excerpt::lines(text)));
}

/// A file that is there as a whole or not at all, for us alone.
fn write_private(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::said(format!("cannot write {}: {e}", path.display()));
    // A device or a pipe is written to, not replaced.
    if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        let mut file = fs::OpenOptions::new().write(true).mode(0o600).open(path).map_err(failed)?;
        return file.write_all(content).map_err(failed);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        fault::point("file.write", path)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        fault::point("file.rename", path)?;
        file.persist(path).map(drop).map_err(|e| e.error)
    };
    write().map_err(failed)
}
