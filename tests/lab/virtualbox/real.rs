//! Driver `virtualbox` with the real `VBoxManage` of Debian sid. Needs root, and packages of Debian.
//!
//! Only what needs VirtualBox's kernel module is emulated (`tests/lab/virtualbox/VBoxManage`). The test program is also
//! the driver's process, so that it can be killed at each of its points.

#![expect(clippy::disallowed_methods, reason = "the tests look at this computer with its own programs")]

use super::{VirtualBox, Vms, guest::hosts, host::Host, sshd};
use crate::{
    cloud_host::Cloud,
    full::full,
    lab::{self, Lab, Said},
};
use machine::record::Instance;
use serde_json::{Value, json};
use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::Arc,
    time::Instant,
};

const PROGRAMS: [&str; 4] = ["isoinfo", "sshd", "unshare", "nsenter"];

#[test]
fn a_vm_lives_and_dies_and_leaves_nothing() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let mut host = Host::new();
    // There is a VM of that name already: it is none of ours, whatever happens.
    let theirs = host.lab.path("theirs").display().to_string();
    host.vms().list(&["createvm", "--basefolder", &theirs, "--name", "web", "--register"]);
    let before = host.vms().all();

    let made = host.done("create", "web", None);
    let web = made.instance.unwrap();
    assert_eq!(made.checkpoints[0].id, web.id, "it was recorded before it ran");
    assert_eq!(web.address, sshd::ADDRESS);
    let ssh = web.ssh.clone().unwrap();
    assert_eq!((ssh.host.as_str(), ssh.user.as_str(), ssh.port), ("127.0.0.1", "root", host.vms().port(&web.id)));
    assert_eq!(host.done("find", "web", None).instance, Some(web.clone()), "what was created is found");
    assert_eq!(host.create("web"), web, "creating twice is creating once");
    assert_eq!(host.done("find", "db", None).instance, None);
    let info = host.vms().info(&web.id);
    assert!(info["name"].starts_with("web-"), "the name was taken: {}", info["name"]);
    assert_eq!((info["memory"].as_str(), info["nic2"].as_str()), ("1024", "hostonly"));
    // What the machine stands on is the image, in a disk of the size that was asked for.
    let disk = host.dir("web").join("disk.vdi").display().to_string();
    let raw = host.lab.path("disk.raw").display().to_string();
    host.vms().list(&["clonemedium", "disk", &disk, &raw, "--format", "RAW"]);
    let content = fs::read(&raw).unwrap();
    assert_eq!(content.len(), 64 << 20);
    assert!(content[..3 << 20].iter().all(|b| *b == 7) && content[3 << 20..].iter().all(|b| *b == 0));
    host.vms().list(&["closemedium", "disk", &raw]);

    // Standing still in memory, and on disk.
    host.vms().list(&["controlvm", &web.id, "pause"]);
    assert_eq!(host.power("web", &web), "Paused");
    host.done("start", "web", Some(&web));
    assert_eq!(host.power("web", &web), "Running");
    host.vms().list(&["controlvm", &web.id, "savestate"]);
    assert_eq!(host.power("web", &web), "Saved");
    host.done("stop", "web", Some(&web));
    host.done("start", "web", Some(&web));
    host.done("stop", "web", Some(&web));
    assert_eq!(host.power("web", &web), "Stopped");
    host.done("stop", "web", Some(&web));

    // Its port was taken meanwhile: it gets another, and is found there.
    let thief = TcpListener::bind(("127.0.0.1", ssh.port)).unwrap();
    let moved = host.done("start", "web", Some(&web)).instance.unwrap();
    assert_ne!(moved.ssh.as_ref().unwrap().port, ssh.port);
    drop(thief);
    assert_eq!(host.done("find", "web", None).instance, Some(moved.clone()));
    host.done("restart", "web", Some(&moved));
    host.done("kill", "web", Some(&moved));
    assert_eq!(host.power("web", &moved), "Stopped");
    host.done("start", "web", Some(&moved));

    // As it was: VirtualBox keeps the disk, and it runs again.
    let snapshots = |call: &str| host.done(call, "web", Some(&moved)).power;
    assert_eq!(snapshots("snapshot ls"), "");
    assert_eq!(snapshots("snapshot create clean"), "clean");
    let again = host.ask("snapshot create clean", "web", Some(&moved));
    assert!(again.error.contains("already"), "{again:?}");
    assert_eq!(snapshots("snapshot create later"), "clean,later");
    assert_eq!(snapshots("snapshot restore clean"), "clean,later");
    assert_eq!(host.power("web", &moved), "Running");
    assert_eq!(snapshots("snapshot rm later"), "clean");
    assert_eq!(snapshots("snapshot rm clean"), "");

    // More of everything needs it off: it says so, and comes back.
    host.more.extend([("memory".to_owned(), json!("2048")), ("cpu-count".to_owned(), json!("3"))]);
    host.more.insert("disk-size".to_owned(), json!("96"));
    let changed = host.done("change", "web", Some(&moved));
    assert!(changed.said.iter().any(|line| line.contains("switching it off")), "{:?}", changed.said);
    let info = host.vms().info(&web.id);
    assert_eq!((info["memory"].as_str(), info["cpus"].as_str(), info["VMState"].as_str()), ("2048", "3", "running"));
    assert!(host.vms().list(&["showmediuminfo", "disk", &disk]).contains("Capacity:       96 MBytes"));
    host.more.insert("disk-size".to_owned(), json!("64"));
    let refused = host.ask("change", "web", Some(&moved));
    assert!(refused.error.contains("cannot be made smaller") && refused.help.contains("96"), "{refused:?}");

    // By name only, as docker-machine has recorded it: the other VM of that name is not touched.
    let by_name = Instance { id: "web".to_owned(), ..moved.clone() };
    for call in ["power", "kill", "rm"] {
        let refused = host.ask(call, "web", Some(&by_name));
        assert!(refused.error.contains("another one of that name"), "{call}: {refused:?}");
    }

    host.done("rm", "web", Some(&moved));
    host.done("rm", "web", Some(&moved));
    assert_eq!(host.power("web", &moved), "Gone");
    assert_eq!(host.vms().all(), before, "all that was made is gone, and nothing else");
    assert_eq!(host.vms().list(&["getextradata", "global", "enumerate"]).matches("machine/").count(), 0);
    let left: Vec<_> = fs::read_dir(host.dir("web")).unwrap().flatten().map(|e| e.file_name()).collect();
    // The links are docker-machine's names for the login key.
    let is_key = |name: &str| name.contains("25519") || ["id_rsa", "id_rsa.pub"].contains(&name);
    assert!(left.iter().all(|name| is_key(&name.to_string_lossy())), "only keys: {left:?}");
}

