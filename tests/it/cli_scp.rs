//! `scp` and `mount` with real OpenSSH servers on loopback.
//!
//! Without `sshd`, `scp`, `rsync`, `sshfs` or /dev/fuse the tests that need them say `SKIPPED` and why.

use crate::{
    home::{Home, Run},
    hosts::{self, SFTP, add, change, installed, instance, stand_in, start, words},
    skip::skipped,
    sshd::{self, Server},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

#[track_caller]
fn done(run: &Run) {
    assert_eq!(run.status, 0, "{run:?}");
}

#[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// All below a folder, with what is in it.
fn tree(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A home with a machine, and a folder that is "there"; it is on this computer like everything.
fn with_machine() -> Option<(Home, Server, PathBuf)> {
    let home = Home::with_store("the store's");
    let server = start(&home, "web-1")?;
    let there = home.path().join("there");
    fs::create_dir(&there).unwrap();
    (installed("scp") && installed("ssh")).then_some((home, server, there))
}

#[test]
fn files_of_any_name_go_there_and_come_back() {
    let Some((home, _server, there)) = with_machine() else { return };
    let at = there.display();
    for (name, local, escaped) in [
        ("plain", "plain", "plain"),
        ("a  b", "a  b", "a  b"),
        ("it's \"q\"", "it's \"q\"", "it's \"q\""),
        ("ü$HOME`x`;&", "ü$HOME`x`;&", "ü$HOME`x`;&"),
        ("a:b", "./a:b", "a:b"),
        ("c:d", "localhost:c:d", "c:d"),
        ("star*[x]?", "star*[x]?", r"star\*\[x\]\?"),
    ] {
        write(&home.path().join(name), name);
        fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o700)).unwrap();
        done(&home.in_store("machine", &["scp", "-q", local, &format!("web-1:{at}/x")]));
        assert_eq!((text(&there.join("x")).as_str(), mode(&there.join("x"))), (name, 0o700), "{name}");
        fs::rename(there.join("x"), there.join(name)).unwrap();
        done(&home.in_store("docker-machine", &["scp", &format!("web-1:{at}/{escaped}"), "back"]));
        assert_eq!(
            (text(&home.path().join("back")).as_str(), mode(&home.path().join("back"))),
            (name, 0o700),
            "{name}"
        );
        fs::remove_file(home.path().join("back")).unwrap();
    }
    // An option is none behind `--`.
    write(&home.path().join("-r"), "dash");
    done(&home.in_store("machine", &["scp", "--", "-r", &format!("web-1:{at}/-r")]));
    assert_eq!(text(&there.join("-r")), "dash");
}

#[test]
fn folders_and_wildcards_are_copied() {
    let Some((home, _server, there)) = with_machine() else { return };
    let (at, from) = (there.display(), home.path().join("tree"));
    write(&from.join("a.txt"), "a");
    write(&from.join("deep/b.txt"), "b");
    symlink("a.txt", from.join("link")).unwrap();
    done(&home.in_store("machine", &["scp", "-r", "tree", &format!("web-1:{at}")]));
    assert_eq!(tree(&there.join("tree")).len(), 3);
    done(&home.in_store("machine", &["scp", "--recursive", &format!("web-1:{at}/tree"), "back"]));
    assert_eq!(text(&home.path().join("back/deep/b.txt")), "b");
    assert_eq!(text(&home.path().join("back/link")), "a", "links are followed");
    let refused = home.in_store("machine", &["scp", &format!("web-1:{at}/tree"), "flat"]);
    assert_eq!((refused.status, home.path().join("flat").exists()), (1, false), "{}", refused.stderr);

    fs::create_dir(home.path().join("into")).unwrap();
    write(&there.join("c.txt"), "c");
    write(&there.join("d.txt"), "d");
    done(&home.in_store("machine", &["scp", &format!("web-1:{at}/*.txt"), "into"]));
    let names: Vec<String> = tree(&home.path().join("into"))
        .iter()
        .map(|(path, _)| path.file_name().unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["c.txt", "d.txt"]);
}

