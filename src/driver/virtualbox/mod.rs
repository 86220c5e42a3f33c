//! Driver `virtualbox`: each machine is a VM of VirtualBox on this computer, made from a cloud image.
//!
//! VirtualBox is asked for everything by its program ([`manage`]); nothing is remembered besides. The UUID of a VM
//! follows from store, fleet and machine ([`vm::uuid`]), so VirtualBox itself knows which VM is whose from the moment
//! there is one. All else is in the machine's folder, and is made again by a run that follows one that was killed.

mod advice;
mod boot;
mod boot2docker;
mod cache;
mod computer;
mod disk;
mod fetch;
mod hostonly;
mod hostonlynet;
mod info;
mod manage;
mod options;
mod qcow2;
mod raw;
mod seed;
mod snapshots;
mod vdi;
#[cfg(test)]
mod versions;
mod vm;

use super::{
    Driver, DriverContext, DriverError, OptionProblem, OptionSpec, PowerAction, Snapshot, SnapshotAction, files, keys,
    local,
};
use crate::record::{Instance, OptionValues, Power, SshEndpoint};
use async_trait::async_trait;
use boot2docker::Old;
use info::{Info, State};
use manage::Manage;
use options::{Options, Origin};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use vm::{Seen, Vm};

/// The driver.
pub(super) struct VirtualBox;

#[async_trait]
impl Driver for VirtualBox {
    const NAME: &'static str = "virtualbox";
    const ABOUT: &'static str = "VMs of VirtualBox on this computer, from cloud images or boot2docker";
    const CREATES: bool = true;
    const LOCAL: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        options::table()
    }

    fn check(options: &Options) -> Vec<OptionProblem> {
        options.check()
    }

    fn fields(options: &Options, _: Option<&Instance>) -> Vec<(&'static str, Value)> {
        options.fields()
    }

    fn of_fields(driver: &Map<String, Value>) -> OptionValues {
        options::of_fields(driver)
    }

    /// The folder of its settings, which list the VMs that it knows: each user of this computer has one.
    async fn place(&self, _: &DriverContext<'_>, _: &Options) -> Result<Option<String>, DriverError> {
        Ok(computer::settings().map(|folder| local::folder(&folder)))
    }

    async fn find(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        let manage = Manage::find()?;
        let Some((id, info)) = found(&manage, cx).await? else { return Ok(None) };
        instance(&Vm::new(&manage, &id), cx, options, &info).await.map(Some)
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        let manage = Manage::find()?;
        computer::check(&manage, cx, options).await?;
        let login = match options.origin() {
            Origin::Import(..) => String::new(),
            _ => keys::login(cx)?,
        };
        if matches!(options.origin(), Origin::Cloud(_)) {
            seed::make_key(cx)?;
        }
        let (id, info) = match found(&manage, cx).await? {
            Some(found) => found,
            None => make(&manage, cx, options, &login).await?,
        };
        let vm = Vm::new(&manage, &id);
        let made = instance(&vm, cx, options, &info).await?;
        cx.checkpoint.instance(&made).await?;
        if info.state() == State::Off {
            prepare(&vm, cx, options, &info, &login).await?;
        }
        boot::start(&vm, cx, options, &made).await
    }

    async fn change(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
    ) -> Result<Instance, DriverError> {
        let manage = Manage::find()?;
        let (vm, info) = owned(&manage, cx, instance).await?.ok_or_else(|| gone(&instance.id))?;
        let ran = info.state() == State::Running;
        if info.state() != State::Off {
            (cx.progress)("switching it off, for VirtualBox changes only VMs that are off");
            boot::stop(&vm, cx).await?;
        }
        vm.configure(&info, options, cx.dir).await?;
        {
            let _lock = boot::lock(cx).await?;
            boot::plug(&vm, cx, options).await?;
        }
        if let Some(disk) = info.medium(vm::CONTROLLER, 1) {
            disk::grow(&manage, Path::new(disk), options.disk_size).await?;
        }
        if ran { boot::start(&vm, cx, options, instance).await } else { Ok(instance.clone()) }
    }

    async fn power(&self, cx: &DriverContext<'_>, instance: &Instance, _: &Options) -> Result<Power, DriverError> {
        let manage = Manage::find()?;
        Ok(owned(&manage, cx, instance).await?.map_or(Power::Gone, |(_, info)| info.state().power()))
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
        action: PowerAction,
    ) -> Result<Instance, DriverError> {
        let manage = Manage::find()?;
        let (vm, _) = owned(&manage, cx, instance).await?.ok_or_else(|| gone(&instance.id))?;
        match action {
            PowerAction::Kill => boot::kill(&vm).await?,
            PowerAction::Stop | PowerAction::Restart => boot::stop(&vm, cx).await?,
            PowerAction::Start => {}
        }
        match action {
            PowerAction::Start | PowerAction::Restart => boot::start(&vm, cx, options, instance).await,
            PowerAction::Stop | PowerAction::Kill => Ok(instance.clone()),
        }
    }

    async fn snapshot(
        &self,
        cx: &DriverContext<'_>,
        instance: &Instance,
        options: &Options,
        action: &SnapshotAction,
    ) -> Result<Vec<Snapshot>, DriverError> {
        let manage = Manage::find()?;
        let (vm, _) = owned(&manage, cx, instance).await?.ok_or_else(|| gone(&instance.id))?;
        snapshots::perform(&vm, cx, instance, options, action).await
    }

    async fn rm(&self, cx: &DriverContext<'_>, instance: &Instance, options: &Options) -> Result<(), DriverError> {
        let manage = Manage::find()?;
        let seen = Vm::new(&manage, &instance.id).look().await?;
        if matches!(seen, Seen::Broken) {
            forget_broken(&Vm::new(&manage, &instance.id)).await?;
        } else if let Some((vm, info)) = owned(&manage, cx, instance).await? {
            remove(&vm, &info).await?;
        }
        let _lock = boot::lock(cx).await?;
        for (file, forget) in
            [(disk::FILE, true), (seed::FILE, false), (boot2docker::FILE, false), ("console.log", false)]
        {
            let path = cx.dir.join(file);
            // VirtualBox remembers what was plugged in, by its place.
            if forget {
                disk::forget(&manage, &path).await;
            } else {
                disk::forget_cd(&manage, &path).await;
            }
            disk::erase(&path)?;
        }
        hostonly::tidy(&manage, boot::cidr(options)?).await
    }
}