/// What docker-machine has made in a store is found, used and removed by name, as it is recorded.
#[test]
fn a_vm_of_docker_machines_is_taken_as_it_is() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let host = Host::new();
    let dir = host.dir("old").display().to_string();
    host.vms().list(&["createvm", "--basefolder", &dir, "--name", "old", "--register"]);
    let found = host.done("find", "old", None).instance.unwrap();
    assert_eq!(found.id, host.vms().info("old")["UUID"]);
    let recorded = Instance { id: "old".to_owned(), ..found };
    assert_eq!(host.power("old", &recorded), "Stopped");
    host.done("rm", "old", Some(&recorded));
    assert_eq!(host.vms().all(), Vec::<String>::new());
}

/// A VM whose files were deleted is all VirtualBox has: it is forgotten, and made anew.
#[test]
fn a_machine_whose_folder_was_deleted_can_be_made_again_and_removed() {
    if !full() {
        println!("left to `just lab-full`: two virtual machines are booted for it, which takes most of a minute");
        return;
    }
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let host = Host::new();
    let web = host.create("web");
    host.done("stop", "web", Some(&web));
    fs::remove_dir_all(host.dir("web")).unwrap();
    let again = host.create("web");
    assert_eq!(again.id, web.id);
    assert_ne!(again.host_keys, web.host_keys, "its keys were lost too");
    host.done("stop", "web", Some(&again));
    fs::remove_dir_all(host.dir("web")).unwrap();
    host.done("rm", "web", Some(&again));
    assert_eq!(host.vms().all(), Vec::<String>::new());
}