/// Each machine has its own port, key, and host key.
#[test]
fn machines_copy_to_each_other_through_us() {
    let Some((home, _one, there)) = with_machine() else { return };
    let key = home.path().join("a key's");
    sshd::new_key(&key, "ed25519", "");
    let two = Server::start_for(SFTP, Some(&key)).expect("the first one could be started");
    add(&home, "web-2", two.target().ssh);
    let at = there.display();
    write(&there.join("x"), "content");
    done(&home.in_store("machine", &["scp", &format!("web-1:{at}/x"), &format!("web-2:{at}/y")]));
    assert_eq!(text(&there.join("y")), "content");
    done(&home.in_store("docker-machine", &["scp", "-q", &format!("web-2:{at}/y"), &format!("web-1:{at}/z")]));
    assert_eq!(text(&there.join("z")), "content");
    done(&home.in_store("machine", &["scp", &format!("web-2:{at}/y"), &format!("web-2:{at}/a b")]));
    assert_eq!(text(&there.join("a b")), "content");
    for name in ["web-1", "web-2"] {
        assert_eq!(instance(&home, name).host_keys.len(), 1, "{name} was pinned");
    }
    assert!(two.logins() >= 3, "{}", two.log());
    let wrong = two.host_key("rsa").replace("AAAAB3", "AAAAB4");
    change(&home, "web-2", |instance| instance.host_keys = vec![wrong]);
    let run = home.in_store("machine", &["scp", &format!("web-2:{at}/y"), "no"]);
    assert_eq!((run.status, home.path().join("no").exists()), (255, false), "{}", run.stderr);
}

#[test]
fn another_user_can_be_named() {
    let Some((home, _server, there)) = with_machine() else { return };
    write(&there.join("x"), "content");
    let path = there.join("x").display().to_string();
    done(&home.in_store("machine", &["scp", &format!("{}@web-1:{path}", sshd::user()), "mine"]));
    let run = home.in_store("machine", &["scp", &format!("nobody-{}@web-1:{path}", sshd::user()), "theirs"]);
    assert_eq!((run.status, home.path().join("theirs").exists()), (255, false));
    assert!(run.stderr.contains("Permission denied"), "{}", run.stderr);
}

/// What is cut off leaves neither a half file under the name that was asked for, nor anything else.
#[test]
fn a_copy_that_fails_leaves_what_was_there() {
    let home = Home::new();
    let Some(_server) = start(&home, "web-1") else { return };
    write(&home.path().join("dir/old"), "old");
    let at = home.store().display().to_string();
    let copy = |to: &str, script: &str| {
        let bin = stand_in(&home, "scp", script);
        home.run("machine", &["-s", &at, "scp", "web-1:/x", to], &[("PATH", &format!("{bin}:/usr/bin:/bin"))], "")
    };
    for (to, half) in [("dir/old", "$last"), ("dir", "$last/old"), ("dir/new", "$last")] {
        let script = format!("for last; do :; done; echo half > \"{half}\"");
        assert_eq!(copy(to, &format!("{script}; exit 255")).status, 255, "{to}");
        assert_eq!(copy(to, &format!("{script}; kill -9 $$")).status, 137, "{to}");
        assert_eq!(tree(&home.path().join("dir")), [(home.path().join("dir/old"), "old".to_owned())], "{to}");
        assert_eq!(fs::read_dir(home.path().join("dir")).unwrap().count(), 1, "{to}: nothing is left");
    }
    done(&copy("dir/old", "for last; do :; done; echo whole > \"$last\""));
    assert_eq!(text(&home.path().join("dir/old")), "whole\n");
    assert_eq!(fs::read_dir(home.path().join("dir")).unwrap().count(), 1);
}

