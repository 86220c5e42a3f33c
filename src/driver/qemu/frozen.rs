//! The machine that others go on from (`clone: frozen`): booted once from an image, told nothing that only one machine
//! may know, and frozen: its disk, and what was in its memory.
//!
//! It lies beside the images, complete or not at all, and never changes. While it is made it has no network. It ends
//! itself when the run that makes it is killed; what was left then is removed by the next run that makes it.

use super::{
    accelerator, boot,
    command::{Accelerator, CLONE, Frozen, NETWORK, SOCKET, model},
    console, disk, here,
    options::Options,
    place::{Folder, Place},
    process::Process,
    program::Program,
    qmp::{self, Qmp},
};
use crate::{
    cloud_init::{self, FirstBoot, iso::Seed},
    digest::sha256_hex_of,
    driver::{DriverContext, DriverError, files},
    fault,
    quote::quote,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::{sleep, timeout},
};

/// What runs in it: waits until it is settled, forgets what only one may know, and tells those that go on who they are.
const AGENT: &str = include_str!("clone_agent.py");
/// What it is called inside; those that go on replace it.
pub(super) const NAME: &str = "machine-frozen";
/// How long it may take to settle.
const SETTLE: Duration = Duration::from_mins(15);
/// How long its memory may take to be written.
const WRITE: Duration = Duration::from_mins(5);
/// Between two questions to qemu.
const QUESTION: Duration = Duration::from_millis(50);

/// Where the memory is, in the folder of a frozen machine.
pub(super) fn memory(folder: &Path) -> PathBuf {
    folder.join("memory")
}