/// What boot2docker needs to find: its CD, and a disk that it may format, with the key in it.
#[test]
fn boot2docker_gets_its_cd_and_a_disk_with_the_key() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let mut host = Host::new();
    let cd = host.lab.path("b2d.iso");
    fs::write(&cd, vec![1; 64 << 10]).unwrap();
    host.more.insert("boot2docker-url".to_owned(), json!(format!("file://{}", cd.display())));
    let refused = host.ask("create", "web", None);
    assert!(refused.error.contains("it is no cloud image"), "the lab boots only those: {refused:?}");
    let web = refused.checkpoints[0].clone();
    assert_eq!(web.ssh.as_ref().unwrap().user, "docker");
    let info = host.vms().info(&web.id);
    assert_eq!(
        (info["boot1"].as_str(), info["SATA-0-0"].as_str()),
        ("dvd", host.dir("web").join("boot2docker.iso").to_str().unwrap())
    );
    let disk = fs::read(host.dir("web").join("disk.vdi")).unwrap();
    let text = String::from_utf8_lossy(&disk[2 << 20..(2 << 20) + 4608]).into_owned();
    let key = fs::read_to_string(host.dir("web").join("id_ed25519.pub")).unwrap();
    assert!(text.starts_with("boot2docker, please format-me") && text.contains(&key));
    host.done("rm", "web", Some(&web));
    assert_eq!(host.vms().all(), Vec::<String>::new());
}

/// Killed at any point, a run leaves what the next one finds and goes on with, or what goes with the rest.
#[test]
fn wherever_create_is_killed_there_is_one_vm_and_then_none() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    // A creation with the real program takes seconds, so not each point is tried: `tests/lab/virtualbox/versions.rs` tries those.
    let every = if full() { 6 } else { 60 };
    Host::new().killed_everywhere(every);
}

/// A network that VirtualBox does not allow is a message, and leaves no interface behind.
#[test]
fn a_network_that_is_not_allowed_is_said_with_what_to_do() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let mut host = Host::new();
    host.more.insert("hostonly-cidr".to_owned(), json!("192.168.99.1/24"));
    let refused = host.ask("create", "web", None);
    assert!(
        refused.error.contains("192.168.99.0/24") && refused.help.contains("/etc/vbox/networks.conf"),
        "{refused:?}"
    );
    assert!(host.vms().all().iter().all(|line| !line.contains("vboxnet")), "{:?}", host.vms().all());
    host.done("rm", "web", refused.checkpoints.first());
    assert_eq!(host.vms().all(), Vec::<String>::new());
}

