//! Texts as unpleasant as they come, in every place where others choose the text: nothing of them is obeyed by a
//! terminal, a shell or a path. What provisioners make of them runs in a real shell, in `provisioner::compliance`.

use crate::home::{Home, Run};
use std::{fs, path::Path};

/// One text a line, in Rust's escapes.
fn corpus() -> Vec<String> {
    include_str!("../hostile/texts.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .map(|line| {
            let json = line.replace("\\x1b", "\\u001b");
            serde_json::from_str(&format!("\"{json}\"")).unwrap_or_else(|e| panic!("{line}: {e}"))
        })
        .collect()
}

/// That a terminal would show what was said, and do nothing else.
#[track_caller]
fn is_harmless(run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        let obeyed = |c: &char| {
            c.is_control() && !"\n\t".contains(*c)
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert_eq!(text.chars().find(obeyed), None, "{text:?}");
    }
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

/// Everything below a folder but the store's own locks, so that what was made for nothing is seen.
fn tree(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        all.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            all.extend(tree(&entry.path()));
        }
    }
    all.sort();
    all
}

#[test]
fn fleet_files_are_told_of_harmlessly() {
    let commands =
        [&["validate", "-"][..], &["plan", "--offline", "-"], &["fmt", "-"], &["graph", "-"], &["validate", "-"]];
    let mut commands = commands.iter().cycle();
    for text in corpus() {
        let home = Home::new();
        let quoted = serde_json::to_string(&text).unwrap();
        for file in [
            format!("fleet: shop\nhosts: {{ {quoted}: {{ driver: nspawn }} }}\n"),
            format!("fleet: {quoted}\nhosts: {{ web: {{ driver: {quoted}, ip: {quoted} }} }}\n"),
            format!(
                "fleet: shop\nhosts: {{ web: {{ driver: generic, ip: {quoted}, jump: {quoted}, {quoted}: 1 }} }}\n"
            ),
            format!(
                "fleet: shop\nhosts: {{ web: {{ driver: nspawn, engine: {{ labels: {{ a: {quoted} }}, env: {{ A: {quoted} }}, daemon: {{ {quoted}: {quoted} }} }} }} }}\n"
            ),
            format!(
                "fleet: shop\nhosts: {{ web: {{ driver: nspawn, engine: {{ env: {{ A: {{ command: {quoted} }}, B: {{ env: {quoted} }} }} }} }} }}\n"
            ),
            text.clone(),
        ] {
            // Each command has its turn: all of them with all texts would take minutes.
            let words = commands.next().unwrap();
            let before = tree(home.path());
            let run = home.run("machine", words, &[("MACHINE_STORAGE_PATH", "/nonexistent/x")], &file);
            is_harmless(&run);
            assert_eq!(tree(home.path()), before, "{words:?} {file:?}");
        }
    }
}

#[test]
fn names_are_no_paths_and_no_options() {
    let home = Home::new();
    home.none("good", "tcp://192.0.2.1:2376");
    fs::create_dir(home.path().join("outside")).unwrap();
    let before = tree(home.path());
    for text in corpus().iter().filter(|text| !text.contains('\0')) {
        for words in [
            &["rm", "-f", "--", text][..],
            &["inspect", "--", text],
            &["env", "--", text],
            &["create", "-d", "none", "--url", "tcp://192.0.2.1:1", "--", text],
        ] {
            let run = home.in_store("machine", words);
            is_harmless(&run);
            // `rm -f` ends well also when there is nothing to remove.
            assert!(run.status != 0 || words[0] == "rm", "{words:?}");
        }
    }
    let left: Vec<String> = tree(home.path()).into_iter().filter(|path| !before.contains(path)).collect();
    assert!(left.iter().all(|path| !path.contains("canary") && !path.contains("machines/")), "{left:?}");
    assert!(before.iter().all(|path| Path::new(path).exists()));
}

