//! Driver `virtualbox` with the real `VBoxManage` of Debian sid. Needs root, and packages of Debian.
//!
//! Only what needs VirtualBox's kernel module is emulated (`tests/virtualbox_lab/VBoxManage`). The test program is also
//! the driver's process, so that it can be killed at each of its points.

#![expect(clippy::disallowed_methods, reason = "the tests look at this computer with its own programs")]

mod cloud_host;
mod lab;
mod virtualbox_lab;

use cloud_host::Cloud;
use lab::{Lab, Said};
use machine::record::Instance;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use virtualbox_lab::{Run, VirtualBox, child, host::Host, of_seed, sshd};

const PROGRAMS: [&str; 4] = ["isoinfo", "sshd", "unshare", "nsenter"];

/// The other half of this program; see `Host::ask`.
#[test]
fn child() {
    if let Ok(task) = std::env::var(child::TASK) {
        child::work(&task);
    }
}

#[test]
fn a_vm_lives_and_dies_and_leaves_nothing() {
    if !lab::ready(&PROGRAMS) {
        return;
    }
    let mut host = Host::new();
    // Somebody has a VM of that name: it is none of ours, whatever happens.
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
    assert!(left.iter().all(|name| name.to_string_lossy().contains("25519")), "only keys: {left:?}");
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
    let host = Host::new();
    let every = if std::env::var("MACHINE_CRASH").is_ok_and(|v| v == "full") { 1 } else { 24 };
    let (mut point, mut killed, begun) = (1, 0, Instant::now());
    while host.try_ask("create", "web", None, point).is_none() {
        killed += 1;
        let web = host.create("web");
        let all = host.vms().all();
        let count = |what: &str| all.iter().filter(|line| line.contains(what)).count();
        assert_eq!(
            (count("\"web\""), count("disk.vdi"), count("seed.iso"), all.len()),
            (1, 1, 1, 4),
            "at {point}: {all:?}"
        );
        assert_eq!(host.done("find", "web", None).instance.as_ref(), Some(&web));
        // Removing is killed as well.
        let _ = host.try_ask("rm", "web", Some(&web), killed * 2);
        host.done("rm", "web", Some(&web));
        assert_eq!(host.vms().all(), Vec::<String>::new(), "at {point}");
        fs::remove_dir_all(host.dir("web")).unwrap();
        point += every;
    }
    println!("{killed} runs were killed, of {point} points, in {:?}", begun.elapsed());
    assert!(killed * every > 40, "the points are passed: {point}");
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

/// VMs that are hosts of `cloud`, with what their CD says done by real cloud-init.
fn hosts(cloud: Arc<Cloud>, address: Ipv4Addr) -> Run {
    let mut ports: BTreeMap<String, Arc<AtomicBool>> = BTreeMap::new();
    Box::new(move |vms, what, vm| {
        if let Some(open) = ports.remove(vm) {
            open.store(false, Ordering::Relaxed);
        }
        match what {
            "start" => {
                if cloud.file("web", "/").exists() {
                    cloud.start("web");
                } else {
                    cloud.boot("web", address, &of_seed(vms, vm, "user-data"));
                }
                // It is the card of VirtualBox's that has the address.
                cloud_host::until("ssh", Duration::from_secs(90), || cloud_host::open(address, 22));
                let neighbours = Command::new("ip").args(["neighbour", "show", &address.to_string()]).output().unwrap();
                let text = String::from_utf8(neighbours.stdout).unwrap();
                let mac = text.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap().replace(':', "");
                vms.list(&["modifyvm", vm, "--macaddress2", &mac]);
                ports.insert(vm.to_owned(), forward(vms.port(vm), address));
            }
            "stop" => cloud.stop("web"),
            _ => cloud.kill("web"),
        }
        Ok(())
    })
}

/// Lets a port of this computer lead to a host's SSH server, as VirtualBox does.
fn forward(port: u16, to: Ipv4Addr) -> Arc<AtomicBool> {
    let open = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let still = Arc::clone(&open);
    thread::spawn(move || {
        while still.load(Ordering::Relaxed) {
            let Ok((here, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            here.set_nonblocking(false).unwrap();
            let Ok(there) = TcpStream::connect((to, 22)) else { continue };
            for (mut from, mut into) in [(here.try_clone().unwrap(), there.try_clone().unwrap()), (there, here)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut into);
                    let _ = into.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    open
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
