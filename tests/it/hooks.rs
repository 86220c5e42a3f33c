//! Hooks from the command line on machines that need nothing to be made (driver `none`), and in a world of fakes where
//! machines change: what runs, how often, in which order, and what becomes of it when it fails or the run is killed.

#![expect(clippy::disallowed_methods, reason = "the test runs the program and writes its input files")]

use crate::plain::AtOnce as _;
use crate::support::{self, NOW, Shared};
use machine::{
    apply::{End, Interrupt, Options, Outcome, apply},
    engine::EngineSpec,
    fleet::{Fleet, HostSpec, OnError, Policy},
    hook::{Command as HookCommand, Hook, Hooks, On, Point},
    name::{FleetName, MachineName},
    observe::observe,
    plan::{Inputs, Plan, audit::audit},
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};
use tokio::sync::mpsc::unbounded_channel;

struct Home(tempfile::TempDir);

impl Home {
    /// A home with a program `note`, which writes what it is told into `log` beside the fleet file and fails while there
    /// is a file `broken`.
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.program("note", "echo \"$MACHINE_ACTION $*\" >> log; echo \"noted $1\"; test ! -e broken");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        fs::write(self.path(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Machines of driver `none`, each with these hooks.
    fn fleet(&self, hosts: &[&str], hooks: &str) -> String {
        let hosts: Vec<String> = hosts.iter().map(|h| format!("  {h}: {{ url: 'tcp://192.0.2.1:2376' }}\n")).collect();
        let hosts = if hosts.is_empty() { " {}\n".to_owned() } else { format!("\n{}", hosts.concat()) };
        let text = format!("fleet: shop\ndefaults:\n  driver: none\n  hooks: {hooks}\nhosts:{hosts}");
        fs::write(self.path("fleet.yaml"), text).unwrap();
        self.path("fleet.yaml").to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.0.path())
            .env("MACHINE_STORAGE_PATH", self.path("store"))
            .env("MACHINE_EXPORT_PASSPHRASE", "canary-of-a-secret")
            .stdin(Stdio::null());
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let out = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args);
        assert_eq!(code, 0, "{out}{err}");
        out
    }

    /// What `note` was told since the last question.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        text.lines().map(str::to_owned).collect()
    }
}

const ALL: &str = "{ pre-create: [{ run: './note pre $MACHINE_NAME' }], \
    post-create: [{ name: dns, run: './note post $MACHINE_NAME $MACHINE_ADDRESS', timeout: 60s }, { run: [./note, words] }], \
    pre-rm: [{ run: './note pre $MACHINE_NAME $MACHINE_ADDRESS' }], \
    post-rm: [{ run: './note post $MACHINE_NAME $MACHINE_ADDRESS $MACHINE_FLEET $MACHINE_DRIVER' }] }";

