//! How the two files in a machine's folder are written: the record, then docker-machine's config.json.

use super::{CONFIG, DirStore, Found, RECORD};
use crate::{
    digest::sha256_hex,
    record::{
        MachineRecord,
        codec::{self, ConfigDigest, Unknown},
        docker_machine::{ConfigError, ConfigFile, VERSION},
    },
    store::{
        Mode, NewFile, StoreError,
        file::{Staged, hidden},
    },
};
use std::path::Path;

/// docker-machine's name for the config.json before a migration.
pub(super) const BACKUP: &str = "config.json.bak";

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
        let new_config = self.new_config(record, found.config.as_deref(), seed);
        let old_digest = found.config.as_deref().map(sha256_hex);
        let digest = match &new_config {
            Some((text, _)) => {
                let current = sha256_hex(text.as_bytes());
                let replaces = old_digest.filter(|old| *old != current);
                ConfigDigest { current: Some(current), replaces }
            }
            None => ConfigDigest { current: old_digest, replaces: None },
        };
        let config_changed = found.config.is_none() || digest.replaces.is_some();
        let stage_record = |digest: &ConfigDigest| -> Result<Option<Staged<'_>>, StoreError> {
            let text = codec::encode(record, digest, unknown);
            if found.record.as_deref() == Some(text.as_bytes()) {
                return Ok(None);
            }
            self.files.stage(&dir.join(RECORD), text.as_bytes(), Mode::Private).map(Some)
        };

        // Everything that a full disk can refuse comes before anything is changed.
        let new_record = stage_record(&digest)?;
        let staged_config = match new_config {
            Some((text, keep_old)) if config_changed => {
                if let (true, Some(old)) = (keep_old, &found.config) {
                    self.files.write(&dir.join(BACKUP), old, Mode::Private)?;
                }
                Some(self.files.stage(&dir.join(CONFIG), text.as_bytes(), Mode::Private)?)
            }
            Some(_) | None => None,
        };
        // The record first: it knows both the old and the new config.json.
        if new_record.is_none() && staged_config.is_none() {
            return Ok(());
        }
        if let Some(staged) = new_record {
            staged.name()?;
            self.files.sync_dir(dir)?;
        }
        if let Some(staged) = staged_config {
            staged.name()?;
            self.files.sync_dir(dir)?;
        }
        // From here on the old config.json coming back means that docker-machine put it there.
        if digest.replaces.is_some() {
            let digest = ConfigDigest { replaces: None, ..digest };
            self.files.write(&dir.join(RECORD), codec::encode(record, &digest, unknown).as_bytes(), Mode::Private)?;
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
