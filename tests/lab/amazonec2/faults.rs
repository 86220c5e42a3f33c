//! Whatever happens to a call: there is one instance, and none after its removal.

use super::host::{Host, Lab, run};
use crate::{
    moto::{
        proxy::{Fault, Proxy, Which},
        ready,
    },
    sample::is_tried,
};
use serde_json::json;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Of the calls that a fault can meet, how many the usual run takes one of.
const ONE_OF: u64 = 5;

/// Runs trials with numbers from 1, some at a time, until one says that there was nothing to try any more. Each has a machine
/// and a proxy of its own, and all one moto. How many there were; those that the usual run leaves out count.
fn trials(lab: &Lab, what: &str, trial: impl Fn(usize, &Proxy, &str) -> bool + Sync) -> usize {
    let (next, end) = (AtomicUsize::new(1), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= end.load(Ordering::SeqCst) {
                        return;
                    }
                    if !is_tried(&format!("{what} {number}"), ONE_OF) {
                        continue;
                    }
                    let proxy = Proxy::start(lab.moto.port);
                    if !trial(number, &proxy, &format!("m{number}")) {
                        end.fetch_min(number, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    end.into_inner() - 1
}

/// Pain 4. Whatever happens to whichever call: one instance in the end, and none after `rm`.
#[test]
fn whatever_happens_to_whichever_call_there_is_one_instance_and_rm_leaves_nothing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let says = |code| Fault::Says(503, code);
    for fault in [Fault::Before, Fault::After, says("Unavailable"), says("RequestLimitExceeded")] {
        // A creation, then a removal; the fault meets each call of both once.
        let calls = trials(&lab, &format!("{fault:?}"), |number, proxy, name| {
            proxy.plan(vec![(Which::Number(number), fault)]);
            let host = Host::named(name, proxy, json!({}));
            let when = format!("{fault:?} of call {number}");
            run(async {
                let made = host.create().await.unwrap_or_else(|e| panic!("{when}: {e}"));
                assert_eq!(lab.moto.instances(name), std::slice::from_ref(&made.id), "{when}: {:?}", proxy.actions());
                host.rm(&made).await.unwrap_or_else(|e| panic!("{when}: {e}"));
            });
            lab.moto.assert_empty(name, &when);
            proxy.hit()
        });
        assert!(calls > 15, "calls were made: {calls}");
        lab.moto.reset();
    }
}

/// Pain 4: `kill -9` at each call of create, before and after its effect. Then either it is created again, or removed.
#[test]
fn who_is_killed_at_any_call_doubles_and_leaks_nothing() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    for (fault, remove) in
        [(Fault::HangBefore, false), (Fault::HangAfter, false), (Fault::HangBefore, true), (Fault::HangAfter, true)]
    {
        let calls = trials(&lab, &format!("killed {fault:?} {remove}"), |number, proxy, name| {
            proxy.plan(vec![(Which::Number(number), fault)]);
            let host = Host::named(name, proxy, json!({}));
            let when = format!("killed at call {number}, {fault:?}");
            let killed = run(async {
                let watched = proxy.clone();
                let hit = tokio::task::spawn_blocking(move || watched.wait_hit());
                // A future that is dropped does no more than a process that was killed.
                tokio::select! {
                    made = host.create_once() => { made.unwrap(); proxy.note_hit(); false }
                    _ = hit => true,
                }
            });
            proxy.plan(Vec::new());
            run(async {
                if !remove {
                    let made = host.create().await.unwrap_or_else(|e| panic!("{when}: {e}"));
                    assert_eq!(lab.moto.instances(name), std::slice::from_ref(&made.id), "{when}");
                }
                host.rm_whatever(host.recorded()).await;
            });
            lab.moto.assert_empty(name, &when);
            killed
        });
        assert!(calls > 8, "calls were made: {calls}");
        lab.moto.reset();
    }
}

/// A call that was sent twice must be known by its token, which stays as long as the attempt.
#[test]
fn an_attempt_keeps_its_token_until_it_has_ended() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let host = Host::new(&lab.proxy, json!({}));
    let tokens = || -> Vec<String> {
        let calls = lab.proxy.calls().into_iter().filter(|call| call.action == "RunInstances");
        calls
            .map(|call| call.request.split("ClientToken=").nth(1).unwrap().split('&').next().unwrap().to_owned())
            .collect()
    };
    run(async {
        lab.proxy.plan(vec![(Which::Action("RunInstances", 2), Fault::Before)]);
        let made = host.create().await.unwrap();
        let first = tokens();
        assert_eq!(first.len(), 3);
        assert!(first.iter().all(|token| *token == first[0]), "one attempt, one token: {first:?}");
        // It is removed in the console, and it is made anew from the same folder.
        lab.moto.ec2(&format!("Action=TerminateInstances&InstanceId.1={}", made.id));
        lab.proxy.plan(Vec::new());
        host.create().await.unwrap();
        assert_ne!(tokens()[0], first[0], "AWS would answer with the one that is gone");
    });
}

/// Throttling costs time and nothing else.
#[test]
fn who_is_throttled_waits() {
    if !ready() {
        return;
    }
    let lab = Lab::get();
    let throttle = |action| (Which::Action(action, 2), Fault::Says(503, "RequestLimitExceeded"));
    lab.proxy.plan(vec![
        throttle("RunInstances"),
        throttle("DescribeInstances"),
        throttle("CreateSecurityGroup"),
        (Which::Action("DescribeImages", 1), Fault::Late(Duration::from_millis(300))),
    ]);
    let host = Host::new(&lab.proxy, json!({ "retries": 5 }));
    let made = run(host.create_once()).unwrap();
    assert_eq!(lab.moto.instances(""), [made.id]);
    assert_eq!(lab.proxy.actions().iter().filter(|a| *a == "RunInstances").count(), 3);
}
