//! `import`: takes machines that another account exported into the store.

use super::{CliError, Cx, Exit, Group, Out, Run, export::warn, passphrase, stored::settled};
use crate::{
    age::{self, AgeError, Identity, Key, Opens},
    archive::{self, Archive, ArchiveError, Unpacked, parcel::CA_KEY},
    name::MachineName,
    record::docker_machine::{ConfigFile, Place},
    store::{Area, Expect, MachineChange, Mode, Store, StoreError},
    world::World,
};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Take over machines that `machine export` wrote
#[derive(clap::Args)]
pub(super) struct Import {
    /// Call the machine this here
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Open it with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "identities")]
    passphrase_file: Option<PathBuf>,
    /// Open it with the private keys of age in this file; for several, give it several times
    #[arg(short, long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,
    /// What was exported; `-` or none: standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

fn said(error: &AgeError) -> CliError {
    let help = match error {
        AgeError::NoMatch => {
            Some("give the file of the key it was encrypted for:\n  machine import --identity key.txt FILE".to_owned())
        }
        AgeError::Passphrase => Some("give the passphrase it was exported with".to_owned()),
        AgeError::Broken(_) => Some("have it sent again; nothing was imported".to_owned()),
        _ => None,
    };
    CliError::Said { what: error.to_string(), help }
}

impl Run for Import {
    const NAME: &'static str = "import";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let world = cx.world()?;
        let bytes = self.bytes(cx)?;
        let plain = if age::is_age(&bytes) { self.open(cx, &bytes)? } else { bytes };
        let refused = |e: ArchiveError| CliError::Said { what: e.to_string(), help: e.help() };
        // Which store it says it is from decides nothing: every recipient of an export knows that.
        let Archive { store: _, machines: parcels } = Archive::parse(&plain).map_err(refused)?;
        let root = world.store.files.root().to_string_lossy().into_owned();
        let mut machines = Vec::new();
        let single = parcels.len() == 1;
        for parcel in parcels {
            let name = match &self.name {
                None => parcel.record.name.clone(),
                Some(name) if single => MachineName::new(name.as_str()).map_err(|e| CliError::said(e.to_string()))?,
                Some(_) => return Err(CliError::said("there are several machines in it, and `--name` is for one")),
            };
            machines.push(parcel.unpack(&name, &root).map_err(refused)?);
        }
        let taken = settled(take(&world, &root, machines))??;
        for name in &taken.here {
            out.line(&format!("`{name}` is here already."))?;
        }
        for machine in &taken.new {
            tell(cx, out, machine)?;
        }
        cx.keep_contexts(&world);
        Ok(Exit::Done)
    }
}

impl Import {
    /// What was exported, as it is.
    fn bytes(&self, cx: &Cx) -> Result<Zeroizing<Vec<u8>>, CliError> {
        let mut bytes = Zeroizing::new(Vec::new());
        // Encrypted text is a third longer; what is longer still is refused later, by its size.
        let limit = u64::try_from(archive::MAX_SIZE).expect("a limit of some MiB fits") * 3 / 2;
        let file = self.file.as_deref().filter(|file| *file != Path::new("-"));
        let read = match file {
            Some(path) => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
            None if io::stdin().is_terminal() => {
                return Err(CliError::Said {
                    what: "there is nothing to import".to_owned(),
                    help: Some(format!("name the file that was exported:\n  {} import machine.age", cx.program)),
                });
            }
            None => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        };
        let name = file.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string());
        read.map_err(|e| CliError::said(format!("cannot read {name}: {e}")))?;
        Ok(bytes)
    }

    fn open(&self, cx: &Cx, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, CliError> {
        let key = match age::opens(bytes).map_err(|e| said(&e))? {
            Opens::Identity if self.identities.is_empty() => return Err(said(&AgeError::NoMatch)),
            Opens::Identity => Key::Identities(self.keys()?),
            Opens::Passphrase => {
                let given = match passphrase::given(cx, self.passphrase_file.as_deref())? {
                    Some(given) => Some(given),
                    None => passphrase::ask("of the export", passphrase::Asked::Once)?,
                };
                Key::Passphrase(given.ok_or_else(|| CliError::Keyless {
                    what: "it is encrypted with a passphrase",
                    help: format!(
                        "give the passphrase in a file or ${}:\n  {} import --passphrase-file FILE",
                        passphrase::VARIABLE,
                        cx.program
                    ),
                })?)
            }
        };
        age::decrypt(&key, bytes).map_err(|e| said(&e))
    }

    fn keys(&self) -> Result<Vec<Identity>, CliError> {
        let mut all = Vec::new();
        for file in &self.identities {
            let wrong = |why: String| CliError::said(format!("cannot use the key in {}: {why}", file.display()));
            let text = fs::read_to_string(file).map(Zeroizing::new).map_err(|e| wrong(e.to_string()))?;
            all.extend(Identity::all(&text).map_err(|e| wrong(e.to_string()))?);
        }
        Ok(all)
    }
}

