//! dockerd as a systemd service, for every family that has systemd: its daemon.json, where it listens, and how it
//! comes to use them. It knows no packages.

use super::{
    CERT_DIR, Difference, Facts, HostCertificate, Op, Script, Unsupported, environment, secret_file::SecretFile, unit,
};
use crate::{
    digest::sha256_hex,
    engine::{Api, EngineSpec, Flag, daemon_json, env},
    quote::Sh,
};
use serde_json::{Map, Value, json};

/// The drop-in that adds our listener, where docker-machine has its own.
pub(super) const DROP_IN: &str = "/etc/systemd/system/docker.service.d/10-machine.conf";
const DROP_IN_NAME: &str = "10-machine.conf";
const SOCKET: &str = "unix:///var/run/docker.sock";

/// Keys that follow from `api` and `port`, so that a fleet's `daemon` cannot set them.
const RESERVED: &[&str] = &["hosts", "tls", "tlsverify", "tlscacert", "tlscert", "tlskey"];

/// What dockerd's files should hold, and what of it they do not.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Config {
    pub(super) daemon_json: daemon_json::Merge,
    /// `None`: there should be no drop-in of ours.
    pub(super) drop_in: Option<String>,
    drop_in_found: Option<String>,
    secrets: SecretFile,
    /// What the drop-in was made from.
    base: String,
}

/// The command line dockerd is started with without us.
struct Base {
    line: String,
    /// A foreign drop-in that has the last word, after ours.
    overruled_by: Option<String>,
}

