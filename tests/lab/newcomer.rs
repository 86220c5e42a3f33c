//! What a newcomer sees, sentence by sentence: real hosts, the real program, a real docker client, a real terminal.

#![expect(clippy::disallowed_methods, reason = "the tests look at this computer with its own programs")]

mod stopped;

use crate::lab::{self, Lab, Said, running::await_that};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

const QUICKSTART: &str = "examples/fleets/quickstart.yaml";
const HOSTS: [&str; 3] = ["db", "web-1", "web-2"];

/// Every file below a folder, with its bytes and when it was written.
fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                let written = entry.metadata().unwrap().modified().unwrap();
                found.insert(entry.path(), (fs::read(entry.path()).unwrap(), written));
            }
        }
    }
    found
}

/// Which process dockerd is, and since when.
fn engine_of(lab: &Lab, machine: &str) -> String {
    lab.on(machine, "systemctl show docker -p MainPID -p ActiveEnterTimestampMonotonic")
}

/// Which container runs on a machine, since when, as which process.
fn container_of(lab: &Lab, machine: &str) -> String {
    let format = "{{.Id}} {{.State.StartedAt}} {{.State.Pid}} {{.State.Running}}";
    lab.docker(machine, &["inspect", "-f", format, "app"]).ok().says("true").out
}

/// Processes that are machines of this lab, with their names as `--hostname` has them.
fn instances(lab: &Lab) -> BTreeMap<String, Vec<String>> {
    let out = Said::of(&Command::new("ps").args(["-eo", "pid,comm,args", "-ww"]).output().unwrap()).out;
    let base = lab.base();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in out.lines().filter(|l| l.contains(base.to_str().unwrap())) {
        let mut words = line.split_whitespace();
        let (pid, comm) = (words.next().unwrap(), words.next().unwrap());
        let name = words.find_map(|w| w.strip_prefix("--hostname="));
        if let (true, Some(name)) = (comm.starts_with("systemd-nspawn"), name) {
            found.entry(name.to_owned()).or_default().push(pid.to_owned());
        }
    }
    found
}

/// That everything is as planned: the law that holds after every apply.
#[track_caller]
fn nothing_to_do(lab: &Lab, file: &str) {
    let plan = lab.machine(&["plan", "--detailed-exitcode", file]).ok();
    assert!(plan.out.starts_with("Nothing to do: "), "{}", plan.out);
    let diff = lab.machine(&["diff", file]).ok();
    assert_eq!(diff.out, "");
}

#[track_caller]
fn no_drift(lab: &Lab, file: &str) {
    lab.machine(&["drift", file]).ok().says("No drift: every machine that answered is as it was applied.");
}

/// The example, for stories that edit it.
fn quickstart() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(QUICKSTART)).unwrap()
}

#[test]
fn the_quickstart_from_nothing_to_nothing() {
    if !lab::ready(&["docker", "busybox"]) {
        return;
    }
    let lab = Lab::new();
    three_hosts_from_the_example(&lab);
    a_container_with_the_docker_client(&lab);
    every_machine_command_works(&lab);
    let file = lab.file("fleet.yaml", &quickstart());
    a_second_apply_touches_nothing(&lab, &file);
    a_label_changes_and_nothing_else(&lab, &file);
    drift_is_named_and_healed(&lab, &file);
    a_replacement_is_refused(&lab, &file);
    removal_is_guarded_and_ordered(&lab, &file);
    destroy_leaves_nothing(&lab, &file);
}

