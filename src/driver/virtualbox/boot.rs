//! From off to answering: ports, the start itself, the first login, the address.

use super::{
    advice, cache,
    hostonly::{self, Cidr},
    info::{Info, State},
    options::Options,
    vm::{Seen, Vm},
};
use crate::{
    driver::{DriverContext, DriverError, files},
    quote::Sh,
    record::{Instance, SshEndpoint},
    transport::{Limits, Target, Transport, TransportError},
};
use std::{
    fs::{self, File},
    net::TcpListener,
    time::{Duration, Instant},
};

/// How long a VM has from its start to its first login.
const BOOT: Duration = Duration::from_mins(5);
/// How long its DHCP may take after that.
const ADDRESS: Duration = Duration::from_mins(1);
/// How long it has to switch itself off.
const OFF: Duration = Duration::from_mins(2);
/// How long VirtualBox has to notice that it is off.
const NOTICE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(500);

/// Where only we are: networks and ports are chosen by one run at a time.
pub(super) async fn lock(cx: &DriverContext<'_>) -> Result<File, DriverError> {
    let folder = cache::folder();
    files::folder(&folder, 0o700)?;
    files::lock(&folder.join(".lock"), || (cx.progress)("waiting for another run to start its VM")).await
}

/// The network, and the VM in it. It must be off.
pub(super) async fn plug(vm: &Vm<'_>, cx: &DriverContext<'_>, options: &Options) -> Result<(), DriverError> {
    let cidr = cidr(options)?;
    let plug = hostonly::ensure(vm.manage, cidr, !options.hostonly_no_dhcp, cx.progress).await?;
    vm.plug(&plug, options).await
}

/// The host-only network that was asked for.
pub(super) fn cidr(options: &Options) -> Result<Cidr, DriverError> {
    Cidr::parse(&options.hostonly_cidr).map_err(|why| DriverError::Refused {
        doing: "reading `hostonly-cidr`".to_owned(),
        why,
        help: "write this computer's own address in the network, as `192.168.60.1/24`".to_owned(),
    })
}

/// Switches it on, and waits until a login works; the machine as it is then.
pub(super) async fn start(
    vm: &Vm<'_>,
    cx: &DriverContext<'_>,
    options: &Options,
    instance: &Instance,
) -> Result<Instance, DriverError> {
    let info = there(vm).await?;
    match info.state() {
        State::Running | State::Starting => {}
        State::Paused => {
            vm.call("waking the VM", "controlvm", &["resume"]).await?;
        }
        // Its settings are part of what was saved: nothing of them can change.
        State::Saved => launch(vm, options, &info).await?,
        state @ (State::Off | State::Stuck | State::Stopping | State::Unknown) => {
            if state != State::Off {
                // On its way down, or given up.
                stop(vm, cx).await?;
            }
            let _lock = lock(cx).await?;
            plug(vm, cx, options).await?;
            forward(vm, &info).await?;
            launch(vm, options, &info).await?;
        }
    }
    let info = there(vm).await?;
    (cx.progress)("waiting until it answers");
    answering(vm, cx, &info, with_port(instance, &info)).await
}

/// What VirtualBox knows of a VM that must be there.
pub(super) async fn there(vm: &Vm<'_>) -> Result<Info, DriverError> {
    match vm.look().await? {
        Seen::There(info) => Ok(*info),
        Seen::Absent | Seen::Broken => Err(DriverError::Refused {
            doing: format!("looking for the VM `{}`", vm.id),
            why: "machine does not exist".to_owned(),
            help: "apply again, or remove it and create it again".to_owned(),
        }),
    }
}

/// The machine, with the port that leads to it now.
pub(super) fn with_port(instance: &Instance, info: &Info) -> Instance {
    let ssh = instance.ssh.as_ref().map(|ssh| SshEndpoint {
        host: "127.0.0.1".to_owned(),
        port: info.ssh_port().unwrap_or(ssh.port),
        ..ssh.clone()
    });
    Instance { ssh, ..instance.clone() }
}

