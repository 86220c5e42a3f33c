//! The life of real machines by docker-machine's own command lines, typed under its name.

#![expect(clippy::disallowed_methods, reason = "it edits a machine's files as other programs do")]

use crate::lab::{self, Lab, Said, running::Running};
use std::{fs, thread};

/// Pain 35: what CI runners call, with nothing but what they call it with.
#[test]
fn a_machine_lives_by_docker_machines_command_lines() {
    if !lab::ready(&["docker", "busybox", "scp"]) {
        return;
    }
    let lab = Lab::golden();
    // Nothing is given: the driver needs nothing.
    let made = lab.dm("create -d nspawn --engine-label tier=test x").ok();
    for line in [
        "Running pre-create checks...\n",
        "Creating machine...\n",
        "Waiting for SSH to be available...\n",
        "Detecting the provisioner...\n",
        "Provisioning with debian...\n",
        "Docker is up and running!\n",
        "To see how to connect your Docker Client",
    ] {
        assert!(made.out.contains(line), "no `{line}` in\n{}", made.out);
    }
    assert!(made.err.is_empty(), "{}", made.err);
    lab.dm("create -d nspawn x").code(1).says("Docker machine \"x\" already exists");

    // As a CI runner asks before it uses a machine.
    lab.dm("inspect x").ok();
    lab.dm("config x").ok().says("--tlsverify");
    let url = lab.dm("url x").ok().out;
    assert!(url.starts_with("tcp://") && url.ends_with(":2376\n"), "{url}");
    let certs = lab.dm("inspect x -f {{.HostOptions.AuthOptions.StorePath}}").ok().out;
    assert_eq!(certs.trim(), lab.store().join("machines/x").to_str().unwrap());
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        assert!(fs::exists(format!("{}/{file}", certs.trim())).unwrap(), "{file}");
    }

    lab.tiny_image("x");
    let container = lab.docker("x", &["run", "-d", "--restart", "always", "tiny", "sleep", "1000"]).ok().out;
    lab.docker("x", &["info", "--format", "{{.Labels}}"]).ok().says("tier=test");
    assert_eq!(lab.dm("ssh x hostname").ok().out, "x\n");
    lab.dm("ssh x exit 7").code(7);
    let file = lab.file("there", "over there\n");
    lab.dm(&format!("scp {file} x:/root/there")).ok();
    assert_eq!(lab.dm("ssh x cat /root/there").ok().out, "over there\n");

    lab.dm("stop x").ok().says("Machine \"x\" was stopped.");
    assert_eq!(lab.dm("status x").ok().out, "Stopped\n");
    lab.dm("stop x").code(1).says("Machine \"x\" is already stopped.");
    lab.dm("env x").code(1).says("Host is not running");
    lab.dm("ssh x true").code(1).says("Host \"x\" is not running");
    lab.dm("start x").ok().says("Machine \"x\" was started.").says("docker-machine env");
    assert_eq!(lab.dm("ls -f {{.Name}}/{{.State}}/{{.Error}}").ok().out, "x/Running/\n");
    lab.docker("x", &["ps", "-q", "--no-trunc"]).ok().says(container.trim());

    lab.dm("provision x").ok();
    lab.dm("regenerate-certs -f x").ok().says("Regenerating TLS certificates");
    lab.dm("config x").ok();
    lab.dm("upgrade x").ok().says("Upgrading docker...");
    lab.dm("restart x").ok().says("Restarting \"x\"...");
    lab.docker("x", &["ps", "-q", "--no-trunc"]).ok().says(container.trim());

    // Scripts name the key as docker-machine called it.
    let folder = lab.store().join("machines/x");
    let mut ssh = lab.command("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    ssh.arg("-i").arg(folder.join("id_rsa")).arg(format!("root@{}", lab.dm("ip x").ok().out.trim())).arg("hostname");
    assert_eq!(Said::of(&ssh.output().unwrap()).ok().out, "x\n");

    // As a machine of a plugin that is not here: what can be done over SSH is done, and looked at before it is said.
    let [record, stub, config] = ["record.json", "record.kdl", "config.json"].map(|file| folder.join(file));
    let kept = [&record, &config].map(|file| fs::read_to_string(file).unwrap());
    for ours in [&record, &stub] {
        fs::remove_file(ours).unwrap();
    }
    fs::write(&config, kept[1].replace("\"DriverName\": \"generic\"", "\"DriverName\": \"hetzner\"")).unwrap();
    lab.dm("inspect x -f {{.DriverName}}").ok().says("hetzner");
    lab.dm("provision x").ok();
    lab.dm("provision x").ok().says("nothing to do");
    lab.dm("ssh x systemctl stop docker.socket docker && test ! -S /nope").ok();
    lab.dm("provision x").ok();
    assert_eq!(lab.dm("ssh x systemctl is-active docker").ok().out, "active\n");
    lab.dm("stop x").code(1).says("Driver \"hetzner\" not found");
    fs::write(&record, &kept[0]).unwrap();
    fs::write(&config, &kept[1]).unwrap();

    lab.dm("kill x").ok().says("Machine \"x\" was killed.");
    lab.dm("rm -y x").ok().says("Successfully removed x");
    lab.dm("inspect x").code(1).says("does not exist");
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// Pain 10: every CI runner starts like this, on an empty store.
#[test]
fn several_creates_at_once_make_one_authority_and_machines_that_all_answer() {
    if !lab::ready(&["docker"]) {
        return;
    }
    let lab = Lab::golden();
    let names: Vec<String> = (1..=3).map(|n| format!("runner-{n}")).collect();
    let made: Vec<Said> = thread::scope(|scope| {
        let create = |name: &String| lab.dm(&format!("create -d nspawn {name}"));
        let all: Vec<_> = names.iter().map(|name| scope.spawn(move || create(name))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for said in made {
        said.ok().says("Docker is up and running!");
    }
    let ca = fs::read(lab.store().join("certs/ca.pem")).unwrap();
    for name in &names {
        lab.dm(&format!("config {name}")).ok();
        assert_eq!(fs::read(lab.store().join("machines").join(name).join("ca.pem")).unwrap(), ca, "{name}");
        lab.docker(name, &["version"]).ok();
    }
    lab.dm(&format!("rm -y {}", names.join(" "))).ok();
    assert_eq!(lab.left(), Vec::<String>::new());
}

/// Pain 4: what was begun is found again, and made whole.
#[test]
fn a_create_that_was_killed_is_finished_by_provision() {
    if !lab::ready(&["docker"]) {
        return;
    }
    let lab = Lab::new();
    for moment in ["Creating machine...", "Installing Docker..."] {
        let mut command = lab.docker_machine();
        command.args(["create", "-d", "nspawn", "--engine-label", "from=create", "x"]);
        let mut create = Running::new(command);
        create.until(moment);
        create.signal("KILL");
        create.end();
        lab.dm("create -d nspawn x").code(1).says("already exists");
        lab.dm("provision x").ok();
        lab.docker("x", &["info", "--format", "{{.Labels}}"]).ok().says("from=create");
        lab.dm("rm -y x").ok();
        assert_eq!(lab.left(), Vec::<String>::new(), "after a kill at `{moment}`");
    }
}

#[test]
fn a_host_that_is_dead_is_told_and_removed_again_if_wanted() {
    if !lab::ready(&[]) {
        return;
    }
    let lab = Lab::new();
    lab.dm("create -d none --url tcp://127.0.0.1:1 other").ok();
    let key = lab.path("key");
    Said::of(&lab.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).output().unwrap()).ok();
    let create = format!(
        "create -d generic --generic-ip-address 127.0.0.1 --generic-ssh-port 1 --generic-ssh-key {}",
        key.display()
    );
    // The key is the machine's own from then on.
    let dead = lab.dm(&format!("{create} dead")).code(1);
    assert!(dead.err.starts_with("Error creating machine: "), "{}", dead.err);
    assert!(dead.err.contains("127.0.0.1:1") && dead.err.contains("refused"), "{}", dead.err);
    assert!(lab.store().join("machines/dead/key").exists());
    assert_eq!(lab.dm("status dead").ok().out, "Stopped\n");
    assert_eq!(lab.dm("status other").ok().out, "Running\n", "others are unaffected");
    lab.dm("rm -y dead").ok();

    lab.dm(&format!("{create} --rollback-on-failure dead")).code(1);
    assert_eq!(lab.dm("ls -q").ok().out, "other\n");
    lab.dm("rm -y other").ok();
}

/// Pain 18: with nothing but variables set, a host that already runs containers is taken over, and they run on.
#[test]
fn a_host_is_taken_over_by_variables_alone_and_its_containers_run_on() {
    if !lab::ready(&["docker", "busybox"]) {
        return;
    }
    let lab = Lab::golden();
    lab.dm("create -d nspawn x").ok();
    lab.tiny_image("x");
    let container = lab.docker("x", &["run", "-d", "tiny", "sleep", "1000"]).ok().out;
    let container = container.trim();
    let started = ["inspect", "--format", "{{.State.StartedAt}} {{.State.Pid}}", container];
    let before = lab.docker("x", &started).ok().out;

    let address = lab.dm("ip x").ok().out.trim().to_owned();
    let key = lab.store().join("machines/x/id_ed25519");
    let other = lab.path("other");
    let theirs = |line: &str| {
        let mut command = lab.docker_machine();
        command.env("MACHINE_STORAGE_PATH", &other).args(line.split(' '));
        command.env("MACHINE_DRIVER", "generic").env("GENERIC_IP_ADDRESS", &address).env("GENERIC_SSH_KEY", &key);
        Said::of(&command.output().unwrap())
    };
    theirs("create web").ok().says("Docker is up and running!");
    assert_eq!(
        theirs("inspect -f {{.DriverName}}/{{.Driver.SSHUser}}/{{.Driver.SSHPort}} web").ok().out,
        "generic/root/22\n"
    );
    let config = theirs("config web").ok().out;
    let mut docker = lab.command("docker");
    docker.args(config.lines().map(|line| line.replace('"', ""))).args(started);
    assert_eq!(Said::of(&docker.output().unwrap()).ok().out, before, "the container was not restarted");

    // The engine knows the account that issued the last certificate; the first account takes it back.
    lab.dm("config x").code(1).says("regenerate-certs");
    lab.dm("regenerate-certs -f x").ok();
    assert_eq!(lab.docker("x", &started).ok().out, before);
    theirs("rm -y web").ok();
    assert_eq!(lab.dm("status x").ok().out, "Running\n", "only what was recorded of it went");
    lab.dm("rm -y x").ok();
}