fn base(facts: &Facts, assumed: &str) -> Base {
    let mut found =
        Base { line: facts.vendor_exec_start.clone().unwrap_or_else(|| assumed.to_owned()), overruled_by: None };
    for (path, text) in others(facts) {
        if let Some(line) = unit::exec_start(text) {
            found.line = line;
            found.overruled_by = (file_name(path) > DROP_IN_NAME).then(|| path.clone());
        }
    }
    found
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Drop-ins of others. systemd reads them in the order of their names, whatever folder they lie in.
fn others(facts: &Facts) -> Vec<(&String, &String)> {
    let mut others: Vec<_> = facts.drop_ins.iter().filter(|(path, _)| file_name(path) != DROP_IN_NAME).collect();
    others.sort_by_key(|(path, _)| file_name(path));
    others
}

/// What an older drop-in at our path says beside what we write there: the work of docker-machine, kept.
#[derive(Default)]
struct Inherited {
    environment: Vec<String>,
    flags: Vec<String>,
    /// Values of flags that have a list in daemon.json, by its key.
    lists: Map<String, Value>,
}

fn inherited(facts: &Facts, base: &str, want: &EngineSpec, wanted: &Map<String, Value>) -> Inherited {
    let Some(text) = facts.drop_ins.get(DROP_IN) else { return Inherited::default() };
    let mut kept =
        Inherited { environment: environment::inherited(text, &want.env.keys().collect()), ..Inherited::default() };
    let usual = Flag::of(base);
    for flag in unit::exec_start(text).iter().flat_map(|line| Flag::of(line)) {
        let key = flag.key();
        if usual.contains(&flag) || RESERVED.contains(&key) {
            continue;
        }
        if matches!(key, "labels" | "registry-mirrors" | "insecure-registries") {
            let list = kept.lists.entry(key).or_insert_with(|| json!([]));
            list.as_array_mut().expect("it was made a list above").push(Value::from(flag.value));
        } else if !wanted.contains_key(key) {
            kept.flags.push(flag.written);
        }
    }
    kept
}

/// Works out both files. `assumed` is the vendor's command line while its unit is not there yet.
pub(super) fn config(facts: &Facts, want: &EngineSpec, assumed: &str) -> Result<Config, Unsupported> {
    let here = daemon_json::read(facts.daemon_json.as_deref())
        .map_err(|what| Unsupported { what, help: "correct it by hand; it is left as it is".to_owned() })?;
    if let Some(key) = RESERVED.iter().find(|key| want.daemon.contains_key(**key)) {
        return Err(Unsupported {
            what: format!("`daemon` sets `{key}`, which follows from `api` and `port`"),
            help: format!("take `{key}` out of `daemon`"),
        });
    }
    let base = base(facts, assumed);
    let mut keys = wanted_keys(facts, want, &here, &base.line);
    environment::possible(
        &want.plain_env(),
        others(facts).into_iter().filter(|(path, _)| file_name(path) > DROP_IN_NAME),
    )?;
    let kept = inherited(facts, &base.line, want, &keys);
    let listener = listener(want, &here, &base)?;
    if let Listener::Key(hosts) = &listener {
        keys.insert("hosts".to_owned(), json!(hosts));
    }
    refuse_twice(&keys, &base)?;
    let drop_in = drop_in(&listener, &base.line, &kept, &environment::lines(want));
    let found = facts.drop_ins.get(DROP_IN).cloned();
    let secrets = SecretFile::of(facts, want)?;
    let daemon_json = merge(facts, &keys, &kept.lists)?;
    Ok(Config { daemon_json, drop_in, drop_in_found: found, secrets, base: base.line })
}

/// Lists that are inherited are put in as if they had always been there: they are not ours.
fn merge(
    facts: &Facts,
    keys: &Map<String, Value>,
    lists: &Map<String, Value>,
) -> Result<daemon_json::Merge, Unsupported> {
    let unreadable = |what| Unsupported { what, help: "correct it by hand; it is left as it is".to_owned() };
    let marker = facts.machine_json.as_deref();
    let found = facts.daemon_json.as_deref();
    if lists.is_empty() {
        return daemon_json::merge(found, marker, keys).map_err(unreadable);
    }
    let with_lists = daemon_json::merge(found, None, lists).map_err(unreadable)?;
    let mut merged = daemon_json::merge(Some(&with_lists.text), marker, keys).map_err(unreadable)?;
    let (before, after) = (daemon_json::read(found), daemon_json::read(Some(&merged.text)));
    let (before, after) = (before.map_err(unreadable)?, after.map_err(unreadable)?);
    merged.changes = daemon_json::changes(&before, &after);
    Ok(merged)
}

fn wanted_keys(facts: &Facts, want: &EngineSpec, here: &Map<String, Value>, line: &str) -> Map<String, Value> {
    let mut keys = Map::new();
    let labels: Vec<String> = want.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let lists = [
        ("labels", &labels),
        ("registry-mirrors", &want.registry_mirrors),
        ("insecure-registries", &want.insecure_registries),
    ];
    for (key, list) in lists {
        if !list.is_empty() {
            keys.insert(key.to_owned(), json!(list));
        }
    }
    if want.api == Api::Tls {
        keys.insert("tlsverify".to_owned(), json!(true));
        for (key, file) in [("tlscacert", "ca.pem"), ("tlscert", "server.pem"), ("tlskey", "server-key.pem")] {
            keys.insert(key.to_owned(), json!(format!("{CERT_DIR}/{file}")));
        }
    }
    for (key, value) in &want.daemon {
        match (keys.get_mut(key), value) {
            (Some(Value::Array(list)), Value::Array(more)) => {
                list.extend(more.iter().filter(|entry| !list.contains(entry)).cloned().collect::<Vec<_>>());
            }
            _ => {
                keys.insert(key.clone(), value.clone());
            }
        }
    }
    // So that a restart stops no container (pain 18). Swarm mode excludes it, and a choice that was made stays.
    let owned = daemon_json::read(facts.machine_json.as_deref()).is_ok_and(|ours| ours.contains_key("live-restore"));
    let chosen = here.contains_key("live-restore") && !owned;
    let by_flag = Flag::of(line).iter().any(|flag| flag.name == "live-restore");
    if !facts.swarm && !chosen && !by_flag && !keys.contains_key("live-restore") {
        keys.insert("live-restore".to_owned(), json!(true));
    }
    keys
}

/// How dockerd is told to listen.
enum Listener {
    /// By our drop-in: the vendor's command line with one `-H` more, on this port.
    Flag(u16),
    /// By `hosts` of daemon.json, which excludes every `-H`.
    Key(Vec<String>),
    /// Nothing is to be told: no TCP, or another file tells it.
    Nothing,
}

fn listener(want: &EngineSpec, here: &Map<String, Value>, base: &Base) -> Result<Listener, Unsupported> {
    if want.api == Api::Ssh {
        return Ok(Listener::Nothing);
    }
    let tcp = format!("tcp://0.0.0.0:{}", want.port);
    let flags = Flag::of(&base.line);
    let hosts: Vec<&str> = flags.iter().filter(|f| f.name == "host").map(|f| f.value.as_str()).collect();
    if here.get("hosts").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Ok(Listener::Key(vec![tcp]));
    }
    let Some(path) = &base.overruled_by else { return Ok(Listener::Flag(want.port)) };
    if hosts.is_empty() {
        return Ok(Listener::Key(vec![SOCKET.to_owned(), tcp]));
    }
    if hosts.iter().any(|host| host.starts_with("tcp://") && host.ends_with(&format!(":{}", want.port))) {
        return Ok(Listener::Nothing);
    }
    Err(Unsupported {
        what: format!("{path} sets ExecStart with `-H` and has the last word, so no listener can be added"),
        help: format!("take the `-H` options out of it, or give it a name before `{DROP_IN_NAME}`"),
    })
}

