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
pub fn identity(store: &dyn Store, machine: &MachineName) -> Result<Option<Identity>, StoreError> {
    if let Some(own) = copies::of(store, machine)? {
        return Ok(Some(own));
    }
    let Some(current) = copies::current(store, &auth::of(store, machine)?.files)? else { return Ok(None) };
    // The engine that a lone copy of the authority belongs to is to be asked by that.
    let ca = text(store, Area::Machine(machine), "ca.pem")?.unwrap_or_else(|| current.ca.clone());
    Ok(Some(Identity { ca, ..current }))
}

/// The identity that was issued for the engine of a machine.
///
/// # Errors
/// When a file is not there or cannot be read.
pub fn certificate(store: &dyn Store, machine: &MachineName) -> Result<HostCertificate, AuthorityError> {
    let file = |name: &'static str| {
        let found = text(store, Area::Machine(machine), name)?;
        found.ok_or_else(|| StoreError::Io {
            doing: "read",
            path: store.root().join("machines").join(machine.as_str()).join(name),
            source: std::io::ErrorKind::NotFound.into(),
        })
    };
    let read = || -> Result<HostCertificate, StoreError> {
        Ok(HostCertificate { ca: file("ca.pem")?, cert: file("server.pem")?, key: file("server-key.pem")? })
    };
    read().map_err(AuthorityError::Store)
}

fn text(store: &dyn Store, area: Area<'_>, name: &str) -> Result<Option<String>, StoreError> {
    Ok(store.read(area, name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
