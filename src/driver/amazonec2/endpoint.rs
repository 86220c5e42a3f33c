//! Where AWS answers for a region. Pure.

use crate::{driver::DriverError, http::Url};

/// Regions that are known to this program, for "did you mean": others are asked for all the same.
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Where a service (`ec2`, `sts`) answers for a region. `own` is what a person gave: a host or a URL.
pub(super) fn url(service: &str, region: &str, own: Option<&str>, insecure: bool) -> Result<Url, DriverError> {
    let text = match own {
        Some(text) if text.contains("://") => text.to_owned(),
        Some(host) => format!("{}://{host}", if insecure { "http" } else { "https" }),
        None => format!("https://{service}.{region}.{}", domain(region)),
    };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    let mut url = url.ok_or_else(|| DriverError::Refused {
        doing: format!("looking for the API of region `{region}`"),
        why: format!("`{text}` is no address of a server"),
        help: "give `endpoint` as a host or a URL: `https://ec2.example.net`".to_owned(),
    })?;
    // With a URL that says how, it says how; docker-machine took it so too.
    if insecure && url.scheme() == "https" && own.is_some_and(|own| !own.starts_with("https://")) {
        let _ = url.set_scheme("http");
    }
    if url.path().is_empty() {
        url.set_path("/");
    }
    Ok(url)
}

/// What names in a region end in.
fn domain(region: &str) -> &'static str {
    match region.split('-').collect::<Vec<_>>().as_slice() {
        ["cn", ..] => "amazonaws.com.cn",
        ["us", "iso", ..] => "c2s.ic.gov",
        ["us", "isob", ..] => "sc2s.sgov.gov",
        _ => "amazonaws.com",
    }
}

/// Whether this program has heard of a region.
pub(super) fn is_known(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// Known regions that are written nearly so.
pub(super) fn similar(region: &str) -> Vec<&'static str> {
    let ratio = |known: &str| similar::TextDiff::from_chars(known, region).ratio();
    let mut near: Vec<&str> = REGIONS.iter().copied().filter(|known| ratio(known) > 0.8).collect();
    near.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)));
    near.truncate(3);
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_follows_from_region_and_what_was_given() {
        for (region, own, insecure, want) in [
            ("eu-central-1", None, false, "https://ec2.eu-central-1.amazonaws.com/"),
            ("cn-north-1", None, false, "https://ec2.cn-north-1.amazonaws.com.cn/"),
            ("us-gov-west-1", None, false, "https://ec2.us-gov-west-1.amazonaws.com/"),
            ("x", Some("cloud.example:8773"), false, "https://cloud.example:8773/"),
            ("x", Some("cloud.example:8773"), true, "http://cloud.example:8773/"),
            ("x", Some("http://127.0.0.1:5000"), false, "http://127.0.0.1:5000/"),
            ("x", Some("https://cloud.example/services/Cloud"), true, "https://cloud.example/services/Cloud"),
        ] {
            assert_eq!(url("ec2", region, own, insecure).unwrap().as_str(), want);
        }
        for own in ["", "ftp://x", "a b"] {
            assert!(url("ec2", "x", Some(own), false).is_err(), "{own}");
        }
    }

    #[test]
    fn a_region_that_is_written_wrong_has_neighbours() {
        assert_eq!(similar("eu-cental-1").first(), Some(&"eu-central-1"));
        assert!(is_known("us-east-1") && !is_known("us-east-9") && similar("mars").is_empty());
    }
}
