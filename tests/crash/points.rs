//! Killed at every point there is, on fakes.

use crate::{
    chance::Share,
    child::{self, How, Point},
    sample::draw,
    story::{Place, STEPS},
};
use libtest_mimic::Trial;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    os::unix::process::ExitStatusExt as _,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// A folder that is put back as it was before each trial: what lies in it names it by its full path.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    /// In memory where there is such a place: nothing here is about the computer losing its power.
    pub(crate) fn new() -> Self {
        let builder = || tempfile::Builder::new().prefix("machine-crash-").tempdir_in("/dev/shm");
        Self { dir: builder().or_else(|_| tempfile::tempdir()).unwrap() }
    }

    pub(crate) fn place(&self) -> Place {
        Place { root: self.dir.path().join("root") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Keeps what is there now under a name.
    pub(crate) fn save(&self, name: &str) {
        replace(&self.place().root, &self.path(name));
    }

    /// Puts back what was kept.
    pub(crate) fn restore(&self, name: &str) {
        replace(&self.path(name), &self.place().root);
    }
}

fn replace(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    copy(from, to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A step of the story, killed or failing at a point.
pub(crate) struct Attempt<'a> {
    pub(crate) step: &'a str,
    pub(crate) point: &'a Point,
    pub(crate) how: How,
}

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { name, about, nth } = self.point;
        write!(f, "`{}` with {:?} at {name} {about} ({nth})", self.step, self.how)
    }
}

impl Attempt<'_> {
    /// Runs it from where the step begins.
    pub(crate) fn run(&self, bench: &Bench) -> Output {
        bench.restore(&format!("before-{}", self.step));
        let mut command = child::command(self.step, &bench.place().root);
        child::faulty(&mut command, self.point, self.how);
        command.output().unwrap()
    }
}

/// Machines that are at the provider and not recorded when a step begins.
pub(crate) fn unknown(step: &str) -> &'static [&'static str] {
    if step == "create" { &["found"] } else { &[] }
}

/// A bench with what each step begins with.
pub(crate) fn bench() -> Bench {
    let bench = Bench::new();
    bench.place().prepare();
    for step in STEPS {
        bench.save(&format!("before-{step}"));
        bench.place().perform(step).unwrap();
    }
    bench
}

/// All points of a step, by a dry run.
pub(crate) fn points(bench: &Bench, step: &str) -> Vec<Point> {
    bench.restore(&format!("before-{step}"));
    let trace = bench.path(&format!("trace-{step}"));
    let mut command = child::command(step, &bench.place().root);
    child::traced(&mut command, &trace);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    child::passed(&trace)
}

/// A lock that cannot be read at any look costs what was to be done, and nothing else: it stays, its holder writes
/// nothing, and the next run goes on.
pub(crate) fn unreadable_at_every_look() -> impl Iterator<Item = Trial> {
    Share::all("points::a_lock_that_cannot_be_read_costs_the_run_and_no_more", 4, unreadable)
}

fn unreadable(share: &Share) {
    let looks = points_that(&bench(), |point| child::is_look(&point.name));
    let picked = share.pick(looks, PERCENT, |(step, point)| said(step, point));
    side_by_side(&picked, bench, |bench, (step, point)| {
        let trial = Attempt { step, point, how: How::Fails(rustix::io::Errno::IO.raw_os_error()) };
        let output = trial.run(bench);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| [0, 1, 3].contains(&code)), "{trial}: {said}");
        if !output.status.success() {
            assert!(said.contains("cannot be read: Input/output error"), "{trial}: {said}");
        }
        bench.place().nothing_is_forgotten(unknown(step), &trial);
        match *step {
            "destroy" => bench.place().vanishes(&[], &trial),
            step => bench.place().converges(step, &trial),
        }
    });
}

/// Does something with each item, on all processors, each with a bench of its own.
pub(crate) fn side_by_side<T: Sync>(items: &[T], bench: impl Fn() -> Bench + Sync, work: impl Fn(&Bench, &T) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let bench = bench();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // One that fails does not hide the others.
                    let ended = panic::catch_unwind(AssertUnwindSafe(|| work(&bench, item)));
                    failed.fetch_add(usize::from(ended.is_err()), Ordering::Relaxed);
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert_eq!(failed, 0, "{failed} of {} failed", items.len());
}

