//! The keys of a machine: with which one logs in, and by which it is known.

use super::{
    options::{Options, given},
    query::{Api, Params},
    tag::{self, Owner},
};
use crate::driver::{DriverContext, DriverError, cloud, files, keys};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::path::PathBuf;

/// The key with which one logs in.
pub(super) struct Login {
    /// Path of the private half.
    pub(super) path: String,
    /// The public half.
    pub(super) public: String,
}

/// Takes the key that was given, or makes one in the machine's folder.
pub(super) fn login(cx: &DriverContext<'_>, options: &Options) -> Result<Login, DriverError> {
    let Some(given) = given(options.ssh_keypath.as_deref()) else {
        let public = keys::login(cx)?;
        return Ok(Login { path: keys::login_path(cx).display().to_string(), public });
    };
    let path = cloud::path(given);
    let mut beside = path.clone().into_os_string();
    beside.push(".pub");
    let public = files::read(&PathBuf::from(&beside))?.ok_or_else(|| DriverError::Unprepared {
        what: format!("the public half of the key {} is not beside it", path.display()),
        help: format!("make it from the private half:\n  ssh-keygen -y -f {0} > {0}.pub", path.display()),
    })?;
    Ok(Login { path: path.display().to_string(), public: public.trim().to_owned() })
}

/// Whether the key pair is there that was named, if any was.
pub(super) async fn check(api: &Api, options: &Options) -> Result<(), DriverError> {
    let Some(name) = given(options.keypair_name.as_deref()) else { return Ok(()) };
    let ask = Params::new("DescribeKeyPairs").list("KeyName", [name]);
    api.call(&format!("looking up the key pair `{name}`"), ask).await?;
    Ok(())
}

/// Name of the key pair at AWS: the one that was named, or ours, which is imported.
pub(super) async fn ensure(
    api: &Api,
    cx: &DriverContext<'_>,
    options: &Options,
    login: &Login,
) -> Result<String, DriverError> {
    check(api, options).await?;
    if let Some(name) = given(options.keypair_name.as_deref()) {
        return Ok(name.to_owned());
    }
    let owner = Owner::of(cx);
    let ask = Params::new("ImportKeyPair")
        .with("KeyName", owner.name())
        .with("PublicKeyMaterial", BASE64_STANDARD.encode(&login.public));
    let ask = tag::specification(ask, 1, "key-pair", &owner.tags());
    match api.call("importing the key pair", ask.clone()).await {
        Ok(_) => {}
        Err(e) if e.is_double() => {
            // Of an attempt that was cut off, maybe with another key.
            delete(api, &owner.name()).await?;
            match api.call("importing the key pair", ask).await {
                // The second of two answers to one call that was sent twice.
                Err(e) if !e.is_double() => return Err(e.into()),
                _ => {}
            }
        }
        Err(e) => return Err(e.into()),
    }
    Ok(owner.name())
}

/// Removes a key pair; nothing to do when there is none.
pub(super) async fn delete(api: &Api, name: &str) -> Result<(), DriverError> {
    let ask = Params::new("DeleteKeyPair").with("KeyName", name);
    match api.call("removing the key pair", ask).await {
        Err(e) if !e.is_gone() => Err(e.into()),
        _ => Ok(()),
    }
}
