//! A run that asks, is killed and is interrupted, and what the next one makes of it.

use super::{instances, no_drift, nothing_to_do};
use crate::lab::{
    self, Lab,
    running::{Running, await_that},
};
use std::fs;

/// Two hosts, for stories about runs that end early.
const TWO: &str = "fleet: two\ndefaults: { driver: nspawn, engine: { source: distro } }\nhosts:\n  a:\n  b:\n";

#[test]
fn a_run_asks_and_can_be_stopped_at_any_time() {
    if !lab::ready(&["docker", "busybox", "script", "stty"]) {
        return;
    }
    let lab = Lab::new();
    let file = lab.file("fleet.yaml", TWO);
    without_an_answer_nothing_happens(&lab, &file);
    killed_while_machines_are_made(&lab, &file);
    one_interrupt_lets_what_runs_end(&lab, &file);
    two_interrupts_stop_at_once(&lab, &file);
    then_it_converges(&lab, &file);
}

fn without_an_answer_nothing_happens(lab: &Lab, file: &str) {
    // In a pipe there is no terminal to ask at.
    let refused =
        lab.machine(&["apply", file]).code(6).says("needs a confirmation, and there is no terminal to ask on");
    assert!(refused.err.contains("`-y`"), "{}", refused.err);
    let refused = lab.machine(&["apply", "--json", file]).code(6);
    let planned: serde_json::Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((&planned["event"], &planned["plan"]["changes"]), (&"planned".into(), &6.into()));

    let mut apply = Running::on_terminal(lab, &format!("apply {file}"));
    apply.until("6 steps on 2 of 2 hosts: 6 to create.");
    apply.until("Apply this to fleet `two`? (y/n): ");
    apply.types("n\n");
    let (code, said) = apply.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("Nothing was changed.\r\n"), "{said}");
    assert_eq!(lab.machine(&["ls", "-q"]).ok().out, "");
    assert_eq!(lab.left(), Vec::<String>::new());
}

fn killed_while_machines_are_made(lab: &Lab, file: &str) {
    let mut apply = Running::piped(lab, &["apply", "--yes", file]);
    apply.until("starting the machine");
    apply.signal("KILL");
    apply.end();
    // Its lock freed itself, and what was begun is known.
    lab.machine(&["plan", "--detailed-exitcode", file]).code(2).says("an earlier create did not finish");
}

fn one_interrupt_lets_what_runs_end(lab: &Lab, file: &str) {
    let mut apply = Running::on_terminal(lab, &format!("apply --parallel 1 {file}"));
    apply.until("(y/n): ");
    apply.types("y\n");
    // The live line of the first host, drawn again and again.
    await_that("a live line", || {
        ["instance", "certificate", "engine"].iter().any(|p| apply.said().contains(&format!(" a  {p}")))
    });
    apply.types("\x03");
    apply.until("No new step starts; those under way are finished. Ctrl-C once more stops at once.");
    let (code, said) = apply.end();
    assert_eq!(code, 3, "{said}");
    let report = said.replace('\r', "");
    for text in [
        "\nb  not started  left to do: instance, certificate, engine\n",
        "\nThe run ended early; the same command goes on from here.\n",
    ] {
        assert!(report.contains(text), "no `{text}` in\n{report}");
    }
    assert!(!report.contains("cut off"), "{report}");
    // What was under way has ended, and what was not begun is as it was.
    let plan = lab.machine(&["plan", "--detailed-exitcode", file]).code(2);
    let (a, b) = plan.out.split_once("  b\n").unwrap();
    assert!(!a.contains("instance") && !a.contains("did not finish"), "{a}");
    assert!(b.contains("+ create  instance "), "{b}");
}

fn two_interrupts_stop_at_once(lab: &Lab, file: &str) {
    let mut apply = Running::piped(lab, &["apply", "--yes", file]);
    apply.until("install docker.io");
    apply.signal("INT");
    apply.until("No new step starts");
    apply.signal("INT");
    let (code, said) = apply.end();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("Stopping at once; the next plan knows what was under way."), "{said}");
    assert!(said.contains("interrupted  cut off: engine"), "{said}");
    lab.machine(&["plan", "--detailed-exitcode", file])
        .code(2)
        .says("+ create  engine       an earlier create did not finish");
}

fn then_it_converges(lab: &Lab, file: &str) {
    // On a terminal: the live lines end with a tick, and how to go on is said.
    let apply = Running::on_terminal(lab, &format!("apply --yes {file}"));
    let (code, said) = apply.end();
    assert_eq!(code, 0, "{said}");
    for text in ["✓ a  engine ", "✓ b  engine ", "2 converged.\r\n"] {
        assert!(said.contains(text), "no `{text}` in\n{said}");
    }
    nothing_to_do(lab, file);
    no_drift(lab, file);
    let there = instances(lab);
    assert_eq!(there.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(there.values().all(|pids| pids.len() == 1), "{there:?}");
    assert_eq!(fs::read_dir(lab.base().join("instances")).unwrap().count(), 2);
    lab.docker("a", &["version"]).ok();
    lab.docker("b", &["version"]).ok();
    lab.machine(&["rm", "-y", "a", "b"]).ok().says("Successfully removed b");
    assert_eq!(lab.left(), Vec::<String>::new());
    lab.machine(&["plan", file]).ok().says("6 steps on 2 of 2 hosts: 6 to create.");
}
