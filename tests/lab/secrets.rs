//! Pain 24: secrets are given by reference, and no byte of one is found in the store, in what is printed, in logs, in
//! process lists here or on the host, or in any file there but the one that is for it.

#![expect(clippy::disallowed_methods, reason = "the lab looks at this computer with its own programs")]

use crate::{
    canary::{Canary, Watcher, none_below, none_in},
    lab::{self, Lab, Said},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

const ENVIRON: &str = "tr '\\0' '\\n' </proc/$(systemctl show -P MainPID docker)/environ";
const FILE: &str = "/etc/docker/machine.env";

/// A lab, and what must not be seen of it.
struct Stage {
    lab: Lab,
    canaries: Vec<Canary>,
}

impl Stage {
    /// Runs the program with `--debug`, and looks through all it says.
    fn run(&self, program: &str, words: &[&str], variables: &[(&str, &str)]) -> Said {
        let mut command = if program == "machine" {
            self.lab.command(env!("CARGO_BIN_EXE_machine"))
        } else {
            self.lab.docker_machine()
        };
        let said = Said::of(&command.arg("--debug").args(words).envs(variables.iter().copied()).output().unwrap());
        for text in [&said.out, &said.err] {
            none_in(&format!("what `{}` says", words[0]), text.as_bytes(), &self.canaries);
        }
        said
    }

    fn machine(&self, words: &[&str], variables: &[(&str, &str)]) -> Said {
        self.run("machine", words, variables)
    }

    /// Looks through the store, the home, and the host's files but the one that is for secrets.
    fn nothing_left(&self, host: &str) {
        let but: Vec<_> = ["secrets", "nspawn"].map(|name| self.lab.path(name)).into();
        let but: Vec<&std::path::Path> = but.iter().map(std::path::PathBuf::as_path).collect();
        let dir = self.lab.path("");
        assert!(none_below(&dir, &but, &self.canaries) > 10);
        for (number, canary) in self.canaries.iter().enumerate() {
            // The pattern goes over standard input, for the command line is a place to be looked at.
            let mut command = self.lab.command(env!("CARGO_BIN_EXE_machine"));
            command.args([
                "ssh",
                host,
                "--",
                "grep",
                "-rlF",
                "-f",
                "-",
                "/etc",
                "/root",
                "/home",
                "/var",
                "/tmp",
                "/run",
                "/usr/local",
                "/opt",
            ]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            std::io::Write::write_all(child.stdin.as_mut().unwrap(), canary.text.as_bytes()).unwrap();
            drop(child.stdin.take());
            let found = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            let found: Vec<&str> = found.lines().filter(|path| *path != FILE).collect();
            assert!(found.is_empty(), "canary {number} is on the host in {found:?}");
        }
    }
}

#[test]
fn no_byte_of_a_secret_is_where_it_must_not_be() {
    if !lab::ready(&["docker", "ssh-keygen"]) {
        return;
    }
    let canaries = ["cAnary/0:proxy%20?=&ö", "cAnary/1:rotated", "cAnary/2 file '\"\\$(id)", "cAnary/3 passphrase"];
    let stage = Stage { lab: Lab::new(), canaries: canaries.iter().map(|text| Canary::new(text)).collect() };
    let lab = &stage.lab;

    // A bare host, and a second way in: by a key with a passphrase.
    let bare = "fleet: bare\nhosts: { s: { driver: nspawn, engine: { source: present } } }\n";
    lab.machine(&["apply", "-y", &lab.file("bare.yaml", bare)]).code(1).says("there is no engine on the host");
    let address = lab.machine(&["ip", "s"]).ok().out.trim().to_owned();
    let secrets = lab.path("secrets");
    fs::create_dir(&secrets).unwrap();
    let at = |name: &str| secrets.join(name).to_str().unwrap().to_owned();
    for (name, text) in [("token", canaries[2]), ("passphrase", canaries[3])] {
        lab.file(&format!("secrets/{name}"), &format!("{text}\n"));
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut keygen = Command::new("ssh-keygen");
    // One round, for a build without optimisation.
    keygen.args(["-q", "-a", "1", "-t", "ed25519", "-N", canaries[3], "-C", "", "-f", &at("id")]);
    assert!(keygen.status().unwrap().success());
    let public = fs::read_to_string(at("id.pub")).unwrap();
    lab.on("s", &format!("echo '{}' >>/root/.ssh/authorized_keys", public.trim()));

    let fleet = lab.file(
        "fleet.yaml",
        &format!(
            "fleet: shop\nhosts:\n  g:\n    driver: generic\n    ip: {address}\n    ssh-key: {}\n    ssh-key-passphrase: {{ command: [cat, {}] }}\n    engine:\n      env:\n        HTTPS_PROXY: {{ env: PROXY }}\n        TOKEN: {{ file: {} }}\n        PLAIN: x\n",
            at("id"), at("passphrase"), at("token")
        ),
    );
    let proxy = ("PROXY", canaries[0]);

    // Files say nothing, and need nothing.
    stage.machine(&["validate", &fleet], &[]).ok();
    stage.machine(&["plan", "--offline", &fleet], &[]).ok().says("not recorded");
    stage.machine(&["graph", &fleet], &[]).ok();
    // What is missing is named before the host is touched.
    let said = stage.machine(&["apply", "-y", &fleet], &[]).code(1);
    let said = said.says("the secret { env: PROXY } cannot be had: the variable is not set").says("export PROXY=…");
    assert!(!said.err.contains("install docker"), "{}", said.err);

    // Those in the environment of the program itself are where its user put them.
    let watcher = Watcher::new(stage.canaries.clone(), stage.canaries[2..].to_vec());
    stage.machine(&["apply", "-y", &fleet], &[proxy]).ok();
    watcher.nothing_found();
    stage.nothing_left("s");
    let environ = lab.on("s", ENVIRON);
    for want in [format!("HTTPS_PROXY={}\n", canaries[0]), format!("TOKEN={}\n", canaries[2]), "PLAIN=x\n".to_owned()] {
        assert!(environ.contains(&want), "the engine has no {}", want.split('=').next().unwrap());
    }
    assert_eq!(lab.on("s", &format!("stat -c '%a %U' {FILE}")), "600 root\n");
    none_in(
        "what systemd tells everybody",
        lab.on("s", "systemctl show docker; systemctl cat docker").as_bytes(),
        &stage.canaries,
    );

    // All is well, with and without them.
    stage.machine(&["plan", "--detailed-exitcode", &fleet], &[proxy]).ok().says("Nothing to do");
    stage.machine(&["plan", "--offline", "--detailed-exitcode", &fleet], &[]).ok().says("Nothing to do");
    stage
        .machine(&["plan", "--detailed-exitcode", &fleet], &[])
        .ok()
        .says("could not be compared")
        .says("{ env: PROXY }");
    stage.machine(&["ssh", "g", "true"], &[]).ok();
    stage.machine(&["diff", &fleet], &[]).ok();
    for words in [&["inspect", "g"][..], &["ls"], &["env", "g"], &["config", "g"], &["drift", &fleet]] {
        stage.machine(words, &[proxy]);
    }

    // Rotation is a change that is seen and not shown; the store is not edited for it.
    let record = fs::read(lab.store().join("machines/g/record.json")).unwrap();
    let rotated = ("PROXY", canaries[1]);
    let said = stage.machine(&["plan", "--detailed-exitcode", &fleet], &[rotated]).code(2);
    said.says("env HTTPS_PROXY, TOKEN: another value → that of { env: PROXY }");
    stage.machine(&["plan", "--json", &fleet], &[rotated]).ok();
    let watcher = Watcher::new(stage.canaries.clone(), stage.canaries[2..].to_vec());
    stage.machine(&["apply", "-y", &fleet], &[rotated]).ok();
    watcher.nothing_found();
    assert!(lab.on("s", ENVIRON).contains(&format!("HTTPS_PROXY={}\n", canaries[1])));
    assert_eq!(fs::read(lab.store().join("machines/g/record.json")).unwrap(), record);
    stage.machine(&["plan", "--detailed-exitcode", &fleet], &[rotated]).ok().says("Nothing to do");
    stage.nothing_left("s");

    // A file that others can read is refused, with what to do.
    fs::set_permissions(at("token"), fs::Permissions::from_mode(0o644)).unwrap();
    lab.on("s", &format!("rm {FILE}"));
    let said = stage.machine(&["apply", "-y", &fleet], &[rotated]).code(1).says("its mode 0644 lets others read it");
    said.says(&format!("chmod 600 {}", at("token")));

    // Without secrets nothing of them is left.
    let text = fs::read_to_string(&fleet).unwrap();
    fs::write(
        &fleet,
        text.lines()
            .filter(|l| !l.contains("TOKEN") && !l.contains("HTTPS_PROXY"))
            .flat_map(|line| [line, "\n"])
            .collect::<String>(),
    )
    .unwrap();
    stage.machine(&["apply", "-y", &fleet], &[]).ok();
    lab.on("s", &format!("! test -e {FILE}; ! grep -r machine.env /etc/systemd/system/docker.service.d"));
    assert!(!lab.on("s", ENVIRON).contains("TOKEN"));
    stage.machine(&["rm", "-f", "g"], &[]).ok();

    literal_on_a_command_line(&stage, &address, &at("id"));
}

/// `create` with the secret itself, as scripts for docker-machine have it: it works, and is recorded as a reference.
fn literal_on_a_command_line(stage: &Stage, address: &str, key: &str) {
    let passphrase = &stage.canaries[3].text;
    let words = ["create", "-d", "generic", "--generic-ip-address", address, "--generic-ssh-key", key];
    let words = [&words[..], &["--generic-ssh-key-passphrase", passphrase, "old"]].concat();
    let said = stage.run("docker-machine", &words, &[]).ok();
    said.says("what is on a command line can be read by all").says("set GENERIC_SSH_KEY_PASSPHRASE instead");
    stage.nothing_left("s");
    let refused = stage.machine(&["ssh", "old", "true"], &[]);
    assert_ne!(refused.code, 0);
    refused
        .says("the secret { env: GENERIC_SSH_KEY_PASSPHRASE } cannot be had")
        .says("export GENERIC_SSH_KEY_PASSPHRASE=…");
    stage.machine(&["ssh", "old", "true"], &[("GENERIC_SSH_KEY_PASSPHRASE", passphrase)]).ok();
    for words in [&["ls", "-q"][..], &["ip", "old"], &["env", "old"], &["url", "old"]] {
        stage.machine(words, &[]).ok();
    }
    let wrong = stage.machine(&["ssh", "old", "true"], &[("GENERIC_SSH_KEY_PASSPHRASE", "not it")]);
    assert_ne!(wrong.code, 0);
    wrong.says("{ env: GENERIC_SSH_KEY_PASSPHRASE } is not its passphrase");
}

#[test]
fn a_canary_is_found_in_all_its_forms() {
    let canary = Canary::new("cAnary/0:proxy");
    for (form, text) in [
        ("plain", "x=cAnary/0:proxy\n"),
        ("URL-encoded", "cAnary%2F0%3Aproxy"),
        ("hex", "6341"),
        ("base64", "Y0FuYXJ5LzA6cHJveHk="),
        ("base64 + 1", "eGNBbmFyeS8wOnByb3h5"),
        ("base64 + 2", "eHhjQW5hcnkvMDpwcm94eXg="),
    ] {
        let text = if form == "hex" { "0a63416e6172792f303a70726f78790a" } else { text };
        assert!(canary.is_in(text.as_bytes()).is_some_and(|found| found.starts_with(form)), "{form}");
    }
    assert_eq!(canary.is_in(b"cAnary/0:prox, Y0FuYXJ5LzA6cHJ"), None);
    // A watcher sees what it is made to see.
    let watcher = Watcher::new(vec![canary.clone()], Vec::new());
    let mut sleeper = Command::new("sh").args(["-c", "sleep 1; : cAnary/0:proxy"]).spawn().unwrap();
    sleeper.wait().unwrap();
    watcher.something_found();
}
