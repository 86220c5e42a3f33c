//! Hooks on a real host: here and there, once, ended when they take too long, run again after a failure or a kill.

use crate::lab::{self, Lab};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

fn fleet(lab: &Lab, tier: &str, hooks: &str) -> String {
    lab.file(
        "fleet.yaml",
        &format!(
            "fleet: hooks\ndefaults:\n  driver: nspawn\n  engine: {{ labels: {{ tier: '{tier}' }} }}\nhosts:\n  web:\n    hooks:\n{hooks}"
        ),
    )
}

/// What was written here and on the host.
fn said(lab: &Lab, file: &str) -> String {
    fs::read_to_string(lab.path(file)).unwrap_or_default()
}

#[test]
fn hooks_run_here_and_on_the_host_once() {
    if !lab::ready(&[]) {
        return;
    }
    let lab = Lab::golden();
    let program = env!("CARGO_BIN_EXE_machine");
    let hooks = format!(
        "      pre-create: [{{ run: 'echo \"pre $MACHINE_NAME\" >> here' }}]\n\
         \x20     post-create:\n\
         \x20       - {{ name: there, on: host, timeout: 60s, run: 'echo \"$MACHINE_NAME $MACHINE_ADDRESS $MACHINE_ACTION $(id -u)\" >> /root/hooks' }}\n\
         \x20       - {{ name: words, on: host, run: [sh, -c, 'echo \"$1\" >> /root/hooks', x, \"it's $HOME\"] }}\n\
         \x20       - {{ name: here, run: 'echo \"post $MACHINE_NAME $MACHINE_ADDRESS\" >> here; {program} ssh $MACHINE_NAME -- cat /root/hooks >> here' }}\n\
         \x20     pre-upgrade: [{{ name: drain, on: host, timeout: 2s, run: 'test -e /root/quick && exit; sleep 300 & echo $! > /root/pid; wait' }}]\n\
         \x20     post-upgrade: [{{ name: check, on: host, run: 'echo checking >> /root/hooks; echo not yet; test -e /root/go' }}]\n\
         \x20     pre-rm: [{{ name: last, on: host, run: 'echo removed; cat /root/hooks' }}]\n\
         \x20     post-rm: [{{ run: 'echo \"bye $MACHINE_NAME $MACHINE_ADDRESS\" >> here' }}]\n"
    );
    let file = fleet(&lab, "1", &hooks);
    lab.machine(&["plan", &file]).ok().says("> run     post-create  there: ").says("(on the host, at most 1 min)");
    lab.machine(&["apply", "-y", &file]).ok();
    let address = lab.machine(&["ip", "web"]).ok().out.trim().to_owned();
    let there = format!("web {address} create 0\nit's $HOME\n");
    assert_eq!(lab.on("web", "cat /root/hooks"), there);
    assert_eq!(said(&lab, "here"), format!("pre web\npost web {address}\n{there}"));
    lab.machine(&["apply", "-y", &file]).ok();
    assert_eq!(lab.on("web", "cat /root/hooks"), there, "a second apply runs nothing");

    // A hook before a change that takes too long: it is ended on the host with all it started, and nothing changes.
    let file = fleet(&lab, "2", &hooks);
    lab.machine(&["apply", "-y", &file])
        .code(1)
        .says("took longer than 2 s and was ended")
        .says("nothing on the machine was changed");
    assert_eq!(lab.on("web", "kill -0 $(cat /root/pid) 2>/dev/null && echo there || echo gone"), "gone\n");
    assert!(lab.on("web", "cat /etc/docker/daemon.json").contains("tier=1"));

    // A hook after a change that fails: the change stays, the hook is due.
    lab.on("web", "touch /root/quick");
    let failed = lab.machine(&["apply", "-y", &file]).says("web: post-upgrade check failed").says("  | not yet");
    assert_ne!(failed.code, 0);
    assert!(lab.on("web", "cat /etc/docker/daemon.json").contains("tier=2"));
    let plan = lab.machine(&["plan", &file]).ok().says("due since an earlier run");
    assert!(!plan.out.contains("upgrade engine") && !plan.out.contains("drain"), "{}", plan.out);

    // Killed while it runs: it runs again.
    let slow = hooks.replace("echo not yet; test -e /root/go", "echo not yet; test -e /root/go || sleep 60");
    let file = fleet(&lab, "2", &slow);
    let mut child =
        lab.command(program).args(["apply", "-y", &file]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("not yet")));
    child.kill().unwrap();
    child.wait().unwrap();
    lab.on("web", "touch /root/go");
    lab.machine(&["apply", "-y", &file]).ok();
    assert_eq!(lab.on("web", "grep -c checking /root/hooks"), "3\n");
    lab.machine(&["plan", "--detailed-exitcode", &file]).ok().says("Nothing to do");

    // What is run when the line is gone from the file comes from the record.
    let empty = lab.file("empty.yaml", "fleet: hooks\nhosts: {}\n");
    lab.machine(&["apply", "-y", "--prune", "--allow-delete=1", &empty]).ok().says("web  pre-rm last").says("checking");
    assert!(said(&lab, "here").ends_with(&format!("bye web {address}\n")));
    assert_eq!(lab.left(), [""; 0]);
}
