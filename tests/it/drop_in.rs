//! What scripts of docker-machine's time do and must go on doing, beyond what its recorded command lines show.

use crate::home::Home;
use std::{fs, path::Path};

/// Farms of CI runners make their certificates by a machine that has no engine.
#[test]
fn a_machine_without_an_engine_is_made_with_any_word_for_a_url() {
    for program in ["docker-machine", "machine"] {
        for url in ["localhost", "none", "127.0.0.1", "fd://"] {
            let home = Home::new();
            let run = home.in_store(program, &["create", "-d", "none", "--url", url, "farm"]);
            assert_eq!(run.status, 0, "{url}: {}", run.stderr);
            assert!(run.stderr.contains("is not the URL of an engine"), "{url}: {}", run.stderr);
            for file in ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"] {
                assert!(home.store().join("certs").join(file).exists(), "{url}: {file}");
            }
            assert_eq!(home.in_store(program, &["url", "farm"]).stdout, format!("{url}\n"));
            // docker-machine found no address in such a word either.
            let config: serde_json::Value =
                serde_json::from_str(&home.in_store(program, &["inspect", "farm"]).stdout).unwrap();
            assert_eq!(
                (&config["Driver"]["URL"], &config["Driver"]["IPAddress"]),
                (&url.into(), &"".into()),
                "{config}"
            );
            for words in [&["ls"][..], &["status", "farm"], &["inspect", "farm"], &["rm", "-y", "farm"]] {
                let run = home.in_store(program, words);
                assert_eq!(run.status, 0, "{url}: {words:?}: {}", run.stderr);
            }
        }
        // What can be no word at all is refused, and nothing is made.
        let home = Home::new();
        let run = home.in_store(program, &["create", "-d", "none", "--url", "tcp://a b", "farm"]);
        assert_eq!(run.status, 1, "{}", run.stderr);
        assert!(!home.store().join("machines/farm").exists());
    }
    // In a fleet file it is a mistake.
    let home = Home::new();
    let fleet = home.path().join("fleet.yaml");
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    fs::write(&fleet, "fleet: f\nhosts: { farm: { driver: none, url: localhost } }\n").unwrap();
    let run = home.in_store("machine", &["validate", fleet.to_str().unwrap()]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("`localhost` is not the URL of an engine"), "{}", run.stderr);
}

/// A store with a machine of a driver that this program does not have: docker-machine's own file, nothing of ours.
fn with_foreign(address: &str) -> Home {
    let home = Home::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/v3/machines/kvm/config.json");
    let text = fs::read_to_string(sample).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["Driver"]["IPAddress"] = address.into();
    home.write("machines/kvm/config.json", &config.to_string());
    home
}

#[test]
fn a_machine_of_an_unknown_driver_is_looked_at_or_it_is_said_that_it_cannot_be() {
    for (program, address, why) in [
        ("machine", "", "cannot be logged in to"),
        ("docker-machine", "", "cannot be logged in to"),
        // It is tried: the key that its record names is not there.
        ("machine", "127.0.0.1", "cannot use the key"),
    ] {
        let home = with_foreign(address);
        for command in ["provision", "upgrade"] {
            let run = home.in_store(program, &[command, "kvm"]);
            assert_eq!(run.status, 1, "{command}: {}{}", run.stdout, run.stderr);
            assert!(!run.stdout.contains("nothing to do"), "{command}: {}", run.stdout);
            if command == "provision" {
                assert!(run.stderr.contains(why), "{command}: {}", run.stderr);
            }
        }
    }
}

/// In config.json docker-machine must find a driver that it has; people are told the one there is.
#[test]
fn inspect_names_the_driver_that_ls_names() {
    let home = Home::new();
    crate::earlier::copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/earlier/records-in-kdl/stores/fleet"),
        home.store(),
    );
    let config = fs::read_to_string(home.store().join("machines/db/config.json")).unwrap();
    assert!(config.contains("\"DriverName\": \"generic\""), "{config}");
    for program in ["docker-machine", "machine"] {
        let run = home.in_store(program, &["inspect", "-f", "{{.DriverName}}", "db"]);
        assert_eq!((run.status, run.stdout.as_str()), (0, "nspawn\n"), "{}", run.stderr);
        let run = home.in_store(program, &["ls", "-t", "1", "--format", "{{.DriverName}}", "--filter", "name=db"]);
        assert_eq!((run.status, run.stdout.as_str()), (0, "nspawn\n"), "{}", run.stderr);
    }
}