/// dockerd refuses to start when an option is given both as a flag and in daemon.json.
fn refuse_twice(keys: &Map<String, Value>, base: &Base) -> Result<(), Unsupported> {
    let flags = Flag::of(&base.line);
    let twice = flags.iter().find(|flag| flag.name != "host" && keys.contains_key(flag.key()));
    match twice {
        None => Ok(()),
        Some(flag) => Err(Unsupported {
            what: format!(
                "docker.service is started with `--{}`, and dockerd refuses `{}` in {} as well",
                flag.name,
                flag.key(),
                daemon_json::PATH
            ),
            help: format!(
                "move it from {} to {}",
                base.overruled_by.as_deref().unwrap_or("the unit"),
                daemon_json::PATH
            ),
        }),
    }
}

/// `None` when the vendor's own command line does.
fn drop_in(listener: &Listener, base: &str, kept: &Inherited, environment: &str) -> Option<String> {
    let flags = Flag::of(base);
    let hosts: Vec<&Flag> = flags.iter().filter(|flag| flag.name == "host").collect();
    let mut line = base.to_owned();
    match listener {
        // `hosts` in daemon.json excludes every -H.
        Listener::Key(_) => {
            for host in &hosts {
                line = line.replacen(&format!(" {}", host.written), "", 1);
            }
        }
        Listener::Flag(_) if hosts.is_empty() => line = format!("{line} -H {SOCKET}"),
        Listener::Flag(_) | Listener::Nothing => {}
    }
    for flag in &kept.flags {
        line = format!("{line} {flag}");
    }
    if let Listener::Flag(port) = listener {
        line = format!("{line} -H tcp://0.0.0.0:{port}");
    }
    if line == base && kept.environment.is_empty() && environment.is_empty() {
        return None;
    }
    let mut text = String::from("[Service]\n");
    for theirs in &kept.environment {
        text = text + theirs + "\n";
    }
    text += environment;
    if line != base {
        text = text + "ExecStart=\nExecStart=" + &line + "\n";
    }
    Some(text)
}

impl Config {
    pub(super) fn drop_in_differs(&self) -> bool {
        self.drop_in != self.drop_in_found
    }

    fn files_differ(&self) -> bool {
        self.drop_in_differs() || self.secrets.op.is_some() || !self.daemon_json.changes.is_empty()
    }

