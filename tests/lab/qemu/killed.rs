//! Driver `qemu` killed at its points, and between them: what comes next makes it right.
//!
//! The usual run tries the first two points of each call and a sample of the others; `MACHINE_CRASH=full` (`just lab-full`)
//! tries all.
//!
//! Needs root, for machines with an address of their own, and qemu.

use super::{Desk, answer, child::Die, until};
use crate::{full::full, lab, sample::is_tried};
use machine::record::Instance;
use std::{
    fs,
    net::TcpStream,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const NEEDED: [&str; 2] = ["qemu-system-x86_64", "qemu-img"];

/// In the usual run one of so many points is tried.
const ONE_OF: u64 = 3;

/// Which points of a call are tried, by their number.
fn tried(call: &str) -> impl Iterator<Item = usize> {
    (1..).filter(move |nth| *nth <= 2 || is_tried(&format!("qemu {call} {nth}"), ONE_OF))
}

/// After a creation that was killed: another one, or a removal, and there is one machine or none.
fn after_a_creation(desk: &Desk, take_back: bool, after: &str) {
    // A creation and a removal look first.
    let found = desk.done("find", None).instance;
    let mut web = found.clone();
    if !take_back {
        let made = desk.done("create", None).instance.unwrap();
        if let Some(found) = found {
            assert_eq!(found, made, "{after}: what was found is what goes on");
        }
        assert_eq!(desk.running().len(), 1, "{after}: {:?}", desk.running());
        assert_eq!(desk.done("find", None).instance.as_ref(), Some(&made), "{after}");
        assert_eq!(desk.done("power", Some(&made)).word, "Running", "{after}");
        desk.booted();
        let names: Vec<String> = fs::read_dir(desk.folder())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name.contains("new"))
            .collect();
        assert_eq!(names, Vec::<String>::new(), "{after}: something half done is left");
        web = Some(made);
    }
    if let Some(web) = web {
        desk.done("rm", Some(&web));
        assert_eq!(desk.done("power", Some(&web)).word, "Gone", "{after}");
    }
    assert_eq!(desk.left(), Vec::<String>::new(), "{after}");
}

/// As on a computer on which nothing was made yet.
fn fresh(desk: &Desk) {
    for folder in [desk.images(), desk.lab.store()] {
        let _ = fs::remove_dir_all(folder);
    }
}

/// Pains 4 and 5. With a guest that boots at once, all points there are.
#[test]
fn wherever_create_is_killed_there_is_one_machine_and_then_none() {
    if !lab::ready(&NEEDED) {
        return;
    }
    let begun = Instant::now();
    let points = {
        let desk = Desk::new();
        let points = desk.points_until("create", Die::Never);
        after_a_creation(&desk, false, "no kill");
        points
    };
    let started = points.iter().rposition(|point| point.starts_with("qemu.program.done qemu-system-x86_64"));
    let started = started.expect("qemu is started") + 1;
    println!("{} points, {started} of them up to the start: {points:#?}", points.len());
    let (next, kills) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let work = |desk: &Desk| {
        loop {
            let nth = next.fetch_add(1, Ordering::SeqCst);
            let Some(point) = points.get(nth - 1) else { return };
            // The last is where everything is done.
            if nth > 2 && nth < points.len() && !is_tried(&format!("qemu create {point} {nth}"), ONE_OF) {
                continue;
            }
            fresh(desk);
            assert!(desk.try_ask("create", None, Die::At(nth)).is_none(), "{nth}, {point}: not passed again");
            kills.fetch_add(1, Ordering::SeqCst);
            after_a_creation(desk, nth.is_multiple_of(3), &format!("killed at {nth}, {point}"));
        }
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            let work = &work;
            scope.spawn(move || work(&Desk::new()));
        }
    });
    println!("{} kills in {:?}", kills.load(Ordering::SeqCst), begun.elapsed());
    assert!(
        points.len() >= 30 && kills.into_inner() >= points.len() / if full() { 1 } else { 6 },
        "the points are passed"
    );
}

