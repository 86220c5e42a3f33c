//! Points at which a test lets the program die or an effect fail. Nothing else can: there is no variable and no flag
//! for it, only [`install`], which the program itself never calls.
//!
//! Every effect on files, providers, hosts and engines passes one of these points just before it, and those whose
//! answer can be lost another one after it, called as the first with `.done` appended.

use std::{
    io,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Asked at every point, with its name and the file or machine it is about. An error is what the effect ends in.
pub type Plan = Box<dyn Fn(&'static str, &Path) -> io::Result<()> + Send + Sync>;

static ON: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

/// Lets a test decide what happens at points, for the rest of this process.
#[doc(hidden)]
pub fn install(plan: Plan) {
    if PLAN.set(plan).is_ok() {
        ON.store(true, Ordering::SeqCst);
    }
}

/// Before an effect, or after it. Costs one look at a flag.
///
/// # Errors
/// Only in tests: what the effect shall end in.
pub fn point(name: &'static str, about: impl AsRef<Path>) -> io::Result<()> {
    if !ON.load(Ordering::Relaxed) {
        return Ok(());
    }
    PLAN.get().map_or(Ok(()), |plan| plan(name, about.as_ref()))
}

/// As [`point`], where nothing can fail: the program can only die there.
pub fn pass(name: &'static str, about: impl AsRef<Path>) {
    // An error has nowhere to go.
    let _ = point(name, about);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_plan_nothing_ever_happens() {
        // Other tests run in this process too: a plan here would be theirs as well.
        assert!(point("store.write", "x").is_ok());
        pass("driver.create", "x");
    }
}
