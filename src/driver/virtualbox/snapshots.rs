//! Snapshots of a VM, which VirtualBox keeps with it.

use super::{
    boot,
    info::{Info, State},
    options::Options,
    vm::Vm,
};
use crate::{
    clock::Timestamp,
    driver::{DriverContext, DriverError, Snapshot, SnapshotAction},
    record::Instance,
};
use std::{collections::BTreeMap, fs};

/// Does what is asked; the snapshots there are then.
pub(super) async fn perform(
    vm: &Vm<'_>,
    cx: &DriverContext<'_>,
    instance: &Instance,
    options: &Options,
    action: &SnapshotAction,
) -> Result<Vec<Snapshot>, DriverError> {
    let doing = "working on snapshots";
    let there = list(vm).await?;
    let known = |name: &str| there.iter().find(|snapshot| snapshot.name == name);
    let absent = |name: &str| DriverError::Refused {
        doing: doing.to_owned(),
        why: format!("there is no snapshot `{name}`"),
        help: format!("see which there are:\n  machine snapshot ls {}", cx.machine),
    };
    match action {
        SnapshotAction::List => return Ok(there),
        SnapshotAction::Create(name) if known(name).is_some() => {
            return Err(DriverError::Refused {
                doing: doing.to_owned(),
                why: format!("there is a snapshot `{name}` already"),
                help: "choose another name, or remove it first".to_owned(),
            });
        }
        SnapshotAction::Create(name) => {
            vm.call("making a snapshot", "snapshot", &["take", name]).await?;
        }
        SnapshotAction::Restore(name) => {
            let memory = known(name).ok_or_else(|| absent(name))?.memory;
            let ran = boot::there(vm).await?.state() == State::Running;
            boot::kill(vm).await?;
            vm.call("going back to a snapshot", "snapshot", &["restore", name]).await?;
            if ran || memory {
                boot::start(vm, cx, options, instance).await?;
            }
        }
        SnapshotAction::Rm(name) => {
            known(name).ok_or_else(|| absent(name))?;
            vm.call("removing a snapshot", "snapshot", &["delete", name]).await?;
        }
    }
    list(vm).await
}

async fn list(vm: &Vm<'_>) -> Result<Vec<Snapshot>, DriverError> {
    let info = boot::there(vm).await?;
    let said = vm.manage.ask("looking at snapshots", &["snapshot", &vm.id, "list", "--machinereadable"]).await;
    let text = match said {
        Err(failure) if failure.says("does not have any snapshots") => return Ok(Vec::new()),
        other => other?,
    };
    // When they were made is only in its settings.
    let settings = info.settings().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    Ok(parse(&text, &settings))
}

fn parse(listed: &str, settings: &str) -> Vec<Snapshot> {
    let info = Info::parse(listed);
    let more = elements(settings);
    let suffixes = listed.lines().filter_map(|line| line.strip_prefix("SnapshotName")?.split_once('=')).map(|(s, _)| s);
    suffixes
        .filter_map(|suffix| {
            let name = info.get(&format!("SnapshotName{suffix}"))?.to_owned();
            let more = info.get(&format!("SnapshotUUID{suffix}")).and_then(|uuid| more.get(uuid));
            let made = more.and_then(|more| Timestamp::try_from((*more.get("timeStamp")?).to_owned()).ok());
            Some(Snapshot { name, made, memory: more.is_some_and(|more| more.contains_key("stateFile")) })
        })
        .collect()
}

/// Attributes of the elements `Snapshot` in a VM's settings, by UUID. Names are not among those that are used, so nothing
/// has to be unescaped.
fn elements(settings: &str) -> BTreeMap<String, BTreeMap<&str, &str>> {
    let tags = settings.split("<Snapshot ").skip(1).filter_map(|rest| rest.split('>').next());
    let attributes = tags.map(|tag| {
        let words = tag.split('"').collect::<Vec<_>>();
        words.chunks_exact(2).map(|pair| (pair[0].trim().trim_end_matches('='), pair[1])).collect::<BTreeMap<_, _>>()
    });
    attributes.filter_map(|a| Some((a.get("uuid")?.trim_matches(['{', '}']).to_owned(), a))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_have_names_and_the_settings_say_when_and_with_what() {
        let listed = "SnapshotName=\"clean\"\nSnapshotUUID=\"1-a\"\nSnapshotName-1=\"with engine\"\nSnapshotUUID-1=\"2-b\"\n\
                      CurrentSnapshotName=\"with engine\"\nCurrentSnapshotUUID=\"2-b\"\nCurrentSnapshotNode=\"SnapshotName-1\"\n";
        let settings = "<Machine><Snapshot uuid=\"{1-a}\" name=\"clean\" timeStamp=\"2026-11-21T13:00:00Z\">\
                        <Snapshots><Snapshot uuid=\"{2-b}\" name=\"with engine\" timeStamp=\"2026-11-21T14:00:00Z\" \
                        stateFile=\"Snapshots/x.sav\"/></Snapshots></Snapshot></Machine>";
        let found = parse(listed, settings);
        let names: Vec<(&str, bool)> = found.iter().map(|s| (s.name.as_str(), s.memory)).collect();
        assert_eq!(names, [("clean", false), ("with engine", true)]);
        assert!(found[0].made < found[1].made && found[0].made.is_some());
        assert_eq!(parse(listed, "").len(), 2);
    }
}
