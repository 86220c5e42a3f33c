//! Where in a region a machine is: the VPC that was given or the default one, and a subnet of it.

use super::{
    options::{Options, given},
    query::{Api, Params},
    xml::Element,
};
use crate::driver::DriverError;

/// A subnet, and the VPC it is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Network {
    /// As `vpc-0123`.
    pub(super) vpc: String,
    /// As `subnet-0123`.
    pub(super) subnet: String,
}

/// The zone's whole name: `a` is one of the region.
pub(super) fn zone(options: &Options) -> Option<String> {
    let zone = given(options.zone.as_deref())?;
    Some(if zone.len() == 1 { format!("{}{zone}", options.region) } else { zone.to_owned() })
}

/// The network that the options ask for.
pub(super) async fn look_up(api: &Api, options: &Options) -> Result<Network, DriverError> {
    let vpc = given(options.vpc_id.as_deref());
    if let Some(subnet) = given(options.subnet_id.as_deref()) {
        let ask = Params::new("DescribeSubnets").list("SubnetId", [subnet]);
        let answer = api.call(&format!("looking up the subnet `{subnet}`"), ask).await?;
        let found = answer.items("subnetSet").next().map(network).ok_or_else(|| {
            refused(
                format!("looking up the subnet `{subnet}`"),
                format!("there is none in region `{}`", api.region),
                "give a `subnet-id` of this region, or leave it out",
            )
        })?;
        return match vpc {
            Some(vpc) if vpc != found.vpc => Err(refused(
                format!("looking up the subnet `{subnet}`"),
                format!("it is of VPC `{}`, not of `{vpc}`", found.vpc),
                "give a `subnet-id` of that VPC, or leave out `vpc-id`",
            )),
            _ => Ok(found),
        };
    }
    let vpc = match vpc {
        Some(vpc) => vpc.to_owned(),
        None => default_vpc(api).await?,
    };
    let ask = Params::new("DescribeSubnets").filter(1, "vpc-id", [&vpc]);
    let zone = zone(options);
    let ask = match &zone {
        Some(zone) => ask.filter(2, "availability-zone", [zone]),
        None => ask,
    };
    let answer = api.call(&format!("looking up subnets of VPC `{vpc}`"), ask).await?;
    match choose(answer.items("subnetSet")) {
        Some(found) => Ok(network(found)),
        None => Err(nowhere(api, &vpc, zone.as_deref()).await),
    }
}

/// The one that is the default of its zone, else the first; in the order of zones, so that all runs choose the same.
fn choose<'a>(subnets: impl Iterator<Item = &'a Element>) -> Option<&'a Element> {
    let order = |one: &&Element| {
        let of_zone = one.text("defaultForAz") != "true";
        (of_zone, one.text("availabilityZone").to_owned(), one.text("subnetId").to_owned())
    };
    subnets.min_by_key(order)
}

fn network(subnet: &Element) -> Network {
    Network { vpc: subnet.text("vpcId").to_owned(), subnet: subnet.text("subnetId").to_owned() }
}

async fn default_vpc(api: &Api) -> Result<String, DriverError> {
    const DOING: &str = "looking up the default VPC";
    let ask = Params::new("DescribeVpcs").filter(1, "is-default", ["true"]);
    let answer = api.call(DOING, ask).await?;
    answer.items("vpcSet").next().map(|vpc| vpc.text("vpcId").to_owned()).ok_or_else(|| {
        let why = format!("the account has none in region `{}`", api.region);
        refused(DOING.to_owned(), why, "give `vpc-id` or `subnet-id`, or make one:\n  aws ec2 create-default-vpc")
    })
}

/// What to say when a VPC has no subnet where one was wanted.
async fn nowhere(api: &Api, vpc: &str, zone: Option<&str>) -> DriverError {
    let ask = Params::new("DescribeVpcs").list("VpcId", [vpc]);
    if let Err(e) = api.call(&format!("looking up the VPC `{vpc}`"), ask).await {
        return e.into();
    }
    let doing = format!("choosing a subnet of VPC `{vpc}`");
    let Some(zone) = zone else {
        return refused(doing, "it has none".to_owned(), "make a subnet in it, or give another `vpc-id`");
    };
    let ask = Params::new("DescribeSubnets").filter(1, "vpc-id", [vpc]);
    let zones: std::collections::BTreeSet<String> = match api.call(&doing, ask).await {
        Ok(answer) => answer.items("subnetSet").map(|one| one.text("availabilityZone").to_owned()).collect(),
        Err(e) => return e.into(),
    };
    let zones: Vec<&str> = zones.iter().map(String::as_str).collect();
    let help = if zones.is_empty() {
        "make a subnet in it, or give another `vpc-id`".to_owned()
    } else {
        format!("choose a `zone` where it has some: {}", zones.join(", "))
    };
    refused(doing, format!("it has none in zone `{zone}`"), &help)
}

fn refused(doing: String, why: String, help: &str) -> DriverError {
    DriverError::Refused { doing, why, help: help.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_a_zone_is_preferred_and_the_choice_is_always_the_same() {
        let subnet = |id: &str, zone: &str, default: bool| {
            format!(
                "<item><subnetId>{id}</subnetId><vpcId>v</vpcId><availabilityZone>{zone}</availabilityZone>\
                 <defaultForAz>{default}</defaultForAz></item>"
            )
        };
        let chosen = |subnets: &[String]| {
            let list = Element::parse(&format!("<a><l>{}</l></a>", subnets.concat())).unwrap();
            choose(list.items("l")).map(|found| found.text("subnetId").to_owned())
        };
        let (own, b, a) = (subnet("s1", "za", false), subnet("s2", "zb", true), subnet("s3", "za", true));
        assert_eq!(chosen(&[own.clone(), b.clone(), a.clone()]).as_deref(), Some("s3"));
        assert_eq!(chosen(&[a, b.clone(), own.clone()]).as_deref(), Some("s3"));
        assert_eq!(chosen(&[own]).as_deref(), Some("s1"));
        assert_eq!(chosen(&[]), None);
    }
}