/// Puts all machines into the store, or none. Those that an import which was cut off brought are there already; what
/// is returned are the others.
async fn take(world: &World, root: &str, machines: Vec<Unpacked>) -> Result<Taken, CliError> {
    let store = &world.store;
    // Two imports at once must not both find a name free.
    let _held = store.files.hold_certificates(&BTreeSet::new()).await.map_err(CliError::Store)?;
    let taken = sort(store, machines).await?;
    for (at, machine) in taken.new.iter().enumerate() {
        if let Err(e) = put(store, root, machine).await {
            // What cannot be taken back either is whole, seen by `ls`, and removed by `rm`.
            for done in &taken.new[..at] {
                let _ = store.remove(&done.record.name).await;
            }
            return Err(CliError::Store(e));
        }
    }
    Ok(taken)
}

/// Machines of an archive.
struct Taken {
    new: Vec<Unpacked>,
    /// Here already, with the same keys.
    here: Vec<MachineName>,
}

/// Which machines are new. It is an error when a name is taken by another machine, or when none are new.
async fn sort(store: &Store, machines: Vec<Unpacked>) -> Result<Taken, CliError> {
    let names = store.records.names().await.map_err(CliError::Store)?;
    let exists = |name: &MachineName| CliError::Said {
        what: format!("Docker machine {:?} already exists", name.as_str()),
        help: Some("call it otherwise here:\n  machine import --name NAME FILE".to_owned()),
    };
    let (taken, new): (Vec<_>, Vec<_>) =
        machines.into_iter().partition(|m| names.iter().any(|name| name == m.record.name.as_str()));
    let (mut here, mut others) = (Vec::new(), Vec::new());
    for machine in taken {
        let same = !new.is_empty() && is_same(store, &machine).await.unwrap_or(false);
        (if same { &mut here } else { &mut others }).push(machine);
    }
    CliError::all(others.iter().map(|machine| exists(&machine.record.name)).collect())?;
    Ok(Taken { new, here: here.into_iter().map(|machine| machine.record.name).collect() })
}

/// Whether a machine is in the store just as it was exported.
async fn is_same(store: &Store, machine: &Unpacked) -> Result<bool, StoreError> {
    let here = store.get(&machine.record.name).await?;
    let area = Area::Machine(&machine.record.name);
    for (file, text) in &machine.files {
        if store.files.read(area, file).await?.as_deref() != Some(text.as_bytes()) {
            return Ok(false);
        }
    }
    Ok(here.driver == machine.record.driver && here.instance == machine.record.instance)
}

async fn put(store: &Store, root: &str, machine: &Unpacked) -> Result<(), StoreError> {
    let Unpacked { record, names, files, was: _, left_out: _ } = machine;
    let mode = |file: &str| {
        if ["ca.pem", "cert.pem", "server.pem"].contains(&file) { Mode::Public } else { Mode::Private }
    };
    let beside: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), text.as_bytes(), mode(file))).collect();
    let seed = |own: &mut ConfigFile| {
        if !names.is_empty() {
            own.set_tls_sans(&names.iter().cloned().collect::<Vec<_>>());
        }
        // The authority of this store vouches for no host that an archive names, and no other machine is known by the
        // authority of an archive.
        if machine.has_own_authority() {
            own.own_certificates(Place { root, name: &record.name });
        }
    };
    let first = MachineChange { record, files: &beside, seed: &seed };
    store.records.put_if(first, Expect::Absent).await.map(drop)
}

fn tell(cx: &Cx, out: &mut Out, machine: &Unpacked) -> Result<(), CliError> {
    let Unpacked { record, files, was, left_out, names: _ } = machine;
    let name = &record.name;
    for what in left_out {
        warn(&format!("`{name}`: {what}"));
    }
    if let Some(was) = was {
        warn(&format!(
            "`{name}` is an instance of driver `{was}`, which only the account that made it can start, stop and remove; \
             here it is recorded as `generic`, and can be used as long as its address can be reached"
        ));
    }
    let ssh = record.instance.as_ref().and_then(|instance| instance.ssh.as_ref());
    if let Some(ssh) = ssh.filter(|ssh| ssh.key.is_none()) {
        warn(&format!(
            "`{name}` comes without a key: your own keys are offered when it is logged in to, as {}@{}",
            ssh.user, ssh.host
        ));
    }
    out.line(&format!("Imported `{name}`. To use it:\n  eval $({0} env {name})\n  {0} ssh {name}", cx.program))?;
    if !files.contains_key(CA_KEY) && files.contains_key("ca.pem") {
        out.line("Its engine can be used, but new certificates for it need the authority of who exported it.")?;
    }
    Ok(())
}
