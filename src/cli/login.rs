//! Logging in to one machine, by ourselves or by OpenSSH's programs: that it runs, that its key can be used,
//! and that its host key is pinned before anything else speaks to it.

use super::{CliError, Cx, machine::Machine, stored::stored, world};
use crate::{
    driver::DriverError,
    record::Power,
    store::{Area, Mode},
    transport::{
        Target, Transport as _,
        openssh::{Files, OpenSsh},
        route::Route,
        ssh::{SshConnect, SshSession, fingerprint},
    },
    world::World,
};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Of a machine's folder in the store.
const CONFIG: &str = "ssh_config";
const KNOWN_HOSTS: &str = "known_hosts";

/// A machine that is logged in to.
pub(super) struct Login<'a> {
    cx: &'a Cx,
    world: &'a World,
    machine: Machine,
    target: Target,
    ssh: SshConnect,
}

impl<'a> Login<'a> {
    /// Looks nothing up but what is recorded.
    pub(super) fn of(cx: &'a Cx, world: &'a World, machine: Machine) -> Result<Self, CliError> {
        let target = machine.target()?;
        Ok(Self { cx, world, machine, target, ssh: world::ssh() })
    }

    /// Refuses a machine that does not run, which only its driver can tell from one that cannot be reached, and a key
    /// that no server would take. `doing` is what cannot be done with it then.
    pub(super) async fn check(&self, doing: &str) -> Result<(), CliError> {
        if !matches!(
            self.machine.power().await,
            Ok(Power::Running | Power::Unknown)
                | Err(CliError::NoDriver(_) | CliError::Driver(DriverError::Secret(_) | DriverError::Stranger { .. }))
        ) {
            let (error, name) = (if self.cx.drop_in() { "Error: " } else { "" }, self.machine.name());
            return Err(CliError::Said {
                what: format!("{error}{doing}: Host \"{name}\" is not running"),
                help: Some(format!("start it, if its driver can:\n  machine start {name}")),
            });
        }
        // The clients say it as well, in other words.
        match self.key().filter(|_| self.cx.drop_in()).and_then(|key| complaint(&key)) {
            Some(complaint) => Err(CliError::said(complaint)),
            None => Ok(()),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.machine.name().as_str()
    }

    /// The private key, as a path that means the same to every program.
    fn key(&self) -> Option<PathBuf> {
        let key = self.target.ssh.key.as_deref()?;
        Some(match (key.strip_prefix("~/"), self.cx.var("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest),
            _ => PathBuf::from(key),
        })
    }

    /// Logs in. Whom we meet at first contact is whom we expect from then on, and that is said.
    pub(super) async fn open(&mut self) -> Result<Arc<SshSession>, CliError> {
        let session = self.ssh.open(&self.target).await.map_err(CliError::Transport)?;
        if self.machine.pin(&*session).await.map_err(CliError::Store)? && !self.cx.drop_in() {
            let key = session.host_key();
            let print = fingerprint(&key).unwrap_or(key);
            // A closed standard error stops nothing.
            let told = format!("`{}`: first contact; from now on its host key must be {print}\n", self.name());
            let _ = anstream::stderr().write_all(told.as_bytes());
        }
        Ok(session)
    }

    /// Whether the keys of all hosts on the way are known.
    fn is_pinned(&self, route: &Route) -> bool {
        let Target { host_keys, jump_keys, .. } = &self.target;
        !host_keys.is_empty() && (route.through().is_empty() || !jump_keys.is_empty())
    }

    /// The way there, as OpenSSH's programs have to be told.
    fn route(&self) -> Result<Route, CliError> {
        self.ssh.route(&self.target).map_err(CliError::Transport)
    }

    /// The `ssh_config` in which OpenSSH's programs find the machine by its name. Pins the keys first, if need be:
    /// those programs never meet a host that is not known.
    pub(super) async fn config(&mut self) -> Result<Config, CliError> {
        if !self.is_pinned(&self.route()?) {
            self.open().await?;
            self.machine = Machine::load(self.world, self.name())?;
            self.target = self.machine.target()?;
        }
        self.write()
    }

    /// The same without reaching out: an unknown host is refused by those who read it.
    pub(super) fn offline_config(&self) -> Result<Config, CliError> {
        let mut config = self.write()?;
        if !self.is_pinned(&self.route()?) {
            let name = self.name();
            config.text.insert_str(
                0,
                &format!("# {name} was never met, and is refused until then: machine ssh {name} true\n"),
            );
        }
        Ok(config)
    }

    fn write(&self) -> Result<Config, CliError> {
        let (store, name) = (&self.world.store, self.machine.name());
        let dir = stored(store.files.machine_dir(name))?;
        let (path, key) = (dir.join(CONFIG), self.key());
        let files = Files { config: &path, known_hosts: &dir.join(KNOWN_HOSTS), key: key.as_deref() };
        let OpenSsh { config: text, known_hosts } = OpenSsh::of(&self.target, &self.route()?, files)
            .map_err(|e| CliError::said(e.to_string()).doing(format!("OpenSSH cannot be told of `{name}`")))?;
        for (file, content) in [(KNOWN_HOSTS, &known_hosts), (CONFIG, &text)] {
            let area = Area::Machine(name);
            // Others may be reading it; and a store that cannot be written serves as long as nothing changes.
            if stored(store.files.read(area, file))?.as_deref() != Some(content.as_bytes()) {
                stored(store.files.write(area, &[(file, content.as_bytes(), Mode::Private)]))?;
            }
        }
        Ok(Config { path, text })
    }
}

/// A file for OpenSSH's programs.
pub(super) struct Config {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) text: String,
}

/// What docker-machine says of a key file that it does not use.
fn complaint(path: &Path) -> Option<String> {
    let shown = path.display();
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Some(format!("stat {shown}: no such file or directory"));
        }
        Err(_) => return Some(format!("'{shown}' is not readable")),
    };
    let mode = about.permissions().mode() & 0o777;
    if fs::File::open(path).is_err() || mode & 0o400 == 0 {
        return Some(format!("'{shown}' is not readable"));
    }
    // A public key names one that the agent holds.
    let is_public = path.extension().is_some_and(|extension| extension == "pub");
    (mode & 0o077 != 0 && !is_public).then(|| format!("permissions {mode:04o} for '{shown}' are too open"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_complained_of_in_docker_machines_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        let shown = path.display();
        assert_eq!(complaint(&path), Some(format!("stat {shown}: no such file or directory")));
        fs::File::create(&path).unwrap();
        for (mode, want) in [
            (0o600, None),
            (0o400, None),
            (0o644, Some(format!("permissions 0644 for '{shown}' are too open"))),
            (0o200, Some(format!("'{shown}' is not readable"))),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(complaint(&path), want, "{mode:o}");
        }
    }
}
