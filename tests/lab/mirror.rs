//! Docker's apt layout in small: Debian's engine repacked under the names and versions Docker has, signed, served.

#![expect(clippy::disallowed_methods, reason = "the lab makes packages with this computer's own programs")]

use crate::lab::{Lab, Said};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

/// What Docker's packages of one version are called here. The engine says the same of itself: in its programs
/// the version is replaced by one of the same length.
const VERSIONS: [&str; 2] = ["28.1.1", "28.2.1"];

/// As Docker's packages have it.
const DOCKER_SERVICE: &str = "[Unit]\nAfter=network-online.target docker.socket containerd.service\nWants=containerd.service\n\
    Requires=docker.socket\n[Service]\nType=notify\nExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\n\
    ExecReload=/bin/kill -s HUP $MAINPID\nRestart=always\nLimitNPROC=infinity\nTasksMax=infinity\nDelegate=yes\nKillMode=process\n\
    [Install]\nWantedBy=multi-user.target\n";

/// What Docker's packages do once they are unpacked: start, and restart what is upgraded.
const POSTINST: &str = "#!/bin/sh\nset -e\n[ \"$1\" = configure ] || exit 0\ngetent group docker >/dev/null || groupadd --system docker\n\
    systemctl --system daemon-reload\nsystemctl enable docker.socket docker.service >/dev/null 2>&1\n\
    if [ -n \"$2\" ]; then verb=restart; else verb=start; fi\ndeb-systemd-invoke $verb docker.socket docker.service || :\n";

/// A mirror that serves as long as the test runs.
pub(crate) struct Mirror {
    address: SocketAddr,
}

impl Mirror {
    /// Makes packages from those that lie in the cache of a machine of the lab, and serves them to it.
    pub(crate) fn start(lab: &Lab, machine: &str) -> Self {
        let root = lab.path("mirror");
        let pool = root.join("dists/bookworm/pool");
        fs::create_dir_all(&pool).unwrap();
        let unpacked = unpack(lab, machine);
        for version in VERSIONS {
            pack(lab, &unpacked, version, &pool);
        }
        index(lab, &root);
        Self::serve_to(lab, machine, root)
    }

