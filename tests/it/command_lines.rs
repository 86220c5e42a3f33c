//! What stands on a command line is for the program that reads it: no lock, history, message to another run or debug line
//! holds more of it than the command and names (C6).

use crate::canary::{Canary, none_below, none_in};
use crate::endings::until;
use crate::home::{Home, Run};
use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Stdio},
};

const CREATE: &[&str] = &["create", "-d", "none", "--url", "tcp://127.0.0.1:1", "web"];

/// On command lines and nowhere else.
const TOKEN: &str = "dop_v1_5ecretT0kenOfNobody7";

fn secrets() -> Vec<Canary> {
    vec![Canary::new(TOKEN)]
}

/// What a person asked to be recorded of a machine, with all that was said of it.
fn records(home: &Home, names: &[&str]) -> Vec<PathBuf> {
    let files = |name: &&str| ["record.json", "config.json"].map(|f| home.store().join("machines").join(name).join(f));
    names.iter().flat_map(files).collect()
}

/// Runs the program in the store, and sees that nothing it says holds a secret.
#[track_caller]
fn quiet(home: &Home, words: &[&str]) -> Run {
    let run = home.in_store("machine", words);
    none_in(&format!("what `{}` says", words[0]), format!("{}{}", run.stdout, run.stderr).as_bytes(), &secrets());
    run
}

#[track_caller]
fn nothing_kept(home: &Home, names: &[&str]) -> usize {
    let but = records(home, names);
    none_below(home.store(), &but.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &secrets())
}

