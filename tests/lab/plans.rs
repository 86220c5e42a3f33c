//! Saved plans and drift on a real host: exactly that, once, and refused when the host was changed in between.

use crate::lab::{self, Lab};
use std::fs;

const CANARY: &str = "s3cret-canary";
/// Its end in base64, wherever it starts.
const ENCODED: [&str; 3] = ["czNjcmV0LWNhbmFye", "zM2NyZXQtY2FuYXJ5", "MzY3JldC1jYW5hcn"];

fn fleet(tier: &str) -> String {
    format!(
        "fleet: plans\nhosts:\n  p:\n    driver: nspawn\n    engine:\n      labels: {{ tier: {tier} }}\n      \
         env: {{ HTTP_PROXY: 'http://me:{CANARY}@127.0.0.1:9' }}\n"
    )
}

/// Pains 6, 7, 24 and 28.
#[test]
fn a_saved_plan_meets_a_real_host() {
    if !lab::ready(&[]) {
        return;
    }
    let lab = Lab::golden();
    let file = lab.file("fleet.yaml", &fleet("web"));
    let saved = |name: &str| {
        let path = lab.path(name).to_str().unwrap().to_owned();
        lab.machine(&["plan", "--out", &path, &file]).ok();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(CANARY) && ENCODED.iter().all(|e| !text.contains(e)), "{text}");
        path
    };
    let first = saved("first.json");
    let made = lab.machine(&["apply", "-y", &first]).ok().says("1 converged");
    assert!(!made.out.contains(CANARY) && !made.err.contains(CANARY), "{made:?}");
    lab.machine(&["apply", "-y", &first]).ok().says("Nothing to do");
    lab.machine(&["plan", "--detailed-exitcode", &file]).ok();
    for _ in 0..10 {
        let drift = lab.machine(&["drift", "--json", &file]).ok().out;
        let drift: serde_json::Value = serde_json::from_str(&drift).unwrap();
        assert_eq!(
            (&drift["machines"], &drift["items"], &drift["unknown"]),
            (&1.into(), &serde_json::json!([]), &serde_json::json!([]))
        );
    }
    lab.machine(&["drift", "--all", &file]).ok().says("p seen: architecture: ").says("p seen: engine version: ");

    // A second plan, and a change on the host before it is applied.
    let file = lab.file("fleet.yaml", &fleet("api"));
    let second = saved("second.json");
    lab.on("p", "systemctl stop docker.socket docker.service");
    let stale =
        lab.machine(&["apply", "-y", &second]).code(4).says("`p`: on the host: service: (as planned for) → stopped");
    assert!(!stale.err.contains(CANARY), "{stale:?}");
    lab.on("p", "systemctl start docker.service");
    // A restart of the host itself, and what follows from it, is no reason to refuse.
    lab.file("fleet.yaml", &format!("# reviewed\n{}", fleet("api")));
    lab.machine(&["apply", "-y", &second]).ok().says("1 converged");
    assert!(lab.on("p", "cat /etc/docker/daemon.json").contains("tier=api"));
    lab.machine(&["apply", "-y", &second]).ok().says("was applied at");
    lab.machine(&["plan", "--detailed-exitcode", &file]).ok();
    // What was planned before that is stale, and a fleet that says otherwise as well.
    let third = saved("third.json");
    lab.machine(&["apply", "-y", &third]).ok().says("Nothing to do");
    lab.file("fleet.yaml", &fleet("db"));
    let fourth = saved("fourth.json");
    lab.file("fleet.yaml", &fleet("cache"));
    lab.machine(&["apply", "-y", &fourth]).code(4).says("`p`: engine.labels.tier in the fleet file: db → cache");
    lab.machine(&["destroy", "-y", &file]).ok();
}
