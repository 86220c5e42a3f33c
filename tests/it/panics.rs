//! A mistake in one step, or in a look at one machine, ends that and nothing else (C14b). The driver here makes them on
//! purpose. This test binary is also the program that is run with it: called with `PANICS_DO` it plays that part.

use crate::home::Home;
use async_trait::async_trait;
use machine::{
    driver::{Driver, DriverContext, DriverError, Drivers, Kind, OptionSpec, PowerAction},
    record::{Instance, Power},
};
use serde::Deserialize;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const DO: &str = "PANICS_DO";
/// What only a careless message would show.
const SECRET: &str = "hunter2-of-the-provider";

/// Panics where its option, or a file called `break`, says so.
struct Clumsy;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    at: String,
}

impl Options {
    fn pass(&self, point: &str) {
        let now = fs::read_to_string("break").unwrap_or_default();
        assert!(self.at != point && now.trim() != point, "the token is {}", std::hint::black_box(SECRET));
    }
}

fn instance(cx: &DriverContext<'_>) -> Instance {
    Instance {
        id: format!("i-{}", cx.machine),
        address: "127.0.0.1".to_owned(),
        ssh: None,
        url: Some("tcp://127.0.0.1:1".to_owned()),
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    }
}

fn place(cx: &DriverContext<'_>) -> PathBuf {
    Path::new("cloud").join(cx.machine.as_str())
}

#[async_trait]
impl Driver for Clumsy {
    const NAME: &'static str = "clumsy";
    const ABOUT: &'static str = "makes mistakes";
    const CREATES: bool = true;
    type Options = Options;

    fn options() -> Vec<OptionSpec> {
        vec![OptionSpec::new("at", "clumsy-at", Kind::Text, "where").default("nowhere").recorded()]
    }

    async fn place(&self, _: &DriverContext<'_>, options: &Options) -> Result<Option<String>, DriverError> {
        options.pass("place");
        Ok(Some("folder cloud".to_owned()))
    }

    async fn find(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Option<Instance>, DriverError> {
        options.pass("find");
        Ok(place(cx).exists().then(|| instance(cx)))
    }

    async fn create(&self, cx: &DriverContext<'_>, options: &Options) -> Result<Instance, DriverError> {
        tokio::task::yield_now().await;
        options.pass("create");
        fs::create_dir_all(place(cx)).unwrap();
        cx.checkpoint.instance(&instance(cx)).await?;
        options.pass("created");
        Ok(instance(cx))
    }

    async fn change(&self, cx: &DriverContext<'_>, _: &Instance, options: &Options) -> Result<Instance, DriverError> {
        options.pass("change");
        Ok(instance(cx))
    }

    async fn power(&self, cx: &DriverContext<'_>, _: &Instance, options: &Options) -> Result<Power, DriverError> {
        options.pass("power");
        Ok(if place(cx).exists() { Power::Running } else { Power::Gone })
    }

    async fn set_power(
        &self,
        cx: &DriverContext<'_>,
        _: &Instance,
        options: &Options,
        _: PowerAction,
    ) -> Result<Instance, DriverError> {
        options.pass("set-power");
        Ok(instance(cx))
    }

    async fn rm(&self, cx: &DriverContext<'_>, _: &Instance, options: &Options) -> Result<(), DriverError> {
        options.pass("rm");
        let _ = fs::remove_dir(place(cx));
        Ok(())
    }
}

/// The program with this driver, in a process of its own; nothing when this is a test among others.
#[test]
fn another_program() {
    let Ok(words) = env::var(DO) else { return };
    let words = ["machine"].into_iter().chain(words.split(' ')).map(Into::into);
    // The runner has its own words for the code.
    println!(
        "ended: {:?}",
        machine::cli::main(words.collect::<Vec<_>>().into_iter(), Drivers::built_in().with(Clumsy))
    );
}

/// How it ended, and what it said.
struct Said {
    code: u8,
    out: String,
    err: String,
}

fn run(home: &Home, words: &str) -> Said {
    let name = module_path!().split_once("::").map_or(String::new(), |(_, path)| format!("{path}::"));
    #[expect(clippy::disallowed_methods, reason = "a process that panics is not ours")]
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("{name}another_program"), "--nocapture", "--test-threads=1"]).env_clear();
    command.env(DO, words).env("HOME", home.path()).env("MACHINE_STORAGE_PATH", home.store()).env("USER", "tester");
    let Output { stdout, stderr, .. } = command.current_dir(home.path()).stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(!out.contains(SECRET) && !err.contains(SECRET), "{words}: {out}{err}");
    assert!(!err.contains("thread '") && !err.contains("RUST_BACKTRACE"), "{words}: {err}");
    let code = out.split("unix_exit_status(").nth(1).and_then(|rest| rest.split(')').next()).map(str::parse);
    Said { code: code.unwrap_or_else(|| panic!("{words} did not end: {out}{err}")).unwrap(), out, err }
}

