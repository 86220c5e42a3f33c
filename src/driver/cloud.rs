//! What machines of clouds have in common: they are told by user data, at their first boot, who may log in and by which key
//! they are known; so both are known before the first contact.

use super::{DriverContext, DriverError, files, keys};
use crate::{
    cloud_init::{FirstBoot, HostKey},
    record::Instance,
    transport::Target,
};
use std::{
    env, fs,
    path::{PathBuf, absolute},
    time::Duration,
};

/// The private key by which a host is known, as it is sent to it.
fn host_key(cx: &DriverContext<'_>) -> PathBuf {
    cx.dir.join("ssh_host_ed25519_key")
}

/// The public host key that was made for the machine, without its comment, if any was.
pub(in crate::driver) fn known_host_key(cx: &DriverContext<'_>) -> Result<Option<String>, DriverError> {
    Ok(files::read(&host_key(cx).with_extension("pub"))?.map(|public| keys::bare(&public)))
}

/// A path in an option, as it means the same everywhere.
pub(in crate::driver) fn path(text: &str) -> PathBuf {
    let path = match (text.strip_prefix("~/"), env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    };
    absolute(&path).unwrap_or(path)
}

/// The user data that a person wants besides ours, from the file of the option `userdata`.
pub(in crate::driver) fn own_user_data(file: Option<&str>) -> Result<Option<Vec<u8>>, DriverError> {
    let Some(path) = file.filter(|file| !file.is_empty()).map(path) else { return Ok(None) };
    let unreadable = |e: std::io::Error| DriverError::Unprepared {
        what: format!("the user data in {} cannot be read: {e}", path.display()),
        help: "correct `userdata`, or leave it out".to_owned(),
    };
    fs::read(&path).map(Some).map_err(unreadable)
}

/// What a provider takes.
pub(in crate::driver) struct Taker {
    /// Its name.
    pub(in crate::driver) name: &'static str,
    /// The most bytes of user data.
    pub(in crate::driver) most: usize,
}

/// The user data of a machine: who logs in with which key, its host key, which is made when there is none, and what a
/// person wants besides.
pub(in crate::driver) fn user_data(
    cx: &DriverContext<'_>,
    user: &str,
    login: &str,
    own: Option<&[u8]>,
    taker: &Taker,
) -> Result<Vec<u8>, DriverError> {
    let key = host_key(cx);
    let public = keys::ensure(&key, &format!("root@{}", cx.machine))?;
    let private = files::read(&key)?.unwrap_or_default();
    let boot = FirstBoot {
        hostname: cx.machine.as_str(),
        user,
        authorized_keys: &[login],
        host_key: Some(HostKey { private: &private, public: &public }),
    };
    let refused = |why: String, help: &str| DriverError::Refused {
        doing: "composing the user data".to_owned(),
        why,
        help: help.to_owned(),
    };
    let data = boot.user_data(own).map_err(|e| refused(e.to_string(), e.help()))?;
    let Taker { name, most } = taker;
    if data.len() > *most {
        let why =
            format!("with what the machine needs itself it has {} B, and {name} takes {} KiB", data.len(), most >> 10);
        return Err(refused(why, "make the file of `userdata` smaller: let it fetch the rest"));
    }
    Ok(data)
}

/// Waits until one can log in to a host that was switched on: a provider knows of its power alone, and who comes next would
/// meet a host that is still starting.
pub(in crate::driver) async fn answers(
    cx: &DriverContext<'_>,
    instance: &Instance,
    patience: Duration,
) -> Result<(), DriverError> {
    let Some(target) = Target::of(cx.machine, instance, cx.dir) else { return Ok(()) };
    (cx.progress)("waiting for SSH");
    cx.connect.connect(&Target { patience, ..target }).await.map(drop).map_err(DriverError::Transport)
}
