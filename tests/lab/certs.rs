//! Replacing certificates of a real engine on a real host, while a container runs on it.
//!
//! Without root or the programs the tests say `SKIPPED` and why.

use crate::lab::{self, Lab, Said};
use crate::plain;
use machine::{
    clock::{Clock as _, SystemClock, Timestamp},
    name::MachineName,
    store::authority,
};
use std::{fs, os::unix::fs::PermissionsExt};

/// Everything about a container that a restart would change.
const CONTAINER: &[&str] =
    &["inspect", "-f", "{{.Id}} {{.State.Pid}} {{.State.StartedAt}} {{.State.Running}}", "lives"];

/// What of a host must be the same before and after.
const UNTOUCHED: &str = "hostname; dpkg -l | sha256sum; cat /etc/hosts /etc/hostname | sha256sum; \
    cat /etc/docker/daemon.json /etc/systemd/system/docker.service.d/10-machine.conf | sha256sum; \
    systemctl show -P MainPID ssh containerd";

/// The program by the name `docker-machine`.
fn docker_machine(lab: &Lab, args: &[&str]) -> Said {
    let link = lab.path("docker-machine");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_machine"), &link).unwrap();
    }
    Said::of(&lab.command(link.to_str().unwrap()).args(args).output().unwrap())
}

fn file(lab: &Lab, path: &str) -> String {
    fs::read_to_string(lab.store().join(path)).unwrap()
}

#[test]
fn certificates_are_replaced_under_a_running_container() {
    if !lab::ready(&["docker", "openssl", "busybox"]) {
        return;
    }
    let lab = Lab::golden();
    let fleet = lab.file("fleet.yaml", "fleet: f\ndefaults: { driver: nspawn, engine: {} }\nhosts:\n  a:\n  b:\n");
    lab.machine(&["apply", "-y", &fleet]).ok();
    lab.tiny_image("a");
    lab.docker("a", &["run", "-d", "--name", "lives", "tiny", "/bin/sleep", "100000"]).ok();
    let container = lab.docker("a", CONTAINER).ok().out;
    assert!(container.contains("true"), "{container}");
    let untouched = lab.on("a", UNTOUCHED);
    let (server, client, ca) =
        (file(&lab, "machines/a/server.pem"), file(&lab, "machines/a/cert.pem"), file(&lab, "machines/a/ca.pem"));

    // The engine's certificate, and nothing else.
    docker_machine(&lab, &["regenerate-certs", "-f", "a"]).ok().says("Regenerating TLS certificates");
    assert_ne!(file(&lab, "machines/a/server.pem"), server);
    assert_eq!((file(&lab, "machines/a/cert.pem"), file(&lab, "machines/a/ca.pem")), (client.clone(), ca.clone()));
    assert_eq!(lab.on("a", "cat /etc/docker/server.pem"), file(&lab, "machines/a/server.pem"));
    assert_eq!(lab.on("a", "stat -c %a /etc/docker/server-key.pem").trim(), "600");
    assert_eq!(lab.docker("a", CONTAINER).ok().out, container);
    assert_eq!(lab.on("a", UNTOUCHED), untouched);
    lab.machine(&["plan", "--detailed-exitcode", &fleet]).ok().says("Nothing to do");

    // A client certificate that is new, for machines that were not named too.
    lab.machine(&["regenerate-certs", "-f", "--client-certs", "a"]).ok();
    assert_ne!(file(&lab, "machines/a/cert.pem"), client);
    assert_eq!(file(&lab, "machines/b/cert.pem"), file(&lab, "certs/cert.pem"));
    assert_eq!(file(&lab, "machines/b/ca.pem"), ca);
    for machine in ["a", "b"] {
        lab.docker(machine, &["version"]).ok();
    }
    assert_eq!(lab.docker("a", CONTAINER).ok().out, container);

    authority_that_ends(&lab);
    assert_eq!(lab.docker("a", CONTAINER).ok().out, container);
    lab.machine(&["plan", "--detailed-exitcode", &fleet]).ok().says("Nothing to do");
    rejected(&lab);
    copies_that_are_missing(&lab);

    lab.machine(&["stop", "b"]).ok();
    lab.machine(&["regenerate-certs", "-f", "b"]).code(1).says("machine start b");
    lab.machine(&["rm", "-f", "a", "b"]).ok();
    assert_eq!(lab.left(), [""; 0]);
}

