//! Reading back what the authority issued. It makes nothing: looking at machines must not write to a store.

use super::{
    Area, Store, StoreError,
    authority::{AuthorityError, Identity},
};
use crate::{name::MachineName, provisioner::HostCertificate};

/// The authority's certificate and the client's identity, if all three files are there.
///
/// # Errors
/// When a file cannot be read.
pub fn identity(store: &dyn Store) -> Result<Option<Identity>, StoreError> {
    let file = |name: &str| text(store, Area::Certs, name);
    Ok(match (file("ca.pem")?, file("cert.pem")?, file("key.pem")?) {
        (Some(ca), Some(cert), Some(key)) => Some(Identity { ca, cert, key }),
        _ => None,
    })
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
