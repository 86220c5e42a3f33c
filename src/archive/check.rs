//! What an archive may hold: machines with names of their own, and a few small files whose names lead out of no folder.
//! What they say is another matter ([`super::taken`]).

use super::{Archive, ArchiveError, Parcel, parcel::is_file_name};
use crate::excerpt;
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

/// What is wrong with the files of a machine.
fn problem(parcel: &Parcel) -> Option<String> {
    let Parcel { files, record: _, config: _ } = parcel;
    if files.len() > MAX_FILES {
        return Some(format!("it has {} files", files.len()));
    }
    files.iter().find_map(|(file, content)| {
        if !is_file_name(file) {
            return Some(format!("`{}` is no name of a file", excerpt::word(file).escape_debug()));
        }
        (content.len() > MAX_FILE).then(|| format!("`{file}` is larger than {} KiB", MAX_FILE >> 10))
    })
}
