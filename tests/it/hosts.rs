//! Machines of driver `generic` that are real OpenSSH servers on loopback.

use crate::plain::{self, Plain};
use crate::{home::Home, skip::skipped, sshd::Server};
use machine::{
    driver,
    name::MachineName,
    record::{Instance, MachineRecord, OptionValues, SshEndpoint},
    store::folder::FolderStore,
};
use std::process::Command;

/// What `scp` and `sshfs` need of a server.
pub(crate) const SFTP: &str = "Subsystem sftp internal-sftp\n";

pub(crate) fn store(home: &Home) -> Plain<FolderStore> {
    plain::folder(home.store())
}

/// Records a machine that was never met.
pub(crate) fn add(home: &Home, name: &str, ssh: SshEndpoint) {
    let mut options = OptionValues::from([("ip".to_owned(), ssh.host.clone().into())]);
    options.insert("ssh-port".to_owned(), ssh.port.into());
    options.insert("ssh-user".to_owned(), ssh.user.clone().into());
    options.insert("ssh-config".to_owned(), "none".into());
    let options = driver::options::with_defaults(driver::Drivers::built_in().options("generic"), &options);
    let mut record = MachineRecord::new(MachineName::new(name).unwrap(), None, "generic", options);
    record.instance = Some(Instance {
        id: ssh.host.clone(),
        address: ssh.host.clone(),
        ssh: Some(ssh),
        url: None,
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    });
    store(home).put(&record).unwrap();
}

/// Changes what is recorded of the instance.
pub(crate) fn change(home: &Home, name: &str, how: impl FnOnce(&mut Instance)) {
    let mut record = store(home).get(&MachineName::new(name).unwrap()).unwrap();
    how(record.instance.as_mut().unwrap());
    store(home).put(&record).unwrap();
}

pub(crate) fn instance(home: &Home, name: &str) -> Instance {
    store(home).get(&MachineName::new(name).unwrap()).unwrap().instance.unwrap()
}

/// A server, recorded as a machine; `None`, having said why, without `sshd`.
pub(crate) fn start(home: &Home, name: &str) -> Option<Server> {
    let server = Server::start_for(SFTP, None)?;
    add(home, name, server.target().ssh);
    Some(server)
}

/// The program on the store of `home`, with nothing else of this computer; for what [`Home::run`] cannot do.
pub(crate) fn machine(home: &Home, words: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the tests run the program")]
    let mut command = Command::new(home.path().join("machine"));
    command.env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin").current_dir(home.path());
    command.arg("-s").arg(home.store()).args(words);
    command
}

/// Whether a program is there; a failure where all must be.
pub(crate) fn installed(program: &str) -> bool {
    let found = crate::home::available(program);
    if !found {
        skipped(format_args!("{program} is not installed"));
    }
    found
}

/// A program of this name that writes its words to `words`, one a line, and then does `script`; the folder it is in.
pub(crate) fn stand_in(home: &Home, program: &str, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = home.path().join("bin");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(program);
    let text = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {}/words\n{script}\n", home.path().display());
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir.display().to_string()
}

/// The words a stand-in was given.
pub(crate) fn words(home: &Home) -> Vec<String> {
    std::fs::read_to_string(home.path().join("words")).unwrap().lines().map(str::to_owned).collect()
}
