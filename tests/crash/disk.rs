//! Disks that fail: at any single write by injection, and a real small one that is full or becomes read-only.

use crate::{
    chance::Share,
    child::{self, How, Point},
    full::full,
    lab::{self, Lab, Said},
    points::{Attempt, bench, points, said, side_by_side, unknown},
    sample::draw,
    story::STEPS,
};
use libtest_mimic::Trial;
use rustix::io::Errno;
use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Pain 9: ENOSPC, EIO or EROFS at every effect on the store, once or from then on: what is recorded can be read and
/// nothing is forgotten; it is told with the path, the cause and what to do; then one apply is enough.
pub(crate) fn fails_at_any_write() -> impl Iterator<Item = Trial> {
    Share::all("disk::a_disk_that_fails_at_any_write_loses_no_record", 8, fails)
}

/// So many of a hundred writes are tried in the usual run, besides one of each kind.
const PERCENT: u64 = 3;

fn fails(share: &Share) {
    let first = bench();
    let mut all: Vec<(&str, Point, How)> = Vec::new();
    let mut giving_back: BTreeSet<(&str, Point)> = BTreeSet::new();
    for step in STEPS {
        let points: Vec<Point> = points(&first, step).into_iter().filter(|p| child::is_of_store(&p.name)).collect();
        // When the fleet's lock is given back all is done, and what fails then the end of the process does.
        let last = points.iter().rposition(|point| point.name == "lock.open").unwrap();
        giving_back.extend(points[last..].iter().map(|point| (step, point.clone())));
        let ways = [How::GoesOnFailing(NOSPC), How::Fails(IO), How::GoesOnFailing(ROFS)];
        for point in points {
            // Which of them it is makes no difference for the code: they take turns, unless there is time for all.
            let turn = usize::try_from(draw(0, &format!("way {step} {point}")) % 3).expect("one of three");
            let these = if full() { &ways[..] } else { std::slice::from_ref(&ways[turn]) };
            all.extend(these.iter().map(|how| (step, point.clone(), *how)));
        }
    }
    let all = share.pick(all, PERCENT, |(step, point, how)| {
        let (kind, text) = said(step, point);
        (kind, format!("{text} {how:?}"))
    });
    let told = AtomicUsize::new(0);
    side_by_side(&all, bench, |bench, (step, point, how)| {
        let trial = Attempt { step, point, how: *how };
        let output = trial.run(bench);
        let told_us = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| [0, 1, 3].contains(&code)), "{trial}: {told_us}");
        bench.place().nothing_is_forgotten(unknown(step), &trial);
        if output.status.success() {
            // A temporary file that cannot be deleted does no harm; anything else may not go by unnoticed.
            let does_no_harm = point.name == "store.remove" || point.name == "lock.remove";
            assert!(does_no_harm || giving_back.contains(&(*step, point.clone())), "{trial} was not told");
        } else {
            told.fetch_add(1, Ordering::Relaxed);
            let (cause, help) = match how {
                How::GoesOnFailing(NOSPC) => ("No space left on device", "make room on the disk that holds"),
                How::GoesOnFailing(_) => ("Read-only file system", "the store is read-only"),
                _ => ("Input/output error", "look at the disk"),
            };
            assert!(told_us.contains(cause) && told_us.contains("/store/"), "{trial}: {told_us}");
            // A driver that could not keep what it made is told of as the driver's failure, with the same cause.
            assert!(
                told_us.contains(help) || told_us.contains("see that the store can be written"),
                "{trial}: {told_us}"
            );
        }
        match *step {
            "destroy" => bench.place().vanishes(&[], &trial),
            step => bench.place().converges(step, &trial),
        }
    });
    println!("  {} of them were told", told.into_inner());
}

const NOSPC: i32 = Errno::NOSPC.raw_os_error();
const IO: i32 = Errno::IO.raw_os_error();
const ROFS: i32 = Errno::ROFS.raw_os_error();

const FLEET: &str = "fleet: f\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1' }\n";
const MORE: &str = "fleet: f\nhosts:\n  a: { driver: none, url: 'tcp://127.0.0.1:1', protect: true }\n  b: { driver: none, url: 'tcp://127.0.0.1:2' }\n";

/// Runs a script in which `$M` is the program and `$S` its store, a file system of its own of 1 MB.
fn on_a_small_disk(lab: &Lab, script: &str) -> Said {
    let store = lab.store();
    fs::create_dir_all(&store).unwrap();
    let mount = "mount -t tmpfs -o size=1m,mode=700 small \"$S\"";
    let mut command = lab.command("unshare");
    command.args(["-m", "sh", "-c", &format!("set -u; {mount} || exit 99\n{script}")]);
    Said::of(&command.env("S", &store).env("M", env!("CARGO_BIN_EXE_machine")).output().unwrap())
}

/// The part of what a script printed that stands between `<NAME` and `NAME>`.
#[track_caller]
fn part<'t>(said: &'t Said, name: &str) -> &'t str {
    let (open, close) = (format!("<{name}\n"), format!("{name}>"));
    let whole = || panic!("no {name} in {}{}", said.out, said.err);
    let (_, rest) = said.out.split_once(&open).unwrap_or_else(whole);
    rest.split_once(&close).unwrap_or_else(whole).0
}