/// Run as the README has it: from the folder of the repository.
fn three_hosts_from_the_example(lab: &Lab) {
    let mut command = lab.command(env!("CARGO_BIN_EXE_machine"));
    let output = command.args(["apply", "--yes", QUICKSTART]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let applied = Said::of(&output).ok();
    // In a pipe: plain lines, no codes of terminals.
    assert!(!applied.err.contains('\x1b') && !applied.out.contains('\x1b'), "{}", applied.err);
    let line = |text: String| {
        let found =
            applied.err.lines().position(|l| l.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(&text));
        found.unwrap_or_else(|| panic!("no line `{text}` in:\n{}", applied.err))
    };
    let begun = HOSTS.map(|h| line(format!("{h} engine install docker.io")));
    let ended = HOSTS.map(|h| line(format!("{h} engine created in")));
    assert!(begun.iter().max() < ended.iter().min(), "the engines were not made side by side:\n{}", applied.err);
    assert_eq!(
        applied.out,
        "db     converged\nweb-1  converged\nweb-2  converged\n3 converged.\n\n\
         To use `db` with docker:\n  eval $(machine env db)\n  docker run hello-world\n\
         To see all machines, or log in:\n  machine ls\n  machine ssh db\n"
    );
    for host in HOSTS {
        // Over mutual TLS: our client is let in, one without a certificate is not.
        lab.docker(host, &["info"]).ok().says("Server Version:");
        let url = lab.machine(&["url", host]).ok().out;
        let mut stranger = lab.command("docker");
        let ca = lab.store().join("certs/ca.pem");
        stranger.args(["-H", url.trim(), "--tlsverify", "--tlscacert"]).arg(ca).arg("version");
        let refused = Said::of(&stranger.output().unwrap());
        assert!(refused.code != 0, "{}", refused.out);
        assert!(refused.err.contains("certificate"), "{}", refused.err);
        // All of it is recorded.
        let record = fs::read_to_string(lab.store().join("machines").join(host).join("record.json")).unwrap();
        for part in
            ["\"fleet\": \"quickstart\"", "\"instance\": {", "\"ssh-ed25519 ", "\"certificate\": {", "\"engine\": {"]
        {
            assert!(record.contains(part), "no `{part}` in\n{record}");
        }
        assert!(record.contains("\"pending\": {},"), "{record}");
    }
    let path = format!("{}/{QUICKSTART}", env!("CARGO_MANIFEST_DIR"));
    nothing_to_do(lab, &path);
    no_drift(lab, &path);
}

fn a_container_with_the_docker_client(lab: &Lab) {
    lab.tiny_image("web-1");
    // As a person has it, in a shell.
    let bin = Path::new(env!("CARGO_BIN_EXE_machine")).parent().unwrap().to_owned();
    let shell = |script: &str| {
        let mut sh = lab.command("sh");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
        Said::of(&sh.env("PATH", path).args(["-euc", script]).output().unwrap())
    };
    let hello = shell("eval $(machine env web-1); docker run --rm tiny echo hello from $DOCKER_MACHINE_NAME").ok();
    assert_eq!(hello.out, "hello from web-1\n");
    shell("docker $(machine config web-1) version").ok().says("Server:");
    shell("eval $(machine env web-1); machine active; machine ls -q --filter state=Running").ok().says("web-1\n");
    // One that must outlive whatever follows.
    lab.docker("web-1", &["run", "-d", "--name", "app", "tiny", "sleep", "100000"]).ok();
}

fn every_machine_command_works(lab: &Lab) {
    let uname = lab.machine(&["ssh", "web-1", "--", "uname", "-a"]).ok().out;
    assert!(uname.starts_with("Linux web-1 "), "{uname}");
    let code = lab.machine(&["ssh", "web-1", "--", "exit 7"]).code;
    assert_eq!(code, 7);

    let list = lab.machine(&["ls"]).ok().out;
    let rows: Vec<Vec<&str>> = list.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "SWARM", "DOCKER", "ERRORS"]);
    for (row, host) in rows[1..].iter().zip(HOSTS) {
        let ip = lab.machine(&["ip", host]).ok().out.trim().to_owned();
        let url = format!("tcp://{ip}:2376");
        assert_eq!(row[..5], [host, "-", "nspawn", "Running", url.as_str()]);
        assert!(row[5].starts_with('v') && row.len() == 6, "{list}");
        assert_eq!(lab.machine(&["url", host]).ok().out.trim(), url);
        assert_eq!(lab.machine(&["status", host]).ok().out, "Running\n");
        let inspected: serde_json::Value = serde_json::from_str(&lab.machine(&["inspect", host]).ok().out).unwrap();
        assert_eq!(inspected["Driver"]["IPAddress"], ip.as_str());
        // docker-machine's JSON, with the driver there is.
        assert_eq!(inspected["DriverName"], "nspawn");
    }
    assert_eq!(rows.len(), 4, "{list}");

    lab.machine(&["stop", "web-2"]).ok().says("was stopped");
    assert_eq!(lab.machine(&["status", "web-2"]).ok().out, "Stopped\n");
    lab.machine(&["start", "web-2"]).ok().says("was started");
    lab.docker("web-2", &["version"]).ok();
    lab.machine(&["restart", "web-2"]).ok();
    assert_eq!(lab.machine(&["status", "web-2"]).ok().out, "Running\n");
    lab.docker("web-2", &["version"]).ok();
}

