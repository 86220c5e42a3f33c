//! Exit codes: one table for people, one match for errors.

use super::{CliError, signals};
use crate::{apply::StepError, driver::DriverError};
use std::io;

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
    /// A guard says no: protection, removal limits, a question that could not be asked.
    Refused,
    /// A signal ended it; the code that shells have for that.
    Ended(u8),
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

/// docker-machine's part of it.
pub(super) const TABLE_AS_DOCKER_MACHINE: &str = "  0  done, or nothing to do
  1  error
  3  create: the driver cannot make it here, and made nothing";

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
            Self::Ended(code) | Self::Remote(code) => code,
        }
    }

    /// The code under docker-machine's name. Scripts made for it know two that are not 0; what a host's own command ended
    /// with is passed on.
    #[must_use]
    pub fn code_as_docker_machine(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotBegun => 3,
            Self::Remote(code) => code,
            Self::Error
            | Self::ChangesPending
            | Self::PartlyApplied
            | Self::PlanStale
            | Self::Locked
            | Self::Refused
            | Self::Ended(_) => 1,
        }
    }

    /// The end that an error means.
    #[must_use]
    pub fn of(error: &CliError) -> Self {
        match error {
            // The reader of our output has gone, which is no error of ours: `machine ls | head -1`.
            CliError::Stdout(e) if e.kind() == io::ErrorKind::BrokenPipe => Self::Done,
            CliError::Store(e) if e.is_of_lock() => Self::Locked,
            CliError::Protected(_) | CliError::Refused(_) | CliError::Unconfirmed { .. } | CliError::Keyless { .. } => {
                Self::Refused
            }
            CliError::Ended(signal) => Self::Ended(signals::code(signal)),
            CliError::Stale { .. } => Self::PlanStale,
            // Without credentials nothing was checked: docker-machine said that of its flags, with 1.
            CliError::Precheck(e)
                if matches!(**e, StepError::Driver(DriverError::Stranger { .. } | DriverError::Secret(_))) =>
            {
                Self::Error
            }
            CliError::Precheck(_) => Self::NotBegun,
            // As OpenSSH ends then.
            CliError::Lost(_) => Self::Remote(255),
            CliError::Doing { cause, .. } | CliError::Certs { cause, .. } => Self::of(cause),
            CliError::Many(errors) => {
                let ends: Vec<Self> = errors.iter().map(Self::of).collect();
                // A loop of a shell ends at a signal, whatever failed before it.
                let ended = ends.iter().find(|end| matches!(end, Self::Ended(_)));
                match ended.or(ends.first()) {
                    Some(one) if ended.is_some() || ends.iter().all(|end| end == one) => *one,
                    _ => Self::Error,
                }
            }
            CliError::Store(_)
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
            | CliError::Panicked(_)
            | CliError::Runtime(_)
            | CliError::Unfinished(_)
            | CliError::NoInstance(_)
            | CliError::RolledBack(_)
            | CliError::Stdout(_) => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        apply::StepError,
        clock::Timestamp,
        name::MachineName,
        panicked::Panicked,
        store::{Doing, Holder, StoreError, Subject, Unreadable},
    };
    use std::sync::Arc;

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

    /// Called as docker-machine there are 0, 1, 3, and what a host's own command ended with.
    #[test]
    fn docker_machine_has_three_codes() {
        let ends = [
            (Exit::Done, 0),
            (Exit::Error, 1),
            (Exit::ChangesPending, 1),
            (Exit::PartlyApplied, 1),
            (Exit::NotBegun, 3),
            (Exit::PlanStale, 1),
            (Exit::Locked, 1),
            (Exit::Refused, 1),
            (Exit::Ended(130), 1),
            (Exit::Remote(7), 7),
        ];
        for (end, want) in ends {
            assert_eq!(end.code_as_docker_machine(), want, "{end:?}");
        }
        let told = TABLE_AS_DOCKER_MACHINE.lines().map(|line| line.split_whitespace().next().unwrap());
        assert_eq!(told.collect::<Vec<_>>(), ["0", "1", "3"]);
    }

    /// Every kind of error, under both names.
    #[test]
    fn no_error_has_a_code_that_docker_machine_has_not() {
        let name = || MachineName::new("db").unwrap();
        let holder = || {
            let doing = Doing::machines("rm", &[name()]);
            Box::new(Holder { who: "a@b".to_owned(), pid: 1, doing, since: Timestamp(0) })
        };
        let subject = || Subject::Machine(name());
        let unreadable = || Box::new(Unreadable { path: "lock".into(), why: "it is empty".to_owned() });
        let io = || io::Error::other("x");
        let step = || Arc::new(StepError::Bug("x"));
        let stranger = || {
            let [doing, why, help] = ["x"; 3].map(str::to_owned);
            Arc::new(StepError::Driver(DriverError::Stranger { doing, why, help }))
        };
        let doing = |cause| CliError::Doing { doing: "x".to_owned(), cause: Box::new(cause) };
        let store = [
            (StoreError::Io { doing: "read", path: "x".into(), source: io() }, 1),
            (StoreError::Broken { machine: "x".to_owned(), path: "x".into(), why: "x".to_owned() }, 1),
            (StoreError::Absent("x".to_owned()), 1),
            (StoreError::Exists(name()), 1),
            (StoreError::Locked { subject: subject(), holder: holder(), pass: String::new() }, 5),
            (StoreError::UnreadableLock { subject: subject(), lock: unreadable() }, 5),
            (StoreError::LockedByOwn { subject: subject(), holder: holder() }, 5),
            (StoreError::LostLock { subject: subject(), by: None, unreadable: None }, 5),
        ];
        let others = [
            (CliError::Usage(clap::Error::new(clap::error::ErrorKind::UnknownArgument)), 1),
            (
                CliError::UnknownCommand {
                    program: String::new(),
                    word: String::new(),
                    argv0: String::new(),
                    close: None,
                },
                1,
            ),
            (CliError::Names(super::super::error::NamesError::One), 1),
            (CliError::said("x"), 1),
            (doing(CliError::Protected(name())), 6),
            (CliError::Certs { machine: name(), place: String::new(), cause: Box::new(CliError::NoHome) }, 1),
            (CliError::Many(vec![CliError::Protected(name()), CliError::Protected(name())]), 6),
            (CliError::Step { machine: name(), error: step(), log: None }, 1),
            (CliError::Panicked(Panicked::default()), 1),
            (CliError::Ended("SIGTERM"), 143),
            (CliError::Unfinished(name()), 1),
            (CliError::RolledBack(Box::new(CliError::NoHome)), 1),
            (CliError::NoInstance(name()), 1),
            (CliError::Precheck(step()), 3),
            (CliError::Precheck(stranger()), 1),
            (CliError::Refused(Vec::new()), 6),
            (CliError::Stale { plan: String::new(), created: Timestamp(0), moved: Vec::new() }, 4),
            (CliError::Protected(name()), 6),
            (CliError::Unconfirmed { what: String::new() }, 6),
            (CliError::Keyless { what: "x", help: String::new() }, 6),
            (CliError::NoDriver(String::new()), 1),
            (CliError::Driver(DriverError::Checkpoint(String::new())), 1),
            (CliError::NoHome, 1),
            (CliError::Runtime(io()), 1),
            (CliError::Stdout(io()), 1),
        ];
        for (error, want) in store.into_iter().map(|(e, want)| (CliError::Store(e), want)).chain(others) {
            let end = Exit::of(&error);
            assert_eq!(end.code(), want, "{error:?}");
            assert!([0, 1, 3].contains(&end.code_as_docker_machine()), "{error:?}");
        }
    }

    #[test]
    fn several_errors_of_one_kind_are_of_that_kind() {
        let protected = || CliError::Protected(MachineName::new("db").unwrap());
        let other = || CliError::NoHome;
        assert_eq!(Exit::of(&CliError::Many(vec![protected(), protected()])), Exit::Refused);
        assert_eq!(Exit::of(&CliError::Many(vec![protected(), other()])), Exit::Error);
        assert_eq!(Exit::of(&CliError::Many(vec![other(), CliError::Ended("SIGTERM")])), Exit::Ended(143));
        assert_eq!(Exit::of(&CliError::Doing { doing: "x".to_owned(), cause: Box::new(protected()) }), Exit::Refused);
    }

    #[test]
    fn a_reader_that_left_is_no_error() {
        assert_eq!(Exit::of(&CliError::Stdout(io::ErrorKind::BrokenPipe.into())), Exit::Done);
        assert_eq!(Exit::of(&CliError::Stdout(io::ErrorKind::StorageFull.into())), Exit::Error);
    }
}
