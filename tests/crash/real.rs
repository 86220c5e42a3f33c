//! Killed on real hosts: whole Debians with real engines, made by the program that is killed.
//!
//! A life is: created, changed, removed, and in each of the three a kill.

use crate::plain::{self};
use crate::{
    child::{self, DO, How, Point},
    full::full,
    lab::{self, Lab, Said},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::process::ExitStatusExt as _,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How many lives: each has a kill in its creation, its change and its removal.
fn lives() -> usize {
    if full() { 30 } else { 4 }
}

/// How many lives go on at once: a host that boots keeps a processor busy.
const AT_ONCE: usize = 3;

/// One host from nothing to nothing.
struct Life {
    lab: Lab,
}

impl Life {
    /// Installing an engine is tested elsewhere, and takes longer than all the rest.
    fn new() -> Self {
        Self { lab: Lab::golden() }
    }

    fn file(&self, tier: &str) -> String {
        self.lab.file(
            "fleet.yaml",
            &format!(
                "fleet: crash\ndefaults: {{ driver: nspawn, engine: {{ source: distro, labels: {{ tier: '{tier}' }} }} }}\nhosts:\n  m: {{ image: debian-12 }}\n"
            ),
        )
    }

    /// The program, as it can be killed.
    fn child(&self, words: &[&str]) -> Command {
        let exe = std::env::current_exe().unwrap();
        let mut command = self.lab.command(exe.to_str().unwrap());
        command.env(DO, "machine").env("CRASH_ROOT", self.lab.path("")).args(words);
        command
    }

    /// Runs the program and kills it at a point; whether it came to that point.
    #[track_caller]
    fn killed(&self, words: &[&str], point: &Point) -> bool {
        let mut command = self.child(words);
        child::faulty(&mut command, point, How::Killed);
        let output = command.output().unwrap();
        let killed = output.status.signal() == Some(9);
        assert!(killed || output.status.success(), "{point}: {:?}", Said::of(&output));
        // Whatever the moment, everything that is recorded can be read.
        let snapshot = plain::folder(self.lab.store()).snapshot().unwrap();
        assert_eq!(snapshot.broken, BTreeMap::new(), "{point}");
        assert!(snapshot.machines.len() <= 1, "{point}");
        let there = self.instances();
        assert!(there.is_empty() || snapshot.machines.len() == 1, "{there:?} is forgotten after {point}");
        killed
    }

    /// Ids of the instances on this computer.
    fn instances(&self) -> Vec<String> {
        let entries = fs::read_dir(self.lab.base().join("instances")).into_iter().flatten().flatten();
        entries
            .filter(|e| e.path().join("instance.json").exists())
            .map(|e| e.file_name().into_string().unwrap())
            .collect()
    }

    /// Processes that are a machine of this lab.
    fn running(&self) -> usize {
        let word = format!("--directory={}", self.lab.base().join("instances").display());
        let cmdline = |e: fs::DirEntry| fs::read(e.path().join("cmdline")).unwrap_or_default();
        let all = fs::read_dir("/proc").unwrap().flatten().map(cmdline);
        let ours = |line: &Vec<u8>| {
            let mut words = line.split(|b| *b == 0);
            words.next().is_some_and(|p| p.ends_with(b"systemd-nspawn"))
                && words.any(|w| w.starts_with(word.as_bytes()))
        };
        all.filter(ours).count()
    }

    /// One apply is all it takes.
    #[track_caller]
    fn converges(&self, file: &str, tier: &str, after: &Point) {
        let said = self.lab.machine(&["apply", "-y", file]);
        assert_eq!(said.code, 0, "apply after {after}: {}{}", said.out, said.err);
        let said = self.lab.machine(&["apply", "-y", file]).ok();
        assert!(said.out.contains("Nothing to do"), "the second plan after {after}: {}", said.out);
        assert_eq!((self.instances().len(), self.running()), (1, 1), "instances and processes after {after}");
        let said = self.lab.docker("m", &["info", "--format", "{{.Labels}} {{.ServerVersion}}"]).ok();
        assert!(said.out.contains(&format!("tier={tier}")), "{} after {after}", said.out);
    }

    /// `rm` alone; when it was all but done, there is no such machine any more.
    #[track_caller]
    fn removes(&self) {
        let there = !plain::folder(self.lab.store()).names().unwrap().is_empty();
        self.lab.machine(&["rm", "-y", "m"]).code(i32::from(!there));
    }

    /// Nothing is left: no process, mount, interface, rule, folder or record.
    #[track_caller]
    fn is_gone(&self, after: &Point) {
        assert_eq!(self.lab.left(), Vec::<String>::new(), "after {after}");
        assert!(!self.lab.base().exists(), "its folder after {after}");
        let names: Vec<_> = fs::read_dir(self.lab.store().join("machines"))
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".lock")
            .collect();
        assert_eq!(names, Vec::<String>::new(), "records after {after}");
    }
}

