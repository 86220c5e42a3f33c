//! A lock that cannot be read, as a person meets it (C9): every command that takes locks ends with 5 and says which file it
//! is, why, and what takes it away; that works; looking goes on as ever.

use crate::home::Home;
use std::{fs, path::Path};

const FLEET: &str = "fleet: shop\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n";

#[expect(clippy::disallowed_methods, reason = "what a disk or another program left")]
fn spoil(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "{\"token\":1,\"held\":{\"id\"").unwrap();
}

#[test]
fn an_unreadable_lock_is_told_listed_and_broken() {
    let home = Home::new();
    home.write("../fleet.yaml", FLEET);
    let fleet = home.path().join("fleet.yaml").display().to_string();
    assert_eq!(home.in_store("machine", &["apply", "-y", &fleet]).status, 0);
    home.in_store("machine", &["create", "-d", "none", "--url", "tcp://127.0.0.1:2", "web"]);
    let paths = ["fleets/shop/lock", "locks/web/lock"].map(|path| home.store().join(path));
    for path in &paths {
        spoil(path);
    }
    let [of_fleet, of_machine] = ["machine lock break shop", "machine lock break --machine web"];
    for (words, path, command) in [
        (&["apply", "-y", &fleet][..], &paths[0], of_fleet),
        (&["destroy", "-y", "--allow-delete=1", &fleet], &paths[0], of_fleet),
        (&["rm", "-y", "a"], &paths[0], of_fleet),
        (&["rm", "-f", "a"], &paths[0], of_fleet),
        (&["stop", "a"], &paths[0], of_fleet),
        (&["regenerate-certs", "-f", "a"], &paths[0], of_fleet),
        (&["provision", "web"], &paths[1], of_machine),
        (&["upgrade", "web"], &paths[1], of_machine),
        (&["rm", "-f", "web"], &paths[1], of_machine),
        (&["trust", "web"], &paths[1], of_machine),
        (&["snapshot", "create", "web"], &paths[1], of_machine),
    ] {
        let run = home.in_store("machine", words);
        assert_eq!(run.status, 5, "{words:?}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(&format!("{} cannot be read: ", path.display())), "{words:?}: {}", run.stderr);
        assert!(run.stderr.lines().any(|line| line.trim() == command), "{words:?}: {}", run.stderr);
        assert_eq!(home.in_store("docker-machine", words).status, 1, "{words:?}");
    }
    // It is waited for, too.
    let run = home.in_store("machine", &["rm", "-y", "--lock-timeout", "1s", "web"]);
    assert!(run.status == 5 && run.stderr.starts_with("waiting up to 1s for machine `web`: "), "{}", run.stderr);
    for words in [&["ls"][..], &["url", "a"], &["plan", &fleet], &["inspect", "web"], &["history"]] {
        assert_eq!(home.in_store("machine", words).status, 0, "{words:?}");
    }
    let listed = home.in_store("machine", &["lock", "ls"]);
    assert!(listed.status == 0 && listed.stdout.matches("unreadable: ").count() == 2, "{}", listed.stdout);
    let json: serde_json::Value =
        serde_json::from_str(&home.in_store("machine", &["lock", "ls", "--json"]).stdout).unwrap();
    assert_eq!(json["locks"][0]["unreadable"]["path"], paths[0].to_str().unwrap());
    assert!(json["locks"][1]["holder"].is_null() && json["locks"][1]["name"] == "web", "{json}");
    for command in [of_fleet, of_machine] {
        let words: Vec<&str> = command.split(' ').skip(1).chain(["--yes"]).collect();
        let run = home.in_store("machine", &words);
        assert!(run.status == 0 && run.stdout.contains("It is unknown whether"), "{}{}", run.stdout, run.stderr);
    }
    assert_eq!(home.in_store("machine", &["lock", "ls"]).stdout, "No lock is held.\n");
    assert_eq!(home.in_store("machine", &["apply", "-y", &fleet]).status, 0);
    assert_eq!(home.in_store("machine", &["rm", "-y", "web"]).status, 0);
}
