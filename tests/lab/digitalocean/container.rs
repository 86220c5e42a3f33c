//! Driver `digitalocean` from `machine create` to a running container: the emulator's droplets are hosts of this computer
//! with real cloud-init, and each request is held to the provider's document.

use crate::{
    cloud_host::Cloud,
    lab::{self, Lab, Said},
    ocean::{
        Ocean, TOKEN,
        emulator::Hosts,
        front::{Fault, Front},
    },
};
use std::{
    fs,
    net::Ipv4Addr,
    process::Command,
    sync::{Arc, Weak},
};

/// Droplets that are hosts of a cloud on this computer. The provider's threads outlive the test; the cloud must not.
struct Real(Weak<Cloud>);

impl Real {
    fn cloud(&self) -> Arc<Cloud> {
        self.0.upgrade().expect("nothing asks after the test")
    }
}

fn host(id: u64) -> String {
    format!("d{id}")
}

impl Hosts for Real {
    fn address(&self, id: u64) -> Ipv4Addr {
        self.cloud().address(u8::try_from(id % 200).unwrap() + 10)
    }
    fn boot(&self, id: u64, address: Ipv4Addr, user_data: &str) {
        self.cloud().boot(&host(id), address, user_data.as_bytes());
    }
    fn start(&self, id: u64) {
        self.cloud().start(&host(id));
    }
    fn stop(&self, id: u64) {
        self.cloud().stop(&host(id));
    }
    fn kill(&self, id: u64) {
        self.cloud().kill(&host(id));
    }
    fn remove(&self, id: u64) {
        self.cloud().remove(&host(id));
    }
}

/// Runs `machine` with the provider's address and token in its environment.
fn machine(lab: &Lab, front: &Front, args: &[&str]) -> Said {
    let mut command: Command = lab.command(env!("CARGO_BIN_EXE_machine"));
    command.env("DIGITALOCEAN_API_URL", front.url()).env("DIGITALOCEAN_ACCESS_TOKEN", TOKEN);
    let said = Said::of(&command.args(args).output().unwrap());
    println!("$ machine {}\n{}{}", args.join(" "), said.out, said.err);
    assert!(!said.out.contains(TOKEN) && !said.err.contains(TOKEN), "{said:?}");
    said
}

#[test]
fn from_nothing_to_a_container_and_back() {
    if !lab::ready(&["docker", "busybox"]) {
        return;
    }
    let cloud = Arc::new(Cloud::golden());
    let Some(ocean) = Ocean::new(Box::new(Real(Arc::downgrade(&cloud)))) else { return };
    let (lab, front) = (Lab::new(), ocean.front());
    let run = |args: &[&str]| machine(&lab, &front, args);

    // A fleet, whose first request for a droplet is not answered.
    front.plan(("POST", "\"name\":\"web\"", Fault::After));
    let fleet = |size: &str| {
        let text = format!(
            "fleet: shop\nhosts:\n  web:\n    driver: digitalocean\n    endpoint: {}\n    size: {size}\n    tags: [shop]\n    \
             image: debian-12-x64\n    userdata: {}\n",
            front.url(),
            lab.file("user-data", "#!/bin/sh\necho mine > /etc/mine\n")
        );
        lab.file("fleet.yaml", &text)
    };
    let file = fleet("s-1vcpu-1gb");
    run(&["apply", "-y", &file]).ok().says("1 converged");
    assert!(front.is_done());
    assert_eq!(ocean.emulator.droplets("web").len(), 1, "one, always");
    lab.tiny_image("web");
    lab.docker("web", &["run", "--rm", "tiny", "echo", "hello"]).ok().says("hello");
    lab.docker("web", &["run", "-d", "--name", "kept", "--restart", "always", "tiny", "sleep", "9999"]).ok();
    run(&["apply", "-y", &file]).ok().says("Nothing to do");
    run(&["plan", "--detailed-exitcode", &file]).ok();
    run(&["ssh", "web", "--", "cat", "/etc/mine"]).ok().says("mine");
    // No host was trusted at first sight: the key was known before.
    let known = run(&["inspect", "web"]).ok().out;
    assert!(!known.contains(TOKEN));

    let file = fleet("s-1vcpu-2gb");
    run(&["plan", &file]).ok().says("size");
    run(&["apply", "-y", &file]).ok().says("1 converged");
    assert_eq!(ocean.emulator.droplets("web")[0].size, "s-1vcpu-2gb");
    run(&["apply", "-y", &file]).ok().says("Nothing to do");
    lab.docker("web", &["ps"]).ok().says("kept");

    run(&["stop", "web"]).ok();
    run(&["ls"]).ok().says("Stopped");
    run(&["start", "web"]).ok();
    run(&["status", "web"]).ok().says("Running");
    run(&["destroy", "-y", &file]).ok();

    // Without a fleet, as docker-machine did it.
    run(&[
        "create",
        "-d",
        "digitalocean",
        "--digitalocean-image",
        "debian-12-x64",
        "--digitalocean-tags",
        "a,b",
        "one",
    ])
    .ok();
    lab.docker("one", &["version", "--format", "{{.Server.Os}}"]).ok().says("linux");
    let config = fs::read_to_string(lab.store().join("machines/one/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["Driver"]["DropletID"], ocean.emulator.droplets("one")[0].id);
    assert_eq!((&config["Driver"]["Tags"], &config["Driver"]["Image"]), (&"a,b".into(), &"debian-12-x64".into()));
    run(&["rm", "-y", "one"]).ok();
    // Found out before anything is recorded.
    run(&["create", "-d", "digitalocean", "--digitalocean-region", "nyc9", "two"]).code(3).says("use one of `nyc3`");
    assert!(!run(&["ls", "-q"]).ok().out.contains("two") && !lab.store().join("machines/two").exists());
    assert_eq!(ocean.emulator.left("machine"), [""; 0], "no key, no tag");
    assert!(["web", "one", "two"].iter().all(|name| ocean.emulator.droplets(name).is_empty()));
    ocean.keeps_to_the_document();
}
