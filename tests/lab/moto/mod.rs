//! EC2 as moto emulates it on this computer, behind a proxy that lets calls fail in every way they can.
//!
//! moto is installed once, into the user's cache. It checks signatures and policies when told to.

#![expect(clippy::disallowed_methods, reason = "it starts moto")]

pub(crate) mod proxy;

use crate::skip::skipped;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// What is installed.
const VERSION: &str = "5.2.5";

/// A moto server. It ends with us.
pub(crate) struct Moto {
    child: Child,
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
}

/// The server's own images, by the names under which their publishers have them.
const IMAGES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "ami-0ub2404old",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101",
        "099720109477",
        "x86_64",
        "/dev/sda1",
    ),
    (
        "ami-0ub2404new",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20261101",
        "099720109477",
        "x86_64",
        "/dev/sda1",
    ),
    (
        "ami-0ub2404arm",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20261101",
        "099720109477",
        "arm64",
        "/dev/sda1",
    ),
    (
        "ami-0someoneelse",
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20991231",
        "666666666666",
        "x86_64",
        "/dev/sda1",
    ),
    ("ami-0deb13", "debian-13-amd64-20261101-1234", "136693071363", "x86_64", "/dev/xvda"),
    ("ami-0deb13daily", "debian-13-daily-amd64-20261102", "136693071363", "x86_64", "/dev/xvda"),
];

fn images() -> String {
    let image = |(id, name, owner, architecture, device): &(&str, &str, &str, &str, &str)| {
        let day = name.rsplit('-').find(|word| word.len() == 8 && word.starts_with("20")).unwrap_or("20260101");
        let created = format!("{}-{}-{}T00:00:00.000Z", &day[..4], &day[4..6], &day[6..]);
        serde_json::json!({
            "ami_id": id, "name": name, "owner_id": owner, "architecture": architecture, "root_device_name": device,
            "root_device_type": "ebs", "virtualization_type": "hvm", "hypervisor": "xen", "public": true,
            "state": "available", "description": name, "image_location": name, "image_type": "machine",
            "platform": null, "sriov": "simple", "creation_date": created,
        })
    };
    serde_json::to_string(&IMAGES.iter().map(image).collect::<Vec<_>>()).unwrap()
}

/// Where moto is installed, or why it cannot be.
fn installed() -> Result<PathBuf, String> {
    static DONE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    DONE.get_or_init(install).clone()
}

fn install() -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let cache = Path::new(&cache).join("machine-lab");
    fs::create_dir_all(&cache).map_err(|e| e.to_string())?;
    let place = cache.join(format!("moto-{VERSION}"));
    // Several tests may come here at once; one installs.
    let lock = fs::File::create(cache.join("moto.lock")).map_err(|e| e.to_string())?;
    lock.lock().map_err(|e| e.to_string())?;
    let done = place.join("installed");
    if !done.exists() {
        println!("installing moto {VERSION} into {}", place.display());
        let _ = fs::remove_dir_all(&place);
        run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        let wanted = format!("moto[server,ec2]=={VERSION}");
        run(Command::new(place.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", &wanted]))?;
        fs::write(&done, "").map_err(|e| e.to_string())?;
    }
    Ok(place)
}

fn run(command: &mut Command) -> Result<(), String> {
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&out.stderr);
    if out.status.success() { Ok(()) } else { Err(format!("{}: {said}", command.get_program().display())) }
}

/// Whether moto can be had; says why not.
pub(crate) fn ready() -> bool {
    let Err(why) = installed() else { return true };
    skipped(format_args!("moto cannot be installed: {why}"));
    false
}

