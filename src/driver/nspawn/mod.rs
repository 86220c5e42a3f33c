//! Driver `nspawn`: each machine is a whole Debian under `systemd-nspawn` on this computer.
//!
//! It needs root, and no service: what it knows is in files below one folder ([`place`]), what runs is
//! asked of the kernel. Every step may be killed at any moment and repeated.

mod cgroup;
mod computer;
mod image;
mod network;
mod place;
mod process;
mod program;
mod rootfs;
mod tree;

use super::{
    Driver, DriverContext, DriverError, Kind, OptionProblem, OptionSpec, PowerAction, files, keys,
    local::{folder, gone},
};
use crate::{
    fault,
    record::{Instance, Power, SshEndpoint},
};
use async_trait::async_trait;
use cgroup::Cgroup;
use image::Image;
use place::{Folder, Host, Phase, Place, Record};
use process::Process;
use serde::Deserialize;
use std::{collections::BTreeSet, fs, path::PathBuf};

/// The driver; unless told otherwise, its folders are as the environment says.
#[derive(Default)]
pub struct Nspawn {
    place: Option<Place>,
}

impl Nspawn {
    /// One with folders of its own, whatever the environment says.
    #[must_use]
    pub fn at(base: PathBuf, images: PathBuf) -> Self {
        Self { place: Some(Place::new(base, images)) }
    }

    fn folders(&self) -> Place {
        self.place.clone().unwrap_or_else(Place::of_environment)
    }
}

/// The options, typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    image: String,
    memory: Option<u64>,
    cpus: Option<u64>,
}

/// The least memory with which Debian and dockerd start, in bytes.
const LEAST_MEMORY: u64 = 128 << 20;

#[async_trait]
impl Driver for Nspawn {
    const NAME: &'static str = "nspawn";
    const ABOUT: &'static str = "whole Debian hosts on this computer in seconds, under systemd-nspawn (needs root)";
    const CREATES: bool = true;
    const LOCAL: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        vec![
            OptionSpec::new(
                "image",
                "nspawn-image",
                Kind::Text,
                "Debian release (debian-11, debian-12, debian-13, debian-sid), or path of a root file system",
            )
            .env("NSPAWN_IMAGE")
            .default("debian-12")
            .field("Image"),
            OptionSpec::new(
                "memory",
                "nspawn-memory",
                Kind::Size,
                "Most memory the machine may use; without it, all there is",
            )
            .env("NSPAWN_MEMORY")
            .field("Memory")
            .in_place(),
            OptionSpec::new(
                "cpus",
                "nspawn-cpus",
                Kind::Number,
                "Processors' worth of time the machine may use; without it, all there is",
            )
            .env("NSPAWN_CPUS")
            .field("CPUs")
            .in_place(),
        ]
    }

    fn check(options: &Options) -> Vec<OptionProblem> {
        let Options { image, memory, cpus } = options;
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String, help: String| {
            problems.push(OptionProblem { key: Some(key.to_owned()), message, help: Some(help) });
        };
        if let Err(message) = Image::parse(image) {
            problem("image", message, Image::legal());
        }
        if memory.is_some_and(|m| m < LEAST_MEMORY) {
            problem("memory", "too little for Debian and an engine".to_owned(), "give `128MiB` or more".to_owned());
        }
        if *cpus == Some(0) {
            problem("cpus", "a machine cannot run on no processor".to_owned(), "give 1 or more".to_owned());
        }
        problems
    }

    async fn place(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<String>, DriverError> {
        Ok(Some(folder(&self.folders().base)))
    }

    async fn find(&self, cx: &DriverContext<'_>, _: &Options) -> Result<Option<Instance>, DriverError> {
        let id = place::id(cx);
        let place = self.folders();
        let folder = place.folder(&id)?;
        let Some(record) = folder.load()? else {
            // A creation that was killed early has left rubbish, and no later step would look for it.
            erase(&place, &folder).await?;
            return Ok(None);
        };
        Ok(Some(instance(cx, &id, &record)))
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        let place = self.folders();
        computer::check(&place).await?;
        let id = place::id(cx);
        let folder = place.folder(&id)?;
        let login_key = keys::login(cx)?;
        let record = match folder.load()? {
            Some(record) => taken_over(&folder, record, login_key).await?,
            None => allocate(&place, cx, &folder, options, login_key).await?,
        };
        cx.checkpoint.instance(&instance(cx, &id, &record)).await?;
        let record = start(&place, cx, &folder, record, options).await?;
        Ok(instance(cx, &id, &record))
    }

    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Instance, DriverError> {
        let folder = self.folders().folder(&instance.id)?;
        let record = folder.owned(cx)?.ok_or_else(|| gone(&instance.id))?;
        if Process::find(&folder, Some(&record))?.is_some() {
            limit(cx, &Cgroup::of(&folder.tag())?, options);
        }
        Ok(self::instance(cx, &instance.id, &record))
    }

    async fn power(&self, cx: &DriverContext<'_>, instance: &Instance, _: &Options) -> Result<Power, DriverError> {
        let folder = self.folders().folder(&instance.id)?;
        let Some(record) = folder.owned(cx)? else { return Ok(Power::Gone) };
        let process = Process::find(&folder, Some(&record))?;
        Ok(if process.is_some() { Power::Running } else { Power::Stopped })
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        let place = self.folders();
        computer::check(&place).await?;
        let folder = place.folder(&instance.id)?;
        let mut record = folder.owned(cx)?.ok_or_else(|| gone(&instance.id))?;
        if matches!(action, PowerAction::Stop | PowerAction::Restart)
            && let Some(process) = Process::find(&folder, Some(&record))?
        {
            process.stop(&folder, cx.machine.as_str()).await?;
        }
        if action == PowerAction::Kill {
            process::kill(&folder).await?;
        }
        if matches!(action, PowerAction::Start | PowerAction::Restart) {
            record = start(&place, cx, &folder, record, options).await?;
        }
        Ok(self::instance(cx, &instance.id, &record))
    }

    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, _: &Options) -> Result<(), DriverError> {
        let place = self.folders();
        let folder = place.folder(&instance.id)?;
        folder.owned(cx)?;
        erase(&place, &folder).await
    }
}