fn a_second_apply_touches_nothing(lab: &Lab, file: &str) {
    let state = || {
        let engines = HOSTS.map(|h| engine_of(lab, h));
        (engines, files(&lab.store().join("machines")), files(&lab.store().join("certs")), container_of(lab, "web-1"))
    };
    let before = state();
    let applied = lab.machine(&["apply", file]).ok();
    assert_eq!((applied.out.as_str(), applied.err.as_str()), ("Nothing to do: 3 hosts are as planned.\n", ""));
    let applied = lab.machine(&["apply", "--yes", "--json", file]).ok();
    let ended = r#"{"event":"ended","hosts":{"db":"unchanged","web-1":"unchanged","web-2":"unchanged"}}"#;
    assert_eq!((applied.out.trim(), applied.err.as_str()), (ended, ""));
    assert!(state() == before, "something was touched");
}

fn a_label_changes_and_nothing_else(lab: &Lab, file: &str) {
    // The first label, then another in its place; both with a container running there.
    let before = (container_of(lab, "web-1"), HOSTS.map(|h| engine_of(lab, h)));
    let labelled = |tier: &str| {
        quickstart().replace("    source: distro", &format!("    source: distro\n    labels: {{ tier: {tier} }}"))
    };
    fs::write(file, labelled("web")).unwrap();
    lab.machine(&["plan", "--detailed-exitcode", file])
        .code(2)
        .says("3 steps on 3 of 3 hosts: 3 to upgrade, 6 to keep.");
    lab.machine(&["apply", "--yes", file]).ok().says("3 converged.");
    nothing_to_do(lab, file);

    // `hosts` wins over `defaults`: one host alone differs.
    let edited = labelled("web").replace("  db:\n", "  db:\n    engine: { labels: { tier: data } }\n");
    fs::write(file, edited).unwrap();
    let plan = lab.machine(&["plan", "--detailed-exitcode", file]).code(2);
    assert_eq!(
        plan.out,
        "  db\n    ~ upgrade engine       labels.tier: web → data\n1 step on 1 of 3 hosts: 1 to upgrade, 8 to keep.\n"
    );
    let diff = lab.machine(&["diff", file]).code(2);
    assert_eq!(
        diff.out,
        "--- recorded/db\n+++ desired/db\n@@ -6,4 +6,4 @@\n   api: tls\n   port: 2376\n   labels:\n-    tier: web\n+    tier: data\n"
    );
    no_drift(lab, file);
    // Just that, as events for a program.
    let applied = lab.machine(&["apply", "--yes", "--json", file]).ok();
    let events: Vec<serde_json::Value> = applied.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!(last["hosts"], serde_json::json!({ "db": "converged", "web-1": "unchanged", "web-2": "unchanged" }));
    for event in &events[..events.len() - 1] {
        assert_eq!((&event["step"]["machine"], &event["step"]["part"]), (&"db".into(), &"engine".into()), "{event}");
    }
    let kinds: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).filter(|e| *e != "progress").collect();
    assert_eq!(kinds, ["started", "finished", "ended"]);
    nothing_to_do(lab, file);
    for (host, tier) in [("db", "tier=data"), ("web-1", "tier=web")] {
        let labels = lab.docker(host, &["info", "-f", "{{.Labels}}"]).ok().out;
        assert!(labels.contains(tier), "{host}: {labels}");
    }
    // Labels are reloaded: neither the container nor the engine was restarted.
    assert_eq!((container_of(lab, "web-1"), HOSTS.map(|h| engine_of(lab, h))), before);
}

fn drift_is_named_and_healed(lab: &Lab, file: &str) {
    let container = container_of(lab, "web-1");
    lab.on("db", "systemctl stop docker docker.socket");
    lab.on("web-1", "rm /etc/docker/server.pem");
    lab.machine(&["kill", "web-2"]).ok();
    let digest = |host: &str| {
        let record = fs::read_to_string(lab.store().join("machines").join(host).join("record.json")).unwrap();
        let after = record.split_once("\"certificate\": {\n    \"sha256\": \"").unwrap().1;
        after[..12].to_owned()
    };
    let drift = lab.machine(&["drift", file]).code(2);
    assert_eq!(
        drift.out,
        format!(
            "db engine: drifted, service: stopped → running\n\
             web-1 certificate: drifted, /etc/docker/server.pem: (none) → {}\n\
             web-2 instance: drifted, power: stopped → running\n",
            digest("web-1")
        )
    );
    let list = lab.machine(&["ls", "--filter", "state=Stopped", "-q"]).ok();
    assert_eq!(list.out, "web-2\n");
    lab.machine(&["apply", "--yes", file]).ok().says("3 converged.");
    no_drift(lab, file);
    nothing_to_do(lab, file);
    for host in HOSTS {
        lab.docker(host, &["version"]).ok();
    }

    // Power loss, and a file lost here.
    let pids = instances(lab);
    for pid in &pids["db"] {
        assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    }
    await_that("the machine is seen to be off", || lab.machine(&["status", "db"]).ok().out == "Stopped\n");
    let old = digest("web-1");
    fs::remove_file(lab.store().join("machines/web-1/server.pem")).unwrap();
    let drift = lab.machine(&["drift", file]).code(2);
    assert_eq!(
        drift.out,
        format!(
            "db instance: drifted, power: stopped → running\n\
             web-1 certificate: drifted, server.pem in the store: (none) → {old}\n"
        )
    );
    lab.machine(&["apply", "--yes", file]).ok().says("1 unchanged, 2 converged.");
    assert_ne!(digest("web-1"), old, "a new certificate was issued");
    no_drift(lab, file);
    nothing_to_do(lab, file);
    assert_eq!(container_of(lab, "web-1"), container, "certificates are renewed without restarting containers");
    lab.docker("db", &["version"]).ok();
}