    /// Serves the files of a folder to a machine.
    pub(crate) fn serve_to(lab: &Lab, machine: &str, root: PathBuf) -> Self {
        // Only its machines can reach the lab's bridge.
        let route = lab.on(machine, "ip -4 route show default");
        let gateway = route.split_whitespace().nth(2).unwrap();
        let listener = TcpListener::bind((gateway, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let root = Arc::new(root);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = Arc::clone(&root);
                std::thread::spawn(move || serve(&stream, &root));
            }
        });
        lab.on(machine, &format!("echo 'Acquire::http::Proxy::{gateway} \"DIRECT\";' >/etc/apt/apt.conf.d/lab"));
        Self { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// One request, one file.
fn serve(mut stream: &TcpStream, root: &Path) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    if lines.find(String::is_empty).is_none() {
        return;
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('/');
    let file = root.join(path.replace("%3a", ":").replace("%2b", "+").replace("%7e", "~"));
    let (status, body) = match fs::read(&file) {
        Ok(body) if !path.contains("..") => ("200 OK", body),
        _ => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // A client that hangs up early has had enough.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn run(command: &mut Command) -> String {
    Said::of(&command.output().unwrap()).ok().out
}

/// Debian's packages of the engine, unpacked into one folder.
fn unpack(lab: &Lab, machine: &str) -> PathBuf {
    let (debs, unpacked) = (lab.path("debs"), lab.path("unpacked"));
    fs::create_dir(&debs).unwrap();
    fs::create_dir(&unpacked).unwrap();
    let fetch = "cd /var/cache/apt/archives && apt-get -q -y --no-install-recommends --download-only install docker.io >/dev/null && tar c docker.io_* containerd_* runc_* tini_*";
    let mut send = lab
        .command(env!("CARGO_BIN_EXE_machine"))
        .args(["ssh", machine, "--", fetch])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    run(lab.command("tar").arg("-C").arg(&debs).arg("-x").stdin(send.stdout.take().unwrap()));
    assert!(send.wait().unwrap().success());
    for deb in fs::read_dir(&debs).unwrap().flatten() {
        run(lab.command("dpkg-deb").arg("-x").arg(deb.path()).arg(&unpacked));
    }
    unpacked
}

/// Packages of one version, as Docker divides them.
fn pack(lab: &Lab, from: &Path, upstream: &str, pool: &Path) {
    let revision = format!("5:{upstream}-1~debian.12~bookworm");
    let ce = "containerd.io (>= 1.7.27), docker-ce-cli, iptables, libc6, libdevmapper1.02.1, libsystemd0";
    let engine = [
        ("usr/sbin/dockerd", "dockerd"),
        ("usr/sbin/docker-proxy", "docker-proxy"),
        ("usr/bin/tini-static", "docker-init"),
    ];
    let package = Package { lab, from, pool, upstream };
    let extra = |unit: &str| fs::read_to_string(from.join("lib/systemd/system").join(unit)).unwrap();
    let units = [("docker.service", DOCKER_SERVICE.to_owned()), ("docker.socket", extra("docker.socket"))];
    package.build("docker-ce", &revision, ce, "docker.io", &engine, &units);
    package.build("docker-ce-cli", &revision, "libc6", "docker.io", &[("usr/bin/docker", "docker")], &[]);
    let runtime = [
        ("usr/bin/containerd", "containerd"),
        ("usr/bin/containerd-shim-runc-v2", "containerd-shim-runc-v2"),
        ("usr/bin/ctr", "ctr"),
        ("usr/sbin/runc", "runc"),
    ];
    let unit = [("containerd.service", extra("containerd.service"))];
    package.build("containerd.io", "1.7.27-1", "libc6, libseccomp2", "containerd, runc", &runtime, &unit);
}

struct Package<'a> {
    lab: &'a Lab,
    from: &'a Path,
    pool: &'a Path,
    upstream: &'a str,
}

impl Package<'_> {
    fn build(
        &self,
        name: &str,
        version: &str,
        depends: &str,
        conflicts: &str,
        programs: &[(&str, &str)],
        units: &[(&str, String)],
    ) {
        let deb = self.pool.join(format!("{name}_{}.deb", version.replace(':', ".")));
        if deb.exists() {
            return;
        }
        let root = self.lab.path(&format!("{name}-{}", self.upstream));
        for folder in ["DEBIAN", "usr/bin", "lib/systemd/system"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (path, program) in programs {
            let file = root.join("usr/bin").join(program);
            fs::copy(self.from.join(path), &file).unwrap();
            if matches!(*program, "dockerd" | "docker") {
                let new = format!("{}+repacks", self.upstream);
                assert_eq!(new.len(), "20.10.24+dfsg1".len(), "nothing in the program may move");
                let replace = format!("s/20\\.10\\.24+dfsg1/{new}/g");
                run(self.lab.command("sed").env("LC_ALL", "C").args(["-i", &replace]).arg(&file));
            }
        }
        for (unit, text) in units {
            fs::write(root.join("lib/systemd/system").join(unit), text).unwrap();
        }
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {}\nMaintainer: Lab <lab@example.org>\nDepends: {depends}\n\
             Conflicts: {conflicts}\nReplaces: {conflicts}\nDescription: repacked\n",
            architecture(self.lab)
        );
        fs::write(root.join("DEBIAN/control"), control).unwrap();
        if name == "docker-ce" {
            script(&root.join("DEBIAN/postinst"), POSTINST);
        } else if name == "containerd.io" {
            script(
                &root.join("DEBIAN/postinst"),
                "#!/bin/sh\nset -e\nsystemctl --system daemon-reload\nsystemctl enable --now containerd.service\n",
            );
        }
        run(self.lab.command("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).arg(&root).arg(&deb));
    }
}

fn architecture(lab: &Lab) -> String {
    run(lab.command("dpkg").arg("--print-architecture")).trim().to_owned()
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// The lists that apt reads, signed with a key of the test's own.
fn index(lab: &Lab, root: &Path) {
    let arch = architecture(lab);
    let binary = root.join(format!("dists/bookworm/stable/binary-{arch}"));
    fs::create_dir_all(&binary).unwrap();
    let mut packages = String::new();
    for entry in fs::read_dir(root.join("dists/bookworm/pool")).unwrap().flatten() {
        let size = entry.metadata().unwrap().len();
        let name = entry.file_name().into_string().unwrap();
        packages += run(lab.command("dpkg-deb").arg("-f").arg(entry.path())).trim_end();
        packages +=
            &format!("\nFilename: dists/bookworm/pool/{name}\nSize: {size}\nSHA256: {}\n\n", sha256(&entry.path()));
    }
    fs::write(binary.join("Packages"), &packages).unwrap();
    let date = run(lab.command("date").args(["-Ru"]));
    let release = format!(
        "Origin: Docker\nLabel: Docker CE\nSuite: bookworm\nCodename: bookworm\nDate: {}\nArchitectures: {arch}\nComponents: stable\n\
         SHA256:\n {} {} stable/binary-{arch}/Packages\n",
        date.trim().replace("+0000", "UTC"),
        sha256(&binary.join("Packages")),
        packages.len()
    );
    let file = root.join("dists/bookworm/Release");
    fs::write(&file, release).unwrap();
    let home = lab.path("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg =
        |args: &[&str]| run(lab.command("gpg").env("GNUPGHOME", &home).args(["--batch", "--yes", "-q"]).args(args));
    gpg(&["--passphrase", "", "--quick-generate-key", "Lab <lab@example.org>", "rsa2048", "sign", "never"]);
    let key = gpg(&["--armor", "--export"]);
    fs::write(root.join("gpg"), key).unwrap();
    let (out, file) = (root.join("dists/bookworm/InRelease"), file.to_str().unwrap().to_owned());
    gpg(&["--clearsign", "-o", out.to_str().unwrap(), &file]);
    run(lab.command("gpgconf").env("GNUPGHOME", &home).args(["--kill", "gpg-agent"]));
}

fn sha256(file: &Path) -> String {
    run(Command::new("sha256sum").arg(file)).split(' ').next().unwrap().to_owned()
}
