//! Virtual machines: from nothing to the first word of their SSH server, booted and as clones of a frozen one, in turns.

use crate::{
    Table,
    lab::{self, Lab},
    pairs::Ratio,
    spread,
};
use std::time::{Duration, Instant};

/// A fleet of one machine, made and removed as often as is wanted.
struct Story {
    lab: Lab,
    file: String,
}

impl Story {
    fn new(more: &str) -> Self {
        let lab = Lab::new();
        let image = lab::vm_image();
        let text = format!(
            "fleet: vms\nhosts:\n  vm: {{ driver: qemu, image: {}, disk-size: 6GiB, memory: 1GiB{more} }}\n",
            image.display()
        );
        let file = lab.file("fleet.yaml", &text);
        Self { lab, file }
    }

    /// How long it takes to its SSH server, and to an engine.
    fn turn(&self) -> [Duration; 2] {
        let start = Instant::now();
        let said = self.lab.machine(&["apply", "--yes", "--json", &self.file]).ok();
        let engine = start.elapsed();
        let events = said.out.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let made = events.into_iter().find(|e| e["event"] == "finished" && e["step"]["part"] == "instance");
        let made = made.and_then(|e| e["elapsed_ms"].as_u64()).expect("the instance was made");
        self.lab.machine(&["destroy", "--yes", &self.file]).ok();
        [Duration::from_millis(made), engine]
    }
}

pub(crate) fn figures(table: &mut Table, turns: usize) {
    let (booted, cloned) = (Story::new(""), Story::new(", clone: frozen"));
    // Freezes the one that all others go on from.
    let [first, _] = cloned.turn();
    let all: Vec<[[Duration; 2]; 2]> = (0..turns).map(|_| [booted.turn(), cloned.turn()]).collect();
    let of = |which: usize, what: usize| all.iter().map(|turn| turn[which][what]).collect::<Vec<_>>();
    let beside = |which: usize| format!("to an engine: {}", spread(&of(which, 1)));
    table.line("`qemu`: a virtual machine from nothing to SSH", &of(0, 0), "", &beside(0), "", "");
    let ratio = Ratio::of(&of(1, 0), &of(0, 0)).to_string();
    table.line("`qemu`: the same with `clone: frozen`", &of(1, 0), "", &beside(1), &ratio, "");
    table.line("`qemu`: the first of those, which is frozen before", &[first], "", "", "", "");
}