/// The three parts of a life: words of the command line, and the engine's label.
fn part(life: &Life, which: usize) -> (Vec<String>, String) {
    match which {
        0 => (vec!["apply".to_owned(), "-y".to_owned(), life.file("one")], "one".to_owned()),
        1 => (vec!["apply".to_owned(), "-y".to_owned(), life.file("two")], "two".to_owned()),
        _ => (vec!["destroy".to_owned(), "-y".to_owned(), life.file("two")], String::new()),
    }
}

/// All points of a life, by one that is not killed.
fn points() -> [Vec<Point>; 3] {
    let life = Life::new();
    let trace = |which: usize| {
        let (words, _) = part(&life, which);
        let path = life.lab.path(&format!("trace-{which}"));
        let mut command = life.child(&words.iter().map(String::as_str).collect::<Vec<_>>());
        child::traced(&mut command, &path);
        Said::of(&command.output().unwrap()).ok();
        let passed = child::passed(&path);
        // A process's id, an interface's name are others each time; questions are asked as often as needed.
        let same =
            |p: &Point| !p.about.contains("/sys/fs/cgroup") && p.name != "engine.ask" && p.name != "engine.ask.done";
        passed.into_iter().filter(|p| same(p) || p.nth == 1).collect()
    };
    [trace(0), trace(1), trace(2)]
}

/// So many of the points: first one of each kind, as they come, then one more of each, and so on.
fn spread(points: &[Point], n: usize) -> Vec<Point> {
    let mut kinds: Vec<(String, Vec<Point>)> = Vec::new();
    for point in points.iter().filter(|point| !point.about.contains("/sys/")) {
        let program = if point.name.starts_with("nspawn.program") { point.about.as_str() } else { "" };
        let kind = format!("{} {program}", point.name);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, of_kind)) => of_kind.push(point.clone()),
            None => kinds.push((kind, vec![point.clone()])),
        }
    }
    // Fakes have seen every write to the store; effects on the world are what is to be seen here.
    kinds.sort_by_key(|(kind, _)| child::is_of_store(kind));
    let rounds = points.len();
    let all = (0..rounds).flat_map(|round| {
        // Not always the first of its kind: later ones find more that is half done.
        let pick = move |(nth, (_, of_kind)): (usize, &(String, Vec<Point>))| {
            (round < of_kind.len()).then(|| of_kind[(round + nth * 7) % of_kind.len()].clone())
        };
        kinds.iter().enumerate().filter_map(pick)
    });
    all.take(n).collect()
}

/// Pain 4, pain 5: kill -9 in the creation, the change and the removal of real hosts; each time one more command ends
/// with exactly one instance and a working engine, and in the end with none.
pub(crate) fn real_hosts_are_whole_after_kills() {
    if !lab::ready(&["docker", "busybox"]) {
        return;
    }
    let all = points();
    println!("  {} points to create, {} to change, {} to remove", all[0].len(), all[1].len(), all[2].len());
    // Creations are killed twice in each life: the second one is taken back.
    let picked: Vec<Vec<Point>> = [2, 1, 1].iter().zip(&all).map(|(n, points)| spread(points, n * lives())).collect();
    let (next, kills, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let names = Mutex::new(BTreeSet::new());
    let live = |n: usize| {
        let life = Life::new();
        for which in 0..3 {
            let (words, tier) = part(&life, which);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Some(point) = picked[which].get(n) else {
                life.lab.machine(&words).ok();
                continue;
            };
            if life.killed(&words, point) {
                kills.fetch_add(1, Ordering::Relaxed);
                names.lock().unwrap().insert(format!("{} {}", ["create", "change", "remove"][which], point.name));
            }
            if which < 2 {
                life.converges(words[2], &tier, point);
            } else if n.is_multiple_of(2) {
                life.lab.machine(&words).ok();
                life.is_gone(point);
            } else {
                life.removes();
                life.is_gone(point);
            }
        }
        // A creation that was killed is also taken back, by `rm` alone.
        if let Some(point) = picked[0].get(lives() + n) {
            let (words, _) = part(&life, 0);
            if life.killed(&words.iter().map(String::as_str).collect::<Vec<_>>(), point) {
                kills.fetch_add(1, Ordering::Relaxed);
                names.lock().unwrap().insert(format!("create {}", point.name));
            }
            life.removes();
            life.is_gone(point);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= lives() {
                        return;
                    }
                    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(n)));
                    failed.fetch_add(usize::from(ended.is_err()), Ordering::Relaxed);
                }
            });
        }
    });
    let kills = kills.into_inner();
    println!("  {kills} kills: {:?}", names.into_inner().unwrap());
    assert_eq!(failed.into_inner(), 0, "some lives went wrong");
    // Of four in each life, for not every process is at its point before it has ended.
    assert!(kills * 2 >= lives() * 5, "only {kills} kills");
}
