//! What users type and read: the real binary, in a home and a store of its own.

use crate::{
    home::{Home, available, shown},
    http_engine,
    skip::skipped,
};
use std::fmt::Write as _;

#[test]
fn help_of_the_program() {
    let home = Home::new();
    let run = home.machine(&["--help"]);
    assert_eq!(run.status, 0);
    insta::assert_snapshot!("help", run.stdout);
    for same in [&[][..], &["help"], &["-h"], &["h"]] {
        assert_eq!(home.machine(same).stdout, run.stdout, "{same:?}");
    }
}

#[test]
fn help_of_each_command() {
    let home = Home::new();
    let mut all = String::new();
    for command in ["active", "config", "env", "inspect", "ip", "ls", "rm", "ssh", "start", "status", "url", "version"]
    {
        let run = home.machine(&[command, "--help"]);
        assert_eq!(run.status, 0, "{command}");
        assert_eq!(home.machine(&["help", command]).stdout, run.stdout, "{command}");
        writeln!(all, "$ machine {command} --help\n{}", run.stdout).unwrap();
    }
    insta::assert_snapshot!("help_of_each_command", all);
}

/// The zsh completion made for docker-machine reads the block after `Commands:`.
#[test]
fn in_docker_machines_place_help_has_its_heading() {
    let run = Home::new().docker_machine(&[]);
    assert!(run.stdout.starts_with("Usage: docker-machine [OPTIONS] COMMAND [arg...]\n"), "{}", run.stdout);
    assert!(run.stdout.contains("\nCommands:\n  active\t"), "{}", run.stdout);
}

#[test]
fn the_version_is_in_docker_machines_form() {
    let home = Home::new();
    let want = format!("docker-machine version 0.16.2, build machine-{}\n", env!("CARGO_PKG_VERSION"));
    for words in [&["--version"][..], &["-v"], &["version"]] {
        let run = home.docker_machine(words);
        assert_eq!((run.status, run.stdout), (0, want.clone()), "{words:?}");
    }
}

#[test]
fn unknown_commands_are_refused_in_docker_machines_words() {
    let home = Home::new();
    let run = home.docker_machine(&["bogus"]);
    let argv0 = home.docker_machine_path().display().to_string();
    let want = format!("docker-machine: 'bogus' is not a docker-machine command. See '{argv0} --help'.\n");
    assert_eq!((run.status, run.stdout.as_str(), run.stderr), (1, "", want.clone()));
    assert_eq!(home.docker_machine(&["help", "bogus"]).stderr, want);
}

/// The function for `use` must be loaded first; who did not is told how.
#[test]
fn use_without_its_function_says_how_to_get_it() {
    let run = Home::new().machine(&["use", "web-1"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("machine shell-init bash"), "{}", run.stderr);
}

/// 2 means "changes are pending", so what cannot be read must not end with it, as clap has it.
#[test]
fn unknown_options_are_an_error() {
    let run = Home::new().machine(&["ls", "--bogus"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.starts_with("error: unexpected argument '--bogus'"), "{}", run.stderr);
}

#[test]
fn an_empty_store_is_listed_and_not_made() {
    let home = Home::new();
    let run = home.docker_machine(&["ls"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout, "NAME   ACTIVE   DRIVER   STATE   URL   SWARM   DOCKER   ERRORS\n");
    assert_eq!(home.docker_machine(&["ls", "-q"]).stdout, "");
    assert!(!home.default_store().exists(), "nothing is made by looking");
}

#[test]
fn the_store_is_where_it_is_said_to_be() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    let store = home.store().display().to_string();
    for words in [
        &["-s", &store, "ls", "-q"][..],
        &["--storage-path", &store, "ls", "-q"],
        &["-storage-path", &store, "ls", "-quiet"],
    ] {
        assert_eq!(home.machine(words).stdout, "web-1\n", "{words:?}");
    }
    assert_eq!(home.run("machine", &["ls", "-q"], &[("MACHINE_STORAGE_PATH", &store)], "").stdout, "web-1\n");
    // An empty variable is no variable.
    assert_eq!(home.run("machine", &["ls", "-q"], &[("MACHINE_STORAGE_PATH", "")], "").stdout, "");
}

#[test]
fn an_unknown_machine_is_told_in_the_words_of_the_program_that_was_called() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    let want = "Docker machine \"nope\" does not exist. Use \"docker-machine ls\" to list machines. \
                Use \"docker-machine create\" to add a new one.";
    for command in
        ["config", "env", "inspect", "ip", "kill", "restart", "ssh", "start", "status", "stop", "url", "version"]
    {
        let run = home.in_store("docker-machine", &[command, "nope"]);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr), (1, "", format!("{want}\n")), "{command}");
        let run = home.in_store("machine", &[command, "nope"]);
        let own = "error: machine \"nope\" does not exist\n  help: see which machines there are:\n      machine ls\n";
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (1, "", own), "{command}");
    }
    let run = home.in_store("docker-machine", &["rm", "-y", "nope"]);
    assert_eq!((run.status, run.stderr), (1, format!("Error removing host \"nope\": {want}\n")));
}