/// Takes away all there is of a machine, and what machines share if it was the last, from whatever point on.
async fn erase(place: &Place, folder: &Folder) -> Result<(), DriverError> {
    if !folder.path.exists() && !place.network().exists() && !place.instances().exists() && !place.base.exists() {
        return Ok(());
    }
    process::kill(folder).await?;
    {
        let _lock = Place::lock().await?;
        folder.forget()?;
        if place.records()?.is_empty() {
            network::down(place).await?;
        }
    }
    tree::remove(&folder.path).await?;
    // Only if they are empty: other machines and images stay. Locked, so that no create loses its folder.
    let _lock = Place::lock().await?;
    fault::pass("nspawn.tidy", &place.base);
    let _ = fs::remove_dir(place.instances());
    let _ = fs::remove_dir(&place.base);
    Ok(())
}

/// What the store is told of a machine.
fn instance(cx: &DriverContext<'_>, id: &str, record: &Record) -> Instance {
    let address = record.own.address.to_string();
    Instance {
        id: id.to_owned(),
        address: address.clone(),
        ssh: Some(SshEndpoint {
            host: address,
            port: 22,
            user: "root".to_owned(),
            key: Some(keys::login_path(cx).display().to_string()),
            passphrase: None,
            jump: None,
        }),
        url: None,
        host_keys: vec![record.host_key.clone()],
        jump_keys: Vec::new(),
    }
}

/// Gives a new machine its folder, address and host key.
async fn allocate(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    options: &Options,
    login_key: String,
) -> Result<Record, DriverError> {
    let image = Image::parse(&options.image).map_err(|why| DriverError::Refused {
        doing: "choosing the image".to_owned(),
        why,
        help: Image::legal(),
    })?;
    let lower = image::ensure(place, &image, cx.progress).await?;
    // Whatever is here is of a run that was killed.
    process::kill(folder).await?;
    tree::remove(&folder.path).await?;
    let _lock = Place::lock().await?;
    files::folder(&place.instances(), 0o700)?;
    let subnet = network::subnet(place)?;
    let taken: BTreeSet<_> = place.records()?.values().map(|r| r.own.address).collect();
    let address = subnet.free(&taken).ok_or_else(|| DriverError::Unprepared {
        what: format!("all addresses of {} are taken", place.network().display()),
        help: "remove machines, or set MACHINE_NSPAWN_DIR to another folder, which has a subnet of its own".to_owned(),
    })?;
    let host_key = keys::ensure(&rootfs::host_key(folder)?, &format!("root@{}", cx.machine))?;
    let record = Record::new(cx, keys::bare(&host_key), login_key, Host { lower, address, process: None });
    folder.save(&record)?;
    Ok(record)
}

/// Makes sure that a machine that was there already lets our key in.
async fn taken_over(folder: &Folder, mut record: Record, login_key: String) -> Result<Record, DriverError> {
    if record.login_key != login_key {
        // Its key was lost with the machine's folder in the store. Files of a machine that runs are not ours to write.
        process::kill(folder).await?;
        record.own.process = None;
        (record.login_key, record.phase) = (login_key, Phase::Allocated);
        folder.save(&record)?;
    }
    Ok(record)
}

/// Starts a machine and waits until its SSH server answers; nothing to do when it runs.
async fn start(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    mut record: Record,
    options: &Options,
) -> Result<Record, DriverError> {
    let process = if let Some(running) = Process::find(folder, Some(&record))? {
        running
    } else {
        boot(place, cx, folder, &mut record, options).await?
    };
    if record.own.process != Some(process.recorded) {
        record.own.process = Some(process.recorded);
        folder.save(&record)?;
    }
    process::booted(&process, folder, record.own.address).await?;
    Ok(record)
}

/// Starts a machine that does not run, with all it needs of this computer.
async fn boot(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    record: &mut Record,
    options: &Options,
) -> Result<Process, DriverError> {
    computer::raise_limits(cx.progress)?;
    if !record.own.lower.is_dir() {
        return Err(DriverError::Refused {
            doing: format!("starting `{}`", cx.machine),
            why: format!("the image below it, {}, is not there any more", record.own.lower.display()),
            help: "bring it back, or remove the machine and create it anew".to_owned(),
        });
    }
    // Of a machine that switched itself off, or was killed a moment ago, the kernel still has traces.
    process::clear(folder).await?;
    {
        let _lock = Place::lock().await?;
        let subnet = network::subnet(place)?;
        network::up(place, subnet).await?;
        if record.phase == Phase::Allocated {
            rootfs::prepare(folder, record, subnet.gateway(), network::mtu()?)?;
            record.phase = Phase::Prepared;
            folder.save(record)?;
        }
    }
    rootfs::resolver(folder)?;
    let group = Cgroup::of(&folder.tag())?;
    group.make()?;
    limit(cx, &group, options);
    (cx.progress)("starting the machine");
    process::launch(folder, record, &place.bridge(), &group).await
}

/// Limits memory and processors, and says what this kernel cannot.
fn limit(cx: &DriverContext<'_>, group: &Cgroup, options: &Options) {
    let cannot = group.limit(options.memory, options.cpus);
    if !cannot.is_empty() {
        (cx.progress)(&format!(
            "warning: this computer's kernel cannot limit {}: going on without",
            cannot.join(" and ")
        ));
    }
}
