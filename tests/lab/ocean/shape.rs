//! The provider's objects, whole, as its document has them.

use serde_json::{Value, json};

pub(super) const REGIONS: [(&str, &str, bool); 4] = [
    ("nyc1", "New York 1", false),
    ("nyc3", "New York 3", true),
    ("fra1", "Frankfurt 1", true),
    ("ams3", "Amsterdam 3", true),
];

/// Slug, MiB, processors, GiB of disk.
pub(super) const SIZES: [(&str, u64, u64, u64); 5] = [
    ("s-1vcpu-512mb-10gb", 512, 1, 10),
    ("s-1vcpu-1gb", 1024, 1, 25),
    ("s-1vcpu-2gb", 2048, 1, 50),
    ("s-2vcpu-2gb", 2048, 2, 60),
    ("s-2vcpu-4gb", 4096, 2, 80),
];

pub(super) const IMAGES: [(u64, &str, &str, &str); 3] = [
    (1001, "ubuntu-24-04-x64", "Ubuntu", "24.04 (LTS) x64"),
    (1002, "debian-13-x64", "Debian", "13 x64"),
    (1003, "debian-12-x64", "Debian", "12 x64"),
];

pub(super) fn region(slug: &str) -> Value {
    let (slug, name, available) = REGIONS.iter().find(|(own, ..)| *own == slug).unwrap();
    // Not all sizes are to be had everywhere.
    let sizes: Vec<&str> =
        SIZES.iter().map(|(size, ..)| *size).filter(|s| *slug != "ams3" || *s != "s-2vcpu-4gb").collect();
    json!({ "name": name, "slug": slug, "features": ["backups", "ipv6", "metadata"], "available": available, "sizes": sizes })
}

pub(super) fn size(slug: &str) -> Value {
    let (slug, memory, vcpus, disk) = SIZES.iter().find(|(own, ..)| *own == slug).unwrap();
    let regions: Vec<&str> =
        REGIONS.iter().map(|(own, ..)| *own).filter(|r| *r != "ams3" || *slug != "s-2vcpu-4gb").collect();
    json!({
        "slug": slug, "memory": memory, "vcpus": vcpus, "disk": disk, "transfer": 1.0, "price_monthly": 6.0,
        "price_hourly": 0.00893, "regions": regions, "available": true, "description": "Basic",
    })
}

pub(super) fn image(slug: &str) -> Value {
    let (id, slug, distribution, name) = IMAGES.iter().find(|(_, own, ..)| *own == slug).unwrap();
    json!({
        "id": id, "name": name, "type": "base", "distribution": distribution, "slug": slug, "public": true,
        "regions": ["nyc3", "fra1", "ams3"], "created_at": "2026-05-01T00:00:00Z", "min_disk_size": 7,
        "size_gigabytes": 0.6, "description": "an image", "tags": [], "status": "available",
    })
}
