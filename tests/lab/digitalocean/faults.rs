//! Whatever is lost on the way: there is one droplet, and none and nothing else after its removal.

use super::case::Case;
use crate::ocean::{Ocean, front::Fault};
use serde_json::json;
use std::{fs, time::Duration};

const FAULTS: [Fault; 5] = [Fault::Before, Fault::After, Fault::Broken, Fault::BrokenAfter, Fault::Throttled];

/// Whatever is lost of whichever request of a creation: one droplet, always, and nothing after its removal.
pub(crate) async fn made_once(ocean: &Ocean) {
    let cases = ["POST /droplets", "POST /account/keys", "GET /droplets", "DELETE /droplets", "DELETE /account/keys"];
    let mut names = Vec::new();
    for (i, request) in cases.iter().enumerate() {
        for (j, fault) in FAULTS.iter().enumerate() {
            names.push((format!("lost-{i}-{j}"), *request, *fault));
        }
    }
    // In a few rows beside each other: the provider takes only so many requests at once.
    let row = async |names: &[(String, &'static str, Fault)]| {
        for (name, request, fault) in names {
            let case = Case::new(ocean, name);
            let (method, part) = request.split_once(' ').unwrap();
            case.front.plan((method, part, *fault));
            let made = case.create().await.unwrap_or_else(|e| panic!("{name} {request} {fault:?}: {e}"));
            assert_eq!(case.one().id.to_string(), made.id, "{request} {fault:?}");
            case.rm().await;
            assert!(case.front.is_done(), "{name} {request} {fault:?}: never asked: {:?}", case.front.seen());
        }
    };
    let (first, rest) = names.split_at(names.len() / 2);
    tokio::join!(row(first), row(rest));
}

/// The program is killed while its request is under way; lists by tag are late besides.
pub(crate) async fn cut_off(ocean: &Ocean) {
    for (name, part, again) in [
        ("cut-0", "/droplets", true),
        ("cut-1", "/droplets", false),
        ("cut-2", "/account/keys", true),
        ("cut-3", "/account/keys", false),
    ] {
        let case = Case::new(ocean, name);
        case.front.plan(("POST", part, Fault::Silence));
        let under_way = async {
            while !case.front.is_done() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        tokio::select! {
            made = case.create() => panic!("{name}: {made:?}"),
            () = under_way => {}
        }
        if again {
            let made = case.create().await.unwrap();
            assert_eq!(case.one().id.to_string(), made.id);
        }
        case.rm().await;
    }
    // The provider has made it, and for two seconds its list does not say so.
    for (name, again) in [("late-0", true), ("late-1", false)] {
        ocean.emulator.late(Duration::from_secs(2));
        let case = Case::new(ocean, name);
        case.front.plan(("POST", "\"name\":\"late", Fault::After));
        if again {
            let made = case.create().await.unwrap();
            assert_eq!(case.one().id.to_string(), made.id);
            assert!(case.told.lock().unwrap().iter().any(|text| text.contains("waiting whether it appears")));
        } else {
            let lost = case.with(async |driver, cx, values| driver.create(cx, values).await).await.unwrap_err();
            assert!(lost.is_transient(), "{lost}");
        }
        case.rm().await;
        ocean.emulator.late(Duration::ZERO);
    }
    // It was found, but the key made for it has gone with its folder.
    let case = Case::new(ocean, "keyless");
    case.create().await.unwrap();
    fs::remove_file(case.dir.path().join("id_ed25519")).unwrap();
    for _ in 0..2 {
        let e = case.create().await.unwrap_err();
        assert!(case.words(&e).contains("machine rm -y keyless"), "{e}");
    }
    case.rm().await;
}

/// A resize in which each request is lost in each way ends with the size that was asked for, and switched on.
pub(crate) async fn changed_once(ocean: &Ocean) {
    for (i, kind) in ["shutdown", "\"resize\"", "power_on"].iter().enumerate() {
        for (j, fault) in [Fault::Before, Fault::After, Fault::BrokenAfter].iter().enumerate() {
            let mut case = Case::new(ocean, &format!("resize-{i}-{j}"));
            let made = case.create().await.unwrap();
            case.given = json!({ "size": "s-1vcpu-2gb" });
            case.front.plan(("POST", kind, *fault));
            case.change(&made).await.unwrap();
            let now = case.one();
            assert!(case.front.is_done());
            assert_eq!((now.size.as_str(), now.status), ("s-1vcpu-2gb", "active"), "{kind} {fault:?}");
            case.rm().await;
        }
    }
}
