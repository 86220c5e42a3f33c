//! Signals that end programs: to a run they are a wish to end in good order, with locks given back and what was begun
//! recorded.
//!
//! One that was ignored when we were started stays ignored: `nohup` and shells that start jobs in the background mean it.
//! SIGQUIT is as the system has it: it ends the program on the spot.

use super::CliError;
use crate::apply::Interrupt;
use std::{
    future::Future,
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

/// How long what is under way may go on after the terminal has gone: a second Ctrl-C cannot come from there.
const GRACE: Duration = Duration::from_secs(5);

/// The terminal, or the connection to it, has gone.
const HANGUP: &str = "SIGHUP";
const ENDING: [(&str, SignalKind); 3] =
    [(HANGUP, SignalKind::hangup()), ("SIGINT", SignalKind::interrupt()), ("SIGTERM", SignalKind::terminate())];

/// Which signals were ignored when we were started, a bit each, the first for signal 1; `None` if the system does not say.
static IGNORED: OnceLock<Option<u64>> = OnceLock::new();

/// Notes what is ignored. To be called before anything listens, for then it is not ignored any more.
pub(super) fn note() {
    IGNORED.get_or_init(|| ignored(&std::fs::read_to_string("/proc/self/status").ok()?));
}

/// The field `SigIgn` of `/proc/PID/status` (proc(5)).
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Whether we are to hear a signal. Where the system does not say whether it was ignored, the end of a terminal ends us
/// as the system does it, for `nohup` must go on.
fn is_heard(name: &str, kind: SignalKind, ignored: Option<u64>) -> bool {
    match ignored {
        Some(mask) => mask >> (kind.as_raw_value() - 1) & 1 == 0,
        None => name != HANGUP,
    }
}

/// The number that shells have for a program which a signal ended.
pub(super) fn code(name: &str) -> u8 {
    let number = ENDING.iter().find(|(known, _)| *known == name).map_or(0, |(_, kind)| kind.as_raw_value());
    u8::try_from(128 + number).unwrap_or(u8::MAX)
}

type Heard = Vec<(&'static str, Signal)>;

/// What hears between two pieces of work. Once a signal is heard, the system does not end the program by it any more:
/// one that comes between two steps of a command must reach the second.
static BETWEEN: Mutex<Heard> = Mutex::new(Vec::new());

fn between() -> MutexGuard<'static, Heard> {
    BETWEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears the signals that end programs, from when the first one is made until the end of the program.
struct Listener(Heard);

impl Drop for Listener {
    fn drop(&mut self) {
        *between() = mem::take(&mut self.0);
    }
}

impl Listener {
    fn new() -> Self {
        let earlier = mem::take(&mut *between());
        if !earlier.is_empty() {
            return Self(earlier);
        }
        let ignored = IGNORED.get().copied().flatten();
        let heard = ENDING.iter().filter(|(name, kind)| is_heard(name, *kind, ignored));
        // One that cannot be heard does what the system does.
        Self(heard.filter_map(|(name, kind)| Some((*name, signal(*kind).ok()?))).collect())
    }

    /// The next one; never, when none is heard.
    async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|cx| {
            let came = self.0.iter_mut().find_map(|(name, signal)| signal.poll_recv(cx).is_ready().then_some(*name));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// What listens for a run. Dropped, nothing is passed on any more.
pub(super) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Passes signals on to a run: once, no new step starts; twice, running ones are cut off. It hears from now on.
pub(super) fn listen(interrupt: &Interrupt) -> Listening {
    let (mut listener, interrupt) = (Listener::new(), interrupt.clone());
    Listening(tokio::spawn(async move {
        loop {
            let name = listener.next().await;
            interrupt.ask_by(name);
            if name == HANGUP {
                tokio::select! {
                    again = listener.next() => interrupt.ask_by(again),
                    () = tokio::time::sleep(GRACE) => interrupt.ask_by(name),
                }
            }
        }
    }))
}

/// Does work that a signal cuts off at once: it is dropped, and with it what it has started on this computer. After a
/// signal that came since the piece of work before, it does not begin.
///
/// # Errors
/// [`CliError::Ended`] after a signal.
pub(super) async fn unless_ended<T>(work: impl Future<Output = T>) -> Result<T, CliError> {
    let mut listener = Listener::new();
    tokio::select! {
        biased;
        name = listener.next() => Err(CliError::Ended(name)),
        done = work => Ok(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    /// In a process of its own, for all that listens in a process hears its signals.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the process is this one once more")]
    fn a_signal_between_two_pieces_of_work_ends_the_second() {
        const CHILD: &str = "MACHINE_TEST_BETWEEN";
        if std::env::var_os(CHILD).is_none() {
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", "cli::signals::tests::a_signal_between_two_pieces_of_work_ends_the_second"]);
            let ended = again.env(CHILD, "1").output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
            assert!(String::from_utf8_lossy(&ended.stdout).contains("1 passed"));
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            unless_ended(async {}).await.unwrap();
            let mut told = signal(SignalKind::terminate()).unwrap();
            kill_process(getpid(), Signal::TERM).unwrap();
            // It has come before the second begins.
            told.recv().await;
            let second = unless_ended(tokio::time::sleep(Duration::from_mins(1))).await;
            assert!(matches!(second, Err(CliError::Ended("SIGTERM"))), "the work was done to its end");
        });
    }

    #[test]
    fn what_was_ignored_when_we_were_started_is_not_heard() {
        // SIGHUP and SIGPIPE.
        let nohup = ignored("Name:\tmachine\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n");
        assert_eq!(nohup, Some(0x1001));
        let heard = |ignored| -> Vec<&str> {
            let heard = ENDING.iter().filter(|(name, kind)| is_heard(name, *kind, ignored));
            heard.map(|(name, _)| *name).collect()
        };
        assert_eq!(heard(nohup), ["SIGINT", "SIGTERM"]);
        // A job in the background of a shell without job control: SIGINT and SIGQUIT.
        assert_eq!(heard(Some(0b110)), ["SIGHUP", "SIGTERM"]);
        assert_eq!(heard(Some(0)), ["SIGHUP", "SIGINT", "SIGTERM"]);
        assert_eq!(heard(None), ["SIGINT", "SIGTERM"]);
        assert_eq!(ignored("Name:\tx\n"), None);
    }

    #[test]
    fn a_signal_has_the_code_that_shells_give_it() {
        assert_eq!(ENDING.map(|(name, _)| code(name)), [129, 130, 143]);
    }
}
