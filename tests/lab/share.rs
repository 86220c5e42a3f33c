//! One real host in two accounts: exported for a key of `age`, imported by another, used by both; then adopted from
//! docker-machine's own file by a fleet.

use crate::lab::{self, Lab, Said};
use std::{fs, process::Command};

/// The second account: a home and a store that know nothing of the first.
struct Bob<'a>(&'a Lab);

impl Bob<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = self.0.command(program);
        let home = self.0.path("bob");
        fs::create_dir_all(&home).unwrap();
        command
            .env("HOME", home)
            .env("USER", "bob")
            .env_remove("MACHINE_STORAGE_PATH")
            .env_remove("MACHINE_NSPAWN_DIR");
        command
    }

    fn machine(&self, args: &[&str]) -> Said {
        Said::of(&self.command(env!("CARGO_BIN_EXE_machine")).args(args).output().unwrap())
    }

    fn docker(&self, args: &[&str]) -> Said {
        Said::of(&self.command("docker").args(args).output().unwrap())
    }
}

/// Main processes: a number changes when a service was restarted.
const SERVICES: &str = "systemctl show -P MainPID docker containerd ssh; cat /proc/sys/kernel/random/boot_id; \
    sha256sum /etc/docker/*.json /root/.ssh/authorized_keys";

#[test]
fn a_host_of_two_accounts_and_then_of_a_fleet() {
    if !lab::ready(&["docker", "age", "age-keygen"]) {
        return;
    }
    let lab = Lab::golden();
    let bob = Bob(&lab);
    let fleet = lab.file("fleet.yaml", "fleet: alices\nhosts:\n  web: { driver: nspawn }\n");
    lab.machine(&["apply", "-y", &fleet]).ok();
    let before = lab.on("web", SERVICES);

    let key = lab.path("key.txt").to_str().unwrap().to_owned();
    Said::of(&bob.command("age-keygen").args(["-o", &key]).output().unwrap()).ok();
    let recipient = Said::of(&bob.command("age-keygen").args(["-y", &key]).output().unwrap()).ok().out;
    let file = lab.path("web.age").to_str().unwrap().to_owned();
    lab.machine(&["export", "web", "-r", recipient.trim(), "-o", &file]).ok();
    let opened = Said::of(&bob.command("age").args(["-d", "-i", &key, &file]).output().unwrap()).ok().out;
    assert!(opened.contains("PRIVATE KEY-") && !opened.contains("ca-key.pem"));
    assert!(!opened.contains(lab.path("").to_str().unwrap().trim_end_matches('/')), "{opened}");

    bob.machine(&["import", &file]).code(1).says("none of the given keys");
    bob.machine(&["import", "-i", &key, &file]).ok().says("driver `nspawn`").says("recorded as `generic`");
    bob.machine(&["ls"]).ok().says("generic").says("Running");
    assert_eq!(bob.machine(&["ssh", "web", "hostname"]).ok().out, "web\n");
    bob.machine(&["config", "web"]).ok().says("--tlsverify");
    let env = bob.machine(&["env", "--shell", "sh", "web"]).ok().out;
    assert!(env.contains(lab.path("bob").to_str().unwrap()), "{env}");

    bob.machine(&["context"]).ok().says("+ web");
    let version = bob.docker(&["--context", "web", "version", "--format", "{{.Server.Version}}"]).ok().out;
    assert_eq!(lab.docker("web", &["version", "--format", "{{.Server.Version}}"]).ok().out, version);
    assert_eq!(lab.on("web", SERVICES), before, "nothing on the host was touched");
    lab.machine(&["plan", "--detailed-exitcode", &fleet]).ok().says("Nothing to do");

    // What docker-machine would have left: its own file alone.
    for file in ["record.json", "record.kdl"] {
        fs::remove_file(lab.path("bob/.docker/machine/machines/web").join(file)).unwrap();
    }
    let certificate = || fs::read(lab.path("bob/.docker/machine/machines/web/server.pem")).unwrap();
    let issued = certificate();
    let adopted = bob.machine(&["adopt", "web", "--fleet", "bobs"]).ok().says("web belongs to fleet `bobs` now");
    let lines = adopted.out.split_once("hosts:").unwrap().1.to_owned();
    let file = lab.file("bobs.yaml", &format!("fleet: bobs\nhosts:{lines}"));
    let plan = bob.machine(&["plan", &file]).ok();
    assert!(!plan.out.contains("certificate") && !plan.out.contains("engine "), "records only: {}", plan.out);
    bob.machine(&["apply", "-y", &file]).ok();
    bob.machine(&["plan", "--detailed-exitcode", &file]).ok().says("Nothing to do");
    assert_eq!(lab.on("web", SERVICES), before, "adopting restarts nothing");
    assert_eq!(certificate(), issued);
    lab.docker("web", &["version"]).ok();

    // To forget it there removes nothing here, but its context there.
    bob.machine(&["rm", "-y", "web"]).ok();
    assert_eq!(bob.docker(&["context", "ls", "-q"]).ok().out, "default\n");
    assert_eq!(lab.on("web", SERVICES), before);
    lab.machine(&["destroy", "-y", &fleet]).ok();
    assert_eq!(lab.left(), [""; 0]);
}
