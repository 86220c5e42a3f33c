//! What `env` prints, read back by real shells: no value becomes syntax. A shell that is not there is `SKIPPED`, and
//! with `MACHINE_LAB=required` that is a failure. Emacs, nu, cmd and `PowerShell` are tested by their rules only, in
//! `src/cli/shell.rs`.

use crate::{
    home::{Home, available},
    http_engine,
    skip::skipped,
};

/// A shell: its program, how it reads a file, and how it reads the output of `$M`.
const SHELLS: &[(&str, &str, &str)] = &[
    ("sh", ". FILE", "eval $($M)"),
    ("bash", ". FILE", "eval $($M)"),
    ("zsh", ". FILE", "eval $(${=M})"),
    ("ksh", ". FILE", "eval $($M)"),
    ("mksh", ". FILE", "eval $($M)"),
    ("fish", "source FILE", "eval (eval $M)"),
    ("tcsh", "source FILE", "eval `$M`"),
    ("bsd-csh", "source FILE", "eval `$M`"),
    ("xonsh", "execx(open('FILE').read())", "execx($(sh -c $M))"),
];

/// What stands behind an address in `no_proxy`.
const HOSTILE: &[&str] = &[
    "",
    " two  words ",
    "a'b",
    "a''b'",
    "a\"b",
    "a\"\"b\"",
    "$(touch pwned)",
    "`touch pwned`",
    "$HOME ${HOME} ~ $no_proxy",
    "%PATH% %d %s",
    "a\\b\\",
    "\\\\",
    "\\'\\\"\\$HOME\\`",
    "!x !! !$ !",
    "a;touch pwned;b",
    "a & touch pwned | touch pwned > pwned",
    "a\ntouch pwned\n",
    "a\n\n b",
    "\\\n",
    "!\n'",
    "a\r\nb\tc",
    "* ? [a-z] {a,b} ~/x =ls ^x",
    "é“x” ‘y’ „z‟ 日本語 😀",
    "#x # y",
    "(touch pwned) <(touch pwned)",
    "')touch pwned('",
    "\u{1b}[31m\u{7f}",
    "-n -e --",
    "@(touch pwned) @$(touch pwned) ![touch pwned]",
];

/// Whether a shell is there; when all must be, it is.
fn there(shell: &str) -> bool {
    if available(shell) {
        return true;
    }
    skipped(format_args!("{shell} is not installed"));
    false
}

/// The word that `--shell` takes for a program.
fn word(shell: &str) -> &str {
    if shell == "bsd-csh" { "csh" } else { shell }
}

#[test]
fn every_shell_reads_back_every_value_and_runs_nothing() {
    let engine = http_engine::start("28.2.2");
    // The path of the store stands in the hint, which repeats the command line.
    let home = Home::with_store("a b'\"$(touch pwned)`touch pwned`!x;touch pwned #*\\“é");
    home.none("default", &engine.url());
    let address = engine.url().trim_start_matches("tcp://").to_owned();
    let store = home.store().display().to_string();
    for &(shell, read, _) in SHELLS {
        if !there(shell) {
            continue;
        }
        let mut script = String::new();
        for (n, hostile) in HOSTILE.iter().enumerate() {
            let value = format!("{address}{hostile}");
            let words = ["-s", &store, "env", "--shell", word(shell), "--no-proxy"];
            let run = home.run("machine", &words, &[("no_proxy", &value)], "");
            assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{shell}: {hostile}");
            #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
            std::fs::write(home.path().join(format!("lines-{n}")), &run.stdout).unwrap();
            let read = read.replace("FILE", &format!("./lines-{n}"));
            script += &format!("{read}\nprintenv no_proxy\nprintf '=%s=\\n' end\n");
        }
        let run = home.shell(shell, &script);
        assert_eq!(run.stderr, "", "{shell}");
        let got: Vec<&str> = run.stdout.split("\n=end=\n").collect();
        for (hostile, got) in HOSTILE.iter().zip(&got) {
            assert_eq!(*got, format!("{address}{hostile}"), "{shell}");
        }
        assert_eq!(got.len(), HOSTILE.len() + 1, "{shell}: {}", run.stdout);
        assert!(!home.path().join("pwned").exists(), "{shell} ran something");
    }
}

/// As people and scripts do it, without quotes around the substitution.
#[test]
fn the_hint_works_in_every_shell() {
    let engine = http_engine::start("28.2.2");
    let home = Home::with_store("store");
    home.none("default", &engine.url());
    let want = format!("{}/machines/default\n{}\n", home.store().display(), engine.url());
    for &(shell, _, eval) in SHELLS {
        if !there(shell) {
            continue;
        }
        let run = home.shell(shell, &format!("{eval}\nprintenv DOCKER_CERT_PATH\nprintenv DOCKER_HOST"));
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (want.as_str(), ""), "{shell}");
    }
}

/// Unsetting what is not set is no error either.
#[test]
fn every_shell_forgets_the_variables() {
    let home = Home::new();
    for &(shell, read, _) in SHELLS {
        if !there(shell) {
            continue;
        }
        let run = home.machine(&["env", "-u", "--shell", word(shell)]);
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no durability")]
        std::fs::write(home.path().join("lines"), &run.stdout).unwrap();
        let set = match shell {
            "fish" => "set -gx DOCKER_HOST x",
            "tcsh" | "bsd-csh" => "setenv DOCKER_HOST x",
            "xonsh" => "$DOCKER_HOST = 'x'",
            _ => "export DOCKER_HOST=x",
        };
        let read = read.replace("FILE", "./lines");
        let run = home.shell(shell, &format!("{set}\n{read}\n{read}\nprintenv DOCKER_HOST\nprintf '%s' end"));
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("end", ""), "{shell}");
    }
}

/// fish in a bash changes no `$SHELL`: who called says more, and is asked under our own name.
#[test]
fn the_shell_that_calls_is_known() {
    let home = Home::new();
    for (shell, want) in [("fish", "set -e "), ("tcsh", "unsetenv "), ("xonsh", "${...}.pop"), ("bash", "unset ")] {
        if !there(shell) {
            continue;
        }
        let first = |script: &str| {
            let run = home.shell(shell, script);
            assert!(run.stdout.starts_with(want), "{shell}: {script}: {} {}", run.stdout, run.stderr);
        };
        // `true` behind it, or a shell might become the program instead of calling it.
        first("env SHELL=/bin/zsh ./machine env -u\ntrue");
        first("timeout 60 ./machine env -u\ntrue");
        first("./docker-machine env -u\ntrue");
    }
    let run = home.run("docker-machine", &["env", "-u"], &[("SHELL", "/usr/bin/fish")], "");
    assert!(run.stdout.starts_with("set -e "), "{}", run.stdout);
}

#[test]
fn a_shell_nobody_knows_is_posix_for_docker_machine_and_a_slip_for_us() {
    let home = Home::new();
    for word in ["nope", "/bin/fish", "Fish"] {
        let run = home.docker_machine(&["env", "-u", "--shell", word]);
        assert!(run.status == 0 && run.stdout.starts_with("unset "), "{word}: {}", run.stdout);
    }
    assert!(home.machine(&["env", "-u", "--shell", "/bin/fish"]).stdout.starts_with("set -e "));
    let run = home.machine(&["env", "-u", "--shell", "powershel"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert_eq!(run.stderr, "error: there is no shell `powershel`\n  help: did you mean `powershell`?\n");
    let run = home.machine(&["env", "-u", "--shell", "$(x)"]);
    assert!(run.stderr.contains("it is one of `bash`, `zsh`, "), "{}", run.stderr);
}
