//! Hosts of the world that exists only in memory: their distribution, and logins to them.

use super::{FakeMachine, Shared, lock};
use async_trait::async_trait;
use machine::{
    digest::sha256_hex,
    engine::EngineSpec,
    name::MachineName,
    provisioner::{CERT_DIR, Difference, Facts, HostCertificate, Op, Provisioner, Provisioners, Script, Unsupported},
    quote::Sh,
    transport::{Connect, Limits, LineSink, Output, Stream, Target, Transport, TransportError},
};
use std::{pin::Pin, sync::Arc};

/// A distribution that exists only here: its engine is one value, its commands are two.
pub(crate) struct FakeProvisioner;

static FAKE_PROVISIONER: FakeProvisioner = FakeProvisioner;
pub(crate) static PROVISIONERS: Provisioners = &[&FAKE_PROVISIONER];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

impl Provisioner for FakeProvisioner {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn knows(&self, id: &str) -> bool {
        id == "fake"
    }
    fn differences(&self, facts: &Facts, want: &EngineSpec) -> Vec<Difference> {
        let found = facts.daemon_json.as_deref().map(|text| text.trim_end().to_owned());
        let wanted = serde_json::to_string(&(want, true)).ok();
        if found == wanted { Vec::new() } else { vec![Difference { what: "engine".to_owned(), found, wanted }] }
    }
    fn engine(&self, facts: &Facts, want: &EngineSpec) -> Result<Script, Unsupported> {
        if self.differences(facts, want).is_empty() {
            return Ok(Script::default());
        }
        let payload = hex(&serde_json::to_vec(want).expect("plain data"));
        Ok(Script(vec![Op { title: "set the engine".to_owned(), run: Sh::words(["fake-engine", &payload]) }]))
    }
    fn upgrade(&self, _: &Facts, _: &EngineSpec) -> Result<Script, Unsupported> {
        Ok(Script(vec![Op { title: "upgrade the engine".to_owned(), run: Sh::words(["fake-upgrade"]) }]))
    }
    fn certificate(&self, _: &Facts, certificate: &HostCertificate) -> Script {
        let HostCertificate { ca, cert, key } = certificate;
        let payload = hex(&serde_json::to_vec(&[ca, cert, key]).expect("plain data"));
        Script(vec![Op { title: "put the certificate".to_owned(), run: Sh::words(["fake-certificate", &payload]) }])
    }
}

pub(crate) struct FakeConnect(pub(crate) Shared);

struct FakeHost {
    cloud: Shared,
    machine: MachineName,
    key: String,
}

#[async_trait]
impl Connect for FakeConnect {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        let cloud = lock(&self.0);
        let address = format!("{}:22", target.ssh.host);
        let machine = cloud.machines.get(target.machine.as_str()).filter(|m| m.on).ok_or_else(|| {
            TransportError::Connect { machine: target.machine.clone(), address, why: "no route to host".to_owned() }
        })?;
        let key = format!("ssh-ed25519 {}", machine.serial);
        assert!(target.host_keys.contains(&key), "{}: not the machine that was recorded", target.machine);
        Ok(Arc::new(FakeHost { cloud: self.0.clone(), machine: target.machine.clone(), key }))
    }
}

impl FakeHost {
    fn broken(&self, doing: &str) -> TransportError {
        TransportError::Broken {
            machine: self.machine.clone(),
            doing: doing.to_owned(),
            why: "the connection closed".to_owned(),
        }
    }

    fn probe(machine: &FakeMachine) -> String {
        let mut out =
            "@machine-probe 1\n@os-release\n|ID=fake\n|PRETTY_NAME=Fake\n@root\n|0\n@systemd\n|yes\n".to_owned();
        if let Some(engine) = &machine.engine {
            let state = serde_json::to_string(engine).expect("plain data");
            out.push_str(&format!("@daemon.json\n|{state}\n"));
        }
        out.push_str("@sha256\n");
        for (name, text) in &machine.files {
            out.push_str(&format!("|{}  {CERT_DIR}/{name}\n", sha256_hex(text.as_bytes())));
        }
        out.push_str("@modes\n");
        for name in machine.files.keys() {
            out.push_str(&format!("|600 {CERT_DIR}/{name}\n"));
        }
        out.push_str("@end\n");
        out
    }

    /// Does what the fake provisioner's commands say; anything else is an unknown command.
    fn perform(machine: &mut FakeMachine, script: &str) {
        let mut known = 0;
        for line in script.lines() {
            if let Some(payload) = line.trim().strip_prefix("fake-engine ") {
                let spec: EngineSpec = serde_json::from_slice(&unhex(payload)).expect("our own payload");
                machine.engine = Some((spec, true));
                known += 1;
            } else if let Some(payload) = line.trim().strip_prefix("fake-certificate ") {
                let [ca, cert, key]: [String; 3] = serde_json::from_slice(&unhex(payload)).expect("our own payload");
                for (name, text) in [("ca.pem", ca), ("server.pem", cert), ("server-key.pem", key)] {
                    machine.files.insert(name.to_owned(), text);
                }
                known += 1;
            }
        }
        assert_eq!(known, 1, "an unknown script: {script}");
    }
}

#[async_trait]
impl Transport for FakeHost {
    async fn run(&self, command: &Sh, stdin: &[u8], _: Limits, _: LineSink<'_>) -> Result<Output, TransportError> {
        let mut cloud = lock(&self.cloud);
        let script = command.as_str() == "sh -s" && !stdin.is_empty();
        if script {
            cloud.begin().map_err(|()| self.broken("running a script"))?;
        }
        let machine = cloud.machines.get_mut(self.machine.as_str()).filter(|m| m.on);
        let machine = machine.ok_or_else(|| self.broken("running a command"))?;
        let script_text = std::str::from_utf8(stdin).expect("scripts are text");
        if let Some((_, hook)) = script_text.split_once("fake-hook ") {
            let point = hook.split('\'').next().expect("there is always a first");
            cloud.hook(self.machine.as_str(), point).map_err(|()| self.broken("running a hook"))?;
            return Ok(Output::default());
        }
        let stdout = if script {
            let script = script_text;
            Self::perform(machine, script);
            cloud.effect().map_err(|()| self.broken("running a script"))?;
            "\u{1e}machine done\n".to_owned()
        } else {
            Self::probe(machine)
        };
        Ok(Output { status: 0, stdout, stderr: String::new() })
    }

    async fn open_unix(&self, path: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
        panic!("{path} must not be opened")
    }
    fn host_key(&self) -> String {
        self.key.clone()
    }
    fn jump_key(&self) -> Option<String> {
        None
    }
    fn needs_sudo(&self) -> bool {
        false
    }
    fn is_closed(&self) -> bool {
        false
    }
}
