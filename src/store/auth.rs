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
pub async fn of(store: &Store, machine: &MachineName) -> Result<Auth, StoreError> {
    let root = store.files.root();
    let Some(text) = store.files.read(Area::Machine(machine), "config.json").await? else {
        return Ok(Auth::of_store(root));
    };
    let place = Place { root: &root.to_string_lossy(), name: machine };
    // One that will not parse says nothing; the next `put` writes it anew.
    let config = std::str::from_utf8(&text).ok().and_then(|text| ConfigFile::parse(text, place).ok());
    let mut auth = config.map_or_else(|| Auth::of_store(root), |config| config.auth(root));
    let AuthFiles { ca_cert, ca_key, client_cert, client_key } = &mut auth.files;
    for path in [ca_cert, ca_key, client_cert, client_key] {
        // docker-machine notes a relative path as it was given, and finds it from where one stands.
        *path = std::path::absolute(&*path).map_err(super::folder::failed("find", &path.clone()))?;
    }
    Ok(auth)
}

/// All machines of a store that go by these files. Those whose records cannot be read are left out.
///
/// # Errors
/// When the store cannot be read.
pub async fn users(store: &Store, files: &AuthFiles) -> Result<Vec<MachineName>, StoreError> {
    let mut users = Vec::new();
    for name in store.records.names().await?.into_iter().filter_map(|name| MachineName::new(name).ok()) {
        if of(store, &name).await.is_ok_and(|auth| auth.files == *files) {
            users.push(name);
        }
    }
    Ok(users)
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
pub async fn read(store: &Store, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let (area, name) = place(store.files.root(), path);
    store.files.read(area, name).await
}

/// Folders of these files that are not the store's.
pub(super) fn outside(root: &Path, files: &AuthFiles) -> std::collections::BTreeSet<PathBuf> {
    let certs = root.join("certs");
    files.all().into_iter().filter_map(Path::parent).filter(|dir| *dir != certs).map(Path::to_owned).collect()
}
