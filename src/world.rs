//! Everything that can touch the world, in one value. Tests build one from fakes.

use crate::{
    clock::Clock,
    docker::DockerApi,
    driver::AnyDriver,
    record::MachineRecord,
    store::Store,
    transport::{Connect, Target},
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Drivers by name.
pub type Drivers = BTreeMap<&'static str, &'static dyn AnyDriver>;

/// The outside. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// Makes and controls instances.
    pub drivers: Arc<Drivers>,
    /// Opens SSH connections; the real one keeps one for each host and run.
    pub connect: Arc<dyn Connect>,
    /// Asks engines.
    pub docker: Arc<dyn DockerApi>,
    /// Keeps records.
    pub store: Arc<dyn Store>,
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
}

/// How to reach a recorded machine over SSH, its key's path resolved in `machine_dir`; `None` when there is no
/// instance yet or no way to log in.
#[must_use]
pub fn target(record: &MachineRecord, machine_dir: &Path) -> Option<Target> {
    Target::of(&record.name, record.instance.as_ref()?, machine_dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::MachineName,
        record::{Instance, OptionValues, SshEndpoint},
    };

    fn record(key: Option<&str>) -> MachineRecord {
        let mut record = MachineRecord::new(MachineName::new("web-1").unwrap(), None, "generic", OptionValues::new());
        record.instance = Some(Instance {
            id: "192.0.2.10".to_owned(),
            address: "192.0.2.10".to_owned(),
            ssh: Some(SshEndpoint {
                host: "192.0.2.10".to_owned(),
                port: 22,
                user: "root".to_owned(),
                key: key.map(str::to_owned),
                jump: None,
            }),
            url: None,
            host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        });
        record
    }

    #[test]
    fn a_relative_key_lies_in_the_folder_of_the_machine() {
        let dir = Path::new("/store/machines/web-1");
        for (key, want) in [
            (Some("id_ed25519"), Some("/store/machines/web-1/id_ed25519")),
            (Some("/home/u/.ssh/id_rsa"), Some("/home/u/.ssh/id_rsa")),
            (Some("~/.ssh/id_rsa"), Some("~/.ssh/id_rsa")),
            // Joining nothing would name the folder itself.
            (Some(""), None),
            (None, None),
        ] {
            let target = target(&record(key), dir).unwrap();
            assert_eq!(target.ssh.key.as_deref(), want);
            assert_eq!(target.host_keys, ["ssh-ed25519 AAAA"], "pinned keys go along");
        }
    }

    #[test]
    fn a_machine_without_a_login_is_no_target() {
        let mut record = record(None);
        record.instance.as_mut().unwrap().ssh = None;
        assert_eq!(target(&record, Path::new("/")), None);
        record.instance = None;
        assert_eq!(target(&record, Path::new("/")), None);
    }
}
