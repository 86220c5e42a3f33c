//! What an archive may hold. It may come from anybody: no name in it leads out of a folder, and no address or user in
//! it can be an option of a program that is given it.

use super::{Archive, ArchiveError, Parcel, parcel::is_file_name};
use crate::{
    driver,
    record::{Instance, MachineRecord},
};
use std::collections::BTreeSet;

/// Machines have some 20 KiB of keys and certificates each.
pub const MAX_SIZE: usize = 64 << 20;
const MAX_FILE: usize = 256 << 10;
const MAX_FILES: usize = 16;

pub(super) fn archive(archive: &Archive) -> Result<(), ArchiveError> {
    let mut names = BTreeSet::new();
    if archive.machines.is_empty() {
        return Err(ArchiveError::Shape("there is no machine in it".to_owned()));
    }
    for parcel in &archive.machines {
        let name = &parcel.record.name;
        let refused = |why: String| ArchiveError::Refused { machine: name.to_string(), why };
        if !names.insert(name) {
            return Err(refused("it is in it twice".to_owned()));
        }
        problem(parcel).map_or(Ok(()), |why| Err(refused(why)))?;
    }
    Ok(())
}

/// What is wrong with a machine.
fn problem(parcel: &Parcel) -> Option<String> {
    let Parcel { record, config, files } = parcel;
    if files.len() > MAX_FILES {
        return Some(format!("it has {} files", files.len()));
    }
    for (file, content) in files {
        if !is_file_name(file) {
            return Some(format!("`{}` is no name of a file", file.escape_debug()));
        }
        if content.len() > MAX_FILE {
            return Some(format!("`{file}` is larger than {} KiB", MAX_FILE >> 10));
        }
    }
    if !(config.is_null() || config.is_object()) {
        return Some("its config.json is not an object".to_owned());
    }
    let Some(instance) = &record.instance else { return Some("it has no instance".to_owned()) };
    let key = instance.ssh.as_ref().and_then(|ssh| ssh.key.as_deref());
    let option = record.options.get("ssh-key").and_then(|value| value.as_str());
    if let Some(key) = [key, option].into_iter().flatten().find(|key| !files.contains_key(*key)) {
        return Some(format!("its key `{}` is not in it", key.escape_debug()));
    }
    // It might name a file that somebody else can write, and such a file can name a command.
    if record.options.get("ssh-config").is_some_and(|file| file != "none") {
        return Some("it names an ssh_config of this computer".to_owned());
    }
    strange(instance)
        .map(|text| format!("`{}` is no place to connect to", text.escape_debug()))
        .or_else(|| options(record))
}

/// A word that is no host, user or URL.
fn strange(instance: &Instance) -> Option<&str> {
    let ssh =
        instance.ssh.iter().flat_map(|ssh| [Some(ssh.host.as_str()), Some(ssh.user.as_str()), ssh.jump.as_deref()]);
    let words = ssh.flatten().chain(instance.url.as_deref());
    let odd = |word: &&str| word.is_empty() || !is_word(word);
    words.filter(odd).chain(Some(instance.address.as_str()).filter(|address| !is_word(address))).next()
}

fn is_word(text: &str) -> bool {
    !text.starts_with('-') && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// What its driver finds wrong with its options.
fn options(record: &MachineRecord) -> Option<String> {
    let problems = driver::find(&record.driver)?.check(&record.options);
    problems.into_iter().next().map(|problem| problem.message)
}
