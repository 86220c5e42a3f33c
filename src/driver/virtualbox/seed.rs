//! What a cloud image is told at its first boot, as a CD.

use super::{info::Info, options::Options};
use crate::{
    cloud_init::{FirstBoot, HostKey, iso::Seed, meta_data},
    driver::{DriverContext, DriverError, files, keys, local::here},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The CD's file in the machine's folder.
pub(super) const FILE: &str = "seed.iso";
/// The key the machine is known by, in the machine's folder.
const HOST_KEY: &str = "ssh_host_ed25519_key";

/// Writes the CD.
pub(super) fn write(
    cx: &DriverContext<'_>,
    id: &str,
    info: &Info,
    options: &Options,
    login: &str,
) -> Result<PathBuf, DriverError> {
    let public = make_key(cx)?;
    let private = files::read(&cx.dir.join(HOST_KEY))?.unwrap_or_default();
    let boot = FirstBoot {
        hostname: cx.machine.as_str(),
        user: &options.ssh_user,
        authorized_keys: &[login],
        host_key: Some(HostKey { private: &private, public: &public }),
    };
    let own = match &options.user_data {
        Some(file) => Some(user_data(file)?),
        None => options.share().map(|share| mounts(&share.name).into_bytes()),
    };
    let data = boot.user_data(own.as_deref()).map_err(|e| DriverError::Refused {
        doing: "reading `user-data`".to_owned(),
        why: e.to_string(),
        help: e.help().to_owned(),
    })?;
    let network = network(info).to_string();
    let about = meta_data(id, cx.machine.as_str());
    let seed = Seed { user_data: &data, meta_data: about.as_bytes(), network_config: Some(network.as_bytes()) };
    let to = cx.dir.join(FILE);
    // Our half of its key is in it.
    files::write(&to, 0o600, &seed.image())?;
    Ok(to)
}

/// The key it will be known by, made once; its public half.
pub(super) fn make_key(cx: &DriverContext<'_>) -> Result<String, DriverError> {
    keys::ensure(&cx.dir.join(HOST_KEY), &format!("root@{}", cx.machine))
}

/// The key it is known by, if it was given one.
pub(super) fn host_key(dir: &Path) -> Option<String> {
    let text = fs::read_to_string(dir.join(format!("{HOST_KEY}.pub"))).ok()?;
    Some(keys::bare(&text)).filter(|key| key.starts_with("ssh-"))
}

fn user_data(file: &str) -> Result<Vec<u8>, DriverError> {
    let path = here(file);
    fs::read(&path).map_err(files::because("reading", &path))
}

/// Mounts the shared folder where boot2docker has it. Without guest additions Linux does it by itself, if it can.
fn mounts(name: &str) -> String {
    let at = format!("/{name}");
    let options = "nofail,noauto,x-systemd.automount,x-systemd.device-timeout=5s,uid=1000,gid=1000";
    format!("#cloud-config\n{}\n", json!({ "mounts": [[name, at, "vboxsf", options, "0", "0"]] }))
}

/// Both cards by DHCP; the way into the world is the first one's.
fn network(info: &Info) -> Value {
    let card = |n: u8, more: Value| {
        let mut card = json!({ "match": { "macaddress": info.mac(n)? }, "dhcp4": true });
        let (Value::Object(card), Value::Object(more)) = (&mut card, more) else { return None };
        card.extend(more);
        Some(Value::Object(card.clone()))
    };
    let mut cards = serde_json::Map::new();
    cards.extend(card(1, json!({})).map(|card| ("nat".to_owned(), card)));
    let inside = json!({ "optional": true, "dhcp4-overrides": { "use-routes": false, "use-dns": false } });
    cards.extend(card(2, inside).map(|card| ("hostonly".to_owned(), card)));
    json!({ "version": 2, "ethernets": cards })
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::options;
    use super::*;
    use crate::driver::compliance::with_context;

    #[tokio::test]
    async fn a_machine_is_told_who_it_is_and_both_its_cards() {
        with_context(async |cx| {
            let info = Info::parse(include_str!("../../../tests/golden/virtualbox/7.2/showvminfo.txt"));
            let path = write(cx, "the-id", &info, &options(json!({ "no-share": true })), "ssh-ed25519 LOGIN").unwrap();
            let image = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            for text in ["CD001", "08:00:27:69:1f:1e", "ssh-ed25519 LOGIN", "the-id", "PRIVATE KEY"] {
                assert!(image.contains(text), "{text}");
            }
            write(cx, "the-id", &info, &options(json!({})), "ssh-ed25519 LOGIN").unwrap();
            assert!(mounts("hosthome").contains("vboxsf"));
            let key = host_key(cx.dir).unwrap();
            assert!(image.contains(&key), "it is known before it has answered");
            assert_eq!(network(&info)["ethernets"]["hostonly"]["dhcp4-overrides"]["use-routes"], json!(false));
        })
        .await;
    }

    #[tokio::test]
    async fn user_data_that_is_none_is_refused_with_what_to_do() {
        with_context(async |cx| {
            let file = cx.dir.join("own");
            files::write(&file, 0o600, b"hello").unwrap();
            let with = options(json!({ "user-data": file.to_str().unwrap() }));
            let error = write(cx, "id", &Info::default(), &with, "ssh-ed25519 L").unwrap_err();
            assert!(error.help().unwrap().contains("#cloud-config"));
            let absent = options(json!({ "user-data": "/nowhere/x" }));
            assert!(write(cx, "id", &Info::default(), &absent, "ssh-ed25519 L").is_err());
        })
        .await;
    }
}