#[test]
fn what_a_store_holds_is_shown_harmlessly() {
    let mut turns = [
        &["inspect", "m"][..],
        &["url", "m"],
        &["ip", "m"],
        &["env", "m"],
        &["config", "m"],
        &["ssh-config", "g"],
        &["inspect", "s"],
        &["status", "broken"],
        &["inspect", "torn"],
    ]
    .into_iter()
    .cycle();
    for text in corpus() {
        let home = Home::new();
        let quoted = serde_json::to_string(&text).unwrap();
        let driver = format!(
            r#"{{"IPAddress": {quoted}, "MachineName": "m", "URL": {quoted}, "SSHUser": {quoted}, "SSHKeyPath": {quoted}}}"#
        );
        home.config(
            "m",
            "none",
            &driver,
            &format!(r#"{{"EngineOptions": {{"Labels": [{quoted}], "Env": [{quoted}]}}}}"#),
        );
        home.config("g", "generic", &driver, "{}");
        home.config("s", "strange", &driver, "{}");
        home.write("machines/broken/config.json", &text);
        home.write("machines/torn/record.json", &format!("{{\"record\": 2, \"name\": {quoted}}}"));
        home.write("machines/old/record.kdl", &format!("record 1\nname {quoted}\n"));
        let outside = home.path().join("outside");
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, home.store().join("machines/linked")).unwrap();
        // All in one, and four of the others: 48 texts bring each of those up more than twenty times.
        let four = turns.by_ref().take(4);
        for words in [&["ls", "-t", "1"][..], &["rm", "-f", "linked"]].into_iter().chain(four) {
            is_harmless(&home.in_store("machine", words));
        }
        assert!(outside.exists(), "a link in the store is not followed");
    }
}

#[test]
fn an_import_puts_nothing_anywhere_but_in_its_machine() {
    let home = Home::new();
    home.none("good", "tcp://192.0.2.1:2376");
    let export = home.in_store("machine", &["export", "good", "--plain"]);
    assert_eq!(export.status, 0, "{}", export.stderr);
    let honest: serde_json::Value = serde_json::from_str(&export.stdout).unwrap();
    let record = honest["machines"][0]["record"].clone();
    let paths = [
        "../out",
        "/tmp/out",
        "..",
        ".",
        "a/../../out",
        "machines/x",
        "record.kdl",
        "record.json",
        "config.json",
        "",
        "-rf",
    ];
    let mut forms = (0..5).cycle();
    let mut export_of_earlier = [true, false].into_iter().cycle();
    for text in corpus().into_iter().chain(paths.map(str::to_owned)) {
        let home = Home::new();
        home.write("machines/other/kept", "kept");
        let before = tree(home.path());
        // Each text in the name of a file; and in the content of one, in the record, in config.json or for the whole.
        for form in [4, forms.next().unwrap()] {
            let mut export = honest.clone();
            let machine = &mut export["machines"][0];
            match form {
                0 => machine["record"]["name"] = text.as_str().into(),
                1 if export_of_earlier.next() == Some(true) => {
                    machine["record"] = format!("record 1\nname \"good\"\ndriver \"none\"\n{text}").into();
                    export["machine-export"] = 1.into();
                }
                1 => machine["record"][text.as_str()] = record["instance"].clone(),
                2 => {
                    machine["config"] =
                        serde_json::json!({ "Driver": { "IPAddress": text, "URL": text, text.as_str(): [text] } });
                }
                3 => machine["files"]["ca.pem"] = text.as_str().into(),
                _ => machine["files"][text.as_str()] = "out".into(),
            }
            // Under its own name, and others.
            for words in [&["import"][..], &["import", "--name", "new"], &["import", "--name", "../new"]] {
                is_harmless(&home.run(
                    "machine",
                    &[&["-s", home.store().to_str().unwrap()], words].concat(),
                    &[],
                    &export.to_string(),
                ));
            }
        }
        // A text that is the name of a machine may name one.
        let named = if text.parse::<machine::name::MachineName>().is_ok() { text.as_str() } else { "good" };
        let machines = ["good", "new", named].map(|name| home.store().join("machines").join(name));
        let elsewhere = |path: &String| {
            let path = Path::new(path);
            let own = machines.iter().any(|dir| path.parent() == Some(dir));
            let of_the_store =
                path.parent() == Some(home.store()) || path.parent() == Some(&home.store().join("machines"));
            !own && !of_the_store && !path.starts_with(home.store().join("certs"))
        };
        let new: Vec<String> =
            tree(home.path()).into_iter().filter(|path| !before.contains(path)).filter(elsewhere).collect();
        assert!(new.is_empty(), "{text:?}: {new:?}");
        assert_eq!(fs::read_to_string(home.store().join("machines/other/kept")).unwrap(), "kept");
    }
}
