use super::*;
use crate::store::folder::disk::Effect;
use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tempfile::TempDir;

fn begin(run: usize) -> String {
    format!(r#"{{"event":"begin","run":"{run:08}","at":"2027-01-15T08:00:00Z","more":"{}"}}"#, "x".repeat(40))
}

fn end(run: usize) -> String {
    format!(r#"{{"event":"end","run":"{run:08}","at":"2027-01-15T08:00:00Z"}}"#)
}

fn temp() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A few lines fill a file.
fn small<'a>(root: &'a Path, disk: &'a Disk) -> FolderJournal<'a> {
    FolderJournal { limit: 500, ..FolderJournal::new(root, disk) }
}

/// All lines, the newest first.
fn lines(journal: &FolderJournal<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let each = &mut |line: &[u8]| {
        found.push(String::from_utf8(line.to_owned()).unwrap());
        ControlFlow::Continue(())
    };
    journal.back(each).unwrap();
    found
}

#[expect(clippy::disallowed_methods, reason = "what earlier programs left")]
fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn lines_are_read_from_the_end_wherever_a_block_ends() {
    let dir = temp();
    let disk = Disk::default();
    let journal = FolderJournal::new(dir.path(), &disk);
    assert_eq!(lines(&journal), Vec::<String>::new());
    let long = "y".repeat(3 * BLOCK);
    for length in [0, 1, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
        let text = format!("a\n{}\n\n{long}\nlast", "x".repeat(length));
        put(&dir.path().join(CURRENT), &text);
        let want: Vec<&str> = text.rsplit('\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(lines(&journal), want, "{length}");
        put(&dir.path().join(CURRENT), &format!("{text}\n"));
        assert_eq!(lines(&journal), want, "{length}");
    }
}

/// C14d: files have an end, the oldest go, and of a run that did not end its beginning stays.
#[test]
fn a_history_is_bounded_and_forgets_no_run_that_has_not_ended() {
    let dir = temp();
    let disk = Disk::default();
    let journal = small(dir.path(), &disk);
    // Two that never end, one that ends a thousand runs later.
    for run in [1, 2, 3] {
        journal.append(&begin(run)).unwrap();
    }
    for run in 10..1010 {
        journal.append(&begin(run)).unwrap();
        journal.append(&end(run)).unwrap();
    }
    let is_open = |run: usize| lines(&journal).iter().filter(|line| **line == begin(run)).count();
    assert_eq!([is_open(1), is_open(2), is_open(3)], [1, 1, 1]);
    // Those that ended in a later file do not crowd them out.
    let kept = fs::read_to_string(dir.path().join(OPEN)).unwrap();
    assert_eq!(kept.lines().collect::<Vec<_>>(), [1, 2, 3].map(begin));
    // What has enough is given no more, whatever further files there are.
    let mut given = 0;
    let few = journal.back(&mut |_| {
        given += 1;
        ControlFlow::Break(())
    });
    assert!(given == 1 && few.unwrap() <= 2 * journal.limit, "{given} lines");
    journal.append(&end(2)).unwrap();
    for run in 2000..2200 {
        journal.append(&begin(run)).unwrap();
        journal.append(&end(run)).unwrap();
    }
    assert_eq!([is_open(1), is_open(2), is_open(3)], [1, 0, 1]);
    let found = lines(&journal);
    assert_eq!(found[..4], [end(2199), begin(2199), end(2198), begin(2198)]);
    let sizes = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let sizes: Vec<u64> = sizes.collect();
    assert!(sizes.len() <= OLDER_KEPT + 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 2 * journal.limit), "{sizes:?}");
    for entry in fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

/// However many runs never end, what is kept of them is bounded, and the newest are.
#[test]
fn what_is_kept_of_killed_runs_is_bounded() {
    let dir = temp();
    let disk = Disk::default();
    let journal = FolderJournal { limit: 100_000, ..FolderJournal::new(dir.path(), &disk) };
    let wide = |run: usize| begin(run).replace("xxxx", &"x".repeat(200));
    for run in 0..1500 {
        journal.append(&wide(run)).unwrap();
    }
    let kept = fs::metadata(dir.path().join(OPEN)).unwrap().len();
    assert!(kept <= OPEN_KEPT as u64, "{kept}");
    let found = lines(&journal);
    assert_eq!(found.first(), Some(&wide(1499)));
    // Without a gap.
    assert!(found.iter().eq((1500 - found.len()..1500).rev().map(wide).collect::<Vec<_>>().iter()));
}

/// One that alone is longer than what is kept is kept.
#[test]
fn the_newest_of_killed_runs_stays_however_long_it_is() {
    let dir = temp();
    let disk = Disk::default();
    let journal = small(dir.path(), &disk);
    let huge = begin(1).replace("xxxx", &"x".repeat(OPEN_KEPT));
    journal.append(&huge).unwrap();
    // Three a file, so the first of them goes soon.
    for run in 10..60 {
        journal.append(&begin(run)).unwrap();
        journal.append(&end(run)).unwrap();
    }
    let kept = fs::read_to_string(dir.path().join(OPEN)).unwrap();
    assert!(kept.starts_with(&huge) && lines(&journal).contains(&huge));
}

/// While a line is written, its file is not removed; and no line is written to a file that was removed before.
#[test]
fn a_line_goes_to_a_file_that_is_there() {
    let dir = temp();
    let path = dir.path().join(CURRENT);
    let (current, locked) = (path.clone(), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&locked);
    let watching = Disk::with_hook(Arc::new(move |effect, at| {
        if matches!(effect, Effect::Write) && at == current {
            let free = File::open(&current)?.try_lock().is_ok();
            seen.fetch_add(usize::from(!free), Ordering::SeqCst);
        }
        Ok(())
    }));
    small(dir.path(), &watching).append(&begin(1)).unwrap();
    assert_eq!(locked.load(Ordering::SeqCst), 1, "another could have removed it");

    let disk = Disk::default();
    let holding = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    holding.lock().unwrap();
    // As the system lists one that waits for the lock of a file.
    let inode = format!(":{} ", holding.metadata().unwrap().ino());
    let waits = || {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.lines().any(|line| line.contains("-> ") && line.contains(&inode))
    };
    thread::scope(|scope| {
        let writer = scope.spawn(|| small(dir.path(), &disk).append(&begin(2)).unwrap());
        let begun = std::time::Instant::now();
        while !waits() && !writer.is_finished() && begun.elapsed() < std::time::Duration::from_secs(20) {
            thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
        holding.unlock().unwrap();
    });
    assert_eq!(lines(&small(dir.path(), &disk)), [begin(2)]);
}

/// C14d: killed, or on a disk that fails, at any effect of a rotation: what was written is there, once.
#[test]
fn a_rotation_that_is_cut_off_anywhere_loses_and_doubles_nothing() {
    let fill = |root: &Path| {
        let disk = Disk::default();
        let journal = small(root, &disk);
        journal.append(&begin(1)).unwrap();
        let mut run = 10;
        // Until the next line takes the oldest file away.
        while journal.older().unwrap().len() < OLDER_KEPT
            || fs::metadata(root.join(CURRENT)).map_or(0, |about| about.len()) < journal.limit
        {
            journal.append(&begin(run)).unwrap();
            run += 1;
        }
    };
    let (mut cut, mut at) = (0, 0);
    loop {
        let dir = temp();
        fill(dir.path());
        let disk = Disk::default();
        let before = lines(&small(dir.path(), &disk));
        let count = Arc::new(AtomicUsize::new(0));
        let (counting, dies) = (Arc::clone(&count), at);
        let failing = Disk::with_hook(Arc::new(move |_, _| {
            if counting.fetch_add(1, Ordering::SeqCst) >= dies { Err(io::Error::other("killed")) } else { Ok(()) }
        }));
        let written = small(dir.path(), &failing).append(&begin(9999)).is_ok();
        let whole = count.load(Ordering::SeqCst) <= at;
        let journal = small(dir.path(), &disk);
        let mut found = lines(&journal);
        // Half of the last line may be there, too; its writer was never told that it was written.
        found.retain(|line| !line.contains("00009999"));
        // None of these has ended, so all of them stay.
        assert_eq!(found, before, "cut off at effect {at}");
        if written {
            assert_eq!(lines(&journal)[0], begin(9999));
        }
        // The next one does what was not done.
        journal.append(&begin(10_000)).unwrap();
        assert_eq!(lines(&journal)[0], begin(10_000), "{at}");
        assert!(journal.older().unwrap().len() <= OLDER_KEPT, "{at}");
        assert!(lines(&journal).contains(&begin(1)), "{at}");
        if whole {
            assert!(written);
            break;
        }
        (cut, at) = (cut + 1, at + 1);
    }
    assert!(cut > 8, "a rotation has more effects than {cut}");
}

/// A writer that was stopped between opening the file and writing its line.
#[test]
fn a_file_that_is_still_written_to_is_not_removed() {
    let dir = temp();
    let disk = Disk::default();
    let journal = small(dir.path(), &disk);
    journal.append(&begin(0)).unwrap();
    let stopped = OpenOptions::new().append(true).open(dir.path().join(CURRENT)).unwrap();
    stopped.lock_shared().unwrap();
    let oldest = |run: usize| {
        journal.append(&begin(run)).unwrap();
        journal.older().unwrap().into_iter().next()
    };
    (1..100).for_each(|run| drop(oldest(run)));
    let kept = oldest(100).unwrap();
    assert!(journal.older().unwrap().len() > OLDER_KEPT);
    (&stopped).write_all(format!("{}\n", begin(9999)).as_bytes()).unwrap();
    drop(stopped);
    assert_ne!(oldest(101).unwrap().0, kept.0);
    assert!(journal.older().unwrap().len() <= OLDER_KEPT);
    assert!(lines(&journal).contains(&begin(9999)));
    assert_eq!(lines(&journal).len(), 103);
}

/// Writers and a reader side by side, through many rotations.
#[test]
fn a_reader_beside_writers_loses_and_doubles_nothing() {
    const WRITERS: usize = 4;
    const EACH: usize = 300;
    let dir = temp();
    let disk = Disk::default();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (root, disk, done) = (dir.path(), &disk, &done);
            scope.spawn(move || {
                for n in 0..EACH {
                    small(root, disk).append(&begin(writer * 10_000 + n)).unwrap();
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        // None of them ends, so all of them stay: of each writer what is seen has no gap and nothing twice.
        loop {
            let ended = done.load(Ordering::SeqCst) == WRITERS;
            let found = lines(&small(dir.path(), &disk));
            let mut of: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); WRITERS];
            for line in &found {
                let run: usize = serde_json::from_str::<Head>(line).unwrap().run.parse().unwrap();
                assert!(of[run / 10_000].insert(run % 10_000), "{run} twice");
            }
            for (writer, of) in of.iter().enumerate() {
                assert!(of.iter().copied().eq(0..of.len()), "writer {writer}: {of:?}");
            }
            if ended {
                assert_eq!(found.len(), WRITERS * EACH);
                break;
            }
        }
    });
}

/// C14d: what is asked for last is read, and nothing else, however much there is.
#[test]
fn the_last_runs_of_a_million_cost_a_block_or_two() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let journal = FolderJournal::new(dir.path(), &disk);
    let path = dir.path().join(CURRENT);
    let mut file = std::io::BufWriter::new(OpenOptions::new().create(true).append(true).open(&path).unwrap());
    for run in 0..500_000 {
        writeln!(file, "{}\n{}", begin(run), end(run)).unwrap();
    }
    drop(file);
    let mut seen = Vec::new();
    let read = journal.back(&mut |line| {
        seen.push(line.to_owned());
        if seen.len() == 40 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(read.unwrap() <= BLOCK as u64, "more than a block was read");
    assert_eq!(seen.last().unwrap(), begin(499_980).as_bytes());
    // What an earlier program left is read as it is, and the next line begins a new file.
    journal.append(&begin(900_000)).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 1000);
    let mut first = None;
    journal
        .back(&mut |line| {
            if first.is_none() {
                first = Some(line.to_owned());
                ControlFlow::Continue(())
            } else {
                assert_eq!(line, end(499_999).as_bytes());
                ControlFlow::Break(())
            }
        })
        .unwrap();
    assert_eq!(first.unwrap(), begin(900_000).as_bytes());
}
