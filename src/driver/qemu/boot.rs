//! From files to a machine that answers: everything it needs of this computer, and what is told when it does not come up.

use super::{
    accelerator,
    command::{Accelerator, Computer, Firmware, Frozen, SOCKET},
    console, disk, firmware, frozen, here,
    network::{ENGINE, Forward, Network, cidr, mac},
    options::Options,
    place::{Folder, Origin, Place, Ports, Record},
    process::{self, Process},
    qmp::{PAUSED, Qmp},
};
use crate::{
    driver::{DriverContext, DriverError},
    fault,
};
use serde_json::Value;
use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How long a machine may take from start to the first word of its SSH server.
const BOOT: Duration = Duration::from_mins(4);
/// The same where each instruction is translated: a first boot with cloud-init is minutes of work there.
const EMULATED: Duration = Duration::from_mins(12);
/// After which a machine on an accelerator must have printed something.
const SILENCE: Duration = Duration::from_secs(45);
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(200);
/// Between two questions to qemu how the machine is.
const QUESTION: Duration = Duration::from_secs(3);

/// Starts a machine and waits until its SSH server answers; only waits when it runs.
pub(super) async fn start(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    mut record: Record,
    options: &Options,
) -> Result<Record, DriverError> {
    let waiting = || (cx.progress)("waiting for another run that works on the machine");
    let lock = folder.lock(waiting).await?;
    folder.tidy()?;
    record = folder.reload(record)?;
    let arch = options.arch();
    let mut accelerator = accelerator::choose(place, &options.accel, arch, cx.progress).await?;
    let mut distrusted = false;
    loop {
        let process = match Process::find(folder)? {
            Some(running) => {
                go_on(folder).await?;
                running
            }
            None => switch_on(place, cx, folder, &lock, &mut record, options, accelerator).await?,
        };
        let last = distrusted || accelerator == Accelerator::Tcg || options.accel != "auto";
        match booted(&process, folder, &record, options, accelerator, last).await? {
            Came::Up(address) => {
                if address != record.own.address {
                    record.own.address = address;
                    folder.save(&record)?;
                }
                return Ok(record);
            }
            Came::Not(why) if last => {
                return Err(DriverError::Refused {
                    doing: "waiting for the machine to boot".to_owned(),
                    why: format!("{why}; {}", console::tail(folder)),
                    help: "correct what is wrong, then run the same command again: what is there is taken over"
                        .to_owned(),
                });
            }
            Came::Not(why) => {
                process.kill().await?;
                accelerator = accelerator::distrust(place, accelerator, arch, why, cx.progress).await?;
                distrusted = true;
            }
        }
    }
}

/// Starts qemu, with other ports when those it had are taken.
pub(super) async fn switch_on(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    lock: &File,
    record: &mut Record,
    options: &Options,
    accelerator: Accelerator,
) -> Result<Process, DriverError> {
    let below = record.below();
    if !below.is_file() {
        return Err(DriverError::Refused {
            doing: format!("starting `{}`", cx.machine),
            why: format!("the image below its disk, {}, is not there any more", below.display()),
            help: "bring it back, or remove the machine and create it anew".to_owned(),
        });
    }
    disk::grow(folder, lock, options.disk_size, false).await?;
    let memory =
        record.own.origin.as_ref().map(|_| frozen::memory(below.parent().unwrap_or(&below))).unwrap_or_default();
    let mut fresh = false;
    for _ in 0..3 {
        if record.own.ports.is_some() {
            let _lock = place.lock().await?;
            record.own.ports = Some(place.ports(&folder.id, options, record.own.ports, fresh)?);
            folder.save(record)?;
        }
        (cx.progress)(match accelerator {
            Accelerator::Tcg => "starting the machine, emulated",
            _ => "starting the machine",
        });
        match launch(folder, lock, options, accelerator, start_of(cx, folder, record, &memory)).await {
            Err(DriverError::Refused { why, .. })
                if why.contains("Could not set up host forwarding rule")
                    && movable(&why, record.own.ports, options) =>
            {
                (cx.progress)("a port of the machine is in use: taking others");
                fresh = true;
            }
            other => return other,
        }
    }
    launch(folder, lock, options, accelerator, start_of(cx, folder, record, &memory)).await
}

