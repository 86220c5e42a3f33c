//! Snapshots inside a machine's disk: of a running machine with its memory, of one that is off without.

use super::{
    command::{DISK, SOCKET},
    disk,
    place::Folder,
    process::Process,
    program::Program,
    qmp::{PAUSED, Qmp},
};
use crate::{
    clock::Timestamp,
    driver::{DriverContext, DriverError, Snapshot, SnapshotAction},
    fault,
};
use serde_json::{Value, json};
use std::{fs::File, time::Duration};
use tokio::time::timeout;

/// How long memory may take to be written to the disk, or read back.
const LONG: Duration = Duration::from_mins(15);

/// How long a machine may take to say what it is doing; one that is asked by others says nothing meanwhile.
const SOON: Duration = Duration::from_secs(2);

/// Whether a machine that runs stands still, as after a restoring that was killed.
pub(super) async fn standing_still(folder: &Folder) -> bool {
    let status = async { Qmp::connect(&folder.path, SOCKET).await?.status().await };
    matches!(timeout(SOON, status).await, Ok(Ok(status)) if status == PAUSED)
}

/// Does it, and gives the snapshots there are then.
pub(super) async fn perform(
    cx: &DriverContext<'_>,
    folder: &Folder,
    action: &SnapshotAction,
) -> Result<Vec<Snapshot>, DriverError> {
    let waiting = || (cx.progress)("waiting for another run that works on the machine");
    let lock = folder.lock(waiting).await?;
    let running = Process::find(folder)?.is_some();
    if running {
        // What a run that was killed has begun goes on without it.
        let ended = async { Qmp::connect(&folder.path, SOCKET).await?.concluded().await };
        timeout(LONG, ended).await.map_err(|_| DriverError::Lost {
            doing: "waiting for what was begun before".to_owned(),
            why: "it takes too long".to_owned(),
        })??;
    }
    let there = list(folder, running).await?;
    let known = |name: &str| there.iter().find(|snapshot| snapshot.name == name);
    match action {
        SnapshotAction::List => return Ok(there),
        SnapshotAction::Create(name) => {
            if known(name).is_some() {
                return Err(DriverError::Refused {
                    doing: format!("making snapshot `{name}`"),
                    why: "there is one of this name".to_owned(),
                    help: format!(
                        "take another name, or remove it first:\n  machine snapshot rm {} {name}",
                        cx.machine
                    ),
                });
            }
            fault::pass("qemu.snapshot", &folder.id);
            if running {
                (cx.progress)("writing the machine's memory to its disk");
                run(folder, "snapshot-save", json!({ "tag": name, "vmstate": DISK, "devices": [DISK] })).await?;
            } else {
                image(folder, &lock, "-c", name).await?;
            }
        }
        SnapshotAction::Restore(name) => {
            let snapshot = known(name).ok_or_else(|| absent(cx, name, &there))?;
            fault::pass("qemu.snapshot", &folder.id);
            match (running, snapshot.memory) {
                (true, true) => {
                    run(folder, "snapshot-load", json!({ "tag": name, "vmstate": DISK, "devices": [DISK] })).await?;
                    // It goes on from where it was, whatever it was doing when it was put back.
                    Qmp::connect(&folder.path, SOCKET).await?.ask("cont", Value::Null).await?;
                }
                (true, false) => {
                    return Err(DriverError::Refused {
                        doing: format!("restoring snapshot `{name}`"),
                        why: "it was made while the machine was off, so the machine must be off".to_owned(),
                        help: format!("stop it first:\n  machine stop {}", cx.machine),
                    });
                }
                (false, _) => image(folder, &lock, "-a", name).await?,
            }
        }
        SnapshotAction::Rm(name) => {
            known(name).ok_or_else(|| absent(cx, name, &there))?;
            fault::pass("qemu.snapshot", &folder.id);
            if running {
                run(folder, "snapshot-delete", json!({ "tag": name, "devices": [DISK] })).await?;
            } else {
                image(folder, &lock, "-d", name).await?;
            }
        }
    }
    list(folder, running).await
}

fn absent(cx: &DriverContext<'_>, name: &str, there: &[Snapshot]) -> DriverError {
    let names: Vec<&str> = there.iter().map(|snapshot| snapshot.name.as_str()).collect();
    DriverError::Refused {
        doing: format!("looking for snapshot `{name}`"),
        why: format!("machine `{}` has none of this name", cx.machine),
        help: match names.as_slice() {
            [] => format!("it has none at all; make one:\n  machine snapshot create {} {name}", cx.machine),
            names => format!("it has {}", names.join(", ")),
        },
    }
}

async fn run(folder: &Folder, command: &str, arguments: Value) -> Result<(), DriverError> {
    Qmp::connect(&folder.path, SOCKET).await?.job(command, arguments, LONG).await
}

async fn image(folder: &Folder, lock: &File, how: &str, name: &str) -> Result<(), DriverError> {
    let program = Program::new("qemu-img", "working on snapshots").args(["snapshot", "-q", how, name]);
    program.args([folder.disk()]).holding(lock)?.run().await.map(drop)
}

/// The snapshots on the disk, oldest first. A running qemu has the list in memory, and is asked itself.
async fn list(folder: &Folder, running: bool) -> Result<Vec<Snapshot>, DriverError> {
    let info = if running {
        let nodes =
            Qmp::connect(&folder.path, SOCKET).await?.ask("query-named-block-nodes", json!({ "flat": true })).await?;
        let ours = nodes.as_array().into_iter().flatten().find(|node| node["node-name"] == DISK).cloned();
        ours.unwrap_or_default()["image"].clone()
    } else {
        disk::info(&folder.disk(), "qcow2").await?
    };
    Ok(parse(&info))
}

/// Pure. Snapshots in what qemu says of an image.
fn parse(info: &Value) -> Vec<Snapshot> {
    let all = info["snapshots"].as_array().into_iter().flatten();
    let mut snapshots: Vec<Snapshot> = all
        .filter_map(|one| {
            let size = one["vm-state-size"].as_u64().unwrap_or_default();
            let made = one["date-sec"].as_i64().map(Timestamp);
            Some(Snapshot { name: one["name"].as_str()?.to_owned(), made, memory: size > 0 })
        })
        .collect();
    snapshots.sort_by_key(|snapshot| snapshot.made);
    snapshots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read_oldest_first() {
        let info = json!({ "snapshots": [
            { "id": "2", "name": "after", "date-sec": 1_700_000_100, "vm-state-size": 4096 },
            { "id": "1", "name": "before", "date-sec": 1_700_000_000, "vm-state-size": 0 },
        ]});
        let found: Vec<(String, bool)> = parse(&info).into_iter().map(|s| (s.name, s.memory)).collect();
        assert_eq!(found, [("before".to_owned(), false), ("after".to_owned(), true)]);
        assert!(parse(&json!({})).is_empty());
    }
}