/// A name that is a path names nothing, least of all the folder of certificates.
#[test]
fn no_name_leads_out_of_the_store() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    home.write("certs/ca.pem", "keep");
    for name in ["../certs", "", "..", ".", "/etc", "web-1/.."] {
        for words in [&["rm", "-y", name][..], &["rm", "-f", name], &["inspect", name], &["env", name]] {
            let run = home.in_store("machine", words);
            assert!(run.stderr.contains("does not exist"), "{words:?}: {}", run.stderr);
        }
    }
    assert_eq!(home.in_store("machine", &["ls", "-q"]).stdout, "web-1\n");
    assert!(home.store().join("certs/ca.pem").exists());
}

#[test]
fn names_are_asked_for_as_docker_machine_asks() {
    let home = Home::new();
    for (words, want) in [
        (&["ip"][..], "Error: No machine name(s) specified and no \"default\" machine exists"),
        (&["env"], "Error: No machine name(s) specified and no \"default\" machine exists"),
        (&["status", "a", "b"], "Error: Expected one machine name as an argument"),
        (&["inspect", "a", "b"], "Error: Expected one machine name as an argument"),
        (&["version", "a", "b"], "Error: Expected one machine name as an argument"),
        (&["rm"], "Error: Expected to get one or more machine names as arguments"),
        (&["active", "a"], "Error: Too many arguments given"),
        (&["env", "-u", "a"], "Error: Expected no machine name when the -u flag is present"),
    ] {
        let run = home.in_store("docker-machine", words);
        assert_eq!((run.status, run.stderr), (1, format!("{want}\n")), "{words:?}");
    }
}

#[test]
fn default_is_meant_when_no_name_is_given() {
    let home = Home::new();
    home.none("default", "tcp://192.0.2.10:2376");
    for (command, want) in [("ip", "192.0.2.10:2376\n"), ("url", "tcp://192.0.2.10:2376\n"), ("status", "Running\n")] {
        let run = home.in_store("docker-machine", &[command]);
        assert_eq!((run.status, run.stdout.as_str()), (0, want), "{command}");
    }
}

/// Pain 27: the errors of all machines are told, and none is acted on when one cannot be read.
#[test]
fn nothing_is_begun_when_one_machine_cannot_be_read() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    let run = home.in_store("docker-machine", &["ip", "nope", "web-1", "neither"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.lines().count()), (1, "", 2), "{}", run.stderr);
}

#[test]
fn hosts_without_a_driver_cannot_be_switched() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    for (command, said, want) in [
        ("start", "Starting \"web-1\"...\n", "Machine \"web-1\" is already running.\n"),
        ("stop", "Stopping \"web-1\"...\n", "hosts without a driver cannot be stopped\n"),
        ("kill", "Killing \"web-1\"...\n", "hosts without a driver cannot be killed\n"),
        ("restart", "Restarting \"web-1\"...\n", "hosts without a driver cannot be restarted\n"),
    ] {
        let run = home.in_store("docker-machine", &[command, "web-1"]);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (1, said, want), "{command}");
    }
}

