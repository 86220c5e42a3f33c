//! Bad days of a store, as a person meets them: records of a later version, a folder that was copied half, and a store that
//! is there twice.

use crate::home::Home;
use std::{fs, process::Command};

fn copy(home: &Home, to: &str) -> String {
    let there = home.path().join(to);
    #[expect(clippy::disallowed_methods, reason = "as a person copies a folder")]
    let copied = Command::new("cp").arg("-a").arg(home.store()).arg(&there).status().unwrap();
    assert!(copied.success());
    there.display().to_string()
}

#[test]
fn a_copy_of_a_store_is_told_as_long_as_both_are_there() {
    let home = Home::new();
    let create = ["create", "-d", "none", "--url", "tcp://127.0.0.1:1"];
    for name in ["a", "b"] {
        let made = home.in_store("machine", &[&create[..], &[name]].concat());
        assert!(made.status == 0 && !made.stderr.contains("its copy"), "{}", made.stderr);
    }
    let there = copy(&home, "copied");
    let words = |store: &str, words: &[&str]| home.run("machine", &[&["-s", store], words].concat(), &[], "");
    let told = format!("{} and {there} are one store and its copy", home.store().display());
    // It is told each time, and it works all the same.
    for name in ["c", "d"] {
        let made = words(&there, &[&create[..], &[name]].concat());
        assert!(made.status == 0 && made.stderr.contains(&told), "{}", made.stderr);
    }
    // Looking says nothing, and the one that was there first is as it was.
    assert!(!words(&there, &["ls", "-q"]).stderr.contains("its copy"));
    assert_eq!(home.in_store("machine", &["ls", "-q"]).stdout, "a\nb\n");
    // A link is no copy, and a store that was moved is alone.
    let link = home.path().join("link");
    std::os::unix::fs::symlink(home.store(), &link).unwrap();
    let made = words(&link.display().to_string(), &["rm", "-y", "b"]);
    assert!(made.status == 0 && !made.stderr.contains("its copy"), "{}", made.stderr);
    fs::remove_dir_all(home.store()).unwrap();
    for name in ["a", "b"] {
        let removed = words(&there, &["rm", "-y", name]);
        assert!(removed.status == 0 && !removed.stderr.contains("its copy"), "{}", removed.stderr);
    }
}

/// What cannot be understood is left alone, and named.
#[test]
fn a_record_of_a_later_version_is_left_as_it_is() {
    let home = Home::new();
    home.in_store("machine", &["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "a"]);
    home.in_store("machine", &["create", "-d", "none", "--url", "tcp://127.0.0.1:2", "b"]);
    let path = home.store().join("machines/a/record.json");
    let text = fs::read_to_string(&path).unwrap();
    let later = text.replacen("\"record\": 2", "\"record\": 3", 1);
    assert_ne!(later, text);
    home.write("machines/a/record.json", &later);
    for words in [&["status", "a"][..], &["rm", "-y", "a"], &["provision", "a"], &["adopt", "--fleet", "f", "a"]] {
        let run = home.in_store("machine", words);
        assert_eq!(run.status, 1, "{words:?}: {}", run.stdout);
        assert!(run.stderr.contains(path.to_str().unwrap()) && run.stderr.contains("of format 3"), "{}", run.stderr);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), later);
    assert_eq!(home.in_store("machine", &["status", "b"]).status, 0, "it concerns no other machine");
}

/// Of a machine's folder only some files came along.
#[test]
fn a_folder_that_was_copied_half_is_told_and_spared() {
    for (gone, known) in [("record.json", false), ("record.kdl", true), ("config.json", true)] {
        let home = Home::new();
        home.in_store("machine", &["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "a"]);
        let folder = home.store().join("machines/a");
        fs::remove_file(folder.join(gone)).unwrap();
        let status = home.in_store("machine", &["status", "a"]);
        assert_eq!(status.status == 0, known, "without {gone}: {}{}", status.stdout, status.stderr);
        if !known {
            assert!(status.stderr.contains("copied half"), "{}", status.stderr);
            let before: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_ne!(home.in_store("machine", &["rm", "-y", "a"]).status, 0);
            let after: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(before, after, "nothing is done to it");
        }
    }
}
