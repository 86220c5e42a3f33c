//! Five hundred hosts far away, on which nothing is to do. They are SSH servers and engines in this process, so that
//! both ends share this computer's processors: real ones would leave more of them to us.

use super::{
    Table,
    farm::{Farm, Ground},
    machine, peak, spread, timed,
};
use std::time::Duration;

/// A packet is under way this long, in each direction: 20 ms there and back.
const ONE_WAY: Duration = Duration::from_millis(10);

pub(super) fn far(table: &mut Table, turns: usize) {
    for (hosts, goal) in [(10, ""), (100, ""), (500, "≤ 10 s, ≤ 200 MB")] {
        let farm = Farm::new(Ground { hosts, black_holes: 0, one_way: ONE_WAY });
        let file = farm.file().display().to_string();
        let args = ["apply", file.as_str()];
        let said = machine(&farm.store(), &args).output().expect("machine starts");
        let words = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(words.starts_with("Nothing to do"), "the farm is not what the fleet wants: {words}");
        let times: Vec<Duration> = (0..turns).map(|_| timed(machine(&farm.store(), &args))).collect();
        let what = format!("no-op `apply`, {hosts} hosts at 20 ms, `parallel: 64`");
        table.line(&what, &times, goal, "", "", &peak(machine(&farm.store(), &args)));
    }
    let farm = Farm::new(Ground { hosts: 500, black_holes: 25, one_way: ONE_WAY });
    let file = farm.file().display().to_string();
    // Some hosts are not as the file says, as far as is known: that is no failure of `plan`.
    let times: Vec<Duration> = (0..turns).map(|_| timed(machine(&farm.store(), &["plan", file.as_str()]))).collect();
    let beside = "a connection may take 10 s".to_owned();
    table.line("`plan`, the same, 25 of 500 are black holes", &times, "one time-out more", &beside, "", "");
    let listed: Vec<Duration> = (0..turns).map(|_| timed(machine(&farm.store(), &["ls", "-t", "5"]))).collect();
    let beside = format!("asked for at most 5 s each; {}", spread(&listed));
    table.line("`ls -t 5`, the same", &listed, "≤ 6 s", &beside, "", "");
}
