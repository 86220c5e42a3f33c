//! No error without its host and what was being done there (pain 30). Every variant of what can end badly in a step is
//! told here once; a variant that is not is found by reading the source.

use machine::{
    apply::{End, Outcome, StepError},
    clock::Timestamp,
    docker::DockerError,
    driver::DriverError,
    hook::{On, Point},
    name::MachineName,
    panicked::Panicked,
    plan::StepId,
    provisioner::{Difference, Unsupported, facts::Clocks},
    record::Part,
    report::summary::failures,
    secret::{Secret, SecretError, SecretProblem},
    store::{StoreError, authority::AuthorityError},
    transport::TransportError,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

fn web() -> MachineName {
    MachineName::new("web-1").unwrap()
}

fn text(word: &str) -> String {
    word.to_owned()
}

fn io() -> StoreError {
    StoreError::Io { doing: "write", path: PathBuf::from("/store/x"), source: ErrorKind::StorageFull.into() }
}

fn secret() -> SecretError {
    SecretError { secret: Secret::Env(text("TOKEN")), why: SecretProblem::Unset }
}

fn transport() -> Vec<TransportError> {
    let (machine, address) = (web(), text("192.0.2.1:22"));
    vec![
        TransportError::Connect { machine: machine.clone(), address: address.clone(), why: text("no route to host") },
        TransportError::HostKey {
            machine: machine.clone(),
            address: address.clone(),
            expected: vec![text("SHA256:a")],
            met: text("SHA256:b"),
        },
        TransportError::Auth { machine: machine.clone(), address, user: text("root"), tried: text("key /k") },
        TransportError::Key { machine: machine.clone(), path: text("/k"), why: text("it is encrypted") },
        TransportError::Config { machine: machine.clone(), why: text("~/.ssh/config, line 3: no such keyword") },
        TransportError::Passphrase { machine: machine.clone(), path: text("/k"), error: secret() },
        TransportError::Timeout { machine: machine.clone(), doing: text("waiting for a command to end"), limit_s: 60 },
        TransportError::Broken { machine, doing: text("running a command"), why: text("the host ended it") },
    ]
}

fn docker() -> Vec<DockerError> {
    let (machine, address, why) = (web(), text("tcp://192.0.2.1:2376"), text("no answer within 10 s"));
    vec![
        DockerError::Unreachable { machine: machine.clone(), address: address.clone(), why: why.clone() },
        DockerError::Tls { machine: machine.clone(), address: address.clone(), why: why.clone() },
        DockerError::Answer { machine, address, why },
    ]
}

fn driver() -> Vec<DriverError> {
    let mut all = vec![
        DriverError::Unprepared { what: text("`x` is not installed"), help: text("install it") },
        DriverError::Refused { doing: text("starting the instance"), why: text("quota"), help: text("ask for more") },
        DriverError::Lost { doing: text("starting the instance"), why: text("no answer") },
        DriverError::cannot("generic", "start"),
        DriverError::Checkpoint(text("disk full")),
        DriverError::Secret(secret()),
        DriverError::Stranger {
            doing: "looking for credentials".into(),
            why: "there are none".into(),
            help: "log in".into(),
        },
    ];
    all.extend(transport().into_iter().map(DriverError::Transport));
    all
}

fn step() -> Vec<StepError> {
    let difference = Difference { what: text("version"), found: None, wanted: Some(text("28.2")) };
    let mut all = vec![
        StepError::UnknownDriver { driver: text("ec2"), machine: web() },
        StepError::Firewall { error: docker().remove(0), help: text("open the port") },
        StepError::Clock {
            error: docker().remove(0),
            clocks: Clocks { host: Timestamp(0), here: Timestamp(1_800_000_000) },
        },
        StepError::Store(io()),
        StepError::Authority(AuthorityError::Store(io())),
        StepError::NoOsRelease,
        StepError::UnknownDistribution(text("plan9")),
        StepError::Unsupported(Unsupported { what: text("no such version"), help: text("take another") }),
        StepError::Facts(text("the answer is empty")),
        StepError::Op { title: text("install"), status: 100, stderr: text("E: no"), help: Some(text("mend it")) },
        StepError::NotAsWanted(vec![difference]),
        StepError::Blocked(text("its driver is unknown")),
        StepError::Secret(secret()),
        StepError::Hook { point: Point::PreUpgrade, on: On::Host, why: text("`./x` ended with 1"), output: text("no") },
        StepError::NoLogin(text("none")),
        StepError::NoRoot(text("joe")),
        StepError::Panicked(Panicked { at: Some("src/x.rs:1:1".to_owned()), said: None }),
        StepError::Bug("a step without a host"),
    ];
    all.extend(transport().into_iter().map(StepError::Transport));
    all.extend(docker().into_iter().map(StepError::Docker));
    all.extend(driver().into_iter().map(StepError::Driver));
    all
}

/// The variants of an enumeration, as its source has them.
fn variants(file: &str, name: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(file).unwrap();
    let body = source.split(&format!("pub enum {name} {{\n")).nth(1).unwrap().split("\n}\n").next().unwrap();
    let lines = body.lines().filter(|line| line.starts_with("    ") && line.as_bytes()[4].is_ascii_uppercase());
    lines.map(|line| line.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()).collect()
}

#[track_caller]
fn all_told<E: std::fmt::Debug>(file: &str, name: &str, samples: &[E]) {
    let told = samples.iter().map(|sample| {
        let text = format!("{sample:?}");
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
    });
    let told: BTreeSet<String> = told.collect();
    let missing: Vec<String> = variants(file, name).difference(&told).cloned().collect();
    assert!(missing.is_empty(), "add a sample of {name}::{} to this file", missing.join(", "));
}

#[test]
fn no_variant_is_left_out() {
    all_told("src/transport/mod.rs", "TransportError", &transport());
    all_told("src/docker/mod.rs", "DockerError", &docker());
    all_told("src/driver/error.rs", "DriverError", &driver());
    all_told("src/apply/error.rs", "StepError", &step());
}

/// Also outside of steps, as in `machine ssh`.
#[test]
fn what_comes_from_a_host_names_it() {
    let transport = transport().into_iter().map(|e| (e.to_string(), e.help()));
    for (said, help) in transport.chain(docker().into_iter().map(|e| (e.to_string(), e.help()))) {
        assert!(said.starts_with("`web-1`: "), "{said}");
        assert!(!help.is_empty(), "{said}");
    }
}

#[test]
fn a_limit_is_told_with_what_took_too_long() {
    let late = transport().into_iter().find(|e| matches!(e, TransportError::Timeout { .. })).unwrap();
    assert_eq!(late.to_string(), "`web-1`: no answer within 60 s while waiting for a command to end");
}

#[test]
fn every_failed_step_is_told_with_host_step_time_and_what_to_do() {
    let id = StepId::part(&web(), Part::Engine);
    let took = BTreeMap::from([(id.clone(), Duration::from_secs(12))]);
    let log = |_: &MachineName| Some(PathBuf::from("/store/machines/web-1/last-failure.log"));
    for error in step() {
        let (name, cause) = (format!("{error:?}"), error.to_string());
        let hopeless = matches!(
            error,
            StepError::Driver(DriverError::Cannot { .. } | DriverError::Checkpoint(_)) | StepError::Unsupported(_)
        );
        let op = matches!(error, StepError::Op { .. });
        let told = failures(&Outcome::from([(id.clone(), End::Failed(Arc::new(error)))]), &took, &log);
        assert!(told.starts_with("error: web-1: engine failed after 12 s\n  "), "{name}: {told}");
        let cause = cause.strip_prefix("`web-1`: ").unwrap_or(&cause);
        assert!(told.contains(cause), "{name}: {told}");
        assert!(hopeless || told.contains("\n  help: "), "{name}: {told}");
        if op {
            for part in ["`install`", "exit status 100", "  | E: no", "last-failure.log"] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
    }
}
