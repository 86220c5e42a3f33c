//! Reading back what the authority issued. It makes nothing: looking at machines must not write to a store.

use super::{
    Area, Store, StoreError, auth,
    authority::{AuthorityError, Identity},
    copies,
};
use crate::{name::MachineName, provisioner::HostCertificate};

/// What a client shows the engine of a machine, if all files of it are there: the machine's own copies, which are
/// what docker clients are pointed to and which stay good when the authority is renewed, else the originals.
///
/// # Errors
/// When a file cannot be read.
pub async fn identity(store: &Store, machine: &MachineName) -> Result<Option<Identity>, StoreError> {
    if let Some(own) = copies::of(store, machine).await? {
        return Ok(Some(own));
    }
    let Some(current) = copies::current(store, &auth::of(store, machine).await?.files).await? else { return Ok(None) };
    // The engine that a lone copy of the authority belongs to is to be asked by that.
    let ca = text(store, Area::Machine(machine), "ca.pem").await?.unwrap_or_else(|| current.ca.clone());
    Ok(Some(Identity { ca, ..current }))
}

/// The identity that was issued for the engine of a machine.
///
/// # Errors
/// When a file is not there or cannot be read.
pub async fn certificate(store: &Store, machine: &MachineName) -> Result<HostCertificate, AuthorityError> {
    let file = async |name: &'static str| {
        let found = text(store, Area::Machine(machine), name).await?;
        found.ok_or_else(|| StoreError::Io {
            doing: "read",
            path: store.files.root().join("machines").join(machine.as_str()).join(name),
            source: std::io::ErrorKind::NotFound.into(),
        })
    };
    let (ca, cert, key) = (file("ca.pem").await?, file("server.pem").await?, file("server-key.pem").await?);
    Ok(HostCertificate { ca, cert, key })
}

async fn text(store: &Store, area: Area<'_>, name: &str) -> Result<Option<String>, StoreError> {
    Ok(store.files.read(area, name).await?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
