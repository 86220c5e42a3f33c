//! A machine that goes on from a frozen one, instead of booting: told its identity before it can be reached.
//!
//! Until it knows, its disk and what runs are worth nothing: killed before that is written down, it begins again.

use super::{
    accelerator, boot,
    command::{NETWORK_DEVICE, SOCKET},
    disk,
    frozen::{self, Agent},
    options::Options,
    place::{Folder, Origin, Place, Record},
    process::Process,
    qmp::Qmp,
};
use crate::{
    clock::{Clock, SystemClock},
    digest::hex,
    driver::{DriverContext, DriverError, files},
    fault,
};
use serde_json::{Value, json};
use std::{fs, io, time::Duration};
use tokio::time::{sleep, timeout};

/// How long it may take to become itself; emulated and with others beside it, half a minute.
const BECOME: Duration = Duration::from_mins(4);
/// Between two questions to qemu.
const QUESTION: Duration = Duration::from_millis(20);

/// Lets it go on, and writes down that it knows who it is.
pub(super) async fn go_on(
    place: &Place,
    cx: &DriverContext<'_>,
    folder: &Folder,
    record: &mut Record,
    options: &Options,
) -> Result<(), DriverError> {
    if !matches!(record.own.origin, Some(Origin::Ahead(_))) {
        return Ok(());
    }
    let lock = folder.lock(|| (cx.progress)("waiting for another run that works on the machine")).await?;
    folder.tidy()?;
    *record = folder.reload(record.clone())?;
    // Another run may have been faster.
    let Some(Origin::Ahead(from)) = record.own.origin.clone() else { return Ok(()) };
    if let Some(process) = Process::find(folder)? {
        // Of a run that was killed: it is unknown how far it came.
        process.kill().await?;
    }
    let accelerator = accelerator::choose(place, &options.accel, options.arch(), cx.progress).await?;
    if frozen::folder(place, &record.own.image, options, accelerator).await? != from || !from.is_dir() {
        return Err(failed("the frozen machine is gone, or is not like this one any more"));
    }
    // What the memory knows of the disk must be what is on it.
    remove_disk(folder)?;
    disk::make(folder, &lock, &record.below(), options.disk_size).await?;
    (cx.progress)("going on from a frozen machine");
    let process = boot::switch_on(place, cx, folder, &lock, record, options, accelerator).await?;
    tokio::select! {
        told = timeout(BECOME, become_itself(cx, folder, record, options)) => {
            told.map_err(|_| failed("it does not answer"))??;
        }
        _ = process.ended() => return Err(failed("it ended")),
    }
    fault::pass("qemu.clone.told", &folder.id);
    record.own.origin = Some(Origin::Behind(from));
    folder.save(record)
}

/// Takes away all that came of trying, so that the machine boots from its image.
pub(super) async fn give_up(folder: &Folder, record: &mut Record) -> Result<(), DriverError> {
    let _lock = folder.lock(|| {}).await?;
    *record = folder.reload(record.clone())?;
    if !matches!(record.own.origin, Some(Origin::Ahead(_))) {
        return Ok(());
    }
    if let Some(process) = Process::find(folder)? {
        process.kill().await?;
    }
    remove_disk(folder)?;
    record.own.origin = Some(Origin::Booted);
    record.phase = super::Phase::Allocated;
    folder.save(record)
}

fn remove_disk(folder: &Folder) -> Result<(), DriverError> {
    match fault::point("qemu.remove", folder.disk()).and_then(|()| fs::remove_file(folder.disk())) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(files::because("removing", &folder.disk())(e)),
        _ => Ok(()),
    }
}

/// Waits until its memory is there, lets it run, and tells it who it is.
async fn become_itself(
    cx: &DriverContext<'_>,
    folder: &Folder,
    record: &Record,
    options: &Options,
) -> Result<(), DriverError> {
    // First: what runs in it must never meet a port without a listener.
    let mut agent = Agent::connect(folder).await?;
    let mut qmp = Qmp::connect(&folder.path, SOCKET).await?;
    while qmp.status().await? == "inmigrate" {
        sleep(QUESTION).await;
    }
    let link = |up: bool| json!({ "name": NETWORK_DEVICE, "up": up });
    // It was frozen without a network. It looks at its network anew when it sees that it was cut.
    qmp.ask("set_link", link(true)).await?;
    qmp.ask("cont", Value::Null).await?;
    qmp.ask("set_link", link(false)).await?;
    qmp.ask("set_link", link(true)).await?;
    drop(qmp);
    let private = files::read(&folder.host_key())?.unwrap_or_default();
    let who = json!({
        "hostname": cx.machine.as_str(),
        "was": frozen::NAME,
        "machine-id": hex(&random::<16>()?),
        "entropy": hex(&random::<64>()?),
        "now": SystemClock.now().0,
        "private": private,
        "public": record.host_key,
        "user": options.ssh_user,
        "login": record.login_key,
    });
    agent.tell(&who).await?;
    agent.hears("ready").await
}

fn random<const N: usize>() -> Result<[u8; N], DriverError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| failed("this computer gives no random numbers"))?;
    Ok(bytes)
}

fn failed(why: &str) -> DriverError {
    DriverError::Refused {
        doing: "going on from a frozen machine".to_owned(),
        why: why.to_owned(),
        help: "leave `clone: frozen` away".to_owned(),
    }
}
