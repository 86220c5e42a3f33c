//! What is said of a test that cannot run here: the only place that says it, so that none can be left out unnoticed.

use std::fmt::Display;

/// Says why a test, or a part of one, does not run. Where all must run (`MACHINE_LAB=required`, as in CI) it fails.
#[track_caller]
pub(crate) fn skipped(why: impl Display) {
    let required = std::env::var_os("MACHINE_LAB").is_some_and(|value| value == "required");
    assert!(!required, "MACHINE_LAB=required, but {why}");
    println!("SKIPPED: {why}");
}