/// Lets a port of this computer lead to its SSH server: the one it had, or another where that is taken.
async fn forward(vm: &Vm<'_>, info: &Info) -> Result<(), DriverError> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    let before = info.ssh_port();
    if before.is_some_and(|port| free(port).is_ok()) {
        return Ok(());
    }
    let port = free(0).map_err(|e| super::manage::io("looking for a free port", &e))?.port();
    if before.is_some() {
        vm.modify(&["--natpf1", "delete", "ssh"]).await?;
    }
    vm.modify(&["--natpf1", &format!("ssh,tcp,127.0.0.1,{port},,22")]).await
}

async fn launch(vm: &Vm<'_>, options: &Options, info: &Info) -> Result<(), DriverError> {
    let started = vm.call("starting the VM", "startvm", &["--type", &options.ui_type]).await;
    let log = || info.log().and_then(|path| fs::read(path).ok()).map(|log| String::from_utf8_lossy(&log).into_owned());
    let Err(failure) = started else {
        let fatal = log().filter(|_| !options.no_vtx_check).and_then(|log| advice::in_log(&log));
        return match fatal.filter(|line| line.contains("VT-x") || line.contains("VERR_VMX") || line.contains("HW virt"))
        {
            Some(line) => Err(refused(&line)),
            None => Ok(()),
        };
    };
    if failure.says("is already locked") && matches!(vm.state().await?, State::Running | State::Starting) {
        return Ok(());
    }
    let why = log().and_then(|log| advice::in_log(&log));
    let failure = DriverError::from(failure);
    match (failure, why) {
        (DriverError::Refused { doing, why, .. }, Some(line)) => {
            let help = advice::on(&format!("{why}\n{line}"));
            Err(DriverError::Refused { doing, why: format!("{why}; its log says: {line}"), help })
        }
        (failure, _) => Err(failure),
    }
}

fn refused(line: &str) -> DriverError {
    DriverError::Refused { doing: "starting the VM".to_owned(), why: line.to_owned(), help: advice::on(line) }
}

/// Waits for the first login and for the address; notes what was learnt.
async fn answering(
    vm: &Vm<'_>,
    cx: &DriverContext<'_>,
    info: &Info,
    mut instance: Instance,
) -> Result<Instance, DriverError> {
    let transport = login(cx, &instance).await.map_err(|e| not_reached(vm, cx, e))?;
    instance.pin(transport.host_key(), transport.jump_keys());
    let Some((card, interface)) = info.hostonly() else { return Ok(instance) };
    let Some(mac) = info.mac(card) else { return Ok(instance) };
    let begun = Instant::now();
    let address = loop {
        let shown = transport.run(&Sh::text("ip addr show"), &[], Limits::SHORT, &mut |_| ()).await;
        if let Some(address) = shown.map_err(DriverError::Transport).map(|said| address_of(&said.stdout, &mac))? {
            break address;
        }
        if begun.elapsed() > ADDRESS {
            return Err(DriverError::Refused {
                doing: "waiting for the machine's address".to_owned(),
                why: format!("its network card {card} ({mac}, on {interface}) has none"),
                help: "see that DHCP of the host-only network is on (`VBoxManage list dhcpservers`), or that your user data \
                       sets up that card"
                    .to_owned(),
            });
        }
        tokio::time::sleep(POLL).await;
    };
    if vm.noted("address").await?.as_ref() != Some(&address) {
        vm.note("address", &address).await?;
        // Certificates and users stand on it: it shall stay. Old versions cannot do that.
        let network = format!("HostInterfaceNetworking-{interface}");
        let args = ["dhcpserver", "modify", "--netname", &network, "--vm", info.uuid(), "--nic", "2"];
        let args: Vec<&str> = args.into_iter().chain(["--fixed-address", &address]).collect();
        let _ = vm.manage.run("keeping the address", &args).await;
    }
    instance.address = address;
    Ok(instance)
}

async fn login(cx: &DriverContext<'_>, instance: &Instance) -> Result<std::sync::Arc<dyn Transport>, TransportError> {
    let target = Target::of(cx.machine, instance, cx.dir).expect("every VM has a way to log in");
    cx.connect.connect(&Target { patience: BOOT, ..target }).await
}