fn started(home: &Home, words: &[&str]) -> Child {
    let mut command = home.command(env!("CARGO_BIN_EXE_machine"));
    command.arg("-s").arg(home.store()).args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The one lease that is held.
fn lease(home: &Home) -> PathBuf {
    let mut all = fs::read_dir(home.store().join("leases")).unwrap().map(|entry| entry.unwrap().path());
    all.find(|path| path.extension().is_some_and(|ending| ending == "json")).unwrap()
}

/// While it holds its lock, and after it was killed with it, a run is known by its command and names.
#[track_caller]
fn told_and_killed(home: &Home, mut run: Child, want: &str, refused: &[&str], names: &[&str]) {
    until("the lock", || home.in_store("machine", &["lock", "ls"]).stdout.contains(want));
    assert!(fs::read_to_string(lease(home)).is_ok_and(|text| text.contains("\"holder\"")));
    assert!(nothing_kept(home, names) > 1);
    let listed = quiet(home, &["lock", "ls"]);
    assert!(listed.stdout.contains(want), "{want}: {}", listed.stdout);
    let json = quiet(home, &["lock", "ls", "--json"]);
    assert!(json.stdout.contains(&format!("\"command\":\"{want}\"")), "{want}: {}", json.stdout);
    let other = quiet(home, refused);
    assert_eq!(other.status, 5, "{}", other.stderr);
    assert!(other.stderr.contains(&format!("`{want}`, since")), "{want}: {}", other.stderr);
    quiet(home, &["history"]);
    quiet(home, &["history", "--json"]);
    run.kill().unwrap();
    run.wait().unwrap();
    nothing_kept(home, names);
    quiet(home, &["lock", "ls"]);
}

/// A provider that takes connections and never answers: a run that asks it waits, with the lock.
#[test]
fn tokens_of_providers_are_told_to_nobody() {
    for (driver, words) in [
        ("digitalocean", &["--digitalocean-access-token", TOKEN, "--digitalocean-endpoint"][..]),
        (
            "amazonec2",
            &[
                "--amazonec2-access-key",
                "AKIA",
                "--amazonec2-secret-key",
                TOKEN,
                "--amazonec2-allow-cidr",
                "127.0.0.1/32",
                "--amazonec2-endpoint",
            ],
        ),
    ] {
        let home = Home::new();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let (env, mirror) = (format!("A={TOKEN}"), format!("https://u:{TOKEN}@mirror.example"));
        let engine = ["--engine-env", &env, "--engine-registry-mirror", &mirror];
        let run =
            started(&home, &[&["--debug", "create", "-d", driver][..], words, &[&url], &engine, &["web"]].concat());
        told_and_killed(&home, run, "create web", CREATE, &["web"]);
    }
}

/// It ends with the folder, for the runs that start it are killed.
const SLOW: &str = "touch started-$MACHINE_ACTION; while [ ! -e go ] && [ -e fleet.yaml ]; do sleep 0.1; done";

fn fleet(home: &Home) -> String {
    let hook = format!("{{ name: wait, run: '{SLOW} # {TOKEN}' }}");
    home.write(
        "../fleet.yaml",
        &format!(
            "fleet: shop\nvars: {{ token: none }}\nhosts:\n  a: {{ driver: none, url: 'tcp://127.0.0.1:1', hooks: {{ pre-create: [{hook}], pre-rm: [{hook}] }} }}\n"
        ),
    );
    home.path().join("fleet.yaml").display().to_string()
}

#[test]
fn an_apply_and_a_removal_are_told_by_their_names() {
    let home = Home::new();
    let fleet = fleet(&home);
    let given = format!("token={TOKEN}");
    let run = started(&home, &["--debug", "apply", "-y", "--var", &given, &fleet]);
    until("the hook", || home.path().join("started-create").exists());
    told_and_killed(&home, run, "apply shop", &["apply", "-y", "--var", "token=x", &fleet], &["a"]);
    home.write("../go", "");
    let made = home.in_store("machine", &["apply", "-y", "--var", &given, &fleet]);
    assert_eq!(made.status, 0, "{}", made.stderr);
    fs::remove_file(home.path().join("go")).unwrap();
    let tls = format!("--tls-ca-cert=/{TOKEN}/ca.pem");
    let run = started(&home, &["--debug", &tls, "rm", "-y", "a"]);
    until("the hook", || home.path().join("started-rm").exists());
    told_and_killed(&home, run, "rm a", &["stop", "a"], &["a"]);
    fs::remove_file(home.path().join("started-rm")).unwrap();
    let run = started(&home, &["destroy", "-y", "--allow-delete", "1", "--var", &given, &fleet]);
    // What the removal records of itself is written by then.
    until("the hook", || home.path().join("started-rm").exists());
    told_and_killed(&home, run, "destroy shop", &["rm", "-f", "a"], &["a"]);
}

/// A hook that fails is kept by its point and its end, not by its text.
#[test]
fn the_history_holds_no_text_of_a_hook() {
    let home = Home::new();
    home.write(
        "../fleet.yaml",
        &"fleet: shop\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1', hooks: { post-create: [{ run: 'exit 3 # TOKEN' }], pre-rm: [{ run: 'exit 4 # TOKEN' }] } }\n"
            .replace("TOKEN", TOKEN),
    );
    let fleet = home.path().join("fleet.yaml").display().to_string();
    assert_ne!(home.in_store("machine", &["apply", "-y", &fleet]).status, 0);
    assert_ne!(home.in_store("machine", &["rm", "-y", "a"]).status, 0);
    quiet(&home, &["history"]);
    let told = quiet(&home, &["history", "--json"]).stdout;
    assert!(told.contains("hook post-create failed with exit status 3"), "{told}");
    assert!(told.contains("hook pre-rm failed with exit status 4"), "{told}");
    nothing_kept(&home, &["a"]);
}

/// C21: a shell's number for a signal is told by the signal's name, to people and in the history.
#[test]
fn a_hook_that_was_killed_is_told_so() {
    let home = Home::new();
    home.write(
        "../fleet.yaml",
        "fleet: shop\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1', hooks: { post-create: [{ run: 'kill -9 $$' }] } }\n",
    );
    let fleet = home.path().join("fleet.yaml").display().to_string();
    let run = home.in_store("machine", &["apply", "-y", &fleet]);
    assert!(run.stderr.contains("`kill -9 $$` was ended by SIGKILL (exit status 137)"), "{}", run.stderr);
    let told = home.in_store("machine", &["history", "--json"]).stdout;
    assert!(told.contains("hook post-create was ended by SIGKILL"), "{told}");
}

/// Words for a host may be any.
#[test]
fn debug_tells_no_words_of_a_command_for_a_host() {
    let home = Home::new();
    home.none("web", "tcp://127.0.0.1:1");
    for words in [
        &["--debug", "ssh", "web", "mysql", &format!("-p{TOKEN}")][..],
        &["--debug", "ssh", "web", &format!("TOKEN={TOKEN} run")],
        &["--debug", "ls", "--filter", &format!("name={TOKEN}")],
    ] {
        quiet(&home, words);
    }
}

/// A lock of an earlier version holds a whole command line. It is honoured, and nothing of it is shown but the command.
#[test]
fn what_an_earlier_version_wrote_is_honoured_and_not_shown() {
    let home = Home::new();
    let fleet = fleet(&home);
    let mut run = started(&home, &["apply", "-y", &fleet]);
    until("the hook", || home.path().join("started-create").exists());
    // The same run, as if it were one of an earlier version: its lock, and the file that says that it lives.
    let lease = lease(&home);
    let mut taking: serde_json::Value = serde_json::from_str(&fs::read_to_string(&lease).unwrap()).unwrap();
    let mut taking = taking["taking"].take();
    let alive = format!("alive-{}", taking["id"].as_str().unwrap());
    let folder = home.store().join("fleets/shop");
    fs::create_dir_all(&folder).unwrap();
    fs::hard_link(lease.with_file_name(&alive), folder.join(&alive)).unwrap();
    let holder = taking["holder"].as_object_mut().unwrap();
    holder.remove("names");
    holder.remove("more");
    holder["command"] = format!("machine -s /x apply -y --var token={TOKEN} fleet.yaml").into();
    let lock = serde_json::json!({ "token": 1, "held": taking }).to_string();
    #[expect(clippy::disallowed_methods, reason = "as an earlier version wrote it")]
    fs::write(folder.join("lock"), lock).unwrap();
    fs::remove_file(&lease).unwrap();
    let other = quiet(&home, &["apply", "-y", &fleet]);
    assert!(other.status == 5 && other.stderr.contains("`apply`, since"), "{}", other.stderr);
    assert!(quiet(&home, &["lock", "ls"]).stdout.contains("apply"));
    quiet(&home, &["lock", "ls", "--json"]);
    run.kill().unwrap();
    run.wait().unwrap();
}