fn a_replacement_is_refused(lab: &Lab, file: &str) {
    let before = fs::read_to_string(file).unwrap();
    fs::write(file, before.replacen("image: debian-13", "image: debian-12", 1)).unwrap();
    let plan = lab.machine(&["plan", file]).ok();
    assert_eq!(
        plan.out,
        "  db\n    \
             - rm      instance     cannot change in place, image: debian-13 → debian-12\n    \
             + create  instance     cannot change in place, image: debian-13 → debian-12\n    \
             + create  certificate  the instance is new\n    \
             + create  engine       the instance is new\n\
         4 steps on 1 of 3 hosts: 3 to create, 1 to rm, 6 to keep.\n\n\
         apply will refuse: `db` would be replaced: cannot change in place, image: debian-13 → debian-12\n  \
           everything on the machine would be lost; if that is wanted, say so:\n  --allow-replace\n"
    );
    let engine = engine_of(lab, "db");
    lab.machine(&["apply", "--yes", file]).code(6).says("--allow-replace");
    assert_eq!(engine_of(lab, "db"), engine);
    fs::write(file, before).unwrap();
    nothing_to_do(lab, file);
}

fn removal_is_guarded_and_ordered(lab: &Lab, file: &str) {
    let fleet = |hosts: &str| {
        let head = "fleet: quickstart\ndrivers: { lab: { driver: nspawn, image: debian-13 } }\ndefaults:\n  driver: lab\n  \
                    engine: { source: distro, labels: { tier: web } }\nhosts:\n";
        fs::write(file, format!("{head}{hosts}")).unwrap();
    };
    // The same hosts, one after another: web-2 needs web-1, which needs db, which is protected.
    let db = "  db: { engine: { labels: { tier: data } }, protect: true }\n";
    fleet(&format!("{db}  web-1: {{ depends_on: [db] }}\n  web-2: {{ depends_on: [web-1] }}\n"));
    let plan = lab.machine(&["plan", "--detailed-exitcode", file]).code(2);
    assert!(plan.out.ends_with("3 steps on 3 of 3 hosts: 3 to upgrade, 6 to keep.\n"), "{}", plan.out);
    let engines = HOSTS.map(|h| engine_of(lab, h));
    lab.machine(&["apply", "--yes", file]).ok().says("3 converged.");
    assert_eq!(HOSTS.map(|h| engine_of(lab, h)), engines, "what only the record knows touches no engine");
    nothing_to_do(lab, file);

    // Without --prune they stay, and it is said.
    fleet(db);
    let plan = lab.machine(&["plan", "--detailed-exitcode", file]).ok();
    let kept = "    ! keep    instance     not in the fleet file; kept without --prune\n";
    assert!(plan.out.starts_with(&format!("  web-1\n{kept}  web-2\n{kept}Nothing to do: ")), "{}", plan.out);
    lab.machine(&["apply", "--yes", file]).ok();
    assert_eq!(instances(lab).len(), 3);

    // With it, both would go, which is more than may.
    let plan = lab.machine(&["plan", "--prune", file]).ok();
    let rm = "    - rm      instance     not in the fleet file\n";
    assert_eq!(
        plan.out,
        format!(
            "  web-1\n{rm}  web-2\n{rm}2 steps on 2 of 3 hosts: 2 to rm, 3 to keep.\n\n\
             apply will refuse: 2 machines would be removed, which is more than `max_delete: 1`\n  \
               if that is wanted, name the exact number:\n  --allow-delete=2\n"
        )
    );
    lab.machine(&["apply", "--prune", "--yes", file]).code(6).says("--allow-delete=2");
    lab.machine(&["apply", "--prune", "--yes", "--allow-delete=1", file]).code(6).says("--allow-delete=2");
    assert_eq!(instances(lab).len(), 3);

    // What is protected stays protected when its line is gone.
    fleet("  web-1:\n  web-2: { depends_on: [web-1] }\n");
    lab.machine(&["apply", "--prune", "--yes", file]).code(6).says("`db` is protected and would be removed");
    lab.machine(&["rm", "-y", "db"]).code(6).says("`db` is protected");
    lab.machine(&["destroy", "--yes", file]).code(6).says("`db` is protected and would be removed");
    assert_eq!(instances(lab).len(), 3);

    // Dependants first.
    fleet(&db.replace("protect: true", "protect: false"));
    let applied = lab.machine(&["apply", "--prune", "--yes", "--allow-delete=2", "--json", file]).ok();
    let events: Vec<serde_json::Value> = applied.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let at = |event: &str, machine: &str| {
        let found = events.iter().position(|e| e["event"] == event && e["step"]["machine"] == machine);
        found.unwrap_or_else(|| panic!("{event} {machine}: {}", applied.out))
    };
    assert!(at("finished", "web-2") < at("started", "web-1"), "{}", applied.out);
    let ends = serde_json::json!({ "db": "converged", "web-1": "removed", "web-2": "removed" });
    assert_eq!(events.last().unwrap()["hosts"], ends);
    nothing_to_do(lab, file);
    assert_eq!(instances(lab).into_keys().collect::<Vec<_>>(), ["db"]);
    assert_eq!(lab.machine(&["ls", "-q"]).ok().out, "db\n");
}

