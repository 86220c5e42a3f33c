//! Droplets, keys, actions, networks and the account as the document has them.

use super::{Action, Droplet, shape};
use serde_json::{Value, json};

pub(super) fn show(droplet: &Droplet) -> Value {
    let size = shape::size(&droplet.size);
    let text = |key: &str| droplet.asked[key].as_str().unwrap_or_default().to_owned();
    let slug = shape::IMAGES
        .iter()
        .find(|(id, slug, ..)| *slug == text("image") || Some(*id) == droplet.asked["image"].as_u64());
    let networks = if droplet.status == "new" {
        json!({ "v4": [], "v6": [] })
    } else {
        let address = |ip: String, kind: &str| json!({ "ip_address": ip, "netmask": "255.255.240.0", "gateway": "203.0.113.1", "type": kind });
        json!({ "v4": [address("10.136.0.2".to_owned(), "private"), address(droplet.address.to_string(), "public")], "v6": [] })
    };
    let features: Vec<&str> =
        if droplet.backups { vec!["backups", "private_networking"] } else { vec!["private_networking"] };
    json!({
        "id": droplet.id, "name": droplet.name, "memory": size["memory"], "vcpus": size["vcpus"], "disk": droplet.disk,
        "locked": droplet.action.is_some(), "status": droplet.status, "created_at": "2026-11-21T13:00:00Z",
        "features": features, "backup_ids": [], "next_backup_window": null, "snapshot_ids": [], "volume_ids": [],
        "image": shape::image(slug.unwrap().1), "size": size, "size_slug": droplet.size, "networks": networks,
        "region": shape::region(&text("region")), "tags": droplet.tags, "vpc_uuid": "5a4981aa-9653-4bd1-bef5-d6bff52042e4",
    })
}

pub(super) fn show_key(id: u64, (name, public): &(String, String)) -> Value {
    json!({ "id": id, "fingerprint": format!("3b:16:bf:{id}"), "public_key": public, "name": name })
}

pub(super) fn show_action(id: u64, action: &Action) -> Value {
    let region = shape::region("nyc3");
    json!({
        "id": id, "status": action.status, "type": action.kind, "started_at": "2026-11-21T13:00:00Z", "completed_at": null,
        "resource_id": action.droplet, "resource_type": "droplet", "region": region, "region_slug": "nyc3",
    })
}

pub(super) fn vpc(name: &str, region: &str, number: u8) -> Value {
    let id = format!("5a4981aa-9653-4bd1-bef5-d6bff5204{number:03}");
    json!({
        "id": id, "urn": format!("do:vpc:{id}"), "name": name, "description": "", "region": region, "default": number == 1,
        "ip_range": "10.136.0.0/20", "created_at": "2026-01-01T00:00:00Z",
    })
}

/// The account itself, as the document has it.
pub(super) fn account(email: &str, team: &str, number: u8) -> Value {
    let uuid = |kind: u8| format!("b6fr89dbf6d9156cace5f3c78dc985{kind}{number}");
    json!({ "account": {
        "droplet_limit": 25, "floating_ip_limit": 5, "email": email, "name": team, "uuid": uuid(1),
        "email_verified": true, "status": "active", "status_message": " ",
        "team": { "uuid": uuid(2), "name": team },
    } })
}
