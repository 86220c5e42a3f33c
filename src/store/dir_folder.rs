//! How the files in a machine's folder are written: the record, then docker-machine's config.json.

use super::{
    CONFIG, DirStore, EARLIER, RECORD,
    found::{Earlier, Found},
};
use crate::{
    digest::sha256_hex,
    record::{
        MachineRecord,
        codec::{self, Beside, Unknown},
        docker_machine::{ConfigError, ConfigFile, VERSION},
        folder, kdl,
    },
    store::{
        Mode, NewFile, StoreError,
        file::{Files, Staged, hidden},
    },
};
use std::path::Path;

/// docker-machine's name for the config.json before a migration.
pub(super) const BACKUP: &str = "config.json.bak";

/// What an earlier version wrote, kept once.
pub(super) const EARLIER_BACKUP: &str = "record.kdl.bak";

/// Fills in what only config.json holds.
pub(super) type Seed<'a> = &'a dyn Fn(&mut ConfigFile);

/// What is to lie in a machine's folder.
pub(super) struct New<'a> {
    pub(super) record: &'a MachineRecord,
    /// What the record there holds that this version does not know.
    pub(super) unknown: &'a Unknown,
    /// Beside the record, in a folder that is made.
    pub(super) files: &'a [NewFile<'a>],
    pub(super) seed: Seed<'a>,
}

impl DirStore {
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

    /// Writes the files of a machine into a folder that is there.
    pub(super) fn write_files(&self, dir: &Path, new: &New<'_>, found: &Found) -> Result<(), StoreError> {
        let New { record, unknown, seed, .. } = *new;
        let old_config = found.config.as_ref().map(|config| config.text.as_slice());
        let new_config = self.new_config(record, old_config, seed);
        let old_digest = found.config.as_ref().map(|config| config.sha256.clone());
        let mut beside = Beside { config: old_digest.clone(), ..Beside::default() };
        if let Some((text, _)) = &new_config {
            let current = sha256_hex(text.as_bytes());
            beside.replaces = old_digest.filter(|old| *old != current);
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
        // get their names. The record comes first: it knows both what it replaces and what comes after it. Then what an
        // earlier version wrote is put aside, and last docker-machine's document.
        let stage = |file: &str, text: &[u8]| self.files.stage(&dir.join(file), text, Mode::Private);
        let mut staged: Vec<Staged<'_>> = Vec::new();
        if is_new {
            staged.push(stage(RECORD, text_now.as_bytes())?);
        }
        match &found.earlier {
            Earlier::Stub => {}
            Earlier::Absent => staged.push(stage(EARLIER, kdl::STUB.as_bytes())?),
            Earlier::Record(old) => {
                if Files::read(&dir.join(EARLIER_BACKUP))?.is_none() {
                    staged.push(stage(EARLIER_BACKUP, old)?);
                }
                staged.push(stage(EARLIER, kdl::STUB.as_bytes())?);
            }
        }
        if let Some((text, keep_old)) = new_config.filter(|_| config_changed) {
            if let (true, Some(old)) = (keep_old, old_config) {
                self.files.write(&dir.join(BACKUP), old, Mode::Private)?;
            }
            staged.push(stage(CONFIG, text.as_bytes())?);
        }
        for staged in staged {
            staged.name()?;
            self.files.sync_dir(dir)?;
        }
        // From here on what was replaced coming back means that another program put it there.
        if beside.replaces.is_some() || beside.kdl.is_some() {
            beside = Beside { replaces: None, kdl: None, ..beside };
            self.files.write(&dir.join(RECORD), text(&beside).as_bytes(), Mode::Private)?;
        }
        Ok(())
    }

    /// Makes the folder of a machine: it appears with all that is in it, or not at all.
    pub(super) fn make_machine(&self, dir: &Path, machine: &New<'_>, found: &Found) -> Result<(), StoreError> {
        let new = hidden(dir, "new");
        self.files.make_dir(&new)?;
        let mut files = machine.files.iter();
        let made = files
            .try_for_each(|(file, content, mode)| self.files.write(&new.join(file), content, *mode))
            .and_then(|()| self.write_files(&new, machine, found));
        // docker-machine takes no lock: what it makes at this moment under the same name is not replaced,
        // for a folder with anything in it is not renamed over.
        let named = made.and_then(|()| self.files.rename_dir(&new, dir, "make"));
        named.map_err(|error| {
            // If this fails too, it lies there, ignored, until the next run.
            let _ = self.files.remove_dir(&new);
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
