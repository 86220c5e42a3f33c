//! Exit codes: one table for people, one match for errors.

use super::CliError;
use crate::store::StoreError;
use std::{io, process::ExitCode};

/// How a run of the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Something went wrong.
    Error,
    /// Changes are pending (`plan --detailed-exitcode`, `diff`).
    ChangesPending,
    /// Some steps were done and some were not.
    PartlyApplied,
    /// `create`: the driver found that it cannot, before anything was made (docker-machine has this code).
    NotBegun,
    /// What a saved plan touches has moved since.
    PlanStale,
    /// Another run holds the fleet.
    Locked,
    /// A guard says no: protection, removal limits, a question nobody could answer.
    Refused,
    /// A remote command ended with this status.
    Remote(u8),
}

/// The table of exit codes, for `--help`.
pub(super) const TABLE: &str = "  0  done, or nothing to do
  1  error
  2  changes are pending (plan --detailed-exitcode, diff, drift), or were made (apply)
  3  partly applied; create: the driver cannot make it here, and made nothing
  4  the saved plan is stale
  5  locked by another run
  6  refused by a guard";

impl Exit {
    /// The code a process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::ChangesPending => 2,
            Self::PartlyApplied | Self::NotBegun => 3,
            Self::PlanStale => 4,
            Self::Locked => 5,
            Self::Refused => 6,
            Self::Remote(code) => code,
        }
    }

    /// The end that an error means.
    #[must_use]
    pub fn of(error: &CliError) -> Self {
        match error {
            // The reader of our output has gone, which is no error of ours: `machine ls | head -1`.
            CliError::Stdout(e) if e.kind() == io::ErrorKind::BrokenPipe => Self::Done,
            CliError::Store(
                StoreError::Locked { .. } | StoreError::LockedByOwn { .. } | StoreError::LostLock { .. },
            ) => Self::Locked,
            CliError::Protected(_) | CliError::Refused(_) | CliError::Unconfirmed { .. } | CliError::Keyless { .. } => {
                Self::Refused
            }
            CliError::Stale { .. } => Self::PlanStale,
            CliError::Precheck(_) => Self::NotBegun,
            // As OpenSSH ends then.
            CliError::Lost(_) => Self::Remote(255),
            CliError::Doing { cause, .. } | CliError::Certs { cause, .. } => Self::of(cause),
            CliError::Many(errors) => {
                let mut ends = errors.iter().map(Self::of);
                match ends.next() {
                    Some(first) if ends.all(|end| end == first) => first,
                    _ => Self::Error,
                }
            }
            CliError::Store(
                StoreError::Io { .. } | StoreError::Broken { .. } | StoreError::Absent(_) | StoreError::Exists(_),
            )
            | CliError::Step { .. }
            | CliError::Usage(_)
            | CliError::UnknownCommand { .. }
            | CliError::Names(_)
            | CliError::Fleet(_)
            | CliError::Said { .. }
            | CliError::NoDriver(_)
            | CliError::Authority(_)
            | CliError::Driver(_)
            | CliError::Transport(_)
            | CliError::Docker(_)
            | CliError::NoHome
            | CliError::Runtime(_)
            | CliError::Unfinished(_)
            | CliError::NoInstance(_)
            | CliError::RolledBack(_)
            | CliError::Stdout(_) => Self::Error,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::MachineName;

    #[test]
    fn the_table_for_people_is_the_table() {
        let ends = [
            Exit::Done,
            Exit::Error,
            Exit::ChangesPending,
            Exit::PartlyApplied,
            Exit::PlanStale,
            Exit::Locked,
            Exit::Refused,
        ];
        let codes: Vec<String> = ends.iter().map(|end| end.code().to_string()).collect();
        let told: Vec<&str> = TABLE.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(told, codes);
    }

    #[test]
    fn several_errors_of_one_kind_are_of_that_kind() {
        let protected = || CliError::Protected(MachineName::new("db").unwrap());
        let other = || CliError::NoHome;
        assert_eq!(Exit::of(&CliError::Many(vec![protected(), protected()])), Exit::Refused);
        assert_eq!(Exit::of(&CliError::Many(vec![protected(), other()])), Exit::Error);
        assert_eq!(Exit::of(&CliError::Doing { doing: "x".to_owned(), cause: Box::new(protected()) }), Exit::Refused);
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        assert_eq!(Exit::of(&CliError::Stdout(io::ErrorKind::BrokenPipe.into())), Exit::Done);
        assert_eq!(Exit::of(&CliError::Stdout(io::ErrorKind::StorageFull.into())), Exit::Error);
    }
}