fn fleet(home: &Home, at: &str) {
    home.write(
        "../fleet.yaml",
        &format!(
            "fleet: f\nhosts:\n  a: {{ driver: clumsy, engine: null }}\n  b: {{ driver: clumsy, at: {at} }}\n  c: {{ driver: none, url: 'tcp://127.0.0.1:1', depends_on: [b] }}\n  d: {{ driver: none, url: 'tcp://127.0.0.1:2' }}\n"
        ),
    );
}

#[track_caller]
fn is_free(home: &Home) {
    assert_eq!(home.in_store("machine", &["lock", "ls"]).stdout, "No lock is held.\n");
}

/// One step fails, those behind it are skipped, all others are done.
#[test]
fn a_panic_fails_one_step() {
    for at in ["create", "created"] {
        let home = Home::new();
        home.none("d", "tcp://127.0.0.1:9");
        fs::remove_dir_all(home.store().join("machines/d")).unwrap();
        fleet(&home, at);
        let said = run(&home, "apply -y fleet.yaml");
        assert_eq!(said.code, 3, "{at}: {}{}", said.out, said.err);
        let told = format!("{}{}", said.out, said.err);
        assert!(told.contains("internal error at ") && told.contains("panics.rs:"), "{told}");
        assert!(told.contains("/issues"), "what to report, and where: {told}");
        assert!(home.store().join("machines/d/record.json").exists(), "{at}: the others go on: {told}");
        assert!(!home.store().join("machines/c").exists(), "{at}: what depends on it does not");
        is_free(&home);
        let history = home.in_store("machine", &["history"]).stdout;
        assert!(history.contains("internal error at ") && !history.contains(SECRET), "{history}");
        assert!(!said.err.contains("error: internal error"), "the step tells of it, and nothing else: {}", said.err);
        assert!(!history.contains("did not end"), "{history}");
    }
}

/// One machine cannot be looked at, all others can.
#[test]
fn a_panic_in_a_look_is_that_machines() {
    let home = Home::new();
    for name in ["x", "y", "z"] {
        let said = run(&home, &format!("create -d none --url tcp://127.0.0.1:1 {name}"));
        assert_eq!(said.code, 0, "{}", said.err);
    }
    home.write("../fleet.yaml", "fleet: f\nhosts:\n  a: { driver: clumsy, at: power }\n");
    run(&home, "apply -y fleet.yaml");
    let said = run(&home, "ls --format {{.Name}}|{{.State}}|{{.Error}}");
    let row = |name: &str| said.out.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(row("a|").contains("internal error at "), "{}{}", said.out, said.err);
    assert!(row("x|Running|").len() > 5 && row("z|Running|").len() > 5, "{}", said.out);
    // In a plan as well.
    let said = run(&home, "plan fleet.yaml");
    assert!(said.code == 0 && said.out.contains("internal error at "), "{}{}", said.out, said.err);
}

/// Of several machines, and of a removal, too.
#[test]
fn a_panic_ends_no_other_machines_work() {
    let home = Home::new();
    home.write(
        "../fleet.yaml",
        "fleet: f\nhosts:\n  a: { driver: clumsy, at: set-power }\n  b: { driver: clumsy }\n  g: { driver: clumsy, at: rm }\n",
    );
    run(&home, "apply -y fleet.yaml");
    let said = run(&home, "kill a b");
    assert!(said.code == 1 && said.err.contains("internal error at tests/it/panics.rs:"), "{}{}", said.out, said.err);
    assert_eq!(said.err.matches("internal error at ").count(), 1, "it is told once: {}", said.err);
    assert!(said.out.contains("Machine \"b\" was killed."), "{}", said.out);
    is_free(&home);
    let said = run(&home, "rm -y g b");
    assert!(said.code == 1 && said.err.contains("internal error at "), "{}{}", said.out, said.err);
    assert!(said.out.contains("Successfully removed b"), "{}", said.out);
    assert!(home.store().join("machines/g").exists(), "what was not removed stays recorded");
    is_free(&home);
}

/// Of a command that asks one machine alone, and of what earlier machines left, where one goes on with the next.
#[test]
fn a_panic_of_a_command_is_told_as_an_error() {
    let home = Home::new();
    home.write("../fleet.yaml", "fleet: f\nhosts:\n  a: { driver: clumsy }\n  b: { driver: clumsy }\n");
    run(&home, "apply -y fleet.yaml");
    home.write("../break", "power");
    let said = run(&home, "status a");
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.err.starts_with("error: internal error at tests/it/panics.rs:"), "{}", said.err);
    assert!(said.err.contains("/issues"), "{}", said.err);
    assert_eq!(said.err.matches("internal error at ").count(), 1, "it is told once: {}", said.err);
    is_free(&home);
}

/// Unwinding is what gives locks back.
#[test]
fn a_panic_unwinds() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.trim_start().starts_with("panic")), "a profile aborts");
}