/// A recording of what the real program says, without what differs from run to run.
fn recorded(said: &str, lab: &Path, uuid: &str) -> String {
    let said = said.replace(lab.to_str().unwrap(), "/").replace(uuid, "6ba7b810-9dad-41d1-80b4-00c04fd430c8");
    let line = |line: &str| {
        let fixed = [
            ("VMStateChangeTime=", "\"2026-11-21T12:53:05.179000000\""),
            ("\"SATA-ImageUUID-0-0\"=", "\"b675d96f-9cac-4880-a179-28a1bd5770e0\""),
            ("\"SATA-ImageUUID-1-0\"=", "\"f6684b58-f4ad-4c50-b855-8b485b709ce7\""),
            ("macaddress1=", "\"0800273D2147\""),
            ("macaddress2=", "\"080027691F1E\""),
            ("Forwarding(0)=", "\"ssh,tcp,127.0.0.1,2222,,22\""),
            ("GUID:            ", "f000023d-dae8-4abf-8000-8ea12d9f7674"),
            ("IPV6Address:     ", "fe80::8ca1:2dff:fe9f:7674"),
            ("IPV6NetworkMaskPrefixLength: ", "64"),
            ("localhostReachable=", "\"0\""),
            ("Individual Config:    ", "VM NIC: 6ba7b810-9dad-41d1-80b4-00c04fd430c8 slot 1, MAC 08:00:27:69:1f:1e"),
            ("HardwareAddress: ", "8e:a1:2d:9f:76:74"),
            ("Status:          ", "Up"),
        ];
        let known = fixed.iter().find(|(key, _)| line.starts_with(key));
        known.map_or_else(|| line.to_owned(), |(key, value)| format!("{key}{value}"))
    };
    said.trim().lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// The recordings of 7.2 that tests read, and that stand for what is not here, are what it says. To record
/// anew: `MACHINE_RECORD=1`.
#[test]
fn what_is_recorded_of_this_version_is_what_it_says() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let mut host = Host::new();
    for (key, value) in
        [("no-share", "false"), ("share-folder", "/home:hosthome"), ("hostonly-cidr", "192.168.56.1/24")]
    {
        host.more.insert(key.to_owned(), json!(value));
    }
    let web = host.create("web");
    host.done("stop", "web", Some(&web));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/virtualbox/7.2");
    let store = host.lab.path("");
    for (file, args) in [
        ("showvminfo", &["showvminfo", &web.id, "--machinereadable"][..]),
        ("hostonlyifs", &["list", "hostonlyifs"]),
        ("dhcpservers", &["list", "dhcpservers"]),
    ] {
        let said = recorded(&host.vms().list(args), &store, &web.id);
        let path = golden.join(format!("{file}.txt"));
        if std::env::var_os("MACHINE_RECORD").is_some() {
            fs::write(&path, &said).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap();
        for (now, then) in said.lines().zip(golden.lines()) {
            assert_eq!(now, then, "{file}");
        }
        assert_eq!(said.lines().count(), golden.lines().count(), "{file}");
    }
    for (what, args) in [
        ("absent by name", ["showvminfo", "web-2", "--machinereadable"]),
        ("absent by UUID", ["showvminfo", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "--machinereadable"]),
    ] {
        let said = String::from_utf8(host.vms().manage(&args).stderr).unwrap().replace("web-2", "web");
        let errors = fs::read_to_string(golden.join("errors.txt")).unwrap();
        assert!(errors.contains(&format!("# {what}\n{}", said.trim_start())), "{what}:\n{said}");
    }
    host.done("rm", "web", Some(&web));
}

#[test]
fn create_goes_through_to_a_running_container() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let cloud = Arc::new(Cloud::new());
    let address = cloud.address(9);
    let image = lab.path("image.raw");
    fs::write(&image, vec![7; 1 << 20]).unwrap();
    let computer = VirtualBox::new(&lab.path(""), hosts(Arc::clone(&cloud), address));
    let machine = |args: &[&str]| {
        let mut command = lab.command(env!("CARGO_BIN_EXE_machine"));
        Said::of(&command.env("PATH", computer.path()).args(args).output().unwrap())
    };
    let user_data = lab.file("user-data", "#cloud-config\nwrite_files:\n- {path: /etc/own, content: mine}\n");
    let fleet = format!(
        "fleet: shop\nhosts:\n  web:\n    driver: virtualbox\n    image: {}\n    disk-size: 64\n    no-vtx-check: true\n    \
         user-data: {user_data}\n    engine: {{ source: distro }}\n",
        image.display()
    );
    let file = lab.file("fleet.yaml", &fleet);
    let begun = Instant::now();
    machine(&["apply", "-y", &file]).ok();
    println!("applied after {:?}", begun.elapsed());
    machine(&["apply", "-y", &file]).ok().says("Nothing to do");
    machine(&["ls"]).ok().says(&format!("tcp://{address}:2376"));
    assert_eq!(machine(&["ssh", "web", "--", "cat /etc/own; id -un"]).ok().out, "minedocker\n");
    assert_eq!(machine(&["ip", "web"]).ok().out, format!("{address}\n"));
    // As docker-machine would read it.
    let config: Value =
        serde_json::from_str(&fs::read_to_string(lab.store().join("machines/web/config.json")).unwrap()).unwrap();
    let driver = &config["Driver"];
    assert_eq!(config["DriverName"], json!("virtualbox"));
    assert_eq!(
        (&driver["VBoxManager"], &driver["HostInterfaces"], &driver["DNSProxy"]),
        (&json!({}), &json!({}), &json!(true))
    );
    assert_eq!((&driver["Memory"], &driver["DiskSize"], &driver["CPU"]), (&json!(1024), &json!(64), &json!(1)));
    assert_eq!((&driver["IPAddress"], &driver["SSHUser"]), (&json!(address.to_string()), &json!("docker")));
    let run = "cd / && tar c --dereference lib/*/libc.so.6 lib64 usr/bin/true | docker import - tiny >/dev/null && \
               docker run --rm tiny /usr/bin/true && echo ran";
    assert_eq!(machine(&["ssh", "web", "--", &format!("sudo sh -c '{run}'")]).ok().out, "ran\n");
    let env = machine(&["env", "--shell", "sh", "web"]).ok().out;
    let mut docker = lab.command("docker");
    for (name, value) in env.lines().filter_map(|l| l.strip_prefix("export ")).filter_map(|l| l.split_once('=')) {
        docker.env(name, value.trim_matches('"'));
    }
    Said::of(&docker.args(["images"]).output().unwrap()).ok().says("tiny");
    machine(&["stop", "web"]).ok();
    machine(&["status", "web"]).ok().says("Stopped");
    machine(&["apply", "-y", &file]).ok().says("web");
    machine(&["status", "web"]).ok().says("Running");
    machine(&["destroy", "-y", &file]).ok();
    assert_eq!(computer.vms.all(), Vec::<String>::new());
    assert!(Path::new(&image).exists());
}