/// Pain 31: a plan shows each hook as a step, and apply runs just those, once.
#[test]
fn hooks_are_steps_of_the_plan_and_run_once() {
    let home = Home::new();
    let file = home.fleet(&["a"], ALL);
    let plan = home.ok(&["plan", &file]);
    insta::assert_snapshot!(plan, @r"
      a
        > run     pre-create   1: ./note pre $MACHINE_NAME (on this computer, at most 5 min)
        + create  instance     not recorded
        > run     post-create  dns: ./note post $MACHINE_NAME $MACHINE_ADDRESS (on this computer, at most 1 min)
        > run     post-create  2: ./note words (on this computer, at most 5 min)
    4 steps on 1 of 1 host: 1 to create, 3 to run.
    ");
    assert_eq!(home.log(), [""; 0], "a plan runs nothing");
    home.ok(&["apply", "-y", &file]);
    assert_eq!(home.log(), ["create pre a", "create post a 192.0.2.1", "create words"]);
    assert!(home.ok(&["plan", &file]).starts_with("Nothing to do"));
    home.ok(&["apply", "-y", &file]);
    assert_eq!(home.log(), [""; 0], "a second apply runs nothing");

    // The machine leaves the file: what is run then comes from its record.
    let file = home.fleet(&[], "{}");
    home.ok(&["apply", "-y", "--prune", "--allow-delete=1", &file]);
    assert_eq!(home.log(), ["rm pre a 192.0.2.1", "rm post a 192.0.2.1 shop none"]);
    assert!(home.ok(&["plan", &file]).starts_with("Nothing to do"));
    assert!(!home.path("store/machines/a").exists(), "nothing of it stays");
}

#[test]
fn programs_learn_all_about_a_hook_from_the_plan_and_the_events() {
    let home = Home::new();
    let file = home.fleet(&["a"], "{ post-create: [{ name: dns, run: [./note, 'a b'], timeout: 1h }] }");
    let plan: serde_json::Value = serde_json::from_str(&home.ok(&["plan", "--json", &file])).unwrap();
    assert_eq!(plan["summary"]["run"], 1);
    let step = &plan["steps"][1];
    assert_eq!(
        (&step["id"], &step["action"], &step["part"]),
        (&"a/post-create/1.dns".into(), &"run".into(), &"instance".into())
    );
    assert_eq!(
        step["hook"],
        serde_json::json!({ "point": "post-create", "name": "dns", "run": ["./note", "a b"], "on": "local", "timeout_s": 3600 })
    );
    assert_eq!(step["needs"], serde_json::json!(["a/instance"]));
    let events = home.ok(&["apply", "-y", "--json", &file]);
    let finished = events.lines().find(|l| l.contains("finished") && l.contains("\"hook\":\"dns\"")).unwrap();
    assert!(finished.contains("\"ok\":true") && finished.contains("\"point\":\"post-create\""), "{finished}");
}

#[test]
fn a_failed_hook_before_something_keeps_it_from_happening() {
    let home = Home::new();
    let file = home.fleet(&["a"], ALL);
    fs::write(home.path("broken"), "").unwrap();
    let (code, _, err) = home.run(&["apply", "-y", &file]);
    assert_eq!(code, 1);
    assert!(
        err.contains(
            "error: a: pre-create 1 failed\n  `./note pre $MACHINE_NAME` failed with exit status 1\n  | noted pre\n"
        ),
        "{err}"
    );
    assert!(err.contains("the machine was not made"), "{err}");
    assert_eq!(home.log(), ["create pre a"]);
    fs::remove_file(home.path("broken")).unwrap();
    // The user mends the text itself, and the hook of the new text runs.
    let file = home.fleet(&["a"], &ALL.replace("./note pre $MACHINE_NAME'", "./note mended'"));
    home.ok(&["apply", "-y", &file]);
    assert_eq!(home.log(), ["create mended", "create post a 192.0.2.1", "create words"]);

    fs::write(home.path("broken"), "").unwrap();
    let empty = home.fleet(&[], "{}");
    let (code, _, err) = home.run(&["apply", "-y", "--prune", "--allow-delete=1", &empty]);
    assert!(code != 0 && err.contains("the machine was not removed"), "{err}");
    assert!(home.path("store/machines/a/record.json").exists());
    fs::remove_file(home.path("broken")).unwrap();
    home.log();
    home.ok(&["apply", "-y", "--prune", "--allow-delete=1", &empty]);
    assert_eq!(home.log(), ["rm pre a 192.0.2.1", "rm post a 192.0.2.1 shop none"]);
}

#[test]
fn a_failed_hook_after_something_is_due_until_it_ends_well() {
    let home = Home::new();
    let file = home.fleet(
        &["a"],
        "{ post-create: [{ name: one, run: ./note one }, { name: two, run: 'test ! -e halt && ./note two' }] }",
    );
    fs::write(home.path("halt"), "").unwrap();
    let (code, out, _) = home.run(&["apply", "-y", &file]);
    assert!(code != 0 && out.contains("failed"), "{out}");
    assert_eq!(home.log(), ["create one"]);
    let plan = home.ok(&["plan", &file]);
    assert!(plan.contains("two: ") && plan.contains("due since an earlier run") && !plan.contains("one: "), "{plan}");
    fs::remove_file(home.path("halt")).unwrap();
    home.ok(&["apply", "-y", &file]);
    assert_eq!(home.log(), ["create two"], "what ended well is not run again");
    assert!(home.ok(&["plan", &file]).starts_with("Nothing to do"));
}

#[test]
fn another_text_is_recorded_and_not_run() {
    let home = Home::new();
    home.ok(&[
        "apply",
        "-y",
        &home.fleet(&["a"], "{ post-create: [{ run: ./note one }], pre-rm: [{ run: ./note old }] }"),
    ]);
    home.log();
    let file = home
        .fleet(&["a"], "{ post-create: [{ run: ./note two }, { run: ./note more }], pre-rm: [{ run: ./note new }] }");
    let plan = home.ok(&["plan", &file]);
    assert!(plan.contains("~ upgrade instance     hooks.post-create: (none) → 2: ./note more"), "{plan}");
    assert!(plan.ends_with("1 step on 1 of 1 host: 1 to upgrade.\n"), "{plan}");
    home.ok(&["apply", "-y", &file]);
    assert_eq!(home.log(), [""; 0]);
    home.ok(&["apply", "-y", "--prune", "--allow-delete=1", &home.fleet(&[], "{}")]);
    assert_eq!(home.log(), ["rm new"]);
}

#[test]
fn a_hook_that_takes_too_long_is_ended_and_said_to_be() {
    let home = Home::new();
    let file = home.fleet(
        &["a"],
        "{ post-create: [{ name: slow, run: 'echo begun; sleep 300 & echo $! > pid; wait', timeout: 1s }] }",
    );
    let (code, _, err) = home.run(&["apply", "-y", &file]);
    assert_eq!(code, 1);
    assert!(err.contains("took longer than 1 s and was ended\n  | begun\n"), "{err}");
    let pid = fs::read_to_string(home.path("pid")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(stat.is_err() || stat.unwrap().contains(") Z "), "what it started goes with it");
}

/// Killed at the worst moment: the effect has happened, and that was not recorded.
#[test]
fn a_killed_run_runs_its_hook_again() {
    let home = Home::new();
    let file = home.fleet(
        &["a"],
        "{ post-create: [{ name: one, run: './note one; test -e go || { echo waiting; sleep 60; }' }] }",
    );
    let mut child = home.command(&["apply", "-y", &file]).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("waiting")));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(home.path("go"), "").unwrap();
    assert!(home.ok(&["plan", &file]).contains("due since an earlier run"));
    home.ok(&["apply", "-y", &file]);
    assert_eq!(home.log(), ["create one", "create one"]);
    home.ok(&["apply", "-y", &file]);
    assert_eq!(home.log(), [""; 0]);
}