/// Lets a machine go on that stands still: a run was killed that had put it back to a snapshot.
async fn go_on(folder: &Folder) -> Result<(), DriverError> {
    // One that is just ending, or is asked by another run: what waits for it says what is wrong with it.
    let Ok(mut qmp) = Qmp::connect(&folder.path, SOCKET).await else { return Ok(()) };
    qmp.concluded().await?;
    if qmp.status().await? == PAUSED {
        fault::pass("qemu.cont", &folder.id);
        qmp.ask("cont", Value::Null).await?;
    }
    Ok(())
}

/// Whether the port that qemu could not have is one that we chose.
fn movable(why: &str, ports: Option<Ports>, options: &Options) -> bool {
    // Before that, qemu repeats all it was told.
    let rule = why.rsplit("forwarding rule").next().unwrap_or_default();
    let refused = |port: u16| rule.contains(&format!(":{port}-:"));
    ports.is_some_and(|ports| {
        (options.ssh_port.is_none() && refused(ports.ssh)) || (options.engine_port.is_none() && refused(ports.engine))
    })
}

/// What of a start is not in the machine's options.
pub(super) struct Start<'a> {
    /// What the process is called.
    pub(super) name: &'a str,
    /// Ports of this computer that lead in.
    pub(super) ports: Option<Ports>,
    /// What it has to do with a frozen machine.
    pub(super) frozen: Frozen<'a>,
    /// What its hardware address is made of.
    pub(super) mac: &'a str,
}

fn start_of<'a>(cx: &DriverContext<'a>, folder: &'a Folder, record: &'a Record, memory: &'a Path) -> Start<'a> {
    let frozen = match &record.own.origin {
        Some(Origin::Ahead(_)) => Frozen::GoesOn(memory),
        Some(Origin::Behind(_)) => Frozen::Was,
        Some(Origin::Booted) | None => Frozen::Not,
    };
    // Those that go on have the hardware address of what was frozen; on this network, it is not seen.
    let mac = if frozen == Frozen::Not { &folder.id } else { frozen::NAME };
    Start { name: cx.machine.as_str(), ports: record.own.ports, frozen, mac }
}

/// Starts qemu.
pub(super) async fn launch(
    folder: &Folder,
    lock: &File,
    options: &Options,
    accelerator: Accelerator,
    start: Start<'_>,
) -> Result<Process, DriverError> {
    let arch = options.arch();
    let network = Network::parse(&options.network).unwrap_or(Network::User);
    let firmware = firmware::find(options.firmware.as_deref(), arch, options.kernel.is_some())?;
    if let Some((_, first)) = &firmware {
        firmware::settle(folder, first)?;
    }
    let variables = folder.variables();
    let mut forwards: Vec<Forward> = Vec::new();
    if let Some(ports) = start.ports {
        forwards.extend([Forward::local(ports.ssh, 22), Forward::local(ports.engine, ENGINE)]);
        forwards.extend(options.forward.iter().flatten().filter_map(|text| Forward::parse(text).ok()));
    }
    let path = |text: &Option<String>| -> Option<PathBuf> { text.as_deref().map(here) };
    let (kernel, initrd) = (path(&options.kernel), path(&options.initrd));
    let computer = Computer {
        name: start.name,
        arch,
        accelerator,
        cpu: options.cpu.as_deref(),
        memory: options.memory,
        cpus: options.cpus,
        disk: &folder.disk(),
        seed: &folder.seed(),
        network: &network,
        mac: &mac(start.mac),
        forwards: &forwards,
        firmware: firmware.as_ref().map(|(code, _)| Firmware { code, variables: &variables }),
        kernel: kernel.as_deref(),
        initrd: initrd.as_deref(),
        append: options.append.as_deref(),
        console: &folder.console(),
        pid: &folder.pid(),
        frozen: start.frozen,
    };
    process::launch(folder, lock, arch.program(), computer.arguments()).await
}