/// Points of all steps, with a way to tell them apart.
pub(crate) fn every_point(bench: &Bench) -> Vec<(&'static str, Point)> {
    // What dies before a look dies before what comes after it.
    points_that(bench, |point| !child::is_look(&point.name))
}

fn points_that(bench: &Bench, wanted: impl Fn(&Point) -> bool) -> Vec<(&'static str, Point)> {
    let of = |step: &&'static str| {
        let step = *step;
        points(bench, step).into_iter().map(move |point| (step, point)).collect::<Vec<_>>()
    };
    STEPS.iter().flat_map(of).filter(|(_, point)| wanted(point)).collect()
}

/// A point's kind, and the point.
pub(crate) fn said(step: &str, point: &Point) -> (String, String) {
    (format!("{step} {}", point.name), format!("{step} {point}"))
}

/// So many of a hundred points are tried in the usual run, besides one of each kind.
const PERCENT: u64 = 3;
/// The order between hosts is free: a retry or a pinned key may come one passing earlier or later.
const TRIES: usize = 3;

/// Pain 4, pain 8: kill -9 before and after every effect and every write, then one apply: one instance for each host,
/// none forgotten, nothing left to do. Or one destroy: nothing is left, here or there.
pub(crate) fn killed_at_every_point() -> impl Iterator<Item = Trial> {
    Share::all("points::killed_at_every_point_a_fleet_of_fakes_is_whole_after_one_apply", 16, killed)
}

fn killed(share: &Share) {
    let picked = share.pick(every_point(&bench()), PERCENT, |(step, point)| said(step, point));
    let missed = AtomicUsize::new(0);
    side_by_side(&picked, bench, |bench, (step, point)| {
        let trial = Attempt { step, point, how: How::Killed };
        let dies = |_| {
            let output = trial.run(bench);
            let killed = output.status.signal() == Some(9);
            assert!(killed || output.status.success(), "{trial}: {}", String::from_utf8_lossy(&output.stderr));
            killed
        };
        if !(0..TRIES).any(dies) {
            missed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        bench.save("killed");
        bench.place().nothing_is_forgotten(unknown(step), &trial);
        match *step {
            "destroy" => bench.place().vanishes(&[], &trial),
            step => bench.place().converges(step, &trial),
        }
        // A destroy was done above. At every other point only: it takes a third of the time.
        if *step != "destroy" && draw(0, &format!("taken back {step} {point}")).is_multiple_of(2) {
            bench.restore("killed");
            bench.place().vanishes(unknown(step), &trial);
        }
    });
    let missed = missed.into_inner();
    assert!(missed * 50 <= picked.len(), "{missed} of {} points were not passed the second time", picked.len());
}

/// Before and after every effect and every write there is a point.
pub(crate) fn the_points_are_where_the_effects_are() {
    let bench = bench();
    let mut names: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for step in STEPS {
        names.insert(step, points(&bench, step).into_iter().map(|point| point.name).collect());
    }
    let of_all = |wanted: &[&str], steps: &[&str]| {
        for (step, name) in steps.iter().flat_map(|step| wanted.iter().map(move |name| (step, name))) {
            assert!(names[step].contains(*name), "`{step}` passes no {name}: {:?}", names[step]);
        }
    };
    let store = [
        "lock.open",
        "lock.create",
        "lock.write",
        "lock.remove",
        "store.create",
        "store.write",
        "store.sync",
        "store.rename",
        "store.sync-dir",
    ];
    of_all(&store, &STEPS);
    of_all(&["store.mkdir", "driver.create", "driver.create.done"], &["create", "change"]);
    of_all(
        &["host.connect", "host.script", "host.script.done", "engine.ask", "engine.ask.done"],
        &["create", "change"],
    );
    of_all(&["driver.change", "driver.change.done"], &["create", "change"]);
    of_all(&["driver.rm", "driver.rm.done", "store.remove"], &["change", "destroy"]);
    of_all(&["hook.run", "hook.run.done"], &STEPS);
}