/// Between points too: programs that were started go on when the one that started them is killed.
#[test]
fn whenever_create_is_killed_there_is_one_machine_and_then_none() {
    if !lab::ready(&NEEDED) {
        return;
    }
    let desk = Desk::new();
    let (mut whole, times) = (Duration::ZERO, if full() { 100 } else { 4 });
    for nth in 0..=times {
        fresh(&desk);
        let begun = Instant::now();
        let mut child = desk.command(&desk.task("create", None, Die::Never));
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if nth > 0 {
            // From when its process is there to when it usually has ended.
            thread::sleep(whole * nth / times);
            let _ = child.kill();
        }
        let said = child.wait_with_output().unwrap();
        if nth == 0 {
            whole = begun.elapsed();
        }
        if answer("create", &said).is_none_or(|answer| answer.error.is_empty()) {
            after_a_creation(&desk, nth % 3 == 1, &format!("killed after {:?} of {whole:?}", whole * nth / times));
        }
    }
}

/// With ports of this computer, which its guest does not answer at: up to the start of its process.
#[test]
fn a_machine_that_was_killed_on_its_way_keeps_no_port() {
    if !lab::ready(&NEEDED) {
        return;
    }
    let mut desk = Desk::new();
    desk.options.retain(|key, _| key != "address");
    desk.options.insert("network".to_owned(), "user".into());
    let started = || Die::On("qemu.program.done".to_owned(), "qemu-system-".to_owned());
    // Not by listening there, which would take it from a machine that is just starting.
    let free = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_err();
    let points = desk.points_until("create", started());
    let from = points.iter().position(|point| point.starts_with("qemu.disk.rename")).unwrap();
    let mut kills = 0;
    for nth in from..=points.len() {
        let found = desk.done("find", None).instance;
        if let Some(web) = found {
            let ports = [
                web.ssh.as_ref().unwrap().port,
                web.url.as_ref().unwrap().rsplit_once(':').unwrap().1.parse().unwrap(),
            ];
            // One that was being started when the run was killed comes up by itself.
            let begun = ["qemu.program.started qemu-system-", "qemu.program.done qemu-system-"];
            if nth > from && !begun.iter().any(|point| points[nth - 2].starts_with(point)) {
                let answer = desk.try_ask("create", None, started());
                assert!(answer.is_none(), "{nth}: {answer:?}");
            }
            assert_eq!(desk.done("find", None).instance.as_ref(), Some(&web), "{nth}: it keeps its ports");
            // One that goes into the background is two for a moment.
            until("it is one, and its ports lead to it", || desk.running().len() == 1 && !ports.into_iter().any(free));
            desk.done("rm", Some(&web));
            until("its ports are free", || ports.into_iter().all(free));
        }
        assert_eq!(desk.left(), Vec::<String>::new(), "{nth}");
        fresh(&desk);
        assert!(desk.try_ask("create", None, Die::At(nth)).is_none());
        kills += 1;
    }
    let web = desk.done("find", None).instance.unwrap();
    desk.done("rm", Some(&web));
    assert_eq!(desk.left(), Vec::<String>::new());
    println!("{kills} kills");
}

/// One part of a machine's life: how it begins, what is done, and what holds after.
struct Part {
    call: &'static str,
    running: bool,
    after: &'static str,
    snapshots: Option<&'static str>,
}

/// Brings the machine to where a part begins.
fn begin(desk: &Desk, web: &Instance, part: &Part) {
    let now = desk.done("power", Some(web)).word;
    if part.running && now != "Running" {
        desk.done("start", Some(web));
    }
    if part.running {
        desk.booted();
    }
    if !part.running && now != "Stopped" {
        desk.done("kill", Some(web));
    }
    let there = desk.done("snapshot ls", Some(web)).word;
    let want = if part.call.starts_with("snapshot create") { "" } else { "before" };
    if part.snapshots.is_some() && there != want {
        desk.done(if want.is_empty() { "snapshot rm before" } else { "snapshot create before" }, Some(web));
    }
}

