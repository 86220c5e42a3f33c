//! Pain 24: the token of a provider is given by reference, in a fleet file, in a variable or (as docker-machine has it)
//! on the command line, and no byte of it is kept or shown anywhere.
//!
//! This program is the test and, called with [`DO`] in its environment, `machine` with one more driver: [`driver::Cloud`].

#![expect(clippy::disallowed_methods, reason = "the provider's folder and the test's own files")]

mod driver;

use crate::canary::{Canary, none_below, none_in};
use machine::digest::sha256_hex;
use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

pub(crate) const DO: &str = "CLOUD_DO";
const TOKENS: [&str; 3] = ["cAnary/0:tok?en&=ö", "cAnary/1 in '\"a\\ file", "cAnary/2$(id)flag"];

/// The program with that driver; `None` when this is the test.
pub(crate) fn main() -> Option<ExitCode> {
    let name = env::var(DO).ok()?;
    Some(machine::cli::main(
        [name.into()].into_iter().chain(env::args_os().skip(1)),
        machine::driver::Drivers::built_in().with(driver::Cloud),
    ))
}

/// A home, a store and a provider.
struct Stage {
    dir: tempfile::TempDir,
    canaries: Vec<Canary>,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "no {text:?} in\n{}\n{}", self.out, self.err);
        self
    }
}

impl Stage {
    fn new(token: &str) -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap(), canaries: TOKENS.map(Canary::new).into() };
        for name in ["cloud", "secrets"] {
            fs::create_dir(stage.path(name)).unwrap();
        }
        stage.rotate(token);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// From now on the provider knows this token.
    fn rotate(&self, token: &str) {
        fs::write(self.path("cloud/want"), sha256_hex(token.as_bytes())).unwrap();
    }

    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs it with `--debug`, and looks through all it says.
    fn run(&self, program: &str, words: &[&str], variables: &[(&str, &str)]) -> Said {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env_clear().env("PATH", env::var_os("PATH").unwrap()).env("HOME", self.dir.path());
        command.env(DO, program).env("CLOUD_DIR", self.path("cloud")).env("MACHINE_STORAGE_PATH", self.path("store"));
        let ended = command.arg("--debug").args(words).envs(variables.iter().copied()).stdin(Stdio::null()).output();
        let ended = ended.unwrap();
        none_in(&format!("what `{}` says", words[0]), &[&ended.stdout[..], &ended.stderr].concat(), &self.canaries);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: ended.status.code().unwrap(), out: text(ended.stdout), err: text(ended.stderr) }
    }

    fn machine(&self, words: &[&str], variables: &[(&str, &str)]) -> Said {
        self.run("machine", words, variables)
    }

    /// In the store, the home and the provider's folder is nothing; only the file of a secret holds one.
    #[track_caller]
    fn nothing_kept(&self) {
        assert!(none_below(self.dir.path(), &[&self.path("secrets")], &self.canaries) > 3);
    }
}

pub(crate) fn a_token_by_reference_is_kept_and_shown_nowhere() {
    let stage = Stage::new(TOKENS[0]);
    let held = stage.file("secrets/token", &format!("{}\n", TOKENS[0]));
    let variable = ("SHOP_TOKEN", TOKENS[0]);
    for (reference, variables) in [
        ("{ env: SHOP_TOKEN }".to_owned(), &[variable][..]),
        (format!("{{ file: {held} }}"), &[]),
        (format!("{{ command: [cat, {held}] }}"), &[]),
    ] {
        let text = |count| {
            format!(
                "fleet: shop\nhosts:\n  web:\n    count: {count}\n    driver: cloud\n    token: {reference}\n    region: north\n"
            )
        };
        let fleet = stage.file("fleet.yaml", &text(2));
        // A reader needs none.
        for words in [&["validate", &fleet][..], &["plan", "--offline", &fleet], &["graph", &fleet], &["fmt", &fleet]] {
            stage.machine(words, &[]).ends(0);
        }
        let plan = stage.path("plan.json").to_str().unwrap().to_owned();
        stage.machine(&["plan", "--out", &plan, &fleet], variables).ends(0);
        stage.machine(&["plan", "--json", &fleet], variables).ends(0);
        stage.nothing_kept();
        // Machines are made; there is no way to set up an engine on them.
        stage.machine(&["apply", "-y", &plan], variables).says("cannot be logged in to");
        assert!(stage.path("cloud/web-1").exists());
        stage.nothing_kept();
        for words in [
            &["plan", &fleet][..],
            &["drift", &fleet],
            &["diff", &fleet],
            &["ls", "-t", "1"],
            &["inspect", "web-1"],
            &["history"],
            &["history", "--json"],
            &["env", "web-1"],
            &["status", "web-1"],
            &["stop", "web-1"],
            &["apply", "-y", "--json", &fleet],
        ] {
            stage.machine(words, variables);
        }
        // What is known only to be recorded can be used without: `ls`, `url`.
        stage.machine(&["ls", "-q"], &[]).ends(0).says("web-1");
        stage.machine(&["url", "web-1"], &[]).ends(0);
        // The provider is away: what is left behind is remembered, its token is not.
        fs::write(stage.path("cloud/broken"), "").unwrap();
        stage.machine(&["rm", "-f", "web-1"], variables);
        assert!(stage.path("store/tombstones").read_dir().is_ok_and(|mut dir| dir.next().is_some()), "a tombstone");
        stage.nothing_kept();
        fs::remove_file(stage.path("cloud/broken")).unwrap();
        let fewer = stage.file("fleet.yaml", &text(1));
        stage.machine(&["apply", "-y", "--prune", "--allow-delete", "2", &fewer], variables);
        stage.machine(&["destroy", "-y", &fewer], variables).ends(0);
        assert!(!stage.path("cloud/web-1").exists() && !stage.path("cloud/web-2").exists());
        stage.nothing_kept();
    }
    // One that the provider does not take is named by its reference.
    stage.rotate(TOKENS[1]);
    let text = "fleet: shop\nhosts: { web: { driver: cloud, token: { env: SHOP_TOKEN }, region: north } }\n";
    let fleet = stage.file("fleet.yaml", text);
    stage.machine(&["apply", "-y", &fleet], &[variable]).ends(1).says("it does not know this token");
    stage.nothing_kept();
}