/// Where the frozen machine is that a machine with these options goes on from, made or not. Anything that it could not
/// go on with is part of the name.
pub(super) async fn folder(
    place: &Place,
    image: &Path,
    options: &Options,
    accelerator: Accelerator,
) -> Result<PathBuf, DriverError> {
    let arch = options.arch();
    let file = |path: &Option<String>| -> Result<String, DriverError> {
        let Some(path) = path.as_deref().map(here) else { return Ok(String::new()) };
        let data = fs::metadata(&path).map_err(files::because("reading", &path))?;
        Ok(format!("{} {} {} {}", path.display(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    let program = match accelerator {
        Accelerator::Tcg => Program::new(arch.program(), "looking for qemu").args(["--version"]).run().await?,
        // A processor that is lent may be another one after the next start of this computer.
        _ => accelerator::here(arch).await?,
    };
    let parts = [
        AGENT.to_owned(),
        image.display().to_string(),
        program,
        format!("{} {}", accelerator.name(), model(options.cpu.as_deref(), accelerator, arch)),
        format!("{} {} {}", options.memory, options.cpus, options.disk_size),
        format!("{:?} {:?}", options.firmware, options.append),
        file(&options.kernel)?,
        file(&options.initrd)?,
        options.ssh_user.clone(),
    ];
    let parts: Vec<&[u8]> = parts.iter().flat_map(|part| [part.as_bytes(), &[0]]).collect();
    Ok(place.images.join(format!("frozen-{}", &sha256_hex_of(&parts)[..12])))
}

/// The frozen machine that one with these options goes on from, made first if it is not there yet.
pub(super) async fn ensure(
    place: &Place,
    cx: &DriverContext<'_>,
    image: &Path,
    options: &Options,
) -> Result<PathBuf, DriverError> {
    let accelerator = accelerator::choose(place, &options.accel, options.arch(), cx.progress).await?;
    let done = folder(place, image, options, accelerator).await?;
    if done.is_dir() {
        return Ok(done);
    }
    let beside = |ending: &str| {
        let name = done.file_name().unwrap_or_default().to_string_lossy();
        place.images.join(format!(".{name}.{ending}"))
    };
    let waiting = || (cx.progress)("waiting for another run to freeze a machine of this image");
    let lock = files::lock(&beside("lock"), waiting).await?;
    if done.is_dir() {
        return Ok(done);
    }
    let work = Folder::at(NAME, &beside("new"));
    clear(&work).await?;
    (cx.progress)("booting a machine of this image once, to freeze it; others go on from it");
    if let Err(e) = make(&work, &lock, image, options, accelerator).await {
        clear(&work).await?;
        return Err(e);
    }
    fault::point("qemu.frozen.rename", &done)
        .and_then(|()| fs::rename(&work.path, &done))
        .map_err(files::because("renaming", &work.path))?;
    Ok(done)
}

/// Removes what a run that was killed, or has failed, left of making one.
async fn clear(work: &Folder) -> Result<(), DriverError> {
    if let Some(process) = Process::find(work)? {
        process.kill().await?;
    }
    files::remove(&work.path).await
}

/// Boots it, and freezes it when it is settled.
async fn make(
    work: &Folder,
    lock: &File,
    image: &Path,
    options: &Options,
    accelerator: Accelerator,
) -> Result<(), DriverError> {
    files::folder(&work.path, 0o700)?;
    disk::make(work, lock, image, options.disk_size).await?;
    let first = FirstBoot { hostname: NAME, user: &options.ssh_user, authorized_keys: &[], host_key: None };
    let user_data = first.user_data(Some(own().as_bytes())).map_err(|e| failed(&e.to_string(), work))?;
    let meta_data = cloud_init::meta_data(NAME, NAME);
    let seed = Seed { user_data: &user_data, meta_data: meta_data.as_bytes(), network_config: None };
    files::write(&work.seed(), 0o600, &seed.image())?;
    let start = boot::Start { name: NAME, ports: None, frozen: Frozen::Becomes, mac: NAME };
    let process = boot::launch(work, lock, options, accelerator, start).await?;
    // From now on it is not left alone, or it ends itself.
    let mut agent = Agent::connect(work).await?;
    let settled = async {
        agent.hears("settled").await?;
        agent.tell(&json!("freeze")).await?;
        agent.hears("freezing").await
    };
    tokio::select! {
        settled = timeout(SETTLE, settled) => settled
            .map_err(|_| failed(&format!("it did not settle within {} minutes", SETTLE.as_secs() / 60), work))??,
        _ = process.ended() => return Err(failed("it ended", work)),
        why = boot::trouble(work, true) => return Err(failed(&why, work)),
    }
    fault::pass("qemu.freeze", &work.path);
    timeout(WRITE, freeze(work)).await.map_err(|_| failed("its memory is not written", work))??;
    process.kill().await?;
    for path in [work.seed(), work.pid(), work.path.join(CLONE), work.path.join(SOCKET)] {
        fault::point("qemu.remove", &path)
            .and_then(|()| match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            })
            .map_err(files::because("removing", &path))?;
    }
    files::sync(&work.path).await
}

/// Writes its memory to a file, and leaves it standing still.
async fn freeze(work: &Folder) -> Result<(), DriverError> {
    let mut qmp = Qmp::connect(&work.path, SOCKET).await?;
    qmp.ask("stop", Value::Null).await?;
    // Each that goes on has a network of its own.
    qmp.ask("netdev_del", json!({ "id": NETWORK })).await?;
    // As fast as it gets, in bytes per second.
    qmp.ask("migrate-set-parameters", json!({ "max-bandwidth": 1_u64 << 40 })).await?;
    let to = format!("exec:cat > {}", quote(&memory(&work.path).to_string_lossy()));
    qmp.ask("migrate", json!({ "uri": to })).await?;
    loop {
        let state = qmp.ask("query-migrate", Value::Null).await?;
        match state["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                let why = state["error-desc"].as_str().unwrap_or("its memory cannot be written").to_owned();
                return Err(failed(&why, work));
            }
            _ => sleep(QUESTION).await,
        }
    }
}

/// What it is told besides what every machine is: the agent, and to start it when all else is done.
fn own() -> String {
    let unit =
        "[Unit]\nAfter=cloud-final.service\n[Service]\nExecStart=/usr/bin/python3 /usr/local/sbin/machine-clone\n";
    let file = |path: &str, text: &str| json!({ "path": path, "permissions": "0600", "content": text });
    let config = json!({
        // They are forgotten; of the kind that is made fastest.
        "ssh_genkeytypes": ["ed25519"],
        "no_ssh_fingerprints": true,
        "write_files": [
            file("/usr/local/sbin/machine-clone", AGENT),
            file("/etc/systemd/system/machine-clone.service", unit),
        ],
        "runcmd": [["systemctl", "start", "--no-block", "machine-clone.service"]],
    });
    format!("#cloud-config\n{config}\n")
}

fn failed(why: &str, work: &Folder) -> DriverError {
    DriverError::Refused {
        doing: "freezing a machine of this image".to_owned(),
        why: format!("{why}; {}", console::tail(work)),
        help: "leave `clone: frozen` away: it needs an image with cloud-init, systemd and Python 3".to_owned(),
    }
}

/// Speaking with what runs in a frozen machine, and in those that go on from it.
pub(super) struct Agent {
    stream: BufReader<UnixStream>,
}

#[derive(Debug, Deserialize)]
struct Said {
    state: String,
    #[serde(default)]
    why: String,
}

impl Agent {
    pub(super) async fn connect(folder: &Folder) -> Result<Self, DriverError> {
        Ok(Self { stream: BufReader::new(qmp::connect(&folder.path, CLONE).await?) })
    }

    pub(super) async fn tell(&mut self, what: &Value) -> Result<(), DriverError> {
        let sent = self.stream.get_mut().write_all(format!("{what}\n").as_bytes()).await;
        sent.map_err(|e| refused(&e.to_string()))
    }

    /// Waits until it says that it is in this state.
    pub(super) async fn hears(&mut self, state: &str) -> Result<(), DriverError> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await;
        if read.map_err(|e| refused(&e.to_string()))? == 0 {
            return Err(refused("it has ended"));
        }
        match serde_json::from_str::<Said>(&line) {
            Ok(said) if said.state == state => Ok(()),
            Ok(said) => Err(refused(&format!("it is {}: {}", said.state, said.why))),
            Err(e) => Err(refused(&format!("it says nothing that makes sense: {e}"))),
        }
    }
}

fn refused(why: &str) -> DriverError {
    DriverError::Refused {
        doing: "speaking with what runs in the machine".to_owned(),
        why: why.to_owned(),
        help: "leave `clone: frozen` away".to_owned(),
    }
}
