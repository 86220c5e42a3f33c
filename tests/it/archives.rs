//! Archives that mean harm: every field of record, config.json and parcel, one after the other and all at
//! once, with commands, paths, variables, options and addresses in it. After the import everything that people do with a
//! machine is done, and nothing happens but what a machine of the store's owner would have made happen.
//!
//! Which fields there are is read off what the code itself writes: a new one is in here, or this does not compile.

mod documents;

use crate::{
    home::{Home, Run},
    sample::sample,
};
use documents::{config, files, full, honest, leaves_of, nothing_is_empty};
use machine::{
    age,
    archive::{Archive, Parcel},
    driver::{AnyDriver, Drivers, Kind, Secrecy},
    engine::Variable,
    name::MachineName,
    record::{
        MachineRecord,
        codec::{self, Beside, Unknown},
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

const PASSPHRASE: &str = "correct horse";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const VARIABLE: &str = "CANARY_VARIABLE";
const VALUE: &str = "canary-of-a-variable";
const CONTENT: &str = "canary-of-a-file";

/// What would show that something was done that must not be.
struct Trap {
    dir: tempfile::TempDir,
    place: String,
    called: Arc<AtomicUsize>,
}

impl Trap {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // On another address than the machine's own.
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let called = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&called);
        thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in [
            "sh",
            "bash",
            "ssh",
            "scp",
            "sftp",
            "rsync",
            "sshfs",
            "docker",
            "VBoxManage",
            "VBoxHeadless",
            "qemu-img",
            "qemu-system-x86_64",
            "systemd-nspawn",
            "machinectl",
            "touch",
            "cat",
            "pass",
            "aws",
            "git",
            "systemctl",
            "curl",
        ] {
            put(&bin.join(program), &format!("#!/bin/sh\necho \"$0 $*\" >> {}\n", dir.path().join("ran").display()));
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        put(&dir.path().join("canary"), CONTENT);
        fs::set_permissions(dir.path().join("canary"), fs::Permissions::from_mode(0o600)).unwrap();
        Self { dir, place, called }
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Values that are harmful somewhere.
    fn values(&self) -> Vec<Value> {
        let (marker, canary, touch) = (self.at("marker"), self.at("canary"), self.at("bin/touch"));
        vec![
            json!(format!("{touch} {marker}")),
            json!(format!("$({touch}${{IFS}}{marker})")),
            json!(format!("x\n  ProxyCommand {touch} {marker}\n")),
            json!(format!("-oProxyCommand={touch}${{IFS}}{marker}")),
            json!(canary),
            json!("../../other/id_rsa"),
            json!(format!("${{{VARIABLE}}}")),
            json!(format!("http://{}/x", self.place)),
            json!(format!("tcp://{}", self.place)),
            json!("unix:///var/run/docker.sock"),
            json!("%h;%r\u{1b}[2J"),
            json!({ "command": format!("{touch} {marker}") }),
            json!({ "command": [touch, marker] }),
            json!({ "env": VARIABLE }),
            json!({ "file": canary }),
            json!({ "config": "AccessToken" }),
        ]
    }

    #[track_caller]
    fn is_untouched(&self, after: &str) {
        assert!(!Path::new(&self.at("marker")).exists(), "{after}: a command was run");
        let ran = fs::read_to_string(self.at("ran")).unwrap_or_default();
        assert!(ran.is_empty(), "{after}: {ran}");
        assert_eq!(self.called.load(Ordering::SeqCst), 0, "{after}: the archive's listener was called");
    }
}

/// What no file of ours and no output may have in it, if `value` was put somewhere.
fn traces(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(traces).collect(),
        Value::Object(map) => map.values().flat_map(traces).collect(),
        _ => Vec::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

/// A port at which nothing answers, for as long as the listener of it is kept: it never accepts more than it has to.
fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn packed(record: MachineRecord, config: Value) -> String {
    let parcel = Parcel { record, config, files: files() };
    Archive { store: "0123".to_owned(), machines: vec![parcel] }.text().to_string()
}

/// What would be recorded, or why nothing is.
fn unpacked(text: &str) -> Result<machine::archive::Unpacked, String> {
    let archive = Archive::parse(text.as_bytes()).map_err(|e| e.to_string())?;
    let name = MachineName::new("taken").unwrap();
    archive.machines.into_iter().next().unwrap().unpack(&name, "/home/bob/m").map_err(|e| e.to_string())
}

/// What is data for the host itself, and nothing else.
fn is_data(leaf: &str) -> bool {
    let data = ["labels", "registry-mirrors", "insecure-registries", "env/PLAIN", "daemon"];
    leaf == "/engine/os" || data.iter().any(|key| leaf.starts_with(&format!("/engine/spec/{key}")))
}

/// A document with one leaf of another value; `None`: such a value cannot stand there.
fn with(record: &MachineRecord, leaf: &str, value: &Value) -> Option<MachineRecord> {
    let mut document = serde_json::to_value(record).unwrap();
    *document.pointer_mut(leaf).unwrap() = value.clone();
    serde_json::from_value(document).ok()
}

/// Every option of every driver, with this value where it takes it.
fn optioned(record: &MachineRecord, value: &Value) -> Vec<MachineRecord> {
    let of = |driver: &dyn AnyDriver| {
        let options = driver.options().iter().map(|option| {
            let own = match (option.secrecy, option.kind) {
                (Secrecy::Plain, Kind::List) => json!([value]),
                (Secrecy::Plain, Kind::Number | Kind::Port | Kind::Size) => json!(1),
                (Secrecy::Plain, Kind::Flag) => json!(true),
                _ => value.clone(),
            };
            (option.key.clone(), own)
        });
        MachineRecord { driver: driver.name().to_owned(), options: options.collect(), ..record.clone() }
    };
    Drivers::built_in().iter().map(of).collect()
}

#[test]
fn what_is_recorded_after_an_import_has_nothing_of_what_the_archive_meant() {
    let (trap, port) = (Trap::new(), 4321);
    let whole = serde_json::to_value(full(port)).unwrap();
    nothing_is_empty(&whole);
    let mut tried = 0;
    let mut check = |text: &str, value: &Value, place: &str| {
        let Ok(there) = unpacked(text) else { return };
        tried += 1;
        let written = codec::encode(&there.record, &Beside::default(), &Unknown::default());
        let said = format!("{written}\n{:?}\n{:?}", there.names, there.was);
        for trace in traces(value) {
            let quoted = serde_json::to_string(&trace).unwrap();
            assert!(!said.contains(&trace) && !said.contains(quoted.trim_matches('"')), "{place}: {trace}: {said}");
        }
        let record = there.record;
        assert!(record.fleet.is_none() && record.depends_on.is_empty() && record.pending.is_empty());
        assert!(!record.protect && record.hooks.is_empty());
        assert!(["generic", "none"].contains(&record.driver.as_str()), "{place}");
    };
    for value in trap.values() {
        // Alone in an honest record, and in one in which everything is there.
        for base in [honest(port), full(port)] {
            let document = serde_json::to_value(&base).unwrap();
            for leaf in leaves_of(&document).iter().filter(|leaf| !is_data(leaf)) {
                let Some(record) = with(&base, leaf, &value) else { continue };
                check(&packed(record, config()), &value, leaf);
            }
        }
        for record in optioned(&honest(port), &value) {
            let place = format!("options of {}", record.driver);
            check(&packed(record, config()), &value, &place);
        }
        for leaf in leaves_of(&config()) {
            let mut config = config();
            *config.pointer_mut(&leaf).unwrap() = value.clone();
            check(&packed(honest(port), config), &value, &leaf);
        }
        let key = value.as_str().unwrap_or("x");
        let mut named = honest(port);
        let spec = &mut named.engine.as_mut().unwrap().spec;
        spec.env.insert(key.to_owned(), Variable::Plain("x".to_owned()));
        check(&packed(named, config()), &value, "the name of a variable");
        for file in ["ca.pem", "key.pem", "id_rsa"] {
            let mut archive: Value = serde_json::from_str(&packed(honest(port), config())).unwrap();
            let files = &mut archive["machines"][0]["files"];
            files[key] = files[file].take();
            check(&archive.to_string(), &value, "the name of a file");
        }
    }
    assert!(tried > 1000, "{tried} archives were taken");
}

fn run(home: &Home, trap: &Trap, words: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
    let store = home.store().display().to_string();
    let path = trap.at("bin");
    let all = [&[("PATH", path.as_str()), (VARIABLE, VALUE), ("AWS_ACCESS_KEY_ID", VALUE)][..], variables].concat();
    let run = home.run("machine", &[&["-s", &store], words].concat(), &all, input);
    for canary in [VALUE, CONTENT] {
        assert!(!run.stdout.contains(canary) && !run.stderr.contains(canary), "{words:?}: {run:?}");
    }
    assert!(!run.stderr.contains("panicked"), "{words:?}: {}", run.stderr);
    run
}

/// What a store has beside its machines, by path.
fn beside(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(store, &mut found);
    // Who works on what, and what was done: every command writes these.
    let kept = |path: &PathBuf| {
        let rest = path.strip_prefix(store).unwrap();
        let own =
            rest.starts_with("machines") && !rest.starts_with("machines/own") || rest.starts_with("history.jsonl");
        let lock =
            rest.extension().is_some_and(|e| e == "lock") || rest.components().any(|c| c.as_os_str() == ".locks");
        !own && !lock && !rest.ends_with("lock")
    };
    found.retain(|path, _| kept(path));
    found
}

/// Everything that is done with machines, to all of them.
fn everything(home: &Home, trap: &Trap, names: &[String]) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for words in [&["ls"][..], &["ls", "--format", "{{.Name}} {{.URL}} {{.Error}}"], &["context"]] {
        run(home, trap, words, &[], "");
        trap.is_untouched(&words.join(" "));
    }
    let several: [&[&str]; 12] = [
        &["provision"],
        &["status"],
        &["ip"],
        &["url"],
        &["inspect"],
        &["export", "--plain"],
        &["regenerate-certs", "-f"],
        &["regenerate-certs", "-f", "--client-certs"],
        &["upgrade"],
        &["stop"],
        &["start"],
        &["adopt", "--fleet", "mine"],
    ];
    for words in several {
        run(home, trap, &[words, &names].concat(), &[], "");
        trap.is_untouched(&words.join(" "));
    }
    thread::scope(|scope| {
        for names in names.chunks(names.len().div_ceil(4)) {
            scope.spawn(move || {
                for name in names {
                    for words in [&["env", "--shell", "sh"][..], &["config"], &["ssh-config"], &["inspect"]] {
                        let said = run(home, trap, &[words, &[name]].concat(), &[], "");
                        assert!(!said.stdout.contains("$(") || words == ["inspect"], "{words:?}: {}", said.stdout);
                    }
                    run(home, trap, &["ssh", name, "true"], &[], "");
                    trap.is_untouched(name);
                }
            });
        }
    });
}

#[test]
fn nothing_of_an_archive_acts_on_the_computer_of_who_imports_it() {
    let (trap, port) = (Trap::new(), closed());
    let home = Home::new();
    fs::create_dir_all(home.path().join(".ssh")).unwrap();
    home.none("own", "tcp://192.0.2.1:2376");
    let import = |name: &str, text: &str| run(&home, &trap, &["import", "--name", name], &[], text);
    let whole = import("first", &packed(honest(port), config()));
    assert_eq!(whole.status, 0, "{whole:?}");
    assert!(whole.stdout.contains("Imported `first`"), "{whole:?}");
    let first = home.store().join("machines/first");
    for (file, mode) in [("id_rsa", 0o600), ("key.pem", 0o600), ("ca-key.pem", 0o600), ("ca.pem", 0o644)] {
        assert_eq!(fs::metadata(first.join(file)).unwrap().permissions().mode() & 0o777, mode, "{file}");
    }
    everything(&home, &trap, &["first".to_owned()]);
    let before = beside(home.store());

    let mut texts = Vec::new();
    let full = full(port);
    for (n, value) in trap.values().iter().enumerate() {
        let document = serde_json::to_value(&full).unwrap();
        let mut all_at_once = honest(port);
        for leaf in leaves_of(&document) {
            // A few of the values in every leaf; all of them are recorded, or refused, in the test above.
            let Some(mut record) = with(&full, &leaf, value).filter(|_| leaf.len() % 4 == n % 4) else { continue };
            record.pending.clear();
            texts.push((n, packed(record, Value::Null)));
        }
        for leaf in leaves_of(&serde_json::to_value(&all_at_once).unwrap()) {
            let Some(record) = with(&all_at_once, &leaf, value) else { continue };
            if unpacked(&packed(record.clone(), Value::Null)).is_ok() {
                all_at_once = record;
            }
        }
        let mut config = config();
        for leaf in leaves_of(&config) {
            *config.pointer_mut(&leaf).unwrap() = value.clone();
        }
        texts.push((n, packed(all_at_once.clone(), config.clone())));
        texts.extend(optioned(&all_at_once, value).into_iter().map(|record| (n, packed(record, config.clone()))));
    }
    texts.retain(|(_, text)| unpacked(text).is_ok());
    texts.sort();
    texts.dedup();
    assert!(texts.len() > 100, "{} archives are taken", texts.len());
    let texts = sample(texts, 15, |(n, text)| (n.to_string(), text.clone()));
    let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
    let names: Vec<String> = (0..texts.len()).map(|n| format!("m{n}")).collect();
    for (name, text) in names.iter().zip(&texts) {
        let taken = import(name, text);
        assert_eq!(taken.status, 0, "{taken:?}\n{text}");
    }
    trap.is_untouched("import");
    // The two forms in which archives are sent say the same.
    let identity = age::Identity::all(IDENTITY).unwrap().remove(0);
    let sealed = |lock| age::encrypt(&lock, texts[0].as_bytes()).unwrap();
    let key = trap.at("key.txt");
    put(Path::new(&key), IDENTITY);
    let by_passphrase = sealed(age::Lock::Passphrase(PASSPHRASE.to_owned().into()));
    let words = ["import", "--name", "p"];
    assert_eq!(run(&home, &trap, &words, &[("MACHINE_EXPORT_PASSPHRASE", PASSPHRASE)], &by_passphrase).status, 0);
    let words = ["import", "--name", "r", "-i", &key];
    assert_eq!(run(&home, &trap, &words, &[], &sealed(age::Lock::Recipients(vec![identity.recipient()]))).status, 0);
    let names: Vec<String> = names.into_iter().chain(["p".to_owned(), "r".to_owned()]).collect();

    everything(&home, &trap, &names);
    let after = beside(home.store());
    let (old, new): (Vec<_>, Vec<_>) = (before.keys().collect(), after.keys().collect());
    assert_eq!(old, new);
    assert_eq!(before, after);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let gone = run(&home, &trap, &[&["rm", "-y"], &all[..]].concat(), &[], "");
    assert_eq!(gone.status, 0, "{gone:?}");
    trap.is_untouched("rm");
    let left: Vec<_> = fs::read_dir(home.store().join("machines")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().any(|name| name == "own") && left.iter().any(|name| name == "first"), "{left:?}");
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('m')), "{left:?}");
    assert_eq!(before, beside(home.store()));
}
