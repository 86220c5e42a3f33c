//! Whether there is time for everything.

/// `MACHINE_CRASH=full` (`just lab-full`): every point at which something can be cut off, and what takes minutes.
pub(crate) fn full() -> bool {
    std::env::var_os("MACHINE_CRASH").is_some_and(|value| value == "full")
}