/// Damage to each file, and a clock that was wrong by four years: one `apply`, and containers go on running.
#[test]
fn what_is_broken_here_is_mended_under_a_running_container() {
    if !lab::ready(&["docker", "busybox"]) {
        return;
    }
    let lab = Lab::golden();
    let fleet = lab.file("fleet.yaml", "fleet: f\ndefaults: { driver: nspawn, engine: {} }\nhosts:\n  a:\n");
    lab.machine(&["apply", "-y", &fleet]).ok();
    lab.tiny_image("a");
    lab.docker("a", &["run", "-d", "--name", "lives", "tiny", "/bin/sleep", "100000"]).ok();
    let container = lab.docker("a", CONTAINER).ok().out;
    let repaired = |what: &str| {
        lab.machine(&["apply", "-y", &fleet]).ok();
        lab.machine(&["plan", "--detailed-exitcode", &fleet]).ok().says("Nothing to do");
        lab.docker("a", &["version"]).ok();
        assert_eq!(lab.docker("a", CONTAINER).ok().out, container, "{what}");
    };
    for path in [
        "machines/a/ca.pem",
        "machines/a/cert.pem",
        "machines/a/key.pem",
        "machines/a/server.pem",
        "machines/a/server-key.pem",
        "certs/ca.pem",
        "certs/cert.pem",
        "certs/key.pem",
    ] {
        lab.file(&format!("store/{path}"), "damaged\n");
        lab.machine(&["plan", &fleet]).ok().says(path.rsplit('/').next().unwrap());
        repaired(path);
        let (folder, name) = path.rsplit_once('/').unwrap();
        let kept = fs::read_dir(lab.store().join(folder)).unwrap().flatten();
        let kept: Vec<_> =
            kept.filter(|e| e.file_name().to_string_lossy().starts_with(&format!("{name}.damaged-"))).collect();
        assert_eq!(kept.len(), 1, "{path}");
        assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    for years in [4, -4] {
        made_at(&lab, SystemClock.now().plus_days(years * 365));
        repaired(&format!("all certificates were made {years} years from now"));
    }
    // Its key is lost: refused, with the command that helps.
    lab.file("store/certs/ca-key.pem", "damaged\n");
    lab.file("store/machines/a/server-key.pem", "damaged\n");
    let command = "machine regenerate-certs --new-authority a";
    assert_ne!(lab.machine(&["apply", "-y", &fleet]).says(command).code, 0);
    lab.machine(&["regenerate-certs", "-f", "--new-authority", "a"]).ok();
    repaired("a new authority");
    lab.machine(&["rm", "-f", "a"]).ok();
    assert_eq!(lab.left(), [""; 0]);
}

/// Everything that the store and the host have is made anew as if it were another time, by the program itself.
fn made_at(lab: &Lab, now: Timestamp) {
    let store = plain::folder(lab.store());
    for name in ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"] {
        fs::remove_file(lab.store().join("certs").join(name)).unwrap();
    }
    let machine = MachineName::new("a").unwrap();
    let mut record = store.get(&machine).unwrap();
    let names = record.certificate.as_ref().unwrap().names.clone();
    let issued = plain::now(authority::issue(&store, &machine, &names, now)).unwrap();
    let (provisioner, facts) = lab.look("a");
    lab.script("a", &provisioner.certificate(&facts, &issued.host)).ok();
    plain::now(issued.keep(&store, &machine)).unwrap();
    record.certificate = Some(machine::record::CertificateRecord { names, ..issued.record });
    store.put(&record).unwrap();
}

/// The store's authority becomes one that ends in ten days, which is the one engines have. Then it is replaced.
fn authority_that_ends(lab: &Lab) {
    let certs = lab.store().join("certs");
    let run = |args: &[&str]| {
        Said::of(&lab.command("openssl").current_dir(&certs).args(args).output().unwrap()).ok();
    };
    // The same key and name with another end, so that what it signed is still signed by it.
    run(&["x509", "-in", "ca.pem", "-signkey", "ca-key.pem", "-days", "10", "-out", "short.pem"]);
    fs::rename(certs.join("short.pem"), certs.join("ca.pem")).unwrap();
    fs::set_permissions(certs.join("ca.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let old = file(lab, "machines/b/ca.pem");
    let said = lab.machine(&["regenerate-certs", "-f", "--client-certs", "a"]).ok();
    let said = said.says("CA certificate is outdated and needs to be regenerated");
    assert!(said.out.ends_with("\n  machine regenerate-certs b\n"), "{}", said.out);
    assert_ne!(file(lab, "machines/a/ca.pem"), old);
    assert_eq!(file(lab, "machines/b/ca.pem"), old);
    for machine in ["a", "b"] {
        lab.docker(machine, &["version"]).ok();
    }
    let said = lab.machine(&["regenerate-certs", "-f", "b"]).ok();
    assert!(!said.out.contains("machine regenerate-certs"), "{}", said.out);
    assert_eq!(file(lab, "machines/b/ca.pem"), file(lab, "certs/ca.pem"));
    lab.docker("b", &["version"]).ok();
}

/// Docker clients find certificates where `env` points them, though they were removed there.
fn copies_that_are_missing(lab: &Lab) {
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::remove_file(lab.store().join("machines/b").join(name)).unwrap();
    }
    docker_machine(lab, &["config", "b"]).ok();
    lab.docker("b", &["version"]).ok();
    let mode = fs::metadata(lab.store().join("machines/b/key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// With TLS 1.3 a client learns of its rejection only when it asks something.
fn rejected(lab: &Lab) {
    let folder = lab.store().join("machines/b");
    let run = |args: &[&str]| {
        Said::of(&lab.command("openssl").current_dir(&folder).args(args).output().unwrap()).ok();
    };
    let good = (fs::read(folder.join("cert.pem")).unwrap(), fs::read(folder.join("key.pem")).unwrap());
    run(&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/O=x"]);
    let said = docker_machine(lab, &["env", "--shell", "sh", "b"]).code(1);
    let start = "Error checking TLS connection: Error checking and/or regenerating the certs: \
                 There was an error validating certificates for host \"";
    assert!(said.err.starts_with(start), "{}", said.err);
    assert!(
        said.err.ends_with(
            "\nYou can attempt to regenerate them using 'docker-machine regenerate-certs [name]'.\n\
             Be advised that this will trigger a Docker daemon restart which might stop running containers.\n\n"
        ),
        "{}",
        said.err
    );
    assert_eq!(said.out, "");
    // What was said to help does.
    docker_machine(lab, &["regenerate-certs", "-f", "b"]).ok();
    assert_ne!(fs::read(folder.join("cert.pem")).unwrap(), fs::read(folder.join("server.pem")).unwrap());
    assert_eq!((fs::read(folder.join("cert.pem")).unwrap(), fs::read(folder.join("key.pem")).unwrap()), good);
    docker_machine(lab, &["env", "--shell", "sh", "b"]).ok();
}