/// Pain 9, as a user meets it: a disk of 1 MB that is full.
pub(crate) fn a_small_full_disk_is_told_of_and_loses_nothing() {
    if !lab::ready(&["unshare"]) {
        return;
    }
    let lab = Lab::new();
    let (one, two) = (lab.file("one.yaml", FLEET), lab.file("two.yaml", MORE));
    let script = format!(
        "$M apply -y {one} >/dev/null || exit 98
$M create -d none --url tcp://127.0.0.1:3 c >/dev/null || exit 97
cp -a $S {copy}
dd if=/dev/zero of=$S/filler bs=1k 2>/dev/null
for at in \"apply -y {two}\" \"create -d none --url tcp://127.0.0.1:4 d\"; do
    echo \"<${{at%% *}}\"; $M $at 2>&1; echo \"exit $?\"; echo \"${{at%% *}}>\"
done
for m in a c; do diff -r {copy}/machines/$m $S/machines/$m || exit 96; done
echo '<ls'; $M ls --format '{{{{.Name}}}} {{{{.State}}}}' 2>&1; echo \"exit $?\"; echo 'ls>'
echo '<rm'; $M rm -y c 2>&1; echo \"exit $?\"; echo 'rm>'
rm $S/filler
echo '<again'; $M apply -y {two} 2>&1; echo \"exit $?\"; echo 'again>'
echo '<last'; $M apply -y {two} 2>&1; echo \"exit $?\"; echo 'last>'
find $S -name '*.tmp' -o -name '*.new' -o -name '*.removed'",
        copy = lab.path("copy").display(),
    );
    let said = on_a_small_disk(&lab, &script).ok();
    for command in ["apply", "create"] {
        let told = part(&said, command);
        println!("{}", told.trim_end());
        assert!(told.contains("exit 1\n") || told.contains("exit 3\n"), "{told}");
        assert!(told.contains("No space left on device") && told.contains("/store/"), "{told}");
        assert!(told.contains("help: make room on the disk that holds "), "{told}");
    }
    assert!(part(&said, "ls").contains("a ") && part(&said, "ls").ends_with("exit 0\n"), "{}", said.out);
    // What takes no room can be done on a full disk, and makes some.
    assert!(part(&said, "rm").ends_with("exit 0\n"), "{}", part(&said, "rm"));
    assert!(part(&said, "again").ends_with("exit 0\n"), "{}", part(&said, "again"));
    assert!(part(&said, "last").contains("Nothing to do"), "{}", part(&said, "last"));
    assert!(said.out.trim_end().ends_with("last>"), "left over: {}", said.out);
}

/// Pain 9: a disk that becomes read-only under the program's feet, with a record on it that was corrupted by then.
pub(crate) fn a_disk_that_becomes_read_only_is_told_of_and_loses_nothing() {
    if !lab::ready(&["unshare"]) {
        return;
    }
    let lab = Lab::new();
    let (one, two) = (lab.file("one.yaml", FLEET), lab.file("two.yaml", MORE));
    let script = format!(
        "$M apply -y {one} >/dev/null || exit 98
$M create -d none --url tcp://127.0.0.1:3 bad >/dev/null || exit 97
printf '{{\n  \"record\": 2,\n  \"name\": \"ba' >$S/machines/bad/record.json
cp -a $S {copy}
mount -o remount,ro $S
for at in \"apply -y {two}\" \"create -d none --url tcp://127.0.0.1:4 d\" \"rm -y a\"; do
    echo \"<${{at%% *}}\"; $M $at 2>&1; echo \"exit $?\"; echo \"${{at%% *}}>\"
done
diff -r {copy} $S || exit 96
echo '<ls'; $M ls --format '{{{{.Name}}}} {{{{.State}}}} {{{{.Error}}}}' 2>&1; echo \"exit $?\"; echo 'ls>'
mount -o remount,rw $S
echo '<again'; $M apply -y {two} 2>&1; echo \"exit $?\"; echo 'again>'",
        copy = lab.path("copy").display(),
    );
    let said = on_a_small_disk(&lab, &script).ok();
    for command in ["apply", "create", "rm"] {
        let told = part(&said, command);
        println!("{}", told.trim_end());
        assert!(told.ends_with("exit 1\n"), "{told}");
        assert_eq!(told.matches("ead-only file system").count(), 1, "{told}");
        assert!(told.contains("help: the store is read-only: mount it writable"), "{told}");
    }
    let ls = part(&said, "ls");
    let bad = ls.lines().find(|line| line.starts_with("bad ")).unwrap_or_else(|| panic!("{ls}"));
    let path = lab.store().join("machines/bad/record.json");
    assert!(bad.starts_with("bad Error ") && bad.contains(path.to_str().unwrap()), "{bad}");
    assert!(ls.lines().any(|line| line.starts_with("a ") && !line.contains("will not parse")), "{ls}");
    assert!(ls.ends_with("exit 1\n"), "{ls}");
    assert!(part(&said, "again").contains("b  converged"), "{}", part(&said, "again"));
}