/// Pain 11, a hook that waits for its own lock: it may look, it is refused at once when it would change.
#[test]
fn a_hook_that_calls_machine_does_not_wait_for_itself() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_machine");
    let text = format!(
        "{program} ip $MACHINE_NAME; {program} url $MACHINE_NAME; {program} ls -q; {program} apply -y fleet.yaml; echo \"apply: $?\""
    );
    home.program("look", &format!("({text}) > looked 2>&1"));
    let file = home.fleet(&["a"], "{ post-create: [{ run: ./look, timeout: 60s }] }");
    home.ok(&["apply", "-y", &file]);
    let looked = fs::read_to_string(home.path("looked")).unwrap();
    assert!(
        looked.starts_with("192.0.2.1:2376\ntcp://192.0.2.1:2376\na\n") || looked.starts_with("192.0.2.1\n"),
        "{looked}"
    );
    assert!(looked.contains("this is run by hook `post-create 1 of a`"), "{looked}");
    assert!(looked.contains("apply: ") && !looked.contains("apply: 0"), "{looked}");
}

#[test]
fn no_secret_of_ours_is_passed_along() {
    let home = Home::new();
    let file = home.fleet(&["a"], "{ post-create: [{ run: 'env > seen' }] }");
    home.ok(&["apply", "-y", &file]);
    let seen = fs::read_to_string(home.path("seen")).unwrap();
    assert!(!seen.contains("canary"), "{seen}");
    assert!(seen.contains("MACHINE_NAME=a\n") && seen.contains("PATH=/usr/bin:/bin\n"), "{seen}");
}