/// The VM of this machine: by its UUID, else, in the machine's folder, by the name that docker-machine gave it.
async fn found(manage: &Manage, cx: &DriverContext<'_>) -> Result<Option<(String, Info)>, DriverError> {
    let id = vm::uuid(cx);
    match Vm::new(manage, &id).look().await? {
        Seen::There(info) => return Ok(Some((id, *info))),
        // Its files went with the machine's folder. Nothing can be made of it again.
        Seen::Broken => forget_broken(&Vm::new(manage, &id)).await?,
        Seen::Absent => {}
    }
    match Vm::new(manage, cx.machine.as_str()).look().await? {
        Seen::There(info) if vm::lives_in(&info, cx.dir) => Ok(Some((info.uuid().to_owned(), *info))),
        _ => Ok(None),
    }
}

/// The VM that was recorded. One that is known by name only must be in the machine's folder: names are not unique.
async fn owned<'a>(
    manage: &'a Manage,
    cx: &DriverContext<'_>,
    instance: &Instance,
) -> Result<Option<(Vm<'a>, Info)>, DriverError> {
    let vm = Vm::new(manage, &instance.id);
    let Seen::There(info) = vm.look().await? else { return Ok(None) };
    if vm::is_uuid(&instance.id) || vm::lives_in(&info, cx.dir) {
        let vm = Vm::new(manage, info.uuid());
        return Ok(Some((vm, *info)));
    }
    let settings = info.settings().unwrap_or(Path::new("somewhere")).display();
    Err(DriverError::Refused {
        doing: format!("looking at the VM `{}`", instance.id),
        why: format!("it is another one of that name, in {settings}"),
        help: "use the store that made it; if the machine's own VM is gone, forget it:\n  machine rm --force NAME"
            .replace("NAME", cx.machine.as_str()),
    })
}

fn gone(id: &str) -> DriverError {
    DriverError::Refused {
        doing: format!("looking for the VM `{id}`"),
        why: "machine does not exist".to_owned(),
        help: "apply again: it is made anew".to_owned(),
    }
}

/// What the store is told of a VM.
async fn instance(
    vm: &Vm<'_>,
    cx: &DriverContext<'_>,
    options: &Options,
    info: &Info,
) -> Result<Instance, DriverError> {
    let cloud = matches!(options.origin(), Origin::Cloud(_)) && info.medium(vm::CONTROLLER, 0).is_none_or(is_seed);
    let endpoint = SshEndpoint {
        host: "127.0.0.1".to_owned(),
        port: info.ssh_port().unwrap_or(22),
        user: if cloud { options.ssh_user.clone() } else { "docker".to_owned() },
        key: Some(boot2docker::key(cx.dir).display().to_string()),
        passphrase: None,
        jump: None,
    };
    Ok(Instance {
        id: info.uuid().to_owned(),
        address: vm.noted("address").await?.unwrap_or_default(),
        ssh: Some(endpoint),
        url: None,
        host_keys: if cloud { seed::host_key(cx.dir).into_iter().collect() } else { Vec::new() },
        jump_keys: Vec::new(),
    })
}

fn is_seed(medium: &str) -> bool {
    Path::new(medium).file_name().is_some_and(|name| name == seed::FILE)
}

