//! Where the certificates of a machine lie: config.json says so, and there docker-machine looks too.

use super::{Area, Store, StoreError};
use crate::{
    name::MachineName,
    record::{
        auth::{Auth, AuthFiles},
        docker_machine::{ConfigFile, Place},
    },
};
use std::path::{Path, PathBuf};

/// What config.json says about the certificates of a machine; what the store has when it says nothing.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn of(store: &dyn Store, machine: &MachineName) -> Result<Auth, StoreError> {
    let root = store.root();
    let Some(text) = store.read(Area::Machine(machine), "config.json")? else { return Ok(Auth::of_store(&root)) };
    let place = Place { root: &root.to_string_lossy(), name: machine };
    // One that will not parse says nothing; the next `put` writes it anew.
    let config = std::str::from_utf8(&text).ok().and_then(|text| ConfigFile::parse(text, place).ok());
    let mut auth = config.map_or_else(|| Auth::of_store(&root), |config| config.auth(&root));
    let AuthFiles { ca_cert, ca_key, client_cert, client_key } = &mut auth.files;
    for path in [ca_cert, ca_key, client_cert, client_key] {
        // docker-machine notes a relative path as it was given, and finds it from where one stands.
        *path = std::path::absolute(&*path).map_err(super::file::failed("find", &path.clone()))?;
    }
    Ok(auth)
}

/// All machines of a store that go by these files. Those whose records cannot be read are left out.
///
/// # Errors
/// When the store cannot be read.
pub fn users(store: &dyn Store, files: &AuthFiles) -> Result<Vec<MachineName>, StoreError> {
    let names = store.names()?.into_iter().filter_map(|name| MachineName::new(name).ok());
    Ok(names.filter(|name| of(store, name).is_ok_and(|auth| auth.files == *files)).collect())
}

/// A file by its path: the folder it lies in, and its name there.
pub(super) fn place<'p>(root: &Path, path: &'p Path) -> (Area<'p>, &'p str) {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // A name that is no text names no file of ours: it is refused as an empty one.
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    (if folder == root.join("certs") { Area::Certs } else { Area::Outside(folder) }, name)
}

/// The content of a file, by its path.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read(store: &dyn Store, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let (area, name) = place(&store.root(), path);
    store.read(area, name)
}

/// Folders of these files that are not the store's.
pub(super) fn outside(root: &Path, files: &AuthFiles) -> std::collections::BTreeSet<PathBuf> {
    let certs = root.join("certs");
    files.all().into_iter().filter_map(Path::parent).filter(|dir| *dir != certs).map(Path::to_owned).collect()
}