#[test]
fn rm_by_name_runs_the_hooks_of_the_record_and_force_does_not_stop_for_them() {
    let home = Home::new();
    let at_home = |args: &[&str]| {
        let out = home.command(args).current_dir(home.0.path()).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    home.ok(&["apply", "-y", &home.fleet(&["a"], ALL)]);
    fs::write(home.path("broken"), "").unwrap();
    home.log();
    let (code, err) = at_home(&["rm", "-y", "a"]);
    assert!(code != 0 && err.contains("exit status 1"), "{err}");
    assert!(home.path("store/machines/a").exists());
    assert_eq!(home.log(), ["rm pre a 192.0.2.1"]);
    fs::remove_file(home.path("broken")).unwrap();
    assert_eq!(at_home(&["rm", "-y", "a"]).0, 0);
    assert_eq!(home.log(), ["rm pre a 192.0.2.1", "rm post a 192.0.2.1 shop none"]);

    home.ok(&["apply", "-y", &home.fleet(&["a"], ALL)]);
    fs::write(home.path("broken"), "").unwrap();
    at_home(&["rm", "-f", "a"]);
    assert!(!home.path("store/machines/a").exists());
}

fn hook(point: Point, on: On) -> Hook {
    Hook { name: "x".to_owned(), run: HookCommand::Shell(format!("fake-hook {point}")), on, timeout: 60 }
}

fn fake_fleet(size: i64, region: &str, label: &str) -> Fleet {
    let on = |point: Point| if point == Point::PreUpgrade { On::Host } else { On::Local };
    let hooks = Hooks(Point::ALL.map(|point| (point, vec![hook(point, on(point))])).into());
    let options =
        [("size".to_owned(), size.into()), ("region".to_owned(), region.into()), ("note".to_owned(), "x".into())];
    let labels = BTreeMap::from([("tier".to_owned(), label.to_owned())]);
    let host = HostSpec {
        driver: "fake".to_owned(),
        options: options.into(),
        engine: Some(EngineSpec { port: 2376, labels, ..EngineSpec::default() }),
        tls_names: BTreeSet::new(),
        depends_on: BTreeSet::new(),
        protect: false,
        optional: false,
        hooks,
    };
    let hosts = BTreeMap::from([(MachineName::new("m").unwrap(), host)]);
    Fleet { name: FleetName::new("test").unwrap(), hosts, policy: Policy::default() }
}

async fn once(world: &World, fleet: &Fleet) -> (Plan, Outcome) {
    let snapshot = observe(world, world.store.at_once().snapshot().unwrap(), 4, |_| true, |_, _, _| {}).await;
    let inputs = Inputs { drivers: &world.drivers, provisioners: world.provisioners, now: NOW, prune: true };
    let plan = Plan::new(fleet, &snapshot, &inputs);
    assert_eq!(audit(&plan), []);
    let (events, _inbox) = unbounded_channel();
    let options = Options { parallel: 4, on_error: OnError::StopDependants, retries: 0 };
    let outcome = apply(&plan, world, &options, &Interrupt::default(), &events).await;
    (plan, outcome)
}

fn ran(cloud: &Shared) -> Vec<String> {
    std::mem::take(&mut cloud.lock().unwrap().hooks).into_iter().map(|(_, _, point)| point).collect()
}

#[tokio::test(start_paused = true)]
async fn each_point_has_its_time() {
    let (world, cloud, _) = support::world();
    let story: [(&str, Option<Fleet>, &[&str]); 6] = [
        ("made", Some(fake_fleet(1, "a", "1")), &["pre-create", "post-create"]),
        ("another label", Some(fake_fleet(1, "a", "2")), &["pre-upgrade", "post-upgrade"]),
        ("another size", Some(fake_fleet(2, "a", "2")), &["pre-upgrade", "post-upgrade"]),
        ("nothing", Some(fake_fleet(2, "a", "2")), &[]),
        ("another region", Some(fake_fleet(2, "b", "2")), &["pre-rm", "post-rm", "pre-create", "post-create"]),
        ("gone", None, &["pre-rm", "post-rm"]),
    ];
    for (what, fleet, want) in story {
        let empty = Fleet { hosts: BTreeMap::new(), ..fake_fleet(1, "a", "1") };
        let (plan, outcome) = once(&world, fleet.as_ref().unwrap_or(&empty)).await;
        assert!(outcome.values().all(|end| matches!(end, End::Done)), "{what}: {outcome:?}");
        assert_eq!(ran(&cloud), want, "{what}: {plan}");
    }
    assert_eq!(world.store.at_once().names().unwrap(), Vec::<String>::new());
}

/// Whatever single effect fails, before or after it happened: what ended well is not run again in the next apply.
#[tokio::test(start_paused = true)]
async fn after_one_failure_each_hook_runs_once_but_the_one_that_failed() {
    for before in [true, false] {
        for fuse in 0..5 {
            let (world, cloud, _) = support::world();
            cloud.lock().unwrap().fuse = Some(fuse);
            cloud.lock().unwrap().before = before;
            let fleet = fake_fleet(1, "a", "1");
            let (_, outcome) = once(&world, &fleet).await;
            let failed: Vec<String> =
                outcome.iter().filter(|(_, end)| matches!(end, End::Failed(_))).map(|(id, _)| id.to_string()).collect();
            let (plan, outcome) = once(&world, &fleet).await;
            assert!(outcome.values().all(|end| matches!(end, End::Done)), "{failed:?}: {plan}");
            assert!(once(&world, &fleet).await.0.is_noop());
            let mut want = vec!["pre-create", "post-create"];
            // Its answer was lost after it had run: at least once.
            match failed[0].as_str() {
                "m/pre-create/1.x" if !before => want.insert(0, "pre-create"),
                "m/post-create/1.x" if !before => want.push("post-create"),
                _ => {}
            }
            assert_eq!(ran(&cloud), want, "{failed:?}");
        }
    }
}
