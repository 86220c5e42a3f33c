//! The whole life of a droplet, and what is left to others.

use super::case::Case;
use crate::ocean::{Ocean, TOKEN};
use machine::{
    driver::PowerAction,
    record::{Instance, Power},
};
use serde_json::json;
use std::fs;

pub(crate) async fn life(ocean: &Ocean) {
    let mut case = Case::new(ocean, "life").given(json!({ "tags": ["blue", "web"], "ipv6": true, "monitoring": true }));
    assert_eq!(case.with(async |driver, cx, values| driver.find(cx, values).await).await.unwrap(), None);
    let made = case.create().await.unwrap();
    let droplet = case.one();
    assert_eq!((made.id.as_str(), droplet.status), (droplet.id.to_string().as_str(), "active"));
    assert_eq!(made.address, made.ssh.as_ref().unwrap().host);
    let asked = &droplet.asked;
    assert_eq!((&asked["ipv6"], &asked["monitoring"], &asked["backups"]), (&json!(true), &json!(true), &json!(false)));
    assert_eq!(asked["tags"], json!(["blue", "web", "machine:5f2a:shop:life"]));
    // The host is known before it has ever answered: its private half went with the user data.
    let host = fs::read_to_string(case.dir.path().join("ssh_host_ed25519_key")).unwrap();
    let public = fs::read_to_string(case.dir.path().join("ssh_host_ed25519_key.pub")).unwrap();
    assert!(public.starts_with(&made.host_keys[0]) && made.host_keys[0].starts_with("ssh-ed25519 "));
    let data = asked["user_data"].as_str().unwrap();
    assert!(data.contains(host.lines().nth(1).unwrap()), "{data}");
    for entry in fs::read_dir(case.dir.path()).unwrap().flatten() {
        assert!(!fs::read_to_string(entry.path()).unwrap().contains(TOKEN), "{}", entry.path().display());
    }

    assert_eq!(case.create().await.unwrap(), made, "creating twice is creating once");
    assert_eq!(case.with(async |driver, cx, values| driver.find(cx, values).await).await.unwrap(), Some(made.clone()));
    assert_eq!(case.power(&made, PowerAction::Start).await, Power::Running, "nothing to do");
    assert_eq!(case.power(&made, PowerAction::Stop).await, Power::Stopped);
    assert_eq!(case.power(&made, PowerAction::Stop).await, Power::Stopped);
    assert_eq!(case.power(&made, PowerAction::Restart).await, Power::Running);
    assert_eq!(case.power(&made, PowerAction::Restart).await, Power::Running);
    assert_eq!(case.power(&made, PowerAction::Kill).await, Power::Stopped);
    assert_eq!(case.power(&made, PowerAction::Start).await, Power::Running);

    // A tag of the user's stays; what the fleet no longer says goes.
    ocean.emulator.tag(droplet.id, "by-hand");
    case.given =
        json!({ "size": "s-2vcpu-2gb", "tags": ["web", "green"], "backups": true, "ipv6": true, "monitoring": true });
    let changed = case.change(&made).await.unwrap();
    assert_eq!(changed, made, "neither address nor keys change");
    let now = case.one();
    assert_eq!((now.size.as_str(), now.disk, now.status), ("s-2vcpu-2gb", 25, "active"), "the disk stays as it is");
    assert_eq!(now.tags.into_iter().collect::<Vec<_>>(), ["by-hand", "green", "machine:5f2a:shop:life", "web"]);
    let calls = case.front.seen().len();
    case.change(&made).await.unwrap();
    assert!(case.front.seen()[calls..].iter().all(|call| call.starts_with("GET ")), "nothing is left to change");

    case.given = json!({ "size": "s-1vcpu-1gb", "tags": [] });
    case.change(&made).await.unwrap();
    assert_eq!((case.one().size.as_str(), case.one().disk), ("s-1vcpu-1gb", 25), "and back, since the disk stayed");
    case.given = json!({ "size": "s-2vcpu-4gb", "resize-disk": true });
    case.change(&made).await.unwrap();
    assert_eq!(case.one().disk, 80, "when it is asked for");
    case.given = json!({ "size": "s-1vcpu-512mb-10gb" });
    let e = case.change(&made).await.unwrap_err();
    assert!(case.words(&e).contains("smaller disk"), "{e}");
    assert_eq!(case.one().status, "active", "it is not left off for nothing");
    case.rm().await;
    let gone = case.with(async |driver, cx, values| driver.power(cx, &made, values).await).await;
    assert_eq!(gone.unwrap(), Power::Gone);
}

/// What others have made stays theirs.
pub(crate) async fn of_others(ocean: &Ocean) {
    // More keys than go on one page, and one that is ours by content and a user's by name.
    for i in 0..230 {
        ocean.emulator.key(&format!("somebody {i}"), &format!("ssh-ed25519 AAAA{i} somebody"));
    }
    let case = Case::new(ocean, "shared");
    let dir = case.dir.path();
    let made = case.create().await.unwrap();
    let public = fs::read_to_string(dir.join("id_ed25519.pub")).unwrap();
    case.rm().await;
    let id = ocean.emulator.key("somebody last", public.trim());
    let again = case.create().await.unwrap();
    assert_ne!(made.id, again.id);
    assert_eq!(
        case.one().asked["ssh_keys"],
        json!([id]),
        "the same key is not added twice, wherever in the list it is"
    );
    case.rm().await;
    assert_eq!(ocean.emulator.left("somebody").len(), 231, "it is not ours to remove");

    // A droplet that docker-machine made: no tag, its number is recorded, its key has the machine's name.
    let case = Case::new(ocean, "old").given(json!({ "size": "s-1vcpu-2gb" }));
    let id = ocean.emulator.foreign("old");
    ocean.emulator.key("old", "ssh-rsa BBBB");
    ocean.emulator.key("old", "ssh-rsa CCCC");
    fs::write(case.dir.path().join("id_rsa.pub"), "ssh-rsa BBBB\n").unwrap();
    let ssh = json!({ "host": "203.0.113.5", "port": 22, "user": "root", "key": "id_rsa", "jump": null });
    let recorded = json!({
        "id": id.to_string(), "address": "203.0.113.5", "ssh": ssh, "url": null, "host_keys": ["ssh-rsa DDDD"],
        "host-keys": ["ssh-rsa DDDD"],
    });
    let ssh = serde_json::from_value(recorded["ssh"].clone()).unwrap();
    let old = Instance {
        id: id.to_string(),
        address: "203.0.113.5".to_owned(),
        ssh: Some(ssh),
        url: None,
        host_keys: vec!["ssh-rsa DDDD".to_owned()],
        jump_keys: Vec::new(),
    };
    case.ocean.emulator.tag(id, "theirs");
    case.power(&old, PowerAction::Start).await;
    let changed = case.change(&old).await.unwrap();
    assert_eq!(changed.ssh.as_ref().unwrap().key.as_deref(), Some("id_rsa"), "docker-machine's key stays in use");
    assert_eq!(changed.host_keys, old.host_keys);
    assert!(case.one().tags.contains("machine:5f2a:shop:old"), "from now on it is found by its tag too");
    case.kept.0.lock().unwrap().push(old);
    case.rm().await;
    assert_eq!(ocean.emulator.left("old"), ["old"], "one key of the name is foreign");
}
