//! Driver `qemu`: each machine is a virtual machine on this computer, from a cloud image of a distribution.
//!
//! It needs neither root nor a service: what it knows is in files below one folder ([`place`]), what runs is asked of the
//! kernel and of qemu itself. Every step may be killed at any moment and repeated.

mod accelerator;
mod boot;
mod clone;
mod command;
mod console;
mod disk;
mod firmware;
mod frozen;
mod network;
mod options;
mod place;
mod process;
mod program;
mod qmp;
mod snapshots;

use super::{
    Driver, DriverContext, DriverError, OptionProblem, OptionSpec, PowerAction, Snapshot, SnapshotAction, files, keys,
    local::{self, Cache, Hardware, Image, gone, here, unread},
};
use crate::{
    cloud_init::{self, FirstBoot, HostKey, iso::Seed},
    fault,
    record::{Instance, Power, SshEndpoint, host_port},
};
use async_trait::async_trait;
use network::Network;
pub use options::Options;
use place::{Folder, Guest, Origin, Phase, Place, Record};
use process::Process;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The driver; unless told otherwise, its folders are as the environment says.
#[derive(Default)]
pub struct Qemu {
    place: Option<Place>,
}

impl Qemu {
    /// One with folders of its own, whatever the environment says.
    #[must_use]
    pub fn at(base: PathBuf, images: PathBuf) -> Self {
        Self { place: Some(Place::new(base, images)) }
    }

    fn folders(&self) -> Result<Place, DriverError> {
        self.place.clone().map_or_else(Place::of_environment, Ok)
    }
}

#[async_trait]
impl Driver for Qemu {
    const NAME: &'static str = "qemu";
    const ABOUT: &'static str = "virtual machines on this computer, from cloud images";
    const CREATES: bool = true;
    const LOCAL: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        options::table()
    }

    fn check(options: &Options) -> Vec<OptionProblem> {
        options.problems()
    }

    async fn place(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<String>, DriverError> {
        Ok(Some(local::folder(&self.folders()?.base)))
    }

    async fn find(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        let place = self.folders()?;
        let folder = place.folder(&place::id(cx))?;
        let Some(record) = folder.load()? else {
            // A creation that was killed early has left rubbish, and no later step would look for it.
            erase(&place, &folder).await?;
            return Ok(None);
        };
        Ok(Some(instance(cx, &folder, &record, options)))
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        let place = self.folders()?;
        let folder = place.folder(&place::id(cx))?;
        let login_key = keys::login(cx)?;
        let mut record = match folder.load()? {
            Some(record) => taken_over(&folder, record, login_key).await?,
            None => allocate(&place, cx, &folder, options, login_key).await?,
        };
        cx.checkpoint.instance(&instance(cx, &folder, &record, options)).await?;
        record = come_up(&place, cx, &folder, record, options).await?;
        Ok(instance(cx, &folder, &record, options))
    }

    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Instance, DriverError> {
        let folder = self.folders()?.folder(&instance.id)?;
        let record = folder.owned(cx)?.ok_or_else(|| gone(&instance.id))?;
        let lock = folder.lock(|| {}).await?;
        let running = Process::find(&folder)?.is_some();
        disk::grow(&folder, &lock, options.disk_size, running).await?;
        if running {
            (cx.progress)(&format!("what needs a start takes effect at the next one: machine restart {}", cx.machine));
        }
        Ok(self::instance(cx, &folder, &record, options))
    }

    async fn power(&self, cx: &DriverContext<'_>, instance: &Instance, _: &Options) -> Result<Power, DriverError> {
        let folder = self.folders()?.folder(&instance.id)?;
        if folder.owned(cx)?.is_none() {
            return Ok(Power::Gone);
        }
        Ok(match Process::find(&folder)? {
            None => Power::Stopped,
            Some(_) if snapshots::standing_still(&folder).await => Power::Paused,
            Some(_) => Power::Running,
        })
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        let place = self.folders()?;
        let folder = place.folder(&instance.id)?;
        let mut record = folder.owned(cx)?.ok_or_else(|| gone(&instance.id))?;
        if let Some(process) = Process::find(&folder)? {
            match action {
                PowerAction::Stop | PowerAction::Restart => process.stop(&folder, cx.progress).await?,
                PowerAction::Kill => process.kill().await?,
                PowerAction::Start => {}
            }
        }
        if matches!(action, PowerAction::Start | PowerAction::Restart) {
            record = come_up(&place, cx, &folder, record, options).await?;
        }
        Ok(self::instance(cx, &folder, &record, options))
    }

    async fn snapshot(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        _: &Options,
        action: &SnapshotAction,
    ) -> Result<Vec<Snapshot>, DriverError> {
        let folder = self.folders()?.folder(&instance.id)?;
        folder.owned(cx)?.ok_or_else(|| gone(&instance.id))?;
        snapshots::perform(cx, &folder, action).await
    }

    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, _: &Options) -> Result<(), DriverError> {
        let place = self.folders()?;
        let folder = place.folder(&instance.id)?;
        folder.owned(cx)?;
        erase(&place, &folder).await
    }
}

