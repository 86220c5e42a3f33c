//! Damaged files of TLS that are replaced stay beside what replaces them: a person may know what they were.

use super::{Area, Mode, Store, StoreError};
use crate::{
    clock::Timestamp,
    name::MachineName,
    tls::{
        Purpose,
        judge::{self, Flaw, Found},
    },
};

/// Keeps the content of a file that is about to be replaced as `NAME.damaged-DATE`, for its owner alone. Its new name,
/// unless there was nothing in it.
///
/// # Errors
/// When it cannot be read or written.
pub(super) async fn beside(
    store: &Store,
    area: Area<'_>,
    name: &str,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let Some(content) = store.files.read(area, name).await?.filter(|bytes| !bytes.iter().all(u8::is_ascii_whitespace))
    else {
        return Ok(None);
    };
    let day: String = now.to_string().chars().take_while(|c| *c != 'T').collect();
    for serial in 1.. {
        let kept = if serial == 1 { format!("{name}.damaged-{day}") } else { format!("{name}.damaged-{day}.{serial}") };
        match store.files.read(area, &kept).await? {
            Some(there) if there != content => {}
            // A run that was cut off has kept it already.
            Some(_) => return Ok(Some(kept)),
            None => {
                store.files.write(area, &[(&kept, &content, Mode::Private)]).await?;
                return Ok(Some(kept));
            }
        }
    }
    Ok(None)
}

/// Whether what a flaw is of must be kept when it is replaced: what only has ended is worth nothing.
pub(super) fn is_damage(flaw: Option<&Flaw>) -> bool {
    flaw.is_some_and(|flaw| !flaw.is_of_time() && *flaw != Flaw::Absent)
}

/// Keeps the damaged ones among the certificates and keys in a machine's folder, for all are about to be replaced.
///
/// # Errors
/// When one cannot be read or written.
pub(super) async fn of_machine(store: &Store, machine: &MachineName, now: Timestamp) -> Result<(), StoreError> {
    let area = Area::Machine(machine);
    let read = async |name| Ok::<Found, StoreError>(Ok(store.files.read(area, name).await?));
    let ca = judge::copy(&read("ca.pem").await?);
    let about = ca.as_ref().ok();
    let client = judge::leaf(&read("cert.pem").await?, &read("key.pem").await?, Purpose::Client, about, now, 0);
    let server = judge::leaf(&read("server.pem").await?, &read("server-key.pem").await?, Purpose::Server, None, now, 0);
    let stranger = client.cert == Some(Flaw::OtherAuthority);
    for (name, damaged) in [
        ("ca.pem", is_damage(ca.as_ref().err())),
        ("cert.pem", is_damage(client.cert.as_ref())),
        ("key.pem", is_damage(client.key.as_ref()) || stranger),
        ("server.pem", is_damage(server.cert.as_ref())),
        ("server-key.pem", is_damage(server.key.as_ref())),
    ] {
        if damaged {
            beside(store, area, name, now).await?;
        }
    }
    Ok(())
}
