//! Words about certificates, as people and scripts read them.

use crate::plain;
use crate::{home::Home, http_engine};
use machine::{clock::FixedClock, record::auth::AuthFiles, store::authority, tls};
use std::fs;

/// Word for word what docker-machine 0.16 prints, the empty line at the end included.
#[test]
fn an_engine_that_does_not_answer_is_told_in_docker_machines_words() {
    let home = Home::new();
    home.none("web-1", "tcp://127.0.0.1:1");
    for (command, doing) in
        [("env", "Error checking TLS connection"), ("config", "Error running connection boilerplate")]
    {
        let run = home.in_store("docker-machine", &[command, "web-1"]);
        let want = format!(
            "{doing}: Error checking and/or regenerating the certs: There was an error validating certificates for host \
             \"127.0.0.1:1\": dial tcp 127.0.0.1:1: connect: connection refused\n\
             You can attempt to regenerate them using 'docker-machine regenerate-certs [name]'.\n\
             Be advised that this will trigger a Docker daemon restart which might stop running containers.\n\n"
        );
        assert_eq!((run.status, run.stdout.as_str(), run.stderr), (1, "", want));
        let run = home.in_store("machine", &[command, "web-1"]);
        assert!(!run.stderr.contains("docker-machine"), "{}", run.stderr);
    }
}

/// docker-machine makes no copies for driver `none`, and its `env` names files that are not there.
#[test]
fn env_and_config_name_files_that_are_there() {
    let engine = http_engine::start("28.2.2");
    for command in ["env", "config"] {
        let home = Home::new();
        home.none("default", &engine.url());
        // Without certificates anywhere the engine is asked without, and so must docker clients.
        let run = home.in_store("machine", &[command, "--shell", "sh"][..if command == "env" { 3 } else { 1 }]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert!(!run.stdout.contains("export DOCKER_TLS_VERIFY") && !run.stdout.contains("--tls"), "{}", run.stdout);
        assert!(run.stdout.contains(&engine.url()));
    }
}

#[test]
fn what_is_not_answered_changes_nothing() {
    let home = Home::new();
    home.none("web-1", "tcp://127.0.0.1:1");
    let store = home.store().display().to_string();
    let question = "Regenerate TLS machine certs?  Warning: this is irreversible. (y/n): ";
    for (input, status, said) in
        [("n\n", 0, ""), ("", 1, "EOF\n"), ("\n", 1, "unexpected newline\n"), ("y please\n", 1, "expected newline\n")]
    {
        let run = home.run("docker-machine", &["-s", &store, "regenerate-certs", "web-1"], &[], input);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (status, question, said), "{input:?}");
    }
    let run = home.in_store("machine", &["regenerate-certs", "web-1"]);
    assert_eq!(run.status, 6, "{}", run.stderr);
    assert!(!home.store().join("certs").exists());
}

#[test]
fn certificates_of_a_host_that_nobody_can_log_in_to_are_left_to_its_owner() {
    let home = Home::new();
    home.none("web-1", "tcp://127.0.0.1:1");
    for program in ["machine", "docker-machine"] {
        let run = home.in_store(program, &["regenerate-certs", "-f", "web-1"]);
        assert_eq!((run.status, run.stdout.as_str()), (1, "Regenerating TLS certificates\n"));
        assert!(run.stderr.contains("`web-1`: driver `none` cannot log in to the host"), "{}", run.stderr);
    }
    let run = home.in_store("docker-machine", &["regenerate-certs", "-f", "web-1", "nope"]);
    assert!(run.status == 1 && run.stderr.starts_with("Docker machine \"nope\" does not exist."), "{}", run.stderr);
}

/// What `--client-certs` makes is where the machine's config.json says, and its copy where docker clients look.
#[test]
fn a_client_certificate_of_ones_own_is_renewed_where_it_lies() {
    let home = Home::new();
    let dir = home.path().join("pki");
    let file = |name: &str| dir.join(name);
    let files = AuthFiles {
        ca_cert: file("ca.crt"),
        ca_key: file("ca.key"),
        client_cert: file("me.crt"),
        client_key: file("me.key"),
    };
    let store = plain::folder(home.store());
    // Now, by the clock of this computer: a certificate from the past would be renewed in any case.
    let now = machine::clock::Clock::now(&machine::clock::SystemClock);
    plain::now(authority::ensure(&store, &files, &FixedClock(now))).unwrap();
    let paths = serde_json::json!({"AuthOptions": {
        "CaCertPath": files.ca_cert, "CaPrivateKeyPath": files.ca_key,
        "ClientCertPath": files.client_cert, "ClientKeyPath": files.client_key,
    }});
    home.config("web-1", "none", r#"{"URL": "tcp://127.0.0.1:1", "IPAddress": "127.0.0.1:1"}"#, &paths.to_string());
    let before = fs::read_to_string(&files.client_cert).unwrap();
    let run = home.in_store("docker-machine", &["regenerate-certs", "-f", "--client-certs", "web-1"]);
    let want = format!(
        "Regenerating TLS certificates\nRegenerating local certificates\nCreating client certificate: {}\n",
        files.client_cert.display()
    );
    assert_eq!((run.status, run.stdout), (1, want), "{}", run.stderr);
    let after = fs::read_to_string(&files.client_cert).unwrap();
    assert_ne!(after, before);
    tls::check_pair(&after, &fs::read_to_string(&files.client_key).unwrap()).unwrap();
    assert!(!home.store().join("certs/ca.pem").exists());
}