    /// Ways in which the files and the service of an engine that is installed are not as they should be.
    pub(super) fn differences(&self, facts: &Facts, want: &EngineSpec) -> Vec<Difference> {
        let mut all: Vec<Difference> = Vec::new();
        let text = |value: &Option<Value>| value.as_ref().map(|v| env::without_passwords(&v.to_string()));
        for change in &self.daemon_json.changes {
            all.push(Difference {
                what: format!("daemon.json {}", change.key),
                found: text(&change.found),
                wanted: text(&change.wanted),
            });
        }
        if self.drop_in_differs() {
            let line = |text: &Option<String>| {
                let line = |text: &String| unit::exec_start(text).unwrap_or_else(|| "no command line".to_owned());
                text.as_ref().map(|text| env::without_passwords(&line(text)))
            };
            let (found, wanted) = (line(&self.drop_in_found), line(&self.drop_in));
            let variables = environment::differences(self.drop_in_found.as_deref(), &want.plain_env());
            if found != wanted || variables.is_empty() && self.secrets.differences.is_empty() {
                all.push(Difference { what: format!("file {DROP_IN}"), found, wanted });
            }
            all.extend(variables);
        }
        all.extend(self.secrets.differences.iter().cloned());
        let mut differs = |what: &str, found: &str, wanted: &str| {
            all.push(Difference {
                what: what.to_owned(),
                found: Some(found.to_owned()),
                wanted: Some(wanted.to_owned()),
            });
        };
        if !facts.service_active {
            differs("service", "stopped", "running");
        } else if facts.pending {
            differs("configuration in force", "older than the files", "that of the files");
        } else if unheard(facts, want) {
            differs(&format!("port {}", want.port), "closed", "listening");
        }
        if !facts.service_enabled {
            differs("service at boot", "not started", "started");
        }
        all
    }

    /// Writes the files that differ. `running`: there is an engine that works with the present ones.
    pub(super) fn write(&self, facts: &Facts, want: &EngineSpec) -> Vec<Op> {
        let mut ops = Vec::new();
        if !self.files_differ() {
            return ops;
        }
        let begin = begin(facts);
        if let Some(op) = &self.secrets.op {
            ops.push(Op::new(op.title.clone(), begin.clone().then(&op.run)));
        }
        if !self.daemon_json.changes.is_empty() {
            let keys: Vec<&str> = self.daemon_json.changes.iter().map(|change| change.key.as_str()).collect();
            let mut run = begin.clone();
            if want.api == Api::Tls {
                run = run.then(&Sh::text("need_certificate"));
            }
            let run = run.then(&put("0644", daemon_json::MARKER_PATH, &self.daemon_json.marker)).then(&put(
                "0644",
                daemon_json::PATH,
                &self.daemon_json.text,
            ));
            ops.push(Op::new(format!("write {} ({})", daemon_json::PATH, keys.join(", ")), run));
        }
        if self.drop_in_differs() {
            let (title, run) = match &self.drop_in {
                Some(text) => (format!("write {DROP_IN}"), put("0644", DROP_IN, text)),
                None => (format!("remove {DROP_IN}"), Sh::template("rm -f {}", &[DROP_IN])),
            };
            ops.push(Op::new(title, begin.then(&run)));
        }
        ops
    }

    /// After an installation: the drop-in was made for the command line that was assumed; look at the real one.
    pub(super) fn fit_drop_in(&self) -> Option<Op> {
        let text = self.drop_in.as_ref()?;
        let line = unit::exec_start(text)?;
        let added = line.strip_prefix(&self.base)?;
        let (head, _) = text.split_once("ExecStart=\n")?;
        Some(Op::new(
            "look at the command line of docker.service",
            Sh::template(FIT_DROP_IN, &[&self.base, added, head, DROP_IN]),
        ))
    }

    /// Makes a running engine use what was written, with as little disturbance as the changes allow.
    pub(super) fn load(&self, facts: &Facts, want: &EngineSpec) -> Vec<Op> {
        let mut ops = Vec::new();
        if !facts.service_active {
            // It may be on its way up since the host booted, and have read its files before they were written:
            // only a restart is known to have read them.
            let run = if self.files_differ() { "engine_restart" } else { "engine_start" };
            ops.push(Op::new("start docker", Sh::text(run)));
        } else if self.must_restart(facts, want) {
            ops.push(Op::new("restart docker", Sh::text("engine_restart")));
        } else if self.files_differ() {
            ops.push(Op::new("reload docker", Sh::text("engine_reload")));
        }
        if !facts.service_enabled {
            ops.push(enable());
        }
        ops
    }

    pub(super) fn must_restart(&self, facts: &Facts, want: &EngineSpec) -> bool {
        facts.service_active
            && (self.drop_in_differs()
                || self.secrets.op.is_some()
                || !self.daemon_json.reloadable()
                || facts.pending
                || unheard(facts, want))
    }
}

/// A TLS engine that runs and does not listen, with files that say it should.
fn unheard(facts: &Facts, want: &EngineSpec) -> bool {
    want.api == Api::Tls && !facts.listening
}