/// Makes the disk, then the VM: from here on it can be found.
async fn make(
    manage: &Manage,
    cx: &DriverContext<'_>,
    options: &Options,
    login: &str,
) -> Result<(String, Info), DriverError> {
    match options.origin() {
        Origin::Cloud(image) => disk::of_image(manage, cx, image, options).await?,
        Origin::Boot2Docker(url) => {
            boot2docker::cd(cx, url).await?;
            disk::of_bytes(manage, cx, boot2docker::key_disk(login), options.disk_size).await?
        }
        Origin::Import(old, url) => {
            boot2docker::cd(cx, url).await?;
            Old::find(manage, old).await?.copy(manage, cx).await?
        }
    };
    let id = vm::uuid(cx);
    let name = free_name(manage, cx, &id).await?;
    // A run that was killed here has left settings of which VirtualBox knows nothing.
    unregistered(&cx.dir.join(&name).join(format!("{name}.vbox")), &id)?;
    let folder = cx.dir.display().to_string();
    (cx.progress)("creating the VM");
    let args = ["createvm", "--basefolder", &folder, "--name", &name, "--uuid", &id, "--register"];
    manage.run("creating the VM", &args).await?;
    let info = boot::there(&Vm::new(manage, &id)).await?;
    Ok((id, info))
}

/// What people see: the machine's name, unless another VM has it.
async fn free_name(manage: &Manage, cx: &DriverContext<'_>, id: &str) -> Result<String, DriverError> {
    let name = cx.machine.as_str();
    Ok(match Vm::new(manage, name).look().await? {
        Seen::Absent => name.to_owned(),
        Seen::There(_) | Seen::Broken => format!("{name}-{}", &id[..8]),
    })
}

/// Takes away settings of ours that were never registered; those of another VM are not ours to touch.
fn unregistered(settings: &Path, id: &str) -> Result<(), DriverError> {
    let Some(text) = files::read(settings)? else { return Ok(()) };
    if !text.contains(id) {
        return Err(DriverError::Refused {
            doing: "creating the VM".to_owned(),
            why: format!("{} holds the settings of another VM", settings.display()),
            help: format!(
                "move that folder away, or let VirtualBox know of it:\n  VBoxManage registervm {}",
                settings.display()
            ),
        });
    }
    disk::erase(settings)
}

/// Gives the VM all it needs before its first start. Every part of it may have been done before.
async fn prepare(
    vm: &Vm<'_>,
    cx: &DriverContext<'_>,
    options: &Options,
    info: &Info,
    login: &str,
) -> Result<(), DriverError> {
    let mut options = options.clone();
    if let Origin::Import(old, _) = options.origin()
        && let Ok(old) = Old::find(vm.manage, old).await
    {
        options.memory = old.memory.map_or(options.memory, |mib| mib << 20);
        options.cpu_count = old.cpus.and_then(|n| i64::try_from(n).ok()).unwrap_or(options.cpu_count);
    }
    vm.configure(info, &options, cx.dir).await?;
    vm.note("store", cx.store_id).await?;
    vm.note("fleet", cx.fleet.map_or("", |fleet| fleet.as_str())).await?;
    {
        let _lock = boot::lock(cx).await?;
        boot::plug(vm, cx, &options).await?;
    }
    let Some(disk) = own_disk(cx, info) else { return Ok(()) };
    let cd = match options.origin() {
        // Its cards have their addresses now.
        Origin::Cloud(_) => seed::write(cx, &vm.id, &boot::there(vm).await?, &options, login)?,
        Origin::Boot2Docker(_) | Origin::Import(..) => cx.dir.join(boot2docker::FILE),
    };
    vm.attach(info, Some(&cd), &disk).await
}

/// The disk that we made; a VM that docker-machine made has its own already.
fn own_disk(cx: &DriverContext<'_>, info: &Info) -> Option<PathBuf> {
    let own = cx.dir.join(disk::FILE);
    let other = info.medium(vm::CONTROLLER, 1).is_some_and(|medium| Path::new(medium) != own);
    (!other).then_some(own)
}

/// Removes a VM with its disks.
async fn remove(vm: &Vm<'_>, info: &Info) -> Result<(), DriverError> {
    boot::kill(vm).await?;
    if matches!(vm.look().await?, Seen::Broken) {
        return forget_broken(vm).await;
    }
    let doing = "removing the VM";
    if let Some((_, interface)) = info.hostonly() {
        // Else the address stays its own for ever. Old versions have nothing to forget.
        let network = format!("HostInterfaceNetworking-{interface}");
        let args = ["dhcpserver", "modify", "--netname", &network, "--vm", info.uuid(), "--nic", "2"];
        let _ = vm.manage.run(doing, &[&args[..], &["--remove-config"]].concat()).await;
    }
    match vm.call(doing, "unregistervm", &["--delete"]).await {
        Err(failure) if !failure.is_absent() => return Err(failure.into()),
        _ => {}
    }
    for medium in info.media() {
        disk::forget_cd(vm.manage, Path::new(medium)).await;
    }
    Ok(())
}

/// Lets VirtualBox forget a VM of which it has nothing but the UUID. It complains, and does.
async fn forget_broken(vm: &Vm<'_>) -> Result<(), DriverError> {
    match vm.call("forgetting the VM", "unregistervm", &[]).await {
        Err(failure) if !matches!(vm.look().await?, Seen::Absent) => Err(failure.into()),
        _ => Ok(()),
    }
}