#[test]
fn only_what_differs_is_sent_by_rsync() {
    let Some((home, _server, there)) = with_machine() else { return };
    if !installed("rsync") {
        return;
    }
    let at = there.display();
    write(&home.path().join("tree/a b"), "content");
    write(&home.path().join("x:y"), "colon");
    let run = home.in_store("machine", &["scp", "-d", "-r", "tree", &format!("web-1:{at}")]);
    done(&run);
    assert!(run.stdout.contains("100%"), "{run:?}");
    assert_eq!(text(&there.join("tree/a b")), "content");
    let run = home.in_store("docker-machine", &["scp", "-q", "--delta", &format!("web-1:{at}/tree/a b"), "back"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    assert_eq!(text(&home.path().join("back")), "content");
    done(&home.in_store("machine", &["scp", "-d", "-q", "localhost:x:y", &format!("web-1:{at}/xy")]));
    assert_eq!(text(&there.join("xy")), "colon");
    let run = home.in_store("machine", &["scp", "-d", "web-1:/x", "web-1:/y"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("rsync cannot copy from one machine to another"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_begun_is_refused_in_docker_machines_words() {
    let home = Home::new();
    let Some(server) = start(&home, "web-1") else { return };
    let at = home.store().display().to_string();
    let said = |words: &[&str], path: &str| {
        let run = home.run("docker-machine", &[&["-s", &at], words].concat(), &[("PATH", path)], "");
        assert_eq!(run.status, 1, "{words:?}: {run:?}");
        (run.stdout, run.stderr)
    };
    for (words, want) in [
        (&["scp", "web-1:/x", "y"][..], "You must have a copy of the scp binary locally to use the scp feature\n"),
        (
            &["scp", "-d", "web-1:/x", "y"],
            "You must have a copy of the rsync binary locally to use the --delta option\n",
        ),
        (&["mount", "web-1:/x"], "You must have a copy of the sshfs binary locally to use the mount feature\n"),
        (
            &["mount", "-u", "web-1:/x"],
            "You must have a copy of the fusermount binary locally to use the unmount option\n",
        ),
    ] {
        assert_eq!(said(words, "/nowhere"), (String::new(), want.to_owned()), "{words:?}");
    }
    for words in [&["scp", "x"][..], &["scp"], &["scp", "a", "b", "c"], &["mount"], &["mount", "a", "b", "c"]] {
        let (stdout, stderr) = said(words, "/usr/bin:/bin");
        assert!(stdout.contains(&format!("Usage: docker-machine {}", words[0])), "{words:?}: {stdout}");
        assert_eq!(stderr, "Improper number of arguments\n", "{words:?}");
    }
    let bin = ["scp", "sshfs"].map(|program| stand_in(&home, program, "exit 0"))[0].clone();
    let absent = "Error loading host: Docker machine \"nope\" does not exist. Use \"docker-machine ls\" to list \
                  machines. Use \"docker-machine create\" to add a new one.\n";
    for words in [&["scp", "nope:x", "y"][..], &["scp", "y", "nope:x"], &["mount", "nope:/x"]] {
        assert_eq!(said(words, &bin).1, absent, "{words:?}");
    }
    assert!(said(&["mount", "/x"], &bin).1.contains("Docker machine \"default\" does not exist"));
    server.kill();
    for words in [&["scp", "web-1:/x", "y"][..], &["scp", "y", "web-1:/x"], &["mount", "web-1:/x"]] {
        let (_, stderr) = said(words, &bin);
        assert!(stderr.ends_with("Host \"web-1\" is not running\n"), "{words:?}: {stderr}");
    }
    assert!(!home.path().join("words").exists(), "nothing was run");
}

#[test]
fn sshfs_and_fusermount_are_told_what_to_do() {
    let home = Home::new();
    let Some(_server) = start(&home, "web-1") else { return };
    let at = home.store().display().to_string();
    let bin = stand_in(&home, "sshfs", "exit 5");
    stand_in(&home, "fusermount", "exit 0");
    let run = |words: &[&str]| {
        let run =
            home.run("machine", &[&["-s", &at, "mount"], words].concat(), &[("PATH", &format!("{bin}:/bin"))], "");
        (run.status, hosts::words(&home))
    };
    let config = format!("{at}/machines/web-1/ssh_config");
    let sshfs = |remote: &str, place: &str| {
        (5, ["-F", &config, "-o", "LogLevel=ERROR", remote, place].map(str::to_owned).to_vec())
    };
    assert_eq!(run(&["web-1:/srv"]), sshfs("web-1:/srv", "/srv"));
    assert_eq!(run(&["me@web-1:/srv", "here"]), sshfs("me@web-1:/srv", "here"));
    assert_eq!(run(&["web-1:", "-here"][..1]).0, 1, "no mount point");
    assert_eq!(words(&home)[4], "me@web-1:/srv", "nothing was run");
}

#[test]
fn a_folder_of_a_machine_is_a_folder_here() {
    let Some((home, _server, there)) = with_machine() else { return };
    if !installed("sshfs") {
        return;
    }
    if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        skipped("/dev/fuse cannot be opened");
        return;
    }
    write(&there.join("x"), "content");
    let (remote, here) = (format!("web-1:{}", there.display()), home.path().join("here"));
    fs::create_dir(&here).unwrap();
    let place = here.display().to_string();
    done(&home.in_store("machine", &["mount", &remote, &place]));
    let seen = fs::read_to_string(here.join("x"));
    write(&here.join("y"), "back");
    done(&home.in_store("docker-machine", &["mount", "-u", &remote, &place]));
    assert_eq!(seen.unwrap(), "content");
    assert_eq!(text(&there.join("y")), "back");
    assert!(!here.join("x").exists(), "unmounted");
    let run = home.in_store("machine", &["mount", "-u", &remote, &place]);
    assert_ne!(run.status, 0, "it is not mounted any more");
}
