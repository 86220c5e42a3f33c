//! How the files in a machine's folder are written: the record, then docker-machine's config.json.

use super::{
    CONFIG, EARLIER, FolderStore, RECORD,
    disk::{Disk, Staged, hidden},
    found::{self, Earlier, Found},
};
use crate::{
    digest::sha256_hex,
    record::{
        MachineRecord, Version,
        codec::{self, Beside, Unknown},
        docker_machine::{ConfigError, ConfigFile, VERSION},
        folder, kdl,
    },
    store::{Mode, NewFile, Seed, StoreError},
};
use std::path::Path;

/// docker-machine's name for the config.json before a migration.
pub(super) const BACKUP: &str = "config.json.bak";

/// What an earlier version wrote, kept once.
pub(super) const EARLIER_BACKUP: &str = "record.kdl.bak";

/// What is to lie in a machine's folder.
pub(super) struct New<'a> {
    pub(super) record: &'a MachineRecord,
    /// What the record there holds that this version does not know.
    pub(super) unknown: &'a Unknown,
    /// Beside the record.
    pub(super) files: &'a [NewFile<'a>],
    pub(super) seed: Seed<'a>,
}

impl FolderStore {
    /// The config.json for a record: its text, and `None` when a newer docker-machine's must be left alone.
    fn new_config(&self, record: &MachineRecord, old: Option<&[u8]>, seed: Seed<'_>) -> Option<(String, bool)> {
        let place = self.place(&record.name);
        let (mut config, keep_old) = match old.map(|text| self.parse_config(&record.name, text)) {
            Some(Ok(config)) => {
                let migrated = config.version_found() < VERSION;
                (config, migrated)
            }
            Some(Err(ConfigError::Future)) => return None,
            // A crash of docker-machine leaves empty files; anything longer may be of use.
            Some(Err(_)) => (ConfigFile::new(place), old.is_some_and(|text| !text.is_empty())),
            None => (ConfigFile::new(place), false),
        };
        seed(&mut config);
        config.update(place, record, self.fields.fields_of(record));
        Some((config.text(), keep_old))
    }

    /// Writes the files of a machine into a folder that is there. Which state it has then.
    pub(super) fn write_files(&self, dir: &Path, new: &New<'_>, found: &Found) -> Result<Version, StoreError> {
        let New { record, unknown, seed, files } = *new;
        let old_config = found.config.as_ref().map(|config| config.text.as_slice());
        let new_config = self.new_config(record, old_config, seed);
        let old_digest = found.config.as_ref().map(|config| config.sha256.clone());
        let mut beside = Beside { config: old_digest.clone(), ..Beside::default() };
        if let Some((text, _)) = &new_config {
            let current = sha256_hex(text.as_bytes());
            beside.replaces = old_digest.clone().filter(|old| *old != current);
            beside.config = Some(current);
        }
        if let Earlier::Record(text) = &found.earlier {
            beside.kdl = Some(sha256_hex(text));
        }
        let config_changed = found.config.is_none() || beside.replaces.is_some();
        let text =
            |beside: &Beside| codec::encode(&folder::written(record, &self.dir_text(&record.name)), beside, unknown);
        let text_now = text(&beside);
        let is_new = found.record.as_deref() != Some(text_now.as_bytes());

        // Everything that a full disk can refuse comes before anything is changed. The order is that in which the files
        // get their names. What the record speaks of is there before it. The record comes first: it knows both what it replaces and what comes after it. Then what an
        // earlier version wrote is put aside, and last docker-machine's document.
        let stage = |file: &str, text: &[u8]| self.disk.stage(&dir.join(file), text, Mode::Private);
        let mut staged: Vec<Staged<'_>> = Vec::new();
        for (file, content, mode) in files {
            staged.push(self.disk.stage(&dir.join(file), content, *mode)?);
        }
        if is_new {
            staged.push(stage(RECORD, text_now.as_bytes())?);
        }
        match &found.earlier {
            Earlier::Stub => {}
            Earlier::Absent => staged.push(stage(EARLIER, kdl::STUB.as_bytes())?),
            Earlier::Record(old) => {
                if Disk::read(&dir.join(EARLIER_BACKUP))?.is_none() {
                    staged.push(stage(EARLIER_BACKUP, old)?);
                }
                staged.push(stage(EARLIER, kdl::STUB.as_bytes())?);
            }
        }
        if let Some((text, keep_old)) = new_config.as_ref().filter(|_| config_changed) {
            if let (true, Some(old)) = (*keep_old, old_config) {
                self.disk.write(&dir.join(BACKUP), old, Mode::Private)?;
            }
            staged.push(stage(CONFIG, text.as_bytes())?);
        }
        // docker-machine takes no lock: what it wrote meanwhile is read before it is written over.
        let now = Disk::read(&dir.join(CONFIG))?.map(|text| sha256_hex(&text));
        if now != old_digest {
            return Err(StoreError::Moved(record.name.clone()));
        }
        for staged in staged {
            staged.name()?;
            self.disk.sync_dir(dir)?;
        }
        // From here on what was replaced coming back means that another program put it there.
        let mut last = text_now;
        if beside.replaces.is_some() || beside.kdl.is_some() {
            beside = Beside { replaces: None, kdl: None, ..beside };
            last = text(&beside);
            self.disk.write(&dir.join(RECORD), last.as_bytes(), Mode::Private)?;
        }
        // Of what was written, not of what is there: docker-machine takes no lock, and what it writes now is news.
        let config = new_config.as_ref().map(|(text, _)| text.as_bytes()).or(old_config);
        Ok(found::version(Some(last.as_bytes()), None, config))
    }

    /// Makes the folder of a machine: it appears with all that is in it, or not at all.
    pub(super) fn make_machine(&self, dir: &Path, machine: &New<'_>) -> Result<Version, StoreError> {
        let new = hidden(dir, "new");
        self.disk.make_dir(&new)?;
        let made = self.write_files(&new, machine, &Found::nothing());
        // docker-machine takes no lock: what it makes at this moment under the same name is not replaced,
        // for a folder with anything in it is not renamed over.
        let named = made.and_then(|version| self.disk.rename_dir(&new, dir, "make").map(|()| version));
        named.map_err(|error| {
            // If this fails too, it lies there, ignored, until the next run.
            let _ = self.disk.remove_dir(&new);
            match error {
                // What a person is told of is the machine, not a folder that is gone by then.
                StoreError::Io { doing, path, source } => {
                    let path = path.strip_prefix(&new).map_or_else(|_| path.clone(), |file| dir.join(file));
                    StoreError::Io { doing, path, source }
                }
                other => other,
            }
        })
    }
}