#[test]
fn the_active_machine_is_the_one_docker_host_names() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.1:2376");
    home.none("web-2", "tcp://192.0.2.2:2376");
    let store = home.store().display().to_string();
    let active = |value: &str| home.run("docker-machine", &["-s", &store, "active"], &[("DOCKER_HOST", value)], "");
    assert_eq!(active("tcp://192.0.2.2:2376").stdout, "web-2\n");
    let run = active("tcp://192.0.2.9:2376");
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (1, "", "No active host found\n"));
}

#[test]
fn env_speaks_the_language_of_each_shell() {
    let home = Home::new();
    let engine = http_engine::start("28.2.2");
    home.none("default", &engine.url());
    let store = home.store().display().to_string();
    let mut all = String::new();
    for shell in ["bash", "zsh", "fish", "tcsh", "powershell", "cmd", "emacs"] {
        for words in [&["env", "--shell", shell, "--no-proxy"][..], &["env", "--shell", shell, "-u", "--no-proxy"]] {
            let run = home.in_store("docker-machine", words);
            assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{words:?}");
            write!(all, "$ docker-machine {}\n{}", words.join(" "), shown(&run.stdout)).unwrap();
        }
    }
    let binary = home.docker_machine_path().display().to_string();
    insta::with_settings!({filters => vec![
        (engine.port(), "PORT"),
        (&*regex_escaped(&store), "STORE"),
        (&*regex_escaped(&binary), "docker-machine"),
    ]}, { insta::assert_snapshot!("env", all) });
}

#[test]
fn env_detects_the_shell() {
    let home = Home::new();
    let unset = |shell: &str| home.run("docker-machine", &["env", "-u"], &[("SHELL", shell)], "");
    assert!(unset("/usr/bin/fish").stdout.starts_with("set -e DOCKER_TLS_VERIFY;\n"));
    assert!(unset("/bin/zsh").stdout.starts_with("unset DOCKER_TLS_VERIFY\n"));
    let run = unset("");
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (1, "", "Error: Unknown shell\n"));
    // Under our own name, what CI has is enough: no $SHELL, and a shell like sh.
    let run = home.run("machine", &["env", "-u"], &[("SHELL", "")], "");
    assert!(run.status == 0 && run.stdout.starts_with("unset DOCKER_TLS_VERIFY\n"), "{}", run.stderr);
}

