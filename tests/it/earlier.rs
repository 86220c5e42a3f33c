//! What earlier builds wrote, in `tests/earlier/`: `make.sh` there says how it was made. A store is read, used and written
//! on; archives are imported; saved plans and JSON are still what their schemas say.

use crate::home::Home;
use crate::plain::{self, now};
use machine::{
    plan::document::Document,
    record::{
        MachineRecord, Part,
        docker_machine::{ConfigFile, Place},
    },
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The folder of each format there ever was.
const FORMATS: &[&str] = &["records-in-kdl"];

fn format(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/earlier").join(name)
}

/// Git keeps no modes: files that were private are private again.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::copy(entry.path(), &to).unwrap();
            fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// A store of an earlier build, in a home of its own.
fn stored(format_name: &str, store: &str) -> Home {
    let home = Home::new();
    copy(&format(format_name).join("stores").join(store), home.store());
    home
}

/// Files of a kind, and the rest.
fn is(name: &str, end: &str) -> bool {
    Path::new(name).extension().is_some_and(|own| own == end)
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What is known of a machine, on a line.
fn line(record: &MachineRecord) -> String {
    let MachineRecord { name, fleet, driver, depends_on, protect, instance, certificate, engine, pending, .. } = record;
    let mut text = format!("{name}: {driver}");
    if let Some(fleet) = fleet {
        write!(text, ", fleet {fleet}").unwrap();
    }
    if !depends_on.is_empty() {
        write!(text, ", after {}", depends_on.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")).unwrap();
    }
    if *protect {
        text.push_str(", protected");
    }
    for (what, is_there) in [
        ("instance", instance.is_some()),
        ("host key", instance.as_ref().is_some_and(|i| !i.host_keys.is_empty())),
        ("certificate", certificate.is_some()),
        ("engine", engine.is_some()),
    ] {
        if is_there {
            write!(text, ", {what}").unwrap();
        }
    }
    for (part, pending) in pending {
        write!(text, ", {part} being {pending}").unwrap();
    }
    text
}

#[test]
fn stores_are_read_whole() {
    for format_name in FORMATS {
        let folder = format(format_name).join("stores");
        let mut text = String::new();
        for store_name in names(&folder).iter().filter(|name| !is(name, "yaml")) {
            let home = stored(format_name, store_name);
            let store = plain::folder(home.store());
            let snapshot = store.snapshot().unwrap();
            assert_eq!(snapshot.broken, BTreeMap::new(), "{store_name}");
            assert_eq!(snapshot.broken_tombstones, BTreeMap::new(), "{store_name}");
            writeln!(text, "{store_name}").unwrap();
            for known in snapshot.machines.values() {
                writeln!(text, "  {}", line(&known.record)).unwrap();
            }
            for stone in snapshot.tombstones.values() {
                writeln!(text, "  tombstone of {}: {}", stone.machine, stone.driver).unwrap();
            }
            // What was written is there again after it is written by this program.
            for known in snapshot.machines.values() {
                store.put(&known.record).unwrap();
                assert_eq!(store.get(&known.record.name).unwrap(), known.record, "{store_name}");
            }
            let again = store.snapshot().unwrap();
            assert!(again.machines.values().eq(snapshot.machines.values()), "{store_name}");
            assert!(again.tombstones.values().eq(snapshot.tombstones.values()), "{store_name}");
        }
        insta::assert_snapshot!(format!("earlier_{format_name}"), text);
    }
}

/// What docker-machine reads and writes beside a record of ours: nothing is lost on either side.
#[test]
fn stores_are_shared_with_docker_machine_after_the_first_write() {
    for format_name in FORMATS {
        for store_name in names(&format(format_name).join("stores")).iter().filter(|name| !is(name, "yaml")) {
            let home = stored(format_name, store_name);
            let store = plain::folder(home.store());
            for known in store.snapshot().unwrap().machines.into_values() {
                let (name, mut record) = (known.record.name.clone(), known.record);
                let place = Place { root: home.store().to_str().unwrap(), name: &name };
                let path = home.store().join("machines").join(name.as_str()).join("config.json");
                let view = || ConfigFile::parse(&fs::read_to_string(&path).unwrap(), place).unwrap();
                let (before, was_ours) = (view(), path.with_file_name("record.kdl").exists());
                store.put(&record).unwrap();
                let after = view();
                if was_ours {
                    assert_eq!(after.text(), before.text(), "{name}: nothing but where the store is");
                }
                assert_eq!(after.moved_from(), None, "{name}");
                let theirs = after.to_record(place, BTreeMap::new());
                let login = |record: &MachineRecord| record.instance.as_ref().and_then(|instance| instance.ssh.clone());
                assert_eq!(login(&theirs), login(&record), "{name}");
                // docker-machine knows of no machine that has no engine yet.
                assert!(record.engine.is_none() || theirs.url() == record.url(), "{name}");
                if login(&record).is_none() {
                    continue;
                }
                let instance = record.instance.as_mut().unwrap();
                // As `docker-machine start` leaves it.
                let text =
                    fs::read_to_string(&path).unwrap().replace(&format!("\"{}\"", instance.address), "\"192.0.2.77\"");
                home.write(&format!("machines/{name}/config.json"), &text);
                let ssh = instance.ssh.as_mut().unwrap();
                // That of a VM of VirtualBox is a port of this computer.
                if ssh.host == instance.address {
                    "192.0.2.77".clone_into(&mut ssh.host);
                }
                "192.0.2.77".clone_into(&mut instance.address);
                assert_eq!(store.get(&name).unwrap(), record, "{name}: all else is as it was");
                store.put(&record).unwrap();
                assert_eq!(store.get(&name).unwrap(), record, "{name}");
            }
        }
    }
}

/// C17: a store that was copied or renamed, by an earlier version or this one, leads to itself.
#[test]
fn a_store_that_was_moved_leads_to_itself() {
    for format_name in FORMATS {
        for written in [false, true] {
            let first = stored(format_name, "fleet");
            if written {
                let store = plain::folder(first.store());
                for known in store.snapshot().unwrap().machines.values() {
                    store.put(&known.record).unwrap();
                }
            }
            let home = Home::new();
            copy(first.store(), home.store());
            let old = first.store().display().to_string();
            drop(first);
            let here = home.store().display().to_string();
            assert_eq!(home.in_store("machine", &["ls", "-q"]).stdout, "db\nfar\nweb-1\nweb-2\n");
            for words in [&["inspect", "web-1"][..], &["inspect", "--json", "web-1"], &["ssh-config", "web-1"]] {
                let run = home.in_store("machine", words);
                assert_eq!(run.status, 0, "{words:?}: {}", run.stderr);
                assert!(run.stdout.contains(&here), "{words:?}: {}", run.stdout);
                for elsewhere in [&old, "/srv/earlier/"] {
                    assert!(!run.stdout.contains(elsewhere), "{words:?}: {}", run.stdout);
                }
            }
            // By these `env` and `config` go.
            let store = plain::folder(home.store());
            let auth = now(machine::store::auth::of(&store, &"web-1".parse().unwrap())).unwrap();
            assert!(auth.files.all().iter().all(|file| file.starts_with(home.store())), "{auth:?}");
            let key = home.in_store("machine", &["inspect", "-f", "{{.Driver.SSHKeyPath}}", "web-1"]).stdout;
            assert!(Path::new(key.trim()).starts_with(home.store()) && Path::new(key.trim()).exists(), "{key}");
        }
    }
}

#[test]
fn stores_are_used_by_every_command_that_only_reads() {
    for format_name in FORMATS {
        for store_name in names(&format(format_name).join("stores")).iter().filter(|name| !is(name, "yaml")) {
            let home = stored(format_name, store_name);
            let machine = |words: &[&str]| {
                let run = home.in_store("machine", words);
                assert_eq!(run.status, 0, "{store_name}: {words:?}: {}", run.stderr);
                run.stdout
            };
            machine(&["lock", "ls"]);
            machine(&["ls", "--tombstones"]);
            let history = home.store().join("history.jsonl");
            let lines = fs::read_to_string(&history).map_or(0, |text| text.lines().count());
            let shown = machine(&["history", "--json"]);
            assert!(lines < 2 || shown.lines().count() > 1, "{store_name}: history has {lines} lines");
            for name in machine(&["ls", "-q"]).lines() {
                machine(&["inspect", name]);
                machine(&["inspect", "--json", name]);
            }
        }
    }
}

/// A run that is gone holds nothing; half of what it made is planned, and its locks are free.
#[test]
fn what_was_half_made_is_planned_and_its_locks_are_free() {
    for format_name in FORMATS {
        let home = stored(format_name, "half-made");
        let store = plain::folder(home.store());
        let begun = store.snapshot().unwrap();
        assert!(begun.machines.values().any(|known| known.record.pending.contains_key(&Part::Engine)), "an engine was");
        let fleet = format(format_name).join("stores/half.yaml").display().to_string();
        let run = home.in_store("machine", &["plan", "--offline", &fleet]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert!(run.stdout.contains("an earlier create did not finish"), "{}", run.stdout);
        // Whether a run on another computer is gone cannot be seen at once: its lock is shown, and can be broken.
        let home = stored(format_name, "locked");
        let held = || {
            let shown: Value =
                serde_json::from_str(&home.in_store("machine", &["lock", "ls", "--json"]).stdout).unwrap();
            shown["locks"].as_array().unwrap().iter().any(|lock| lock["holder"] == "me@vm")
        };
        if held() {
            let run = home.in_store("machine", &["lock", "break", "--yes", "held"]);
            assert_eq!(run.status, 0, "{}", run.stderr);
        }
        assert!(!held());
        let fleet = format(format_name).join("stores/held.yaml").display().to_string();
        let run = home.in_store("machine", &["plan", "--offline", &fleet]);
        assert_eq!(run.status, 0, "{}", run.stderr);
    }
}

#[test]
fn archives_are_imported() {
    for format_name in FORMATS {
        let archives = format(format_name).join("archives");
        let file = |name: &str| archives.join(name).display().to_string();
        for (archive, more, want) in [
            ("plain.json", vec![], "db"),
            ("plain-with-ca.json", vec![], "db\nweb-1"),
            ("several.json", vec![], "db\nfar\nweb-2"),
            ("passphrase.age", vec!["--passphrase-file".to_owned(), file("passphrase")], "db"),
            ("recipient.age", vec!["-i".to_owned(), file("identity.txt")], "web-1"),
        ] {
            let home = Home::new();
            for name in ["passphrase", "identity.txt"] {
                fs::copy(archives.join(name), home.path().join(name)).unwrap();
                fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
            }
            let more: Vec<String> = more
                .iter()
                .map(|word| word.replace(&archives.display().to_string(), &home.path().display().to_string()))
                .collect();
            let mut words = vec!["import"];
            words.extend(more.iter().map(String::as_str));
            let path = file(archive);
            words.push(&path);
            let run = home.in_store("machine", &words);
            assert_eq!(run.status, 0, "{archive}: {}", run.stderr);
            assert_eq!(home.in_store("machine", &["ls", "-q"]).stdout.trim_end(), want, "{archive}");
            // And goes out again.
            let run = home.in_store("machine", &["export", "--plain", want.lines().next().unwrap()]);
            assert_eq!(run.status, 0, "{archive}: {}", run.stderr);
        }
    }
}

#[test]
fn saved_plans_are_read_or_refused_as_stale() {
    for format_name in FORMATS {
        let plans = format(format_name).join("plans");
        let mut count = 0;
        for name in names(&plans).iter().filter(|name| is(name, "json")) {
            let text = fs::read_to_string(plans.join(name)).unwrap();
            let document: Document = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            document.plan().unwrap_or_else(|e| panic!("{name}: {e:?}"));
            // The hosts are gone long since: whatever is found, nothing is done and the program says why.
            let home = stored(format_name, "fleet");
            let run = home.in_store("machine", &["apply", "--yes", &plans.join(name).display().to_string()]);
            assert!([0, 1, 4, 6].contains(&run.status), "{name}: {} {}", run.status, run.stderr);
            assert!(run.status == 0 || run.stderr.contains("error:"), "{name}: {}", run.stderr);
            count += 1;
        }
        assert!(count >= 6, "plans of every kind");
    }
}

/// Whatever reads our output goes on reading it: version 1 of each form is still valid by the schemas there are now.
#[test]
fn json_output_fits_its_schema() {
    let schema = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let plan = jsonschema::validator_for(&schema("plan.schema.json")).unwrap();
    for format_name in FORMATS {
        let mut count = 0;
        for folder in ["json", "plans"] {
            let folder = format(format_name).join(folder);
            for name in names(&folder).iter().filter(|name| is(name, "json")) {
                let text = fs::read_to_string(folder.join(name)).unwrap();
                let lines: Vec<Value> = match serde_json::from_str(&text) {
                    Ok(whole) => vec![whole],
                    Err(_) => text
                        .lines()
                        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e}: {line}")))
                        .collect(),
                };
                if name.starts_with("plan-") || folder.ends_with("plans") {
                    for line in &lines {
                        let wrong: Vec<String> = plan.iter_errors(line).map(|e| e.to_string()).collect();
                        assert!(wrong.is_empty(), "{name}: {wrong:?}");
                        count += 1;
                    }
                }
            }
        }
        assert!(count >= 12, "{count} plans");
    }
}
