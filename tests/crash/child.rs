//! The process that is killed: what it does, and at which point it ends.

use crate::story;
use machine::fault;
use rustix::process::{Signal, getpid, kill_process};
use std::{
    collections::BTreeMap,
    env, fmt,
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What this process does instead of testing: a step of the story, or `machine`.
pub(crate) const DO: &str = "CRASH_DO";
/// The folder it works in: left out of what points are called.
const ROOT: &str = "CRASH_ROOT";
/// File to which it writes every point it passes.
const TRACE: &str = "CRASH_TRACE";
/// Where it ends, and how.
const FAULT: &str = "CRASH_FAULT";

/// One passing of a point: the how many-th of this name about this file or machine.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) nth: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}", self.name, self.about, self.nth)
    }
}

impl Point {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('\t').map(str::to_owned);
        Some(Self { name: parts.next()?, about: parts.next()?, nth: parts.next()?.parse().ok()? })
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum How {
    /// SIGKILL: nothing of this process runs any more.
    Killed,
    /// The effect fails once, with this number of the system.
    Fails(i32),
    /// So do all later effects on the store.
    GoesOnFailing(i32),
}

impl How {
    fn text(self) -> String {
        match self {
            Self::Killed => "killed".to_owned(),
            Self::Fails(errno) => format!("fails {errno}"),
            Self::GoesOnFailing(errno) => format!("goes-on {errno}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None => Some(Self::Killed),
            Some(("fails", errno)) => errno.parse().ok().map(Self::Fails),
            Some((_, errno)) => errno.parse().ok().map(Self::GoesOnFailing),
        }
    }
}

/// This program, to be called as a child.
#[expect(clippy::disallowed_methods, reason = "what is killed is a process")]
pub(crate) fn command(what: &str, root: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program runs"));
    command.env_clear().env(DO, what).env(ROOT, root);
    command
}

/// Lets a child write down every point it passes.
pub(crate) fn traced(command: &mut Command, to: &Path) {
    command.env(TRACE, to);
}

/// Lets a child end, or fail, at a point.
pub(crate) fn faulty(command: &mut Command, point: &Point, how: How) {
    command.env(FAULT, format!("{}\n{point}", how.text()));
}

/// The points a child passed, in its order.
pub(crate) fn passed(trace: &Path) -> Vec<Point> {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    text.lines().map(|line| Point::parse(line).unwrap_or_else(|| panic!("no point: {line}"))).collect()
}

/// Does what a child is told; `None` when this is the test.
pub(crate) fn main() -> Option<ExitCode> {
    let what = env::var(DO).ok()?;
    let root = PathBuf::from(env::var_os(ROOT).expect("a child is told where it works"));
    install(root.clone());
    Some(match what.as_str() {
        "machine" => machine::cli::main(
            std::iter::once("machine".into()).chain(env::args_os().skip(1)),
            machine::driver::Drivers::built_in(),
        ),
        step => story::child(step, &root),
    })
}

fn install(root: PathBuf) {
    let trace = env::var_os(TRACE).map(|path| OpenOptions::new().create(true).append(true).open(path).unwrap());
    let fault = env::var(FAULT).ok().and_then(|text| {
        let (how, point) = text.split_once('\n')?;
        Some((How::parse(how)?, Point::parse(point)?))
    });
    let passed: Mutex<BTreeMap<(&'static str, String), usize>> = Mutex::default();
    let broken = AtomicBool::new(false);
    fault::install(Box::new(move |name, about| {
        let about = lasting(&about.strip_prefix(&root).unwrap_or(about).display().to_string());
        // Held to the end, so that no point is passed after the last one.
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = passed.entry((name, about.clone())).or_default();
        *nth += 1;
        let point = Point { name: name.to_owned(), about, nth: *nth };
        if let Some(mut trace) = trace.as_ref() {
            trace.write_all(format!("{point}\n").as_bytes()).unwrap();
        }
        let Some((how, at)) = &fault else { return Ok(()) };
        let here = point == *at;
        match how {
            How::Killed if here => {
                kill_process(getpid(), Signal::KILL).unwrap();
                loop {
                    std::thread::park();
                }
            }
            How::Fails(errno) if here => Err(io::Error::from_raw_os_error(*errno)),
            How::GoesOnFailing(errno) if here || broken.load(Ordering::SeqCst) && is_of_store(name) => {
                broken.store(true, Ordering::SeqCst);
                Err(io::Error::from_raw_os_error(*errno))
            }
            _ => Ok(()),
        }
    }));
}

/// A path without what differs from process to process: `.web.4711-3.new` is `.web.N.new`, `alive-2f…` is `alive-N`.
fn lasting(path: &str) -> String {
    if let Some((folder, _)) = path.split_once("/alive-") {
        return format!("{folder}/alive-N");
    }
    // A lease is called by its id.
    if let Some((folder, lease)) = path.split_once("/leases/") {
        let dot = if lease.starts_with('.') { "." } else { "" };
        return format!("{folder}/leases/{dot}N.json");
    }
    let own = format!(".{}-", std::process::id());
    let Some((before, after)) = path.split_once(&own) else { return path.to_owned() };
    format!("{before}.N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Whether a point is before something is read: nothing is changed there.
pub(crate) fn is_look(name: &str) -> bool {
    name.starts_with("look.")
}

/// Whether a point is before a change of a file in the store.
pub(crate) fn is_of_store(name: &str) -> bool {
    name.starts_with("store.") || name.starts_with("lock.")
}