/// What is meant for `eval` is all there or not there at all (docker-machine: dm#4662, exit 0 for an unknown host).
#[test]
fn env_of_an_engine_that_does_not_answer_prints_nothing() {
    let home = Home::new();
    home.none("web-1", "tcp://127.0.0.1:1");
    let run = home.in_store("docker-machine", &["env", "--shell", "sh", "web-1"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    let start = "Error checking TLS connection: Error checking and/or regenerating the certs: \
                 There was an error validating certificates for host \"127.0.0.1:1\": ";
    assert!(run.stderr.starts_with(start), "{}", run.stderr);
    assert!(
        run.stderr.contains("\nYou can attempt to regenerate them using 'docker-machine regenerate-certs [name]'.\n")
    );
    assert_eq!(home.in_store("docker-machine", &["config", "web-1"]).stdout, "");
}

#[test]
fn config_is_five_lines() {
    let home = Home::new();
    let engine = http_engine::start("28.2.2");
    home.none("web-1", &engine.url());
    let store = home.store().display().to_string();
    let want = format!(
        "--tlsverify\n--tlscacert=\"{store}/machines/web-1/ca.pem\"\n--tlscert=\"{store}/machines/web-1/cert.pem\"\n\
         --tlskey=\"{store}/machines/web-1/key.pem\"\n-H={}\n",
        engine.url()
    );
    assert_eq!(home.in_store("docker-machine", &["config", "web-1"]).stdout, want);
}

/// Real shells read what `env` prints for a store whose path is made to break out, and only set variables. Twice: once
/// as people do, once from a file, with the hostile path in the hint that repeats the command line as well.
#[test]
fn shells_read_back_the_values_and_run_nothing() {
    let engine = http_engine::start("28.2.2");
    for name in HOSTILE {
        let home = Home::with_store(name);
        home.none("default", &engine.url());
        let want = home.store().join("machines/default").display().to_string();
        for (shell, eval, file) in [
            ("sh", "eval \"$($M)\"", ". ./lines"),
            ("bash", "eval \"$($M)\"", ". ./lines"),
            ("zsh", "eval \"$(${=M})\"", ". ./lines"),
            ("fish", "eval (eval $M | string collect)", "source lines"),
            ("tcsh", "$M > evaluated; source evaluated", "source lines"),
        ] {
            if !available(shell) {
                skipped(format_args!("{shell} is not installed"));
                continue;
            }
            let printed = home.in_store("docker-machine", &["env", "--shell", shell, "default"]);
            #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
            std::fs::write(home.path().join("lines"), &printed.stdout).unwrap();
            let value = if shell == "tcsh" { "\"$DOCKER_CERT_PATH:q\"" } else { "\"$DOCKER_CERT_PATH\"" };
            for script in [eval, file] {
                let run = home.shell(shell, &format!("{script}; printf '%s' {value}"));
                assert_eq!(
                    (run.stdout.as_str(), run.stderr.as_str()),
                    (want.as_str(), ""),
                    "{shell}: {script}: {name}"
                );
                assert!(!home.path().join("pwned").exists(), "{shell}: {script}: {name}");
            }
        }
    }
}

const HOSTILE: [&str; 13] = [
    "plain",
    "two words",
    "a'b",
    "a\"b",
    "$(touch pwned)",
    "`touch pwned`",
    "$HOME",
    "a\\b",
    "!x",
    "a;touch pwned",
    "a\ntouch pwned",
    "*",
    "é“x",
];

#[test]
fn inspect_prints_the_document_as_docker_machine_writes_it() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    let run = home.in_store("docker-machine", &["inspect", "web-1"]);
    assert!(
        run.stdout.starts_with("{\n    \"ConfigVersion\": 3,\n    \"Driver\": {\n        \"IPAddress\""),
        "{}",
        run.stdout
    );
    let format = |format: &str| home.in_store("docker-machine", &["inspect", "-f", format, "web-1"]).stdout;
    assert_eq!(format("{{.Driver.URL}}"), "tcp://192.0.2.10:2376\n");
    assert_eq!(format("{{json .HostOptions.EngineOptions.Labels}}"), "[]\n");
    assert_eq!(home.in_store("docker-machine", &["inspect", "web-1", "-f", "{{.Nope}}"]).stdout, "<no value>\n");
}

#[test]
fn templates_of_documents_are_gos() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    let inspect = |format: &str| {
        let run = home.in_store("docker-machine", &["inspect", "web-1", "-f", format]);
        (run.status, run.stdout, run.stderr)
    };
    for (format, want) in [
        ("{{index .Driver \"URL\"}}", "tcp://192.0.2.10:2376\n"),
        (
            "{{range $k, $v := .HostOptions.SwarmOptions}}{{$k}} {{end}}",
            "Address Agent ArbitraryFlags ArbitraryJoinFlags Discovery Env Heartbeat Host Image IsExperimental IsSwarm Master Overcommit Strategy \n",
        ),
        ("{{with .Driver}}{{.MachineName}}{{end}}\\n", "web-1\\n\n"),
        ("{{prettyjson .HostOptions.EngineOptions.Labels}}", "[]\n"),
    ] {
        assert_eq!(inspect(format), (0, want.to_owned(), String::new()), "{format}");
    }
    for (format, stdout, stderr) in [
        ("{{.Name", "", "template parsing error: template: :1: unclosed action\n"),
        (
            "{{.Nope.X}} {{.Name.X}}",
            "<no value> ",
            "template: :1:19: executing \"\" at <.Name.X>: can't evaluate field X in type interface {}\n",
        ),
    ] {
        assert_eq!(inspect(format), (1, stdout.to_owned(), stderr.to_owned()), "{format}");
    }
    let run = home.in_store("machine", &["inspect", "web-1", "--json"]);
    let ours: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&ours["version"], &ours["machine"]["driver"]), (&1.into(), &"none".into()));
    assert_eq!(ours["url"], "tcp://192.0.2.10:2376");
}

