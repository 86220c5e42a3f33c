//! A mistake in this program that ends one piece of work and no other: where it happened, and what may be said of it.
//!
//! What a panic says is kept to itself where it was put together at run time: a value in it may be a secret. What stands
//! in the source as it is may be told.

use std::{
    any::Any,
    cell::RefCell,
    future::Future,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    pin::Pin,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use thiserror::Error;

/// A piece of work that panicked.
#[derive(Clone, Debug, Default, Eq, Error, PartialEq)]
#[error("internal error{}{}", at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default(), said.map(|said| format!(": {said}")).unwrap_or_default())]
pub struct Panicked {
    /// File, line and column, if they are known.
    pub at: Option<String>,
    /// What the source says there.
    pub said: Option<&'static str>,
}

/// What a person is told to do about it.
pub const HELP: &str = concat!(
    "this is a mistake in the program, not in what you did. What was begun is recorded: run the command again. Please report \
     it, with the line above:\n  ",
    env!("CARGO_PKG_REPOSITORY"),
    "/issues"
);

thread_local! {
    /// The last panic of this thread, and within how many pieces of work that are caught it is.
    static LAST: RefCell<(Option<Panicked>, usize)> = const { RefCell::new((None, 0)) };
}

/// Whether an uncaught panic is reported in one line.
static BRIEF: AtomicBool = AtomicBool::new(false);

/// From now on an uncaught panic is reported in one line.
pub fn tell_briefly() {
    BRIEF.store(true, Ordering::Relaxed);
    watch();
}

/// Notes where panics happen, for the rest of this process.
fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let panicked = Panicked::of(info);
            let caught = LAST.with(|last| {
                let mut last = last.borrow_mut();
                last.0 = Some(panicked.clone());
                last.1 > 0
            });
            // The code that catches it tells of it.
            if caught {
                return;
            }
            if BRIEF.load(Ordering::Relaxed) {
                use std::io::Write as _;
                // A closed standard error stops nothing.
                let _ = writeln!(std::io::stderr(), "error: {panicked}");
            } else {
                before(info);
            }
        }));
    });
}

impl Panicked {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let at = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
        Self { at, said: info.payload().downcast_ref::<&'static str>().copied() }
    }

    /// What ended a piece of work: a panic of this thread, or one that another one passed on.
    fn from_payload(payload: &(dyn Any + Send), last: Option<Self>) -> Self {
        payload.downcast_ref::<Self>().cloned().or(last).unwrap_or_default()
    }
}

/// Marks this thread as one whose panics are caught, until it is dropped.
struct Catching;

impl Catching {
    fn new() -> Self {
        watch();
        LAST.with(|last| {
            let mut last = last.borrow_mut();
            *last = (None, last.1 + 1);
        });
        Self
    }

    fn last() -> Option<Panicked> {
        LAST.with(|last| last.borrow_mut().0.take())
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        LAST.with(|last| last.borrow_mut().1 -= 1);
    }
}

/// Does a piece of work. What it had in its hands when it panicked is dropped, so locks are given back.
///
/// # Errors
/// When it panics.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let _catching = Catching::new();
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked::from_payload(&*payload, Catching::last()))
}

/// As [`caught`], for work that waits.
///
/// # Errors
/// When it panics.
pub async fn caught_async<F: Future>(work: F) -> Result<F::Output, Panicked> {
    Caught(Box::pin(work)).await
}

struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match caught(|| self.0.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

/// The result of a thread or task; its panic goes on here, and says where it began.
pub fn joined<T>(result: std::thread::Result<Result<T, Panicked>>) -> T {
    match result {
        Ok(Ok(done)) => done,
        Ok(Err(panicked)) => panic::resume_unwind(Box::new(panicked)),
        Err(payload) => panic::resume_unwind(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Mutex, thread};

    fn here(panicked: &Panicked) -> bool {
        panicked.at.as_ref().is_some_and(|at| at.starts_with("src/panicked.rs:"))
    }

    fn wrong(secret: &str) -> Result<(), String> {
        std::hint::black_box(Err(secret.to_owned()))
    }

    #[test]
    fn what_is_put_together_at_run_time_is_not_told() {
        let secret = std::hint::black_box("hunter2");
        let of = |work: fn(&str)| caught(|| work(secret)).unwrap_err();
        let none = std::hint::black_box(None::<u8>);
        let panicked = caught(|| none.unwrap()).unwrap_err();
        assert!(here(&panicked) && panicked.said.is_some(), "{panicked:?}");
        for panicked in [
            of(|secret| panic!("the token {secret} is wrong")),
            of(|secret| wrong(secret).unwrap()),
            of(|secret| wrong(secret).expect("it works")),
            of(|secret| panic::panic_any(secret.to_owned())),
        ] {
            assert!(here(&panicked) && panicked.said.is_none(), "{panicked:?}");
            assert!(panicked.to_string().starts_with("internal error at src/panicked.rs:"), "{panicked}");
        }
        let said = of(|_| panic!("a text of the source"));
        assert!(said.to_string().ends_with(": a text of the source"), "{said}");
        assert_eq!(caught(|| 7), Ok(7));
        // From here on a panic is told by the hook of before again, caught or not.
        assert_eq!(LAST.with(|last| last.borrow().1), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_after_a_wait_is_caught_in_whatever_thread_it_happens() {
        let work = async {
            tokio::task::yield_now().await;
            let rows = Vec::<u8>::new();
            rows[std::hint::black_box(3)]
        };
        let panicked = tokio::spawn(caught_async(work)).await.unwrap().unwrap_err();
        assert!(here(&panicked), "{panicked:?}");
        assert_eq!(caught_async(async { 7 }).await, Ok(7));
    }

    #[test]
    fn a_panic_of_a_thread_keeps_its_place() {
        let panicked = caught(|| {
            thread::scope(|scope| {
                let thread = scope.spawn(|| caught(|| panic!("in a thread")));
                joined::<()>(thread.join());
            });
        })
        .unwrap_err();
        assert_eq!((here(&panicked), panicked.said), (true, Some("in a thread")));
    }

    #[test]
    fn what_was_held_is_given_back() {
        let mutex = Mutex::new(0);
        let panicked = caught(|| {
            let _held = mutex.lock();
            panic!("with a lock in its hands");
        });
        assert!(panicked.is_err());
        assert!(mutex.try_lock().is_err_and(|e| matches!(e, std::sync::TryLockError::Poisoned(_))));
    }
}
