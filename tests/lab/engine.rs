//! Engines that a script installs, their environment, and what docker-machine left on a host, on a real host.

#![expect(clippy::disallowed_methods, reason = "the lab looks at this computer with its own programs")]

use crate::{
    lab::{self, Lab},
    mirror::Mirror,
};
use machine::record::docker_machine::EngineOptions;
use std::fs;

/// What a script of the web may look like: it brings packages of the distribution, and asks nothing.
const INSTALL: &str = "set -e\n! command -v dockerd\napt-get update -q >/dev/null\n\
    apt-get install -q -y --no-install-recommends docker.io iptables ca-certificates >/dev/null\necho ran >>/root/ran\n";

/// Variables of the dockerd that runs, one a line; a newline within is shown as `|`.
const ENVIRON: &str = "tr '\\n\\0' '|\\n' </proc/$(systemctl show -P MainPID docker)/environ";
const DOCKERD: &str = "systemctl show -P MainPID docker";
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/10-machine.conf";

#[test]
fn engines_of_others() {
    if !lab::ready(&["docker"]) {
        return;
    }
    let lab = Lab::new();
    let apply = |engine: &str| {
        let text = format!("fleet: script\nhosts:\n  s:\n    driver: nspawn\n    engine: {{ {engine} }}\n");
        lab.machine(&["apply", "-y", &lab.file("fleet.yaml", &text)])
    };
    let plan = |engine: &str| {
        apply_text(&lab, engine);
        lab.machine(&["plan", "--detailed-exitcode", lab.path("fleet.yaml").to_str().unwrap()])
    };
    let closed = "source: script, install-url: 'http://u:s3cret@127.0.0.1:9/x'";
    let said =
        apply("source: present").code(1).says("there is no engine on the host, and `source: present` installs none");
    drop(said);
    let said = apply(closed).code(1).says("http://u:***@127.0.0.1:9/x cannot be downloaded");
    assert!(!said.err.contains("s3cret") && !said.out.contains("s3cret"), "{said:?}");

    let root = lab.path("web");
    fs::create_dir(&root).unwrap();
    for (name, text) in [("empty", ""), ("bad", "echo why >&2\nexit 3\n"), ("idle", "true\n"), ("install", INSTALL)] {
        fs::write(root.join(name), text).unwrap();
    }
    let web = Mirror::serve_to(&lab, "s", root);
    let script = |name: &str| format!("source: script, install-url: '{}/{name}'", web.url());
    apply(&script("gone")).code(1).says("404").says("/gone cannot be downloaded");
    apply(&script("empty")).code(1).says("/empty is empty");
    apply(&script("bad")).code(1).says("why").says("failed (exit status 3)");
    apply(&script("idle")).code(1).says("ended well, and there is no dockerd");
    lab.on("s", "! command -v dockerd");
    apply(&script("install")).ok();
    plan(&script("install")).ok().says("Nothing to do");
    assert_eq!(lab.docker("s", &["version", "-f", "{{.Client.Os}}"]).ok().out, "linux\n");

    let odd = r#"{"HTTPS_PROXY": "http://u:s3cret@127.0.0.1:9", "ODD": "a b$HOME 50%n \"q\" \\ 'x'\n\ty"}"#;
    let with = format!("{}, env: {odd}", script("install"));
    let said = plan(&with).code(2).says("env.HTTPS_PROXY: (none) → http://u:***@127.0.0.1:9").says("env.ODD: (none)");
    assert!(!said.out.contains("s3cret"));
    apply(&with).ok();
    plan(&with).ok().says("Nothing to do");
    let environ = lab.on("s", ENVIRON);
    assert!(environ.contains("\nHTTPS_PROXY=http://u:s3cret@127.0.0.1:9\n"), "{environ}");
    assert!(environ.contains("\nODD=a b$HOME 50%n \"q\" \\ 'x'|\ty\n"), "{environ}");
    lab.on("s", &format!("sed -i '/HTTPS_PROXY/d' {DROP_IN}"));
    plan(&with).code(2).says("drifted, env HTTPS_PROXY: (none) → http://u:***@127.0.0.1:9");
    plan(&script("install")).code(2).says("env.ODD");
    apply(&script("install")).ok();
    let environ = lab.on("s", ENVIRON);
    assert!(!environ.contains("HTTPS_PROXY") && !environ.contains("ODD="), "{environ}");
    assert_eq!(lab.on("s", "cat /root/ran"), "ran\n", "once");

    taken_over(&lab);
    lab.machine(&["rm", "-f", "s"]).ok();
    assert_eq!(lab.left(), [""; 0]);
}