/// Takes away all there is of a machine, from whatever point on. Images stay, for the next one.
async fn erase(place: &Place, folder: &Folder) -> Result<(), DriverError> {
    if folder.path.exists() {
        erase_there(folder).await?;
    }
    let empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if empty(&place.instances()) {
        // Locked, so that no create loses its folder.
        let _lock = place.lock().await?;
        fault::pass("qemu.tidy", &place.base);
        // Only if it is empty still.
        let _ = fs::remove_dir(place.instances());
    }
    Ok(())
}

async fn erase_there(folder: &Folder) -> Result<(), DriverError> {
    // Of a run that was killed, a program may still be at work.
    let _lock = folder.lock(|| {}).await?;
    if let Some(process) = Process::find(folder)? {
        process.kill().await?;
    }
    folder.forget()?;
    files::remove(&folder.path).await
}

/// What the store is told of a machine.
fn instance(cx: &DriverContext<'_>, folder: &Folder, record: &Record, options: &Options) -> Instance {
    let local = || "127.0.0.1".to_owned();
    let (address, port, url) = if let Some(ports) = record.own.ports {
        (local(), ports.ssh, Some(format!("tcp://{}", host_port(&local(), ports.engine))))
    } else {
        let given = options.address.as_deref().and_then(|text| Some(text.split_once('/')?.0.to_owned()));
        (given.or_else(|| record.own.address.clone()).unwrap_or_default(), 22, None)
    };
    Instance {
        id: folder.id.clone(),
        address: address.clone(),
        ssh: Some(SshEndpoint {
            host: address,
            port,
            user: options.ssh_user.clone(),
            key: Some(keys::login_path(cx).display().to_string()),
            passphrase: None,
            jump: None,
        }),
        url,
        host_keys: vec![record.host_key.clone()],
        jump_keys: Vec::new(),
    }
}

/// Gives a new machine its folder, its ports and its host key.
async fn allocate(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    options: &Options,
    login_key: String,
) -> Result<Record, DriverError> {
    let wrong = |doing: &str, why: String, help: String| DriverError::Refused { doing: doing.to_owned(), why, help };
    let image = Image::parse(&options.image, Hardware::Cloud, options.arch())
        .map_err(|why| wrong("choosing the image", why, Image::legal(Hardware::Cloud)))?;
    let network = Network::parse(&options.network)
        .map_err(|why| wrong("choosing the network", why, "write `user`, `bridge=NAME` or `tap=NAME`".to_owned()))?;
    // Before anything is fetched: what cannot be read now must not be found out after a long download.
    own_user_data(options)?;
    files::folder(&place.base, 0o700)?;
    accelerator::choose(place, &options.accel, options.arch(), cx.progress).await?;
    let image = Cache::at(&place.images, cx.progress)?.ensure(&image, options.image_checksum.as_deref()).await?;
    // Whatever is here is of a run that was killed.
    erase(place, folder).await?;
    let _lock = place.lock().await?;
    files::folder(&folder.path, 0o700)?;
    let ports = match network {
        Network::User => Some(place.ports(&folder.id, options, None, false)?),
        Network::Bridge(_) | Network::Tap(_) => None,
    };
    let host_key = keys::ensure(&folder.host_key(), &format!("root@{}", cx.machine))?;
    let guest = Guest { image, ports, address: None, told: 1, origin: None };
    let record = Record::new(cx, keys::bare(&host_key), login_key, guest);
    folder.save(&record)?;
    Ok(record)
}

