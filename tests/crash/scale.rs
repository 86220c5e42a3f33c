//! Five hundred hosts far away, some of which never answer (pain 26).

use crate::farm::{self, Farm, Ground};
use std::{
    process::{Command, Output},
    time::Duration,
};

#[expect(clippy::disallowed_methods, reason = "the program itself is tested, started by a shell that sets limits")]
fn machine(farm: &Farm, limit: &str, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit} exec \"$@\""), "sh", env!("CARGO_BIN_EXE_machine")]);
    command.env_clear().env("HOME", farm.store()).arg("-s").arg(farm.store()).args(args);
    command.output().expect("the program starts")
}

pub(crate) fn a_fleet_far_away_is_looked_at_with_one_login_and_one_command_each() {
    let farm = Farm::new(Ground { hosts: 24, black_holes: 0, one_way: Duration::from_millis(10) });
    let file = farm.file();
    let said = machine(&farm, "", &["apply", file.to_str().unwrap()]);
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(out, "Nothing to do: 24 hosts are as planned.\n", "{err}");
    assert_eq!((farm.counts().logins(), farm.counts().commands()), (24, 24));
}

pub(crate) fn more_hosts_than_files_may_be_open_are_looked_at_all_the_same() {
    let farm = Farm::new(Ground { hosts: 24, black_holes: 0, one_way: Duration::ZERO });
    let file = farm.file();
    let said = machine(&farm, "ulimit -Sn 32;", &["plan", file.to_str().unwrap()]);
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(out, "Nothing to do: 24 hosts are as planned.\n", "{err}");
}

pub(crate) fn black_holes_are_reported_each_and_keep_nobody_else_from_answering() {
    let farm = Farm::new(Ground { hosts: 20, black_holes: 3, one_way: Duration::ZERO });
    let file = farm.file();
    let said = machine(&farm, "", &["plan", file.to_str().unwrap()]);
    let out = String::from_utf8_lossy(&said.stdout);
    for n in 0..20 {
        let name = farm::name(n);
        let (told, is_hole) = (out.contains(&format!("not reached: `{name}`: ")), n < 3);
        assert_eq!(told, is_hole, "{name}: {out}");
    }
    assert_eq!(farm.counts().logins(), 17);
    // All at once, so that all wait together: one that waited its turn behind a black hole would not be counted here.
    let listed = machine(&farm, "", &["ls", "-t", "2"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.lines().count(), 21, "{listed}");
    assert_eq!(listed.lines().filter(|line| line.contains("Timeout")).count(), 3, "{listed}");
}