pub(super) fn enable() -> Op {
    Op::new("start docker at boot", Sh::text("systemctl enable docker.service"))
}

fn begin(facts: &Facts) -> Sh {
    Sh::template("engine_change {}", &[if facts.service_active { "running" } else { "fresh" }])
}

fn put(mode: &str, path: &str, content: &str) -> Sh {
    Sh::template("put {} {} {}", &[mode, path, content])
}

const FIT_DROP_IN: &str = "assumed={}
added={}
head={}
drop_in={}
unit=$(systemctl show -p FragmentPath docker.service)
unit=${unit#FragmentPath=}
line=$(sed -e ':a' -e '/\\\\$/{ N; s/[[:space:]]*\\\\\\n[[:space:]]*/ /; ta' -e '}' \"$unit\" | sed -n 's/^ExecStart=//p' | tail -n 1)
if [ -n \"$line\" ] && [ \"$line\" != \"$assumed\" ]; then
    case $line in
        *' -H'* | *' --host'*) ;;
        *) line=\"$line -H unix:///var/run/docker.sock\" ;;
    esac
    put 0644 \"$drop_in\" \"${head}ExecStart=
ExecStart=$line$added
\"
    systemctl daemon-reload
    systemctl stop docker.service
fi";

/// Before a restart that would stop containers: let dockerd leave them alone. Nothing to do when none run,
/// when it does so already, or when a user (or swarm mode) said it must not.
pub(super) fn spare_containers(facts: &Facts, want: &EngineSpec) -> Option<Op> {
    if !facts.service_active || facts.running_containers == 0 || facts.swarm {
        return None;
    }
    let here = daemon_json::read(facts.daemon_json.as_deref()).ok()?;
    let line = facts.exec_start.as_deref().unwrap_or_default();
    let by_flag = Flag::of(line).iter().any(|flag| flag.name == "live-restore");
    if by_flag || here.contains_key("live-restore") || want.daemon.get("live-restore") == Some(&json!(false)) {
        return None;
    }
    let marker = facts.machine_json.as_deref();
    let merged = daemon_json::add(facts.daemon_json.as_deref(), marker, "live-restore", json!(true)).ok()?;
    // This alone is a whole change, which is settled when it is loaded.
    let run = begin(facts)
        .then(&put("0644", daemon_json::MARKER_PATH, &merged.marker))
        .then(&put("0644", daemon_json::PATH, &merged.text))
        .then(&Sh::text("engine_reload"));
    Some(Op::new("let containers run while docker restarts (live-restore)", run))
}

/// Puts the files of a TLS identity in place; restarts an engine that uses them, since it reads them only once.
pub(super) fn certificate(facts: &Facts, certificate: &HostCertificate) -> Script {
    let HostCertificate { ca, cert, key } = certificate;
    let files = [("ca.pem", ca, "644"), ("server.pem", cert, "644"), ("server-key.pem", key, "600")];
    let mut writes = Sh::default();
    for (name, pem, mode) in files {
        let path = format!("{CERT_DIR}/{name}");
        let found = facts.files.get(&path);
        if found
            .is_some_and(|file| file.sha256 == sha256_hex(pem.as_bytes()) && file.mode.trim_start_matches('0') == mode)
        {
            continue;
        }
        writes = writes.then(&put(&format!("0{mode}"), &path, pem));
    }
    if writes == Sh::default() {
        return Script::default();
    }
    let title = format!("write the TLS identity in {CERT_DIR}");
    if !(facts.service_active && uses_certificate(facts)) {
        // They are not in use yet: what starts later reads them then.
        return Script(vec![Op::new(title, writes)]);
    }
    let mut ops: Vec<Op> = spare_containers(facts, &EngineSpec::default()).into_iter().collect();
    ops.push(Op::new(title, begin(facts).then(&writes)));
    ops.push(Op::new("restart docker", Sh::text("engine_restart")));
    Script(ops)
}

fn uses_certificate(facts: &Facts) -> bool {
    let path = format!("{CERT_DIR}/server.pem");
    [&facts.exec_start, &facts.daemon_json].into_iter().flatten().any(|text| text.contains(&path))
}

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;
