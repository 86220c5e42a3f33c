//! What `install` puts in place, used by those it is for: a real docker client, man, and the shells' own folders.

use crate::{
    home::{self, Home},
    skip::skipped,
};
use std::{fs, os::unix::fs::symlink, path::Path};

fn there(program: &str) -> bool {
    if ["/usr/bin", "/bin", "/usr/local/bin"].iter().any(|dir| Path::new(dir).join(program).exists()) {
        return true;
    }
    skipped(format_args!("{program} is not installed"));
    false
}

/// A command of docker in this home.
fn docker(home: &Home, words: &str) -> home::Run {
    home.shell("sh", &format!("PATH=$PATH:/usr/local/bin; export DOCKER_CONFIG=$HOME/.docker; docker {words}"))
}

#[test]
fn docker_takes_us_for_a_plugin() {
    if !there("docker") {
        return;
    }
    let home = Home::with_store("store");
    home.none("web-1", "tcp://127.0.0.1:1");
    let run = home.machine(&["install", "--docker-plugin"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("linked "), "{}", run.stdout);
    for help in ["--help", "help"] {
        assert!(docker(&home, help).stdout.contains("  machine*"), "{}", docker(&home, help).stdout);
    }
    assert_eq!(docker(&home, "machine ls -q").stdout, "web-1\n");
    assert_eq!(docker(&home, "-D --log-level info machine ls --quiet").stdout, "web-1\n");
    for words in ["machine --help", "help machine", "machine"] {
        let run = docker(&home, words);
        assert!(
            run.stdout.starts_with("Usage: docker machine [OPTIONS] COMMAND"),
            "{words}: {} {}",
            run.stdout,
            run.stderr
        );
    }
    assert!(docker(&home, "machine ls --help").stdout.contains("Usage: docker machine ls"));
    let run = docker(&home, "machine bogus");
    assert_eq!(
        (run.status, run.stderr.as_str()),
        (1, "error: docker machine: 'bogus' is not a docker machine command. See 'docker machine --help'.\n")
    );
    let run = docker(&home, "machine env -u --shell bash");
    assert!(run.stdout.contains("\n# eval $(docker machine env -u --shell bash)\n"), "{}", run.stdout);
    // docker's own completion asks its plugins, since version 23.
    let version = docker(&home, "--version").stdout;
    let major = version.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 24) {
        assert!(docker(&home, "__complete machine status we").stdout.starts_with("web-1\n:4\n"));
    }
    assert!(docker(&home, "machine --version").stdout.starts_with("docker machine version "));
}

#[test]
fn installing_twice_changes_nothing_and_uninstalling_takes_it_back() {
    let home = Home::new();
    let all = ["install", "--docker-plugin", "--completion", "--man", "--drop-in", "bin"];
    let run = home.machine(&all);
    assert_eq!(run.status, 0, "{}", run.stderr);
    for at in [
        ".docker/cli-plugins/docker-machine",
        "bin/docker-machine",
        ".local/share/bash-completion/completions/docker-machine",
        ".local/share/zsh/site-functions/_machine",
        ".config/fish/completions/machine.fish",
        ".local/share/man/man1/machine-ls.1",
    ] {
        assert!(home.path().join(at).exists(), "{at}: {}", run.stdout);
    }
    let run = home.run("bin/docker-machine", &["--version"], &[], "");
    assert!(run.stdout.starts_with("docker-machine version "), "{}", run.stdout);
    let again = home.machine(&all);
    assert!(again.stdout.lines().filter(|l| l.contains('/')).all(|l| l.starts_with("unchanged ")), "{}", again.stdout);
    let gone = home.machine(&[&all[..], &["--uninstall"]].concat());
    assert!(gone.stdout.lines().all(|l| l.starts_with("removed ")), "{}", gone.stdout);
    assert!(!home.path().join("bin/docker-machine").exists());
    let gone = home.machine(&[&all[..], &["--uninstall"]].concat());
    assert!(gone.stdout.lines().all(|l| l.starts_with("not there ")), "{}", gone.stdout);
    let run = home.machine(&["install"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("nothing to install was named"), "{}", run.stderr);
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let home = Home::new();
    let plugins = home.path().join(".docker/cli-plugins");
    let man = home.path().join(".local/share/man/man1");
    fs::create_dir_all(&plugins).unwrap();
    fs::create_dir_all(&man).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
    for at in [plugins.join("docker-machine"), man.join("other.1"), man.join("machine-ls.1")] {
        fs::write(at, "somebody's").unwrap();
    }
    symlink(man.join("other.1"), man.join("machine-ip.1")).unwrap();
    let run = home.machine(&["install", "--docker-plugin", "--man"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert_eq!(run.stderr.matches("is there and is not ours").count(), 3, "{}", run.stderr);
    assert!(!man.join("machine.1").exists(), "all or none");
    let run = home.machine(&["install", "--docker-plugin", "--man", "--uninstall"]);
    assert_eq!((run.status, run.stdout.matches("not ours").count()), (0, 3), "{}", run.stdout);
    let run = home.machine(&["install", "--docker-plugin", "--man", "--force"]);
    assert_eq!((run.status, run.stdout.matches("replaced").count()), (0, 3), "{} {}", run.stdout, run.stderr);
    assert_eq!(fs::read_to_string(man.join("other.1")).unwrap(), "somebody's", "nothing is written through a link");
    assert!(plugins.join("docker-machine").is_symlink());
}

/// groff says what is wrong with a page; so does man, if it shows it at all.
#[test]
fn the_pages_are_read_without_a_warning() {
    if !there("groff") {
        return;
    }
    let home = Home::new();
    assert_eq!(home.machine(&["man", "pages"]).status, 0);
    let pages = fs::read_dir(home.path().join("pages")).unwrap().count();
    assert!(pages > 25, "{pages}");
    let run = home.shell("sh", "for page in pages/*; do groff -ww -man -Tutf8 -rLL=100n $page > shown || exit; done; groff -ww -man -Tascii -P -cbou pages/machine-env.1");
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.contains("machine env --shell nu web-1 | save -f docker-env.nu"), "{}", run.stdout);
    assert!(
        run.stdout.contains("--no-proxy") && run.stdout.contains("eval \"$(machine env --unset)\""),
        "{}",
        run.stdout
    );
}