const fn part(call: &'static str, running: bool, after: &'static str) -> Part {
    Part { call, running, after, snapshots: None }
}

const fn snapshot(call: &'static str, running: bool, there: &'static str) -> Part {
    Part { call, running, after: if running { "Running" } else { "Stopped" }, snapshots: Some(there) }
}

/// Killed in the middle of anything else, the same command once more ends well, and never is there a second process.
#[test]
fn wherever_a_machine_is_killed_in_its_life_the_same_once_more_makes_it_right() {
    if !lab::ready(&NEEDED) {
        return;
    }
    let begun = Instant::now();
    let mut desk = Desk::new();
    let web = desk.done("create", None).instance.unwrap();
    let mut kills = 0;
    for part in [
        part("stop", true, "Stopped"),
        part("start", false, "Running"),
        part("restart", true, "Running"),
        part("kill", true, "Stopped"),
        part("change", true, "Running"),
        part("change", false, "Stopped"),
        snapshot("snapshot create before", true, "before"),
        snapshot("snapshot restore before", true, "before"),
        snapshot("snapshot rm before", true, ""),
        snapshot("snapshot create before", false, "before"),
        snapshot("snapshot restore before", false, "before"),
        snapshot("snapshot rm before", false, ""),
    ] {
        for nth in tried(&format!("{} {}", part.call, part.running)) {
            let after = format!("`{}`, running: {}, killed at {nth}", part.call, part.running);
            begin(&desk, &web, &part);
            if part.call == "change" {
                let size: u64 = desk.options["disk-size"].as_str().unwrap().parse().unwrap();
                desk.options.insert("disk-size".to_owned(), (size + 1).to_string().into());
            }
            if desk.try_ask(part.call, Some(&web), Die::At(nth)).is_some() {
                break;
            }
            kills += 1;
            if !desk.running().is_empty() {
                desk.booted();
            }
            let again = desk.try_ask(part.call, Some(&web), Die::Never).unwrap();
            // A snapshot that is there, or is gone, cannot be made or removed once more.
            let done = part.snapshots.is_some()
                && ["there is one of", "has none of"].iter().any(|why| again.error.contains(why));
            assert!(again.error.is_empty() || done, "{after}: {again:?}");
            let now = desk.done("power", Some(&web)).word;
            if part.snapshots.is_some_and(|_| now == "Paused") {
                // It says so, and `start` lets it go on.
                desk.done("start", Some(&web));
                assert_eq!(desk.done("power", Some(&web)).word, "Running", "{after}");
            } else {
                assert_eq!(now, part.after, "{after}");
            }
            assert_eq!(
                desk.running().len(),
                usize::from(part.running && part.after == "Running" || part.call == "start"),
                "{after}"
            );
            if let Some(there) = part.snapshots {
                assert_eq!(desk.done("snapshot ls", Some(&web)).word, there, "{after}");
            }
            if part.call == "change" {
                let file = desk.folder().join("disk.qcow2").display().to_string();
                let info =
                    lab::Said::of(&desk.lab.command("qemu-img").args(["info", "-U", &file]).output().unwrap()).ok();
                let want = desk.options["disk-size"].as_str().unwrap().to_owned();
                assert!(info.out.contains(&format!("virtual size: {want} MiB")), "{after}: {}", info.out);
            }
        }
    }
    // Removing: the next run finds it and removes it, or finds nothing and there is nothing.
    for nth in tried("rm") {
        let web = desk.done("create", None).instance.unwrap();
        if desk.try_ask("rm", Some(&web), Die::At(nth)).is_some() {
            break;
        }
        kills += 1;
        if nth % 2 == 0 {
            desk.done("rm", Some(&web));
        } else if let Some(web) = desk.done("find", None).instance {
            desk.done("rm", Some(&web));
        }
        assert_eq!(desk.left(), Vec::<String>::new(), "`rm` killed at {nth}");
    }
    println!("{kills} kills in {:?}", begun.elapsed());
    assert!(kills > if full() { 30 } else { 12 }, "{kills}");
}