/// A CD of boot2docker's kind, and a disk that it makes its own: a login works with the key that lies at its start.
#[test]
fn boot2docker_goes_through_to_an_engine() {
    if !full() {
        println!("left to `just lab-full`: it installs a second engine, and takes a minute");
        return;
    }
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let cloud = Arc::new(Cloud::new());
    let computer = VirtualBox::new(&lab.path(""), hosts(Arc::clone(&cloud), cloud.address(9)));
    let machine = |args: &[&str]| {
        let mut command = lab.command(env!("CARGO_BIN_EXE_machine"));
        Said::of(&command.env("PATH", computer.path()).args(args).output().unwrap())
    };
    let cd = lab.file("b2d.iso", &"\u{1}".repeat(64 << 10));
    let fleet = format!(
        "fleet: shop\nhosts:\n  web:\n    driver: virtualbox\n    boot2docker-url: {cd}\n    disk-size: 64\n    \
         no-vtx-check: true\n    engine: {{ source: distro }}\n"
    );
    let file = lab.file("fleet.yaml", &fleet);
    machine(&["apply", "-y", &file]).ok();
    machine(&["apply", "-y", &file]).ok().says("Nothing to do");
    assert_eq!(machine(&["ssh", "web", "--", "id -un"]).ok().out, "docker\n");
    let config: Value =
        serde_json::from_str(&fs::read_to_string(lab.store().join("machines/web/config.json")).unwrap()).unwrap();
    assert_eq!((&config["Driver"]["Boot2DockerURL"], &config["Driver"]["SSHUser"]), (&json!(cd), &json!("docker")));
    machine(&["destroy", "-y", &file]).ok();
    assert_eq!(computer.vms.all(), Vec::<String>::new());
    assert!(Path::new(&cd).exists());
}