/// Why no login worked, with what the machine wrote to its console last.
fn not_reached(vm: &Vm<'_>, cx: &DriverContext<'_>, error: TransportError) -> DriverError {
    if !error.is_transient() {
        return DriverError::Transport(error);
    }
    let console = cx.dir.join("console.log");
    let last = fs::read(&console).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let last = last.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
    let said = last.map_or_else(String::new, |line| format!("; its console says last: {line}"));
    DriverError::Refused {
        doing: "waiting until the VM answers".to_owned(),
        why: format!("{error}{said}"),
        help: format!(
            "look at its screen, and at {}:\n  VBoxManage startvm {} --type separate",
            console.display(),
            vm.id
        ),
    }
}

/// The address of the card with that hardware address, in what `ip addr show` printed.
fn address_of(shown: &str, mac: &str) -> Option<String> {
    let mut ours = false;
    for line in shown.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some(word) if word.starts_with("link/") => ours = words.next() == Some(mac),
            Some("inet") if ours => return Some(words.next()?.split('/').next()?.to_owned()),
            Some(word) if word.ends_with(':') && !line.starts_with(' ') => ours = false,
            _ => {}
        }
    }
    None
}

/// Asks it to switch itself off, and waits.
pub(super) async fn stop(vm: &Vm<'_>, cx: &DriverContext<'_>) -> Result<(), DriverError> {
    let doing = "stopping the VM";
    let begun = Instant::now();
    let mut asked = None;
    loop {
        match vm.state().await? {
            State::Off | State::Saved => return Ok(()),
            State::Stuck => return kill(vm).await,
            State::Paused => {
                vm.call(doing, "controlvm", &["resume"]).await?;
            }
            State::Running if asked.is_none_or(|at: Instant| at.elapsed() > OFF / 4) => {
                // One that is still booting does not hear it: it is said again.
                match vm.call(doing, "controlvm", &["acpipowerbutton"]).await {
                    Err(failure) if !failure.says("not currently running") => return Err(failure.into()),
                    _ => asked = Some(Instant::now()),
                }
            }
            State::Running | State::Starting | State::Stopping | State::Unknown => {}
        }
        if begun.elapsed() > OFF {
            return Err(DriverError::Refused {
                doing: doing.to_owned(),
                why: format!("it did not switch itself off within {} s", OFF.as_secs()),
                help: format!("pull the plug:\n  machine kill {}", cx.machine),
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Pulls the plug.
pub(super) async fn kill(vm: &Vm<'_>) -> Result<(), DriverError> {
    if matches!(vm.state().await?, State::Off | State::Saved) {
        return Ok(());
    }
    match vm.call("switching off the VM", "controlvm", &["poweroff"]).await {
        Err(failure) if !failure.says("not currently running") => return Err(failure.into()),
        _ => {}
    }
    let begun = Instant::now();
    while !matches!(vm.state().await?, State::Off | State::Saved) {
        if begun.elapsed() > NOTICE {
            return Err(DriverError::Refused {
                doing: "switching off the VM".to_owned(),
                why: "VirtualBox still says that it runs".to_owned(),
                help: "end its process (VBoxHeadless), then run the same command again".to_owned(),
            });
        }
        tokio::time::sleep(POLL / 5).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "1: lo: <LOOPBACK,UP> mtu 65536\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    \
                         inet 127.0.0.1/8 scope host lo\n2: enp0s3: <UP> mtu 1500\n    link/ether 08:00:27:64:d9:12 brd \
                         ff:ff:ff:ff:ff:ff\n    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic enp0s3\n3: enp0s8: <UP>\n    \
                         link/ether 08:00:27:69:1f:1e brd ff:ff:ff:ff:ff:ff\n    inet6 fe80::1/64 scope link\n    \
                         inet 192.168.60.101/24 brd 192.168.60.255 scope global enp0s8\n";

    #[test]
    fn the_address_is_that_of_the_card_on_the_host_only_network() {
        assert_eq!(address_of(SHOWN, "08:00:27:69:1f:1e").as_deref(), Some("192.168.60.101"));
        assert_eq!(address_of(SHOWN, "08:00:27:64:d9:12").as_deref(), Some("10.0.2.15"));
        assert_eq!(address_of(SHOWN, "08:00:27:00:00:00"), None);
    }
}