pub(crate) fn a_token_on_a_command_line_is_recorded_as_its_variable() {
    let stage = Stage::new(TOKENS[2]);
    let words = ["create", "-d", "cloud", "--cloud-region", "north", "--cloud-token", TOKENS[2], "old"];
    let said = stage.run("docker-machine", &words, &[]);
    assert!(stage.path("cloud/old").exists(), "{}", said.err);
    said.says("set CLOUD_TOKEN instead");
    stage.nothing_kept();
    // Its variable does as well, and is what is recorded.
    let variable = ("CLOUD_TOKEN", TOKENS[2]);
    stage.run("docker-machine", &["create", "-d", "cloud", "--cloud-region", "north", "new"], &[variable]);
    assert!(stage.path("cloud/new").exists());
    stage.nothing_kept();
    for name in ["old", "new"] {
        stage.machine(&["url", name], &[]).ends(0);
        stage.machine(&["ls", "-q"], &[]).ends(0).says(name);
        let said = stage.machine(&["stop", name], &[]).says("the secret { env: CLOUD_TOKEN } cannot be had");
        assert_ne!(said.says("export CLOUD_TOKEN=…").code, 0);
        stage.machine(&["inspect", name], &[]).ends(0);
        stage.machine(&["rm", "-y", name], &[variable]).ends(0);
        assert!(!stage.path("cloud").join(name).exists());
    }
    stage.nothing_kept();
}

pub(crate) fn a_token_in_a_fleet_file_is_refused_and_not_repeated() {
    let stage = Stage::new(TOKENS[0]);
    let token = TOKENS[0];
    for text in [
        format!("fleet: shop\nhosts: {{ web: {{ driver: cloud, token: \"{token}\", region: north }} }}\n"),
        format!("fleet: shop\nhosts:\n  web:\n    driver: cloud\n    token: {token}\n    region: [1]\n    nope: 1\n"),
        format!("fleet: shop\nhosts: {{ web: {{ driver: cloud, token: {{ value: \"{token}\" }}, region: north }} }}\n"),
        format!(
            "fleet: shop\nvars: {{ t: \"{token}\" }}\nhosts: {{ web: {{ driver: cloud, token: \"${{var.t}}\" }} }}\n"
        ),
    ] {
        let fleet = stage.file("secrets/fleet.yaml", &text);
        for words in [&["validate", &fleet][..], &["plan", &fleet], &["apply", "-y", &fleet]] {
            stage.machine(words, &[]).ends(1).says("`token`");
        }
    }
    none_below(stage.dir.path(), &[&stage.path("secrets")], &stage.canaries);
}

pub(crate) fn a_secret_that_is_missing_is_found_before_anything_is_made() {
    let stage = Stage::new(TOKENS[0]);
    let host = |name: &str, token: &str| format!("  {name}: {{ driver: cloud, region: north, token: {token} }}\n");
    let text = format!(
        "fleet: shop\nhosts:\n{}{}{}",
        host("a", "{ env: SHOP_TOKEN }"),
        host("b", "{ env: NOT_SET }"),
        host("c", "{ file: secrets/none }")
    );
    let fleet = stage.file("fleet.yaml", &text);
    let said = stage.machine(&["apply", "-y", &fleet], &[("SHOP_TOKEN", TOKENS[0])]).ends(1);
    let said = said.says("`b`, token: the secret { env: NOT_SET } cannot be had: the variable is not set");
    let said = said.says("`c`, token:").says("nothing was done").says("export NOT_SET=…");
    assert!(!said.err.contains("`a`"), "{}", said.err);
    assert!(!stage.path("cloud/a").exists(), "nothing was made");
    assert!(!stage.path("store/machines/a").exists() && !stage.path("store/machines/b").exists());
    // Those that are not touched need nothing.
    stage.machine(&["apply", "-y", "--target", "a", &fleet], &[("SHOP_TOKEN", TOKENS[0])]);
    assert!(stage.path("cloud/a").exists());
    // A host whose failure fails no run keeps no other from being made.
    let text = text
        .replace("  b: {", "  b: { optional: true,")
        .lines()
        .take(4)
        .flat_map(|line| [line, "\n"])
        .collect::<String>();
    let fleet = stage.file("fleet.yaml", &text);
    stage.machine(&["apply", "-y", &fleet], &[("SHOP_TOKEN", TOKENS[0])]).says("{ env: NOT_SET }");
}
