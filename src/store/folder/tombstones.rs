//! The tombstones of a folder, beside its machines, where docker-machine does not look.

use super::disk::Disk;
use crate::{
    record::{OptionFields, Tombstone},
    store::{Mode, StoreError},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where they lie.
pub(super) struct Tombstones<'a> {
    pub(super) root: &'a Path,
    pub(super) disk: &'a Disk,
    pub(super) fields: &'a dyn OptionFields,
}

/// Folder of the tombstones; each is a file.
const FOLDER: &str = "tombstones";
/// How their names end.
const ENDING: &str = ".json";

impl Tombstones<'_> {
    pub(super) fn dir(&self) -> Result<PathBuf, StoreError> {
        let dir = self.root.join(FOLDER);
        self.disk.make_dir(&dir)?;
        Ok(dir)
    }

    pub(super) fn all(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError> {
        let dir = self.root.join(FOLDER);
        let mut found = BTreeMap::new();
        for entry in Disk::entries(&dir)? {
            let path = entry.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(ENDING).filter(|id| !id.starts_with('.')) else { continue };
            // One that went in this moment is confirmed.
            let read = match Disk::read(&path) {
                Ok(None) => continue,
                Ok(Some(bytes)) => String::from_utf8(bytes).map_err(|e| e.to_string()),
                Err(e) => Err(e.to_string()),
            };
            let decoded = read.and_then(|text| Tombstone::decode(&text)).and_then(|stone| match stone.id() {
                own if own == id => Ok(stone),
                own => Err(format!("it is the tombstone {own}, under another name")),
            });
            found.insert(id.to_owned(), decoded.map_err(|why| format!("{}: {why}", path.display())));
        }
        Ok(found)
    }

    pub(super) fn put(&self, stone: &Tombstone) -> Result<(), StoreError> {
        let stone = Tombstone { options: self.fields.plain(&stone.driver, &stone.options), ..stone.clone() };
        let path = self.dir()?.join(stone.id() + ENDING);
        self.disk.write(&path, stone.encode().as_bytes(), Mode::Private)
    }

    pub(super) fn remove(&self, id: &str) -> Result<(), StoreError> {
        self.disk.remove_file(&self.root.join(FOLDER).join(format!("{id}{ENDING}")))
    }
}
