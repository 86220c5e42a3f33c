//! Nothing is lost, whatever is killed when: pains 4, 5, 8 and 9.
//!
//! This program is both the test and what is killed: called with [`child::DO`] in its environment it is the program
//! `machine` (or a fleet of fakes) with a fault in it, at one of the points of `machine::fault`. The program that is
//! shipped cannot be told to fail. A dry run lists the points; then each gets a process of its own that ends there.
//!
//! `MACHINE_CRASH=full` (`just lab-full`) lets every write fail in every way, where otherwise the ways take turns, and
//! kills real hosts at three times as many points.
//!
//! Without root and `systemd-nspawn` the tests on real hosts say `SKIPPED` and why.

mod child;
mod commands;
mod disk;
mod moments;
mod points;
mod real;
mod story;

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../support/mod.rs"]
mod support;

use std::{panic, process::ExitCode, time::Instant};

/// Every test, by name. They run one after the other: each uses all processors.
const TESTS: &[(&str, fn())] = &[
    ("killed_at_every_point_a_fleet_of_fakes_is_whole_after_one_apply", points::killed_at_every_point),
    ("a_lock_that_cannot_be_read_costs_the_run_and_no_more", points::unreadable_at_every_look),
    ("the_points_are_where_the_effects_are", points::the_points_are_where_the_effects_are),
    ("killed_at_200_moments_twenty_hosts_converge", moments::killed_at_200_moments),
    ("a_disk_that_fails_at_any_write_loses_no_record", disk::fails_at_any_write),
    ("a_small_full_disk_is_told_of_and_loses_nothing", disk::small_and_full),
    ("a_disk_that_becomes_read_only_is_told_of_and_loses_nothing", disk::becomes_read_only),
    ("a_command_killed_at_any_point_can_be_given_again", commands::killed_at_every_point),
    ("real_hosts_are_whole_after_kills", real::killed_at_points),
];

/// Whether there is time for everything.
fn full() -> bool {
    std::env::var("MACHINE_CRASH").is_ok_and(|v| v == "full")
}

fn main() -> ExitCode {
    if let Some(ended) = child::main() {
        return ended;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let picked: Vec<_> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    if words.iter().any(|word| word == "--list") {
        for (name, _) in picked {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", picked.len());
    let mut failed = 0;
    for (name, test) in picked {
        let begun = Instant::now();
        let ended = panic::catch_unwind(test);
        failed += usize::from(ended.is_err());
        let how = if ended.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {how} ({:.1} s)", begun.elapsed().as_secs_f64());
    }
    println!("\ntest result: {}. {failed} failed\n", if failed == 0 { "ok" } else { "FAILED" });
    ExitCode::from(u8::from(failed > 0))
}
