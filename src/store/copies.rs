//! The copies of `ca.pem`, `cert.pem` and `key.pem` in a machine's folder, to which docker clients are pointed. They
//! are what the engine of *this* machine knows us by: they stay as they are when the authority is replaced, until
//! the engine has a certificate of the new one.

use super::{Area, Mode, Store, StoreError, auth, authority::Identity, kept};
use crate::{clock::Timestamp, name::MachineName, record::auth::AuthFiles};

/// Their names, in the folder of every machine.
const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// What the authority and the client's files say now, if all are there.
pub(super) async fn current(store: &Store, files: &AuthFiles) -> Result<Option<Identity>, StoreError> {
    let text = async |path| {
        let bytes = auth::read(store, path).await?;
        Ok::<_, StoreError>(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    Ok(match (text(&files.ca_cert).await?, text(&files.client_cert).await?, text(&files.client_key).await?) {
        (Some(ca), Some(cert), Some(key)) => Some(Identity { ca, cert, key }),
        _ => None,
    })
}

/// The copies in a machine's folder, if all are there.
///
/// # Errors
/// When one cannot be read.
pub async fn of(store: &Store, machine: &MachineName) -> Result<Option<Identity>, StoreError> {
    let text = async |name| {
        let bytes = store.files.read(Area::Machine(machine), name).await?;
        Ok::<_, StoreError>(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    let [ca, cert, key] = FILES;
    Ok(match (text(ca).await?, text(cert).await?, text(key).await?) {
        (Some(ca), Some(cert), Some(key)) => Some(Identity { ca, cert, key }),
        _ => None,
    })
}

/// Writes the copies into a machine's folder. Damaged ones are kept beside them.
///
/// # Errors
/// When they cannot be written; the old ones are still there then.
pub async fn put(store: &Store, machine: &MachineName, identity: &Identity, now: Timestamp) -> Result<(), StoreError> {
    kept::of_machine(store, machine, now).await?;
    store.files.write(Area::Machine(machine), &pems(identity)).await
}

/// The files with their texts. The authority comes last: without it the others are not looked at.
pub(super) fn pems(identity: &Identity) -> [(&'static str, &[u8], Mode); 3] {
    let Identity { ca, cert, key } = identity;
    let [ca_file, cert_file, key_file] = FILES;
    [
        (key_file, key.as_bytes(), Mode::Private),
        (cert_file, cert.as_bytes(), Mode::Public),
        (ca_file, ca.as_bytes(), Mode::Public),
    ]
}

/// Sees to it that a machine's folder has them: docker-machine makes none for its driver `none`. Whether they are
/// there then; they are not when there are none to copy.
///
/// # Errors
/// When they cannot be read or written.
pub async fn fill(store: &Store, machine: &MachineName, now: Timestamp) -> Result<bool, StoreError> {
    if of(store, machine).await?.is_some() {
        return Ok(true);
    }
    let Some(identity) = current(store, &auth::of(store, machine).await?.files).await? else { return Ok(false) };
    // An authority that is there is the one its engine was given: copies of another would not let us in.
    let own = store.files.read(Area::Machine(machine), FILES[0]).await?;
    if own.is_some_and(|own| own != identity.ca.as_bytes()) {
        return Ok(false);
    }
    put(store, machine, &identity, now).await.map(|()| true)
}

/// Gives a renewed identity to all machines whose engines know its authority. The others keep what they have.
///
/// # Errors
/// When copies cannot be read or written.
pub async fn renew(store: &Store, files: &AuthFiles, identity: &Identity, now: Timestamp) -> Result<(), StoreError> {
    for machine in auth::users(store, files).await? {
        // A machine that has no copies uses the originals.
        if store.files.read(Area::Machine(&machine), FILES[0]).await?.is_some_and(|own| own == identity.ca.as_bytes()) {
            put(store, &machine, identity, now).await?;
        }
    }
    Ok(())
}

/// Machines that go by these files, but whose engines know us by an older authority.
///
/// # Errors
/// When copies cannot be read.
pub async fn outdated(store: &Store, files: &AuthFiles) -> Result<Vec<MachineName>, StoreError> {
    let Some(ca) = auth::read(store, &files.ca_cert).await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for machine in auth::users(store, files).await? {
        if store.files.read(Area::Machine(&machine), FILES[0]).await?.is_some_and(|own| own != ca) {
            found.push(machine);
        }
    }
    Ok(found)
}
