//! What every provisioner must hold, on every recording and every wish.

use super::{
    Facts, HostCertificate, PROVISIONERS, Provisioner, Script, detect, facts::FileFact, fixtures, secret_file,
};
use crate::{
    digest::sha256_hex,
    engine::{Api, EngineSpec, Source, daemon_json},
    quote,
    secret::{Reveal, Revealed, Secret, SecretError},
};
use serde_json::json;
use std::collections::BTreeSet;

/// Every secret is this.
struct Known(&'static str);

impl Reveal for Known {
    fn reveal(&self, _: &Secret) -> Result<Revealed, SecretError> {
        Ok(Revealed::new(self.0.to_owned()))
    }
}

/// Texts that would do harm, were they program text anywhere.
const HOSTILE: &[&str] =
    &["$(touch canary)", "`touch canary`", "'; touch canary; '", "a\nb", "{}", "%s\\n", "\"", "é\u{202e}"];

fn wishes() -> Vec<EngineSpec> {
    let mut all = vec![
        fixtures::want(),
        EngineSpec { api: Api::Ssh, ..fixtures::want() },
        EngineSpec { labels: std::collections::BTreeMap::new(), open_firewall: true, ..fixtures::want() },
        EngineSpec { version: Some("20.10".parse().unwrap()), ..fixtures::want() },
        EngineSpec { port: 12376, registry_mirrors: vec!["http://m".to_owned()], ..fixtures::want() },
        fixtures::want_ce("28.2"),
        EngineSpec { source: Source::Script, install_url: Some("https://x/y?a=b".to_owned()), ..fixtures::want() },
        EngineSpec { source: Source::Present, ..fixtures::want() },
    ];
    for text in HOSTILE {
        let mut want = EngineSpec { api: Api::Ssh, ..fixtures::want() };
        want.labels.insert("x".to_owned(), (*text).to_owned());
        want.registry_mirrors.push((*text).to_owned());
        want.insecure_registries.push((*text).to_owned());
        want.daemon.insert((*text).to_owned(), json!({*text: [*text]}));
        all.push(want);
        let env = [("FOO".to_owned(), (*text).into()), ("B".to_owned(), "canary".into())];
        all.push(EngineSpec { env: env.into(), ..fixtures::want() });
        let env = [("FOO".to_owned(), Secret::Env("X".to_owned()).into()), ("B".to_owned(), "canary".into())];
        let mut secret = EngineSpec { env: env.into(), ..fixtures::want() };
        secret.reveal(&Known(text)).unwrap();
        all.push(secret);
    }
    all
}

fn each(mut check: impl FnMut(&'static dyn Provisioner, &str, &Facts, &EngineSpec)) {
    for (name, _) in fixtures::ALL {
        let facts = fixtures::facts(name);
        let provisioner = detect(PROVISIONERS, facts.os.as_ref().unwrap()).expect("recordings are of known systems");
        for want in wishes() {
            check(provisioner, name, &facts, &want);
        }
    }
}

/// The host after a script has run on it, by what the script itself writes.
fn after(facts: &Facts, want: &EngineSpec, script: &Script) -> Facts {
    let mut after = facts.clone();
    let installed = script.titles().any(|title| title.starts_with("install "));
    if installed {
        let version = want.version.as_ref().map_or("28.2.2", |pin| pin.as_str());
        after.engine_version = Some(version.to_owned());
        after.dockerd.get_or_insert_with(|| "/usr/bin/dockerd".to_owned());
        let usr =
            if want.source == Source::Distro && facts.os.as_ref().unwrap().id == "debian" { "sbin" } else { "bin" };
        let opts = if usr == "sbin" { " $DOCKER_OPTS" } else { "" };
        let line = format!("/usr/{usr}/dockerd -H fd:// --containerd=/run/containerd/containerd.sock{opts}");
        after.vendor_exec_start.get_or_insert(line);
    }
    for (mode, path, content) in script.0.iter().flat_map(fixtures::effects) {
        match path.as_str() {
            secret_file::PATH => {
                after.files.remove(&path);
                after.secret_head = content.as_ref().and_then(|text| text.lines().next()).map(str::to_owned);
                let mode = mode.trim_start_matches('0').to_owned();
                let fact = content.map(|text| FileFact { sha256: sha256_hex(text.as_bytes()), mode });
                after.files.extend(fact.map(|fact| (path, fact)));
            }
            daemon_json::PATH => after.daemon_json = content,
            daemon_json::MARKER_PATH => after.machine_json = content,
            _ => {
                after.drop_ins.remove(&path);
                after.drop_ins.extend(content.map(|content| (path, content)));
            }
        }
    }
    if !script.is_empty() {
        (after.service_active, after.service_enabled, after.pending) = (true, true, false);
        after.listening = want.api == Api::Tls;
        after.firewall_open = after.firewall_open || want.open_firewall;
    }
    after
}

#[test]
fn names_are_unique_and_each_knows_something() {
    let names: BTreeSet<&str> = PROVISIONERS.iter().map(|p| p.name()).collect();
    assert_eq!(names.len(), PROVISIONERS.len());
    for p in PROVISIONERS {
        assert!(["debian", "ubuntu", "fedora", "rhel", "suse", "arch", "alpine"].iter().any(|id| p.knows(id)));
        assert!(!p.knows("") && !p.knows("no-such-system"));
    }
}

#[test]
fn nothing_to_do_is_said_by_both() {
    each(|p, name, facts, want| {
        let differences = p.differences(facts, want);
        match p.engine(facts, want) {
            Ok(script) => assert_eq!(differences.is_empty(), script.is_empty(), "{name}: {differences:?}"),
            Err(why) => {
                assert!(!differences.is_empty(), "{name}: {why}");
                assert!(!why.help.is_empty() && !why.what.ends_with('.'), "{name}: {why:?}");
            }
        }
    });
}

#[test]
fn a_host_is_as_wanted_after_its_script() {
    let mut done = 0;
    each(|p, name, facts, want| {
        let Ok(script) = p.engine(facts, want) else { return };
        let after = after(facts, want, &script);
        assert_eq!(p.differences(&after, want), [], "{name}: {want:?}");
        done += 1;
    });
    assert!(done > 50, "only {done} scripts were possible");
}

#[test]
fn what_is_wanted_no_longer_goes_again() {
    each(|p, name, facts, want| {
        let Ok(script) = p.engine(facts, want) else { return };
        let with = after(facts, want, &script);
        let bare = EngineSpec { api: Api::Ssh, port: 2376, ..EngineSpec::default() };
        let Ok(back) = p.engine(&with, &bare) else { panic!("{name}: it was possible a moment ago") };
        let without = after(&with, &bare, &back);
        assert_eq!(p.differences(&without, &bare), [], "{name}");
        let text = without.daemon_json.unwrap_or_default() + &format!("{:?}", without.drop_ins);
        assert!(!text.contains("canary") && !text.contains("tier=web"), "{name}: {text}");
    });
}

#[test]
fn no_outside_text_becomes_program_text() {
    each(|p, name, facts, want| {
        let Ok(script) = p.engine(facts, want) else { return };
        let program = script.render();
        let (status, _, stderr) = fixtures::sh(&["sh", "-n"], program.as_str());
        assert_eq!((status, stderr.as_str()), (0, ""), "{name}: {want:?}");
        for op in &script.0 {
            assert!(!op.title.is_empty() && op.title.len() < 200 && !op.title.ends_with('.'), "{:?}", op.title);
        }
        let mut written = script.0.iter().flat_map(fixtures::effects).filter(|effect| effect.1 == daemon_json::PATH);
        let Some((mode, _, Some(content))) = written.next_back() else { return };
        assert_eq!(mode, "0644");
        let daemon: serde_json::Value = serde_json::from_str(&content).unwrap();
        for (key, value) in &want.daemon {
            assert_eq!(daemon.get(key), Some(value), "{name}: byte for byte");
        }
    });
    assert!(!std::path::Path::new("canary").exists());
}

/// The host of docker-machine has the drop-in that was recorded from it, with what its config.json says.
#[test]
fn an_engine_of_docker_machine_keeps_all_it_was_told() {
    let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let options = crate::record::docker_machine::EngineOptions {
        flags: texts(&["log-driver=none", "bip=10.0.0.1/24", "log-opt max-size=1m"]),
        env: texts(&["FOO=bar", "HTTP_PROXY=http://x:1"]),
        insecure: texts(&["r1:5000"]),
        mirrors: texts(&["http://m1"]),
        labels: texts(&["a=b"]),
        storage: "btrfs".to_owned(),
        install_url: String::new(),
    };
    let want = options.to_spec(12377, Some("generic")).unwrap();
    let mut facts = fixtures::facts("debian-12-docker-machine");
    let path = "/etc/systemd/system/docker.service.d/10-machine.conf";
    let recorded = "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:12377 -H unix:///var/run/docker.sock --storage-driver btrfs --tlsverify --tlscacert /etc/docker/ca.pem --tlscert /etc/docker/server.pem --tlskey /etc/docker/server-key.pem --label a=b --label provider=generic --insecure-registry r1:5000 --registry-mirror http://m1 --log-driver=none --bip=10.0.0.1/24 --log-opt max-size=1m \nEnvironment=FOO=bar HTTP_PROXY=http://x:1 \n";
    facts.drop_ins.insert(path.to_owned(), recorded.to_owned());
    let p = detect(PROVISIONERS, facts.os.as_ref().unwrap()).unwrap();
    let script = p.engine(&facts, &want).unwrap();
    assert!(script.titles().any(|title| title == "restart docker"));
    let taken = after(&facts, &want, &script);
    assert_eq!(p.differences(&taken, &want), []);
    let daemon: serde_json::Value = serde_json::from_str(taken.daemon_json.as_ref().unwrap()).unwrap();
    let want_daemon = json!({
        "labels": ["a=b", "provider=generic"], "insecure-registries": ["r1:5000"], "registry-mirrors": ["http://m1"],
        "log-driver": "none", "bip": "10.0.0.1/24", "log-opts": {"max-size": "1m"}, "storage-driver": "btrfs",
        "live-restore": true, "tlsverify": true, "tlscacert": "/etc/docker/ca.pem",
        "tlscert": "/etc/docker/server.pem", "tlskey": "/etc/docker/server-key.pem",
    });
    assert_eq!(daemon, want_daemon);
    let vendor = facts.vendor_exec_start.as_ref().unwrap();
    assert_eq!(
        taken.drop_ins[path],
        format!(
            "[Service]\n# Set by machine:\nEnvironment=\"FOO=bar\"\nEnvironment=\"HTTP_PROXY=http://x:1\"\nExecStart=\nExecStart={vendor} -H tcp://0.0.0.0:12377\n"
        )
    );
    // What is taken out of the options is no longer there, and nothing that was docker-machine's comes back.
    let less = crate::record::docker_machine::EngineOptions {
        flags: texts(&["log-driver=none"]),
        env: texts(&["FOO=baz"]),
        ..options
    };
    let less = less.to_spec(12377, Some("generic")).unwrap();
    let differs: Vec<String> = p.differences(&taken, &less).into_iter().map(|d| d.what).collect();
    assert_eq!(differs, ["daemon.json log-opts", "daemon.json bip", "env FOO", "env HTTP_PROXY"]);
    let last = after(&taken, &less, &p.engine(&taken, &less).unwrap());
    assert_eq!(p.differences(&last, &less), []);
    assert!(last.drop_ins[path].contains("FOO=baz") && !last.drop_ins[path].contains("HTTP_PROXY"));
    assert!(!last.daemon_json.unwrap().contains("10.0.0.1"));
}

#[test]
fn an_upgrade_can_be_read_or_is_refused_with_a_way_out() {
    let mut done = 0;
    each(|p, name, facts, want| match p.upgrade(facts, want) {
        Err(why) => {
            assert!(facts.packages.is_empty() || !facts.root, "{name}: {why}");
            assert!(!why.help.is_empty() && !why.what.ends_with('.'), "{name}: {why:?}");
        }
        Ok(script) => {
            let package = script.titles().last().and_then(|title| title.strip_prefix("upgrade ")).unwrap();
            assert!(facts.packages.contains_key(package), "{name}");
            let (status, _, stderr) = fixtures::sh(&["sh", "-n"], script.render().as_str());
            assert_eq!((status, stderr.as_str()), (0, ""), "{name}: {want:?}");
            done += 1;
        }
    });
    assert!(done > 10, "only {done} were possible");
}

#[test]
fn a_hostile_install_url_is_refused_or_quoted() {
    let facts = fixtures::facts("debian-12-blank");
    let p = detect(PROVISIONERS, facts.os.as_ref().unwrap()).unwrap();
    for text in HOSTILE.iter().map(|text| format!("https://m/{text}")).chain([String::new(), "ftp://m/a".to_owned()]) {
        let source = Source::Script;
        match p.engine(&facts, &EngineSpec { source, install_url: Some(text.clone()), ..fixtures::want() }) {
            Err(why) => assert!(why.what.starts_with("`install-url` "), "{why}"),
            Ok(script) => {
                assert!(script.render().as_str().contains(&format!("url={}\n", quote::quote(&text))), "{text}");
            }
        }
    }
}

#[test]
fn a_hostile_mirror_is_refused_or_quoted() {
    let facts = fixtures::facts("debian-12-blank");
    let p = detect(PROVISIONERS, facts.os.as_ref().unwrap()).unwrap();
    for text in
        HOSTILE.iter().map(|text| format!("https://m/{text}")).chain(["m".to_owned(), "http://m/a b".to_owned()])
    {
        let want = EngineSpec { mirror: Some(text.clone()), ..fixtures::want_ce("28.2") };
        match p.engine(&facts, &want) {
            Err(why) => assert!(why.what.starts_with("`mirror` "), "{why}"),
            Ok(script) => {
                assert!(!text.contains(char::is_whitespace) && text.contains("://"));
                assert!(script.render().as_str().contains(&format!("layout={}\n", quote::quote(&text))), "{text}");
            }
        }
    }
}

#[test]
fn a_certificate_is_written_once_and_its_key_is_private() {
    let certificate =
        HostCertificate { ca: "CA\n".to_owned(), cert: "CERT\n".to_owned(), key: "KEY'$(id)\n".to_owned() };
    for (name, _) in fixtures::ALL {
        let mut facts = fixtures::facts(name);
        let p = detect(PROVISIONERS, facts.os.as_ref().unwrap()).unwrap();
        let script = p.certificate(&facts, &certificate);
        let key = "/etc/docker/server-key.pem";
        let written: Vec<_> = script
            .0
            .iter()
            .flat_map(fixtures::effects)
            .filter(|effect| effect.1 != daemon_json::PATH && effect.1 != daemon_json::MARKER_PATH)
            .collect();
        assert_eq!(written.len(), 3, "{name}");
        assert!(written.contains(&("0600".to_owned(), key.to_owned(), Some(certificate.key.clone()))), "{name}");
        assert!(script.titles().all(|title| !title.contains("KEY")));
        for (mode, path, content) in written {
            let out = fixtures::sh(&["sha256sum"], &content.unwrap()).1;
            let sha256 = out.split(' ').next().unwrap().to_owned();
            facts.files.insert(path, super::facts::FileFact { sha256, mode: mode.trim_start_matches('0').to_owned() });
        }
        assert!(p.certificate(&facts, &certificate).is_empty(), "{name}: it is there already");
        facts.files.get_mut(key).unwrap().mode = "644".to_owned();
        assert!(!p.certificate(&facts, &certificate).is_empty(), "{name}: others can read the key");
    }
}

#[test]
fn the_engine_restarts_for_a_certificate_only_if_it_uses_one() {
    let certificate = HostCertificate { ca: String::new(), cert: String::new(), key: String::new() };
    let restarts = |name: &str| {
        let facts = fixtures::facts(name);
        let script = detect(PROVISIONERS, facts.os.as_ref().unwrap()).unwrap().certificate(&facts, &certificate);
        script.titles().map(str::to_owned).collect::<Vec<_>>()
    };
    let write = "write the TLS identity in /etc/docker".to_owned();
    let restart = "restart docker".to_owned();
    assert_eq!(restarts("debian-12-blank"), std::slice::from_ref(&write));
    assert_eq!(
        restarts("debian-12-users-daemon-json"),
        std::slice::from_ref(&write),
        "a restart comes with the listener"
    );
    assert_eq!(restarts("debian-12-by-machine"), [write.clone(), restart.clone()]);
    let spare = "let containers run while docker restarts (live-restore)".to_owned();
    assert_eq!(restarts("debian-12-docker-machine"), [spare, write, restart]);
}
