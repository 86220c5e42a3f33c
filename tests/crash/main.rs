//! Nothing is lost, whatever is killed when (pains 4, 5, 8 and 9), and no secret is kept (pain 24).
//!
//! This program is both the tests and what they kill: called with [`child::DO`] in its environment it is the program
//! `machine` (or a fleet of fakes) with a fault in it, at one of the points of `machine::fault`; with [`cloud::DO`] it is
//! `machine` with one more driver, with [`locks::ROLE`] another holder of a lock. The program that is shipped cannot be
//! told to fail. A dry run lists the points; then each gets a process of its own that ends there.
//!
//! The usual run tries a sample of the points, see [`chance`]. `MACHINE_CRASH=full` (`just lab-full`) tries all, lets every
//! write fail in every way, where otherwise the ways take turns, and kills real hosts at three times as many points.
//!
//! Each test uses all processors, or counts what happens in a time: unless `--test-threads` says otherwise, they run one
//! after the other. Without root and `systemd-nspawn` the tests on real hosts say `SKIPPED` and why.

mod chance;
mod child;
mod cloud;
mod commands;
mod disk;
mod locks;
mod moments;
mod points;
mod real;
mod scale;
mod story;

#[expect(dead_code, reason = "`lab` uses the rest")]
#[path = "../kit/canary.rs"]
mod canary;
#[path = "../kit/farm/mod.rs"]
mod farm;
#[path = "../kit/full.rs"]
mod full;
#[expect(dead_code, reason = "`it` uses the rest")]
#[path = "../kit/home.rs"]
mod home;
#[expect(dead_code, reason = "`lab` uses the rest")]
#[path = "../kit/lab/mod.rs"]
mod lab;
#[expect(dead_code, reason = "the other test programs use the rest")]
#[path = "../kit/plain.rs"]
mod plain;
#[expect(dead_code, reason = "`it` and `lab` use the rest")]
#[path = "../kit/sample.rs"]
mod sample;
#[path = "../kit/skip.rs"]
mod skip;
#[expect(dead_code, reason = "`it` uses the rest")]
#[path = "../kit/support/mod.rs"]
mod support;
#[expect(dead_code, reason = "`it` uses the rest")]
#[path = "../kit/tls_engine.rs"]
mod tls_engine;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// Tests, each called what its function is.
macro_rules! tests {
    ($($module:ident::$test:ident,)*) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($test)), || {
            $module::$test();
            Ok(())
        })),*]
    };
}

fn all() -> Vec<Trial> {
    let mut all = tests![
        chance::a_sample_has_every_kind_and_follows_from_its_seed,
        cloud::a_secret_that_is_missing_is_found_before_anything_is_made,
        cloud::a_token_by_reference_is_kept_and_shown_nowhere,
        cloud::a_token_in_a_fleet_file_is_refused_and_not_repeated,
        cloud::a_token_on_a_command_line_is_recorded_as_its_variable,
        disk::a_disk_that_becomes_read_only_is_told_of_and_loses_nothing,
        disk::a_small_full_disk_is_told_of_and_loses_nothing,
        locks::a_child_of_the_holder_is_not_left_waiting,
        locks::a_machine_without_a_fleet_has_a_lock_of_its_own,
        locks::a_stopped_holder_loses_its_lock_and_cannot_write,
        locks::fifty_creations_at_once_make_one_authority,
        locks::locks_are_listed_and_broken,
        locks::never_two_hold_a_lock,
        locks::one_can_wait_for_a_lock,
        locks::read_only_commands_write_nothing_and_wait_for_nobody,
        points::the_points_are_where_the_effects_are,
        real::real_hosts_are_whole_after_kills,
        scale::a_fleet_far_away_is_looked_at_with_one_login_and_one_command_each,
        scale::black_holes_are_reported_each_and_keep_nobody_else_from_answering,
        scale::more_hosts_than_files_may_be_open_are_looked_at_all_the_same,
    ];
    all.extend(commands::killed_at_any_point());
    all.extend(disk::fails_at_any_write());
    all.extend(moments::killed_at_200_moments());
    all.extend(points::killed_at_every_point());
    all.extend(points::unreadable_at_every_look());
    all
}

fn main() -> ExitCode {
    if let Some(ended) = child::main().or_else(cloud::main).or_else(locks::main) {
        return ended;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, all()).exit_code()
}