/// How a start ended.
enum Came {
    /// It answers; at this address, when it has one of its own that only it knows.
    Up(Option<String>),
    /// It does not, and why.
    Not(String),
}

/// Waits until the machine's SSH server answers. `last`: there is no other accelerator to try.
async fn booted(
    process: &Process,
    folder: &Folder,
    record: &Record,
    options: &Options,
    accelerator: Accelerator,
    last: bool,
) -> Result<Came, DriverError> {
    let most = if accelerator == Accelerator::Tcg { EMULATED } else { BOOT };
    let up = async {
        let given = options.address.as_deref().and_then(cidr);
        let (host, port, own) = match (record.own.ports, given) {
            (Some(ports), _) => ("127.0.0.1".to_owned(), ports.ssh, None),
            (None, Some((address, _))) => (address.to_string(), 22, None),
            (None, None) => {
                let address = told(folder).await;
                (address.clone(), 22, Some(address))
            }
        };
        answers(&host, port).await;
        own
    };
    tokio::select! {
        up = timeout(most, up) => Ok(match up {
            Ok(address) => Came::Up(address),
            Err(_) => Came::Not(format!("no SSH server answers within {} minutes", most.as_secs() / 60)),
        }),
        _ = process.ended() => Ok(Came::Not("it ended".to_owned())),
        why = trouble(folder, last) => Ok(Came::Not(why)),
    }
}

/// Ends when something is wrong with the machine that waiting does not mend.
pub(super) async fn trouble(folder: &Folder, last: bool) -> String {
    let begun = Instant::now();
    loop {
        sleep(QUESTION).await;
        let status = async { Qmp::connect(&folder.path, SOCKET).await?.status().await }.await;
        match status.as_deref() {
            Ok("io-error") => return "it stands still, for the disk of this computer is full or broken".to_owned(),
            Ok("internal-error") => return "the accelerator cannot run its instructions".to_owned(),
            Ok("guest-panicked") => return "its kernel has panicked".to_owned(),
            _ => {}
        }
        if !last && begun.elapsed() > SILENCE && console::text(folder).is_empty() {
            return "a machine does not get on".to_owned();
        }
    }
}

/// The address that the machine tells on its console.
async fn told(folder: &Folder) -> String {
    let mac = mac(&folder.id);
    loop {
        if let Some(address) = console::address(&console::text(folder), &mac) {
            return address.to_string();
        }
        sleep(RETRY).await;
    }
}

/// Ends when an SSH server greets. A forwarded port can be connected to before a server listens behind it.
async fn answers(host: &str, port: u16) {
    let greeted = async || {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        let mut greeting = [0_u8; 4];
        stream.read_exact(&mut greeting).await.ok()?;
        (&greeting == b"SSH-").then_some(())
    };
    while timeout(Duration::from_secs(5), greeted()).await.ok().flatten().is_none() {
        sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_ports_that_we_chose_are_exchanged() {
        let ports = Some(Ports { ssh: 20_001, engine: 2376 });
        let options: Options = serde_json::from_value(json!({
            "image": "debian-12", "memory": 1, "cpus": 1, "disk-size": 1, "accel": "auto", "network": "user",
            "ssh-user": "u", "engine-port": 2376,
        }))
        .unwrap();
        let said = |port: u16| {
            let all = "-netdev user,hostfwd=tcp:127.0.0.1:20001-:22,hostfwd=tcp:127.0.0.1:2376-:2376";
            format!("qemu said: {all}: Could not set up host forwarding rule 'tcp:127.0.0.1:{port}-:22'")
        };
        assert!(movable(&said(20_001), ports, &options));
        assert!(!movable(&said(2376), ports, &options), "the user wants this one");
        assert!(!movable(&said(8080), ports, &options), "and this one");
    }

    #[tokio::test]
    async fn what_listens_without_a_word_is_no_ssh_server() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            // As behind a forwarded port: accepted, and closed.
            drop(listener.accept().await.unwrap());
            listener.accept().await.unwrap().0.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        });
        answers("127.0.0.1", port).await;
        server.await.unwrap();
    }
}