/// A machine as docker-machine 0.16 made it, in its store: config.json, key, disk and VM by the calls that it made.
fn by_docker_machine(lab: &Lab, vms: &Vms, address: Ipv4Addr) {
    let dir = lab.store().join("machines/old");
    let at = |name: &str| dir.join(name).display().to_string();
    fs::create_dir_all(dir.join("home/.ssh")).unwrap();
    let run = |program: &str, args: &[&str]| {
        let out = lab.command(program).args(args).output().unwrap();
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    };
    run("ssh-keygen", &["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", &at("id_rsa")]);
    let magic = "boot2docker, please format-me";
    fs::write(dir.join("home").join(magic), magic).unwrap();
    fs::copy(at("id_rsa.pub"), at("home/.ssh/authorized_keys")).unwrap();
    fs::copy(at("id_rsa.pub"), at("home/.ssh/authorized_keys2")).unwrap();
    run("tar", &["--format=ustar", "-C", &at("home"), "-cf", &at("raw"), magic, ".ssh"]);
    fs::File::options().write(true).open(at("raw")).unwrap().set_len(64 << 20).unwrap();
    fs::write(at("boot2docker.iso"), vec![1; 64 << 10]).unwrap();
    let config = include_str!("../../golden/virtualbox/docker-machine-0.16.json");
    let config =
        config.replace("@STORE@", &lab.store().display().to_string()).replace("@ADDRESS@", &address.to_string());
    fs::write(at("config.json"), config).unwrap();
    for line in [
        format!("convertfromraw {} {} --format VMDK", at("raw"), at("disk.vmdk")),
        format!("createvm --basefolder {} --name old --register", dir.display()),
        "modifyvm old --ostype Linux26_64 --cpus 1 --memory 1024 --acpi on --ioapic on --rtcuseutc on --boot1 dvd".to_owned(),
        "modifyvm old --nic1 nat --nictype1 82540EM --cableconnected1 on".to_owned(),
        "storagectl old --name SATA --add sata --hostiocache on".to_owned(),
        format!("storageattach old --storagectl SATA --port 0 --device 0 --type dvddrive --medium {}", at("boot2docker.iso")),
        format!("storageattach old --storagectl SATA --port 1 --device 0 --type hdd --medium {}", at("disk.vmdk")),
        "hostonlyif create".to_owned(),
        "hostonlyif ipconfig vboxnet0 --ip 192.168.56.1 --netmask 255.255.255.0".to_owned(),
        "modifyvm old --nic2 hostonly --nictype2 82540EM --nicpromisc2 deny --hostonlyadapter2 vboxnet0 --cableconnected2 on"
            .to_owned(),
        "modifyvm old --natpf1 ssh,tcp,127.0.0.1,40022,,22".to_owned(),
    ] {
        vms.list(&line.split(' ').collect::<Vec<_>>());
    }
    fs::remove_file(at("raw")).unwrap();
    fs::remove_dir_all(dir.join("home")).unwrap();
}

#[test]
fn a_machine_of_docker_machines_is_listed_started_stopped_and_removed_and_nothing_else_is() {
    if !full() {
        println!("left to `just lab-full`: a virtual machine is booted three times, which takes a minute and a half");
        return;
    }
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let lab = Lab::new();
    let cloud = Arc::new(Cloud::new());
    let address = cloud.address(9);
    let computer = VirtualBox::new(&lab.path(""), hosts(Arc::clone(&cloud), address));
    let machine = |args: &[&str]| {
        let mut command = lab.command(env!("CARGO_BIN_EXE_machine"));
        Said::of(&command.env("PATH", computer.path()).args(args).output().unwrap())
    };
    let theirs = lab.path("theirs").display().to_string();
    computer.vms.list(&["createvm", "--basefolder", &theirs, "--name", "theirs", "--register"]);
    by_docker_machine(&lab, &computer.vms, address);
    machine(&["ls"]).ok().says("virtualbox").says("Stopped");
    let inspected: Value = serde_json::from_str(&machine(&["inspect", "old"]).ok().out).unwrap();
    assert_eq!((&inspected["Driver"]["DiskSize"], &inspected["Driver"]["SSHPort"]), (&json!(64), &json!(40022)));
    // What stands for its guest has no engine, which is said when the VM has long been up.
    machine(&["start", "old"]).code(1).says("Machine \"old\" was started.").says("connection refused");
    assert_eq!(machine(&["status", "old"]).ok().out, "Running\n");
    assert_eq!(machine(&["ssh", "old", "--", "id -un"]).ok().out, "docker\n");
    assert_eq!(machine(&["ip", "old"]).ok().out, format!("{address}\n"));
    machine(&["stop", "old"]).ok();
    assert_eq!(machine(&["status", "old"]).ok().out, "Stopped\n");
    let info = computer.vms.info("old");
    assert_eq!((info["memory"].as_str(), info["cpus"].as_str(), info["boot1"].as_str()), ("1024", "1", "dvd"));
    machine(&["rm", "-y", "old"]).ok();
    assert!(!lab.store().join("machines/old").exists());
    // The interface was there before: other VMs may count on it.
    assert_eq!(
        computer.vms.all(),
        [format!("\"theirs\" {{{}}}", computer.vms.info("theirs")["UUID"]), "Name:            vboxnet0".to_owned()]
    );
}