#[test]
fn version_of_a_machine_is_its_engines() {
    let home = Home::new();
    let engine = http_engine::start("28.2.2");
    home.none("web-1", &engine.url());
    assert_eq!(home.in_store("docker-machine", &["version", "web-1"]).stdout, "28.2.2\n");
}

/// Pain 27: no question without a terminal.
#[test]
fn rm_without_a_terminal_needs_to_be_told() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    let store = home.store().display().to_string();
    let run = home.run("machine", &["-s", &store, "rm", "web-1"], &[], "y\n");
    assert_eq!(run.status, 6, "{}", run.stderr);
    assert!(run.stderr.contains("`-y`"), "{}", run.stderr);
    // In docker-machine's place the answer is read from wherever it comes: scripts pipe it in.
    for no in ["", "n\n", "y please\n"] {
        let run = home.run("docker-machine", &["-s", &store, "rm", "web-1"], &[], no);
        assert_eq!(run.status, 0, "{no:?}");
        assert!(run.stdout.ends_with("Are you sure? (y/n): "), "{}", run.stdout);
    }
    assert_eq!(home.in_store("machine", &["ls", "-q"]).stdout, "web-1\n");
    let run = home.run("docker-machine", &["-s", &store, "rm", "web-1"], &[], "y\n");
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (
            0,
            "About to remove web-1\nWARNING: This action will delete both local reference and remote instance.\n\
             Are you sure? (y/n): Successfully removed web-1\n"
        )
    );
    assert!(!home.store().join("machines/web-1").exists());
}

#[test]
fn rm_goes_on_after_a_failure_and_force_succeeds() {
    let home = Home::new();
    home.none("web-1", "tcp://192.0.2.10:2376");
    home.none("web-2", "tcp://192.0.2.10:2376");
    home.config("alien", "softlayer", r#"{"IPAddress": "192.0.2.7", "MachineName": "alien"}"#, "{}");
    let run = home.in_store("docker-machine", &["rm", "-y", "web-1", "alien", "web-2"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.starts_with("Error removing host \"alien\": Driver \"softlayer\" not found."), "{}", run.stderr);
    assert_eq!(home.in_store("machine", &["ls", "-q"]).stdout, "alien\n", "what could be removed is");
    let run = home.in_store("docker-machine", &["rm", "-f", "alien", "nope"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(home.in_store("machine", &["ls", "-q"]).stdout, "");
}

/// `machine ls | head -1` must not end in a panic or a complaint.
#[test]
fn a_reader_that_leaves_is_no_error() {
    let home = Home::new();
    for n in 0..50 {
        home.none(&format!("web-{n}"), "tcp://192.0.2.10:2376");
    }
    let run = home.without_reader(&["ls", "-q"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
}

/// For filters of snapshots.
pub(crate) fn regex_escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_alphanumeric() { vec![c] } else { vec!['\\', c] }).collect()
}

/// A misspelt command, and a misspelt word behind one that has some, is answered with what was meant.
#[test]
fn what_was_meant_is_told() {
    let home = Home::new();
    for (words, want) in [
        (&["aply"][..], "did you mean `apply`?\n      machine apply --help"),
        (&["remove"], "did you mean `rm`?"),
        (&["lock", "braek", "shop"], "did you mean `lock break`? as in:"),
        (&["snapshot", "craete", "web"], "did you mean `snapshot create`? as in:"),
    ] {
        let run = home.in_store("machine", words);
        assert_eq!(run.status, 1, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(want), "{words:?}: {}", run.stderr);
    }
    // A word that is known is not what is wrong.
    for words in [&["lock", "break"][..], &["snapshot", "create"], &["kubernetes"]] {
        let run = home.in_store("machine", words);
        assert!(run.status == 1 && !run.stderr.contains("did you mean"), "{words:?}: {}", run.stderr);
    }
}
