//! Whether the provider has a region, size, image or VPC, and what a person may have meant when it has not.

use super::{account::Account, key::Key, options::Options};
use crate::driver::DriverError;
use serde::Deserialize;
use serde_json::Value;

/// A region, size, image or VPC, as far as we read it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Thing {
    slug: Option<String>,
    id: Value,
    name: String,
    region: String,
    regions: Vec<String>,
    sizes: Vec<String>,
    available: Option<bool>,
}

impl Thing {
    fn slug(&self) -> &str {
        self.slug.as_deref().unwrap_or_default()
    }

    fn is(&self, word: &str) -> bool {
        self.slug() == word || self.id.as_str() == Some(word) || word.parse().is_ok_and(|id: u64| self.id == id)
    }
}

/// Texts that are offered at most.
const MOST: usize = 5;

/// What cannot be had, and what to do instead.
struct Wrong {
    why: String,
    help: String,
}

/// Looks whether the provider has what the options name.
pub(super) async fn look(account: &Account, options: &Options) -> Result<(), DriverError> {
    let named = async {
        match options.vpc.as_deref().filter(|vpc| !vpc.is_empty()) {
            Some(wanted) => vpc(account, wanted, &options.region).await.map(drop),
            None => Ok(()),
        }
    };
    let key = async {
        match options.fingerprint() {
            Some(fingerprint) => Key::get(account, fingerprint).await.map(drop),
            None => Ok(()),
        }
    };
    let (wrong, (), ()) = tokio::try_join!(find(account, options), named, key)?;
    let Some(Wrong { why, help }) = wrong else { return Ok(()) };
    Err(DriverError::Refused { doing: DOING.to_owned(), why, help })
}

/// A refusal of a creation or a change of size, with what may have been meant. What cannot be looked up is left out.
pub(super) async fn advise(account: &Account, options: &Options, refused: DriverError) -> DriverError {
    let DriverError::Refused { doing, why, help } = refused else { return refused };
    let help = match find(account, options).await {
        // The provider's own words say which of them it is, and not always why.
        Ok(Some(wrong)) if wrong.why.starts_with("there is no") => wrong.help,
        Ok(Some(wrong)) => format!("{}; {}", wrong.why, wrong.help),
        _ => help,
    };
    DriverError::Refused { doing, why, help }
}

const DOING: &str = "looking for what there is";

async fn list(account: &Account, list: &str, query: &[(&str, &str)]) -> Result<Vec<Thing>, DriverError> {
    account.all(DOING, list, list, query).await
}

/// What is wrong with region, size or image, in this order; all are asked for at once.
async fn find(account: &Account, options: &Options) -> Result<Option<Wrong>, DriverError> {
    let Options { region, size, image, .. } = options;
    // An image is asked for by itself: lists show only some of those that a droplet can be made of.
    let path = format!("images/{image}");
    let image_there = account.get::<Value>(DOING, &path);
    let (regions, sizes, image_there) =
        tokio::try_join!(list(account, "regions", &[]), list(account, "sizes", &[]), image_there)?;
    let open = || regions.iter().filter(|thing| thing.available != Some(false)).map(Thing::slug);
    let Some(own) = regions.iter().find(|thing| thing.is(region)) else {
        return Ok(Some(absent("region", region, open())));
    };
    if own.available == Some(false) {
        let why = format!("region `{region}` takes no droplets now");
        return Ok(Some(Wrong { why, help: offer("region", region, open()) }));
    }
    let here = || {
        sizes.iter().filter(|thing| own.sizes.iter().any(|slug| slug == thing.slug()) || thing.regions.contains(region))
    };
    if !sizes.iter().any(|thing| thing.is(size)) {
        return Ok(Some(absent("size", size, here().map(Thing::slug))));
    }
    if !here().any(|thing| thing.is(size)) {
        let why = format!("size `{size}` is not to be had in `{region}`");
        return Ok(Some(Wrong { why, help: offer("size", size, here().map(Thing::slug)) }));
    }
    if image_there.is_some() {
        return Ok(None);
    }
    let images = list(account, "images", &[("type", "distribution")]).await?;
    Ok(Some(absent("image", image, images.iter().map(Thing::slug).filter(|slug| !slug.is_empty()))))
}

fn absent<'a>(kind: &str, word: &str, among: impl Iterator<Item = &'a str>) -> Wrong {
    Wrong { why: format!("there is no {kind} `{word}`"), help: offer(kind, word, among) }
}

/// Those most like the word, then the first of the rest.
fn offer<'a>(kind: &str, word: &str, among: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = among.collect();
    all.sort_unstable();
    let mut best = similar::get_close_matches(word, &all, MOST, 0.5);
    best.extend(all.iter().copied().filter(|word| !best.contains(word)).take(MOST - best.len()).collect::<Vec<_>>());
    let names: Vec<String> = best.iter().map(|slug| format!("`{slug}`")).collect();
    let all = format!("https://slugs.do-api.dev lists all {kind}s");
    if names.is_empty() {
        format!("choose another {kind}; {all}")
    } else {
        format!("use one of {}; {all}", names.join(", "))
    }
}

/// The UUID of a VPC that is given by name or UUID.
pub(super) async fn vpc(account: &Account, wanted: &str, region: &str) -> Result<String, DriverError> {
    let doing = "looking for the VPC";
    let vpcs: Vec<Thing> = account.all(doing, "vpcs", "vpcs", &[]).await?;
    let id = |thing: &Thing| thing.id.as_str().unwrap_or_default().to_owned();
    let found = vpcs.iter().find(|thing| id(thing).eq_ignore_ascii_case(wanted) || thing.name == wanted);
    let refused = |why: String| {
        let here: Vec<String> =
            vpcs.iter().filter(|thing| thing.region == region).map(|t| format!("`{}`", t.name)).collect();
        let help = if here.is_empty() {
            format!("make one in `{region}`, or leave `vpc` out: the default one is made when it is needed")
        } else {
            format!("in `{region}` there are {}", here.join(", "))
        };
        DriverError::Refused { doing: doing.to_owned(), why, help }
    };
    match found {
        None => Err(refused(format!("the account has no VPC `{wanted}`"))),
        Some(thing) if thing.region != region => Err(refused(format!("`{wanted}` is in region `{}`", thing.region))),
        Some(thing) => Ok(id(thing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_most_alike_is_offered_first() {
        let among = ["ams3", "fra1", "nyc1", "nyc3", "sfo3", "sgp1", "tor1"];
        let text = offer("region", "nyc4", among.into_iter());
        assert!(text.starts_with("use one of `nyc"), "{text}");
        assert_eq!(text.matches('`').count(), 2 * MOST, "{text}");
        assert!(offer("region", "x", [].into_iter()).starts_with("choose another region; "));
    }
}