fn destroy_leaves_nothing(lab: &Lab, file: &str) {
    lab.machine(&["destroy", file]).code(6).says("`-y`");
    lab.machine(&["destroy", "--yes", file]).ok().says("1 removed.");
    assert_eq!(lab.left(), Vec::<String>::new());
    assert_eq!(lab.machine(&["ls", "-q"]).ok().out, "");
    lab.machine(&["destroy", "--yes", file]).ok().says("Nothing to do: fleet `quickstart` has no machines.");
}

#[test]
fn every_example_is_valid_in_its_usual_form_and_can_be_drawn() {
    let lab = Lab::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleets");
    let all = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    // What lies in a folder of its own is no fleet alone.
    let examples: Vec<PathBuf> = all.filter(|path| path.is_file()).collect();
    assert!(examples.len() > 10);
    let schema: serde_json::Value = serde_json::from_str(&lab.machine(&["schema"]).ok().out).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for path in &examples {
        let file = path.to_str().unwrap();
        lab.machine(&["validate", file]).ok().says("is valid");
        let formatted = lab.machine(&["fmt", "--check", file]).ok();
        assert_eq!(formatted.out, "");
        let yaml = lab.machine(&["fmt", "--to", "yaml", file]).ok().out;
        let value: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
        assert!(schema.is_valid(&value), "{file}: {:?}", schema.iter_errors(&value).next());
        assert!(lab.machine(&["graph", file]).ok().out.starts_with("digraph "));
        assert!(lab.machine(&["graph", "--format", "mermaid", file]).ok().out.starts_with("flowchart "));
    }
}

#[test]
fn the_graph_is_dot_mermaid_and_a_picture_with_every_host() {
    let lab = Lab::new();
    let file = lab
        .file("shop.yaml", "hosts:\n  db: { driver: nspawn }\n  web: { driver: nspawn, count: 2, depends_on: [db] }\n");
    let dot = lab.machine(&["graph", &file]).ok().out;
    let mermaid = lab.machine(&["graph", "--format", "mermaid", &file]).ok().out;
    let picture = lab.path("shop.svg");
    let said = lab.machine(&["graph", "--format", "svg", "-o", picture.to_str().unwrap(), &file]).ok();
    assert_eq!(said.out, "");
    let svg = fs::read_to_string(picture).unwrap();
    assert!(svg.starts_with("<?xml ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for host in HOSTS {
        for text in [&dot, &mermaid, &svg] {
            assert!(text.contains(host), "no {host} in\n{text}");
        }
    }
    // Both arrows are there: from what is first to what waits for it.
    assert_eq!(dot.matches("\"db\" -> \"web-").count(), 2, "{dot}");
    assert_eq!(mermaid.matches("-->").count(), 2, "{mermaid}");
    assert_well_formed(&svg);
}

/// That every element that is opened is closed, in order.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1).map(|rest| rest.split_once('>').expect("a tag ends").0) {
        let name = tag.trim_matches('/').split_whitespace().next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.starts_with('?') && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