impl Moto {
    pub(crate) fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("machine-moto-").tempdir().unwrap();
        let list = dir.path().join("images.json");
        fs::write(&list, images()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // It ends when its standard input does, so also when we are killed.
        let script = "\"$1\" -H 127.0.0.1 -p \"$2\" < /dev/null > \"$3\" 2>&1 & read -r _; kill $!";
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(installed().unwrap().join("bin/moto_server"))
            .args([&port.to_string(), dir.path().join("log").to_str().unwrap()])
            .env("MOTO_AMIS_PATH", &list)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_mins(1), "moto does not start: {}", dir.path().display());
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, port, _dir: dir }
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        self.post("/moto-api/reset", "", "");
        self.check_signatures(false);
    }

    /// Whether signatures and policies count from now on.
    pub(crate) fn check_signatures(&self, on: bool) {
        self.check_signatures_after(if on { 0 } else { 1_000_000_000 });
    }

    /// The same, after so many calls: it does not know that there are some that need none.
    pub(crate) fn check_signatures_after(&self, calls: u32) {
        self.post("/moto-api/reset-auth", "", &calls.to_string());
    }

    /// Calls a service, without credentials that matter.
    pub(crate) fn call(&self, service: &str, form: &str) -> String {
        let scope = format!("root/20260101/us-east-1/{service}/aws4_request");
        let signed = format!("authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n");
        self.post("/", &signed, form)
    }

    pub(crate) fn ec2(&self, form: &str) -> String {
        self.call("ec2", &format!("{form}&Version=2016-11-15"))
    }

    fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let kind = if path == "/" { "application/x-www-form-urlencoded" } else { "text/plain" };
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n{headers}\
             content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{path} {body}: {answer}");
        body.to_owned()
    }

    /// Ids of all instances of a machine, or of all machines, that are not gone.
    pub(crate) fn instances(&self, of: &str) -> Vec<String> {
        let states = ["pending", "running", "stopping", "stopped"];
        let filter: Vec<String> = (1..).zip(states).map(|(n, state)| format!("&Filter.1.Value.{n}={state}")).collect();
        let filter = filter.concat();
        let named =
            if of.is_empty() { String::new() } else { format!("&Filter.2.Name=tag:Name&Filter.2.Value.1={of}") };
        let answer = self.ec2(&format!("Action=DescribeInstances&Filter.1.Name=instance-state-name{filter}{named}"));
        texts(&answer, "instanceId")
    }

    /// Names of all key pairs, or of those made for a machine.
    pub(crate) fn keys(&self, of: &str) -> Vec<String> {
        let mut names = texts(&self.ec2("Action=DescribeKeyPairs"), "keyName");
        names.retain(|name| of.is_empty() || name.starts_with(&format!("machine-{of}-")));
        names
    }

    /// Names of all security groups but those that are there of themselves, or of those made for a machine.
    pub(crate) fn groups(&self, of: &str) -> Vec<String> {
        let mut names = texts(&self.ec2("Action=DescribeSecurityGroups"), "groupName");
        names.retain(|name| name != "default" && (of.is_empty() || name.starts_with(&format!("machine-{of}-"))));
        names
    }

    /// All volumes that our instances have, or those of a machine.
    pub(crate) fn volumes(&self, of: &str) -> Vec<String> {
        let filter = match of {
            "" => "Filter.1.Name=tag-key&Filter.1.Value.1=machine:owner".to_owned(),
            of => format!("Filter.1.Name=tag:Name&Filter.1.Value.1={of}"),
        };
        texts(&self.ec2(&format!("Action=DescribeVolumes&{filter}")), "volumeId")
    }

    /// The single-port rules of a group, as `22 10.0.0.0/8`.
    pub(crate) fn rules(&self, group: &str) -> Vec<String> {
        let answer =
            self.ec2(&format!("Action=DescribeSecurityGroups&Filter.1.Name=group-name&Filter.1.Value.1={group}"));
        let (_, ingress) = answer.split_once("<ipPermissions>").unwrap_or_default();
        let ingress = ingress.split("</ipPermissions>").next().unwrap();
        let rules = ingress.split("<ipProtocol>").skip(1);
        let mut rules: Vec<String> = rules
            .flat_map(|rule| {
                let port = texts(rule, "fromPort").concat();
                texts(rule, "cidrIp").into_iter().map(move |from| format!("{port} {from}")).collect::<Vec<_>>()
            })
            .collect();
        rules.sort();
        rules
    }

    /// That nothing is left of a machine, or of all.
    #[track_caller]
    pub(crate) fn assert_empty(&self, of: &str, when: &str) {
        let left = (self.instances(of), self.keys(of), self.groups(of), self.volumes(of));
        assert_eq!(left, Default::default(), "left: instances, key pairs, groups, volumes: {when}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The texts of all elements of a name.
pub(crate) fn texts(answer: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rest = answer.split(open.as_str()).skip(1);
    let mut found: Vec<String> = rest.filter_map(|part| Some(part.split_once(close.as_str())?.0.to_owned())).collect();
    // A volume, say, is named by itself and by what it is attached to.
    found.sort();
    found.dedup();
    found
}