/// Makes sure that a machine that was there already lets our key in.
async fn taken_over(folder: &Folder, mut record: Record, login_key: String) -> Result<Record, DriverError> {
    if record.login_key != login_key {
        // Its key was lost with the machine's folder in the store. It is told anew, and listens at its next start.
        if let Some(process) = Process::find(folder)? {
            process.kill().await?;
        }
        record.own.told += 1;
        (record.login_key, record.phase) = (login_key, Phase::Allocated);
        folder.save(&record)?;
    }
    Ok(record)
}

/// From whatever there is of a machine to one that answers.
async fn come_up(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    mut record: Record,
    options: &Options,
) -> Result<Record, DriverError> {
    if options.clone.is_some() && record.own.origin.is_none() && !folder.disk().is_file() {
        let from = frozen::ensure(place, cx, &record.own.image, options).await?;
        let _lock = folder.lock(|| {}).await?;
        record = folder.reload(record)?;
        if record.own.origin.is_none() && !folder.disk().is_file() {
            record.own.origin = Some(Origin::Ahead(from));
            folder.save(&record)?;
        }
    }
    record = prepared(cx, folder, record, options).await?;
    if let Err(e) = clone::go_on(place, cx, folder, &mut record, options).await {
        (cx.progress)(&format!("booting the machine instead: {e}"));
        clone::give_up(folder, &mut record).await?;
        record = prepared(cx, folder, record, options).await?;
    }
    boot::start(place, cx, folder, record, options).await
}

/// Makes what a machine needs before it can be started, if that is not done yet.
async fn prepared(
    cx: &DriverContext<'_>,
    folder: &Folder,
    mut record: Record,
    options: &Options,
) -> Result<Record, DriverError> {
    if record.phase == Phase::Allocated {
        let lock = folder.lock(|| {}).await?;
        record = folder.reload(record)?;
        if record.phase == Phase::Allocated {
            prepare(cx, folder, &lock, &record, options).await?;
            record.phase = Phase::Prepared;
            folder.save(&record)?;
        }
    }
    Ok(record)
}

/// Makes the disk, and what the machine is told at its first boot.
async fn prepare(
    cx: &DriverContext<'_>,
    folder: &Folder,
    lock: &File,
    record: &Record,
    options: &Options,
) -> Result<(), DriverError> {
    // One that goes on from a frozen machine gets its disk when it does.
    if !matches!(record.own.origin, Some(Origin::Ahead(_))) {
        disk::make(folder, lock, &record.below(), options.disk_size).await?;
    }
    let private = files::read(&folder.host_key())?.unwrap_or_default();
    let first = FirstBoot {
        hostname: cx.machine.as_str(),
        user: &options.ssh_user,
        authorized_keys: &[&record.login_key],
        host_key: Some(HostKey { private: &private, public: &record.host_key }),
    };
    let own = own_user_data(options)?;
    let user_data = first.user_data(own.as_deref()).map_err(|e| DriverError::Refused {
        doing: "reading the user data".to_owned(),
        why: e.to_string(),
        help: e.help().to_owned(),
    })?;
    let meta_data = cloud_init::meta_data(&format!("{}-{}", folder.id, record.own.told), cx.machine.as_str());
    let network = options.address.as_deref().map(|address| {
        let dns = options.dns.as_deref().unwrap_or_default();
        network::config(&network::mac(&folder.id), address, options.gateway.as_deref(), dns)
    });
    let seed = Seed {
        user_data: &user_data,
        meta_data: meta_data.as_bytes(),
        network_config: network.as_deref().map(str::as_bytes),
    };
    // The host key's private half is in it.
    files::write(&folder.seed(), 0o600, &seed.image())
}

/// The user's own data for cloud-init, if any.
fn own_user_data(options: &Options) -> Result<Option<Vec<u8>>, DriverError> {
    let Some(path) = options.user_data.as_deref().map(here) else { return Ok(None) };
    fs::read(&path).map(Some).map_err(unread("user data", &path))
}
