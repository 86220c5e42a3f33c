//! The least that can be a VM: an SSH server at the forwarded port, with the keys that the CD has.

use super::{Run, Vms, of_seed};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// The address that such VMs say they have.
pub(crate) const ADDRESS: &str = "192.168.60.101";

/// Servers by UUID. Only one is at a time: a second start of a VM that runs would be VirtualBox's mistake.
#[derive(Default)]
struct Servers(BTreeMap<String, Child>);

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.0.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// VMs that are SSH servers; their files are in `folder`.
pub(crate) fn run(folder: &Path) -> Run {
    let folder = folder.to_owned();
    fs::create_dir_all(&folder).unwrap();
    let mut servers = Servers::default();
    Box::new(move |vms, what, vm| {
        if let Some(mut old) = servers.0.remove(vm) {
            assert_ne!(what, "start", "a VM that runs was started");
            let _ = old.kill();
            let _ = old.wait();
        }
        if what == "start" {
            servers.0.insert(vm.to_owned(), start(vms, vm, &folder.join(vm))?);
        }
        Ok(())
    })
}

/// The parts of user data: one, or all of a MIME message.
fn parts(data: &str) -> Vec<String> {
    let Some(boundary) = data.strip_prefix("MIME-Version").and_then(|rest| rest.split('"').nth(1)) else {
        return vec![data.to_owned()];
    };
    let line = format!("--{boundary}");
    let bodies = data.split(&line).filter_map(|part| part.split_once("base64\n\n"));
    let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    bodies.map(|(_, body)| String::from_utf8(STANDARD.decode(plain(body)).unwrap()).unwrap()).collect()
}

fn start(vms: &Vms, vm: &str, folder: &Path) -> Result<Child, String> {
    fs::create_dir_all(folder).unwrap();
    if !vms.info(vm)["SATA-0-0"].ends_with("seed.iso") {
        return Err("it is no cloud image".to_owned());
    }
    let data = String::from_utf8(of_seed(vms, vm, "user-data")).unwrap();
    let parts = parts(&data);
    let ours = parts.iter().find(|part| part.contains("ssh_keys")).ok_or("no keys")?;
    let told: serde_json::Value =
        serde_json::from_str(ours.strip_prefix("#cloud-config\n").ok_or("no cloud-config")?).unwrap();
    let text = |pointer: &str| told.pointer(pointer).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let file = |name: &str, content: &str, mode: u32| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let key = file("host_key", &text("/ssh_keys/ed25519_private"), 0o600);
    let login = file("authorized_keys", &format!("{}\n", text("/ssh_authorized_keys/0")), 0o600);
    let info = vms.info(vm);
    let mac: Vec<&str> = info["macaddress2"].as_bytes().chunks(2).map(|c| std::str::from_utf8(c).unwrap()).collect();
    let shown = format!(
        "3: eth1: <UP>\n    link/ether {} brd ff:ff:ff:ff:ff:ff\n    inet {ADDRESS}/24 scope global eth1\n",
        mac.join(":").to_lowercase()
    );
    let shown = file("addresses", &shown, 0o644);
    // Nothing else: it would be done to the computer the test runs on.
    let script = format!("case $SSH_ORIGINAL_COMMAND in 'ip addr show') cat {shown};; *) exit 99;; esac\n");
    let script = file("command", &script, 0o755);
    let config = format!(
        "Port {}\nListenAddress 127.0.0.1\nHostKey {key}\nAuthorizedKeysFile {login}\nPidFile none\nStrictModes no\n\
         UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nForceCommand sh {script}\n",
        vms.port(vm)
    );
    let config = file("sshd_config", &config, 0o644);
    fs::create_dir_all("/run/sshd").unwrap();
    let log = folder.join("log").display().to_string();
    let mut server = Command::new("/usr/sbin/sshd");
    Ok(server.args(["-D", "-f", &config, "-E", &log]).stdin(Stdio::null()).spawn().unwrap())
}