fn apply_text(lab: &Lab, engine: &str) {
    let text = format!("fleet: script\nhosts:\n  s:\n    driver: nspawn\n    engine: {{ {engine} }}\n");
    lab.file("fleet.yaml", &text);
}

/// The files of docker-machine 0.16 as its remote shell leaves them, then ours in their place: flags, labels and
/// variables are the same, and there is nothing left to do.
fn taken_over(lab: &Lab) {
    let storage = lab.docker("s", &["info", "-f", "{{.Driver}}"]).ok().out.trim().to_owned();
    let drop_in = format!(
        "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H tcp://0.0.0.0:2376 -H unix:///var/run/docker.sock --storage-driver {storage} --tlsverify --tlscacert /etc/docker/ca.pem --tlscert /etc/docker/server.pem --tlskey /etc/docker/server-key.pem --label a=b --label provider=generic --insecure-registry r1:5000 --registry-mirror http://m1 --log-driver=none --bip=172.29.0.1/24 --default-ulimit nofile=1024:2048 \nEnvironment=FOO=bar HTTP_PROXY=http://x:1 \n"
    );
    let put = format!("printf '%s' '{drop_in}' >{DROP_IN}; rm -f /etc/docker/*.json");
    lab.on(
        "s",
        &format!("systemctl stop docker docker.socket; {put}; systemctl daemon-reload; systemctl start docker"),
    );
    let state = || {
        let info = "{{.Labels}} {{.RegistryConfig.Mirrors}} {{.LoggingDriver}} {{.Driver}} {{json .RegistryConfig.InsecureRegistryCIDRs}} {{json .RegistryConfig.IndexConfigs}}";
        // dockerd keeps labels in a map: their order is of no matter.
        let info =
            lab.docker("s", &["info", "-f", info]).ok().out.replace("[provider=generic a=b]", "[a=b provider=generic]");
        let variables = lab.on("s", &format!("{ENVIRON} | grep -e ^FOO -e PROXY"));
        let network = lab.on("s", "ip -4 -o address show docker0");
        (info, variables, network.split_whitespace().nth(3).map(str::to_owned))
    };
    let before = state();
    assert!(before.0.starts_with("[a=b provider=generic]") && before.0.contains("none"), "{before:?}");
    assert_eq!((before.1.as_str(), before.2.as_deref()), ("FOO=bar\nHTTP_PROXY=http://x:1\n", Some("172.29.0.1/24")));

    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let options = EngineOptions {
        flags: texts(&["log-driver=none", "bip=172.29.0.1/24", "default-ulimit nofile=1024:2048"]),
        env: texts(&["FOO=bar", "HTTP_PROXY=http://x:1"]),
        insecure: texts(&["r1:5000"]),
        mirrors: texts(&["http://m1"]),
        labels: texts(&["a=b"]),
        ..EngineOptions::default()
    };
    let want = options.to_spec(2376, Some("generic")).unwrap();
    let (p, facts) = lab.look("s");
    lab.script("s", &p.engine(&facts, &want).unwrap()).ok();
    let (_, facts) = lab.look("s");
    assert_eq!(p.differences(&facts, &want), []);
    assert!(p.engine(&facts, &want).unwrap().is_empty());
    assert_eq!(state(), before);
    let daemon: serde_json::Value = serde_json::from_str(facts.daemon_json.as_ref().unwrap()).unwrap();
    assert_eq!(daemon["default-ulimits"]["nofile"]["Hard"], 2048);
    assert_eq!((&daemon["bip"], &daemon["log-driver"]), (&"172.29.0.1/24".into(), &"none".into()));
    let line = lab.on("s", "tr '\\0' ' ' </proc/$(systemctl show -P MainPID docker)/cmdline");
    assert_eq!(line.matches("--").collect::<Vec<_>>().len(), 2, "containerd and the storage driver: {line}");
    assert!(line.contains(&format!("--storage-driver {storage}")), "docker-machine chose it: {line}");
    let pid = lab.on("s", DOCKERD);
    lab.script("s", &p.upgrade(&facts, &want).unwrap()).ok().says("docker.io 20.10.24+dfsg1 is the newest there is");
    assert_eq!(lab.on("s", DOCKERD), pid, "an upgrade to what is there restarts nothing");
}
