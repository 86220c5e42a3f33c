//! Five hundred hosts far away, some of which never answer (pain 26).

mod farm;

use farm::{Farm, Ground};
use std::{
    process::{Command, Output},
    time::Duration,
};

#[expect(clippy::disallowed_methods, reason = "the program itself is tested")]
fn machine(farm: &Farm, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
    command.env_clear().env("HOME", farm.store()).arg("-s").arg(farm.store()).args(args);
    command.output().expect("the program starts")
}

#[test]
fn a_fleet_far_away_is_looked_at_with_one_login_and_one_command_each() {
    let farm = Farm::new(Ground { hosts: 40, black_holes: 2, one_way: Duration::from_millis(10) });
    let file = farm.file();
    let said = machine(&farm, &["plan", file.to_str().unwrap()]);
    println!("{}\n{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    panic!("{:?}", farm.counts());
}
