//! Security groups: who may reach a machine.
//!
//! A machine has a group of its own, whose rules are exactly those that its options ask for, unless groups were named. A
//! named group that does not exist is made and may be shared by several machines: rules are added to it, never taken away.
//! A group that was not made here is used as it is.

use super::{
    options::Options,
    query::{Api, Params},
    rule::{self, Rule},
    tag::{self, Owner},
    xml::Element,
};
use crate::driver::{DriverContext, DriverError};
use std::collections::BTreeSet;

/// What groups are described as where tags are not shown.
const DESCRIPTION: &str = "Made by machine; see its tags";

/// The groups a machine is to be in, made where they are not there, with the rules that they are to have.
pub(super) async fn ensure(
    api: &Api,
    cx: &DriverContext<'_>,
    options: &Options,
    vpc: &str,
) -> Result<Vec<String>, DriverError> {
    let owner = Owner::of(cx);
    if options.allow().iter().any(|from| from.ends_with("/0")) && !options.security_group_readonly {
        (cx.progress)(
            "warning: SSH and engine will be open to the whole world; `allow` (--amazonec2-allow-cidr) says to whom instead",
        );
    }
    if options.groups().is_empty() {
        let group = match find(api, vpc, &[owner.name()]).await?.pop() {
            Some(group) => group,
            None => make(api, cx, vpc, &owner.name(), owner.tags()).await?,
        };
        reconcile(api, options, &group, true).await?;
        return Ok(vec![group.text("groupId").to_owned()]);
    }
    let mut ids = Vec::new();
    let there = find(api, vpc, options.groups()).await?;
    for name in options.groups() {
        let group = if let Some(group) = there.iter().find(|group| is(group, name)) {
            group.clone()
        } else {
            if !may_be_made(options, name) {
                return Err(absent(name, vpc));
            }
            let tags = vec![(tag::STORE.to_owned(), cx.store_id.to_owned())];
            make(api, cx, vpc, name, tags).await?
        };
        if group.tag(tag::STORE) == Some(cx.store_id) {
            reconcile(api, options, &group, false).await?;
        } else {
            tell_missing(cx, options, &group);
        }
        ids.push(group.text("groupId").to_owned());
    }
    Ok(ids)
}

/// Whether all groups are there that were named and are not ours to make.
pub(super) async fn check(api: &Api, options: &Options, vpc: &str) -> Result<(), DriverError> {
    let needed: Vec<String> = options.groups().iter().filter(|name| !may_be_made(options, name)).cloned().collect();
    let there = find(api, vpc, &needed).await?;
    match needed.iter().find(|name| !there.iter().any(|group| is(group, name))) {
        Some(name) => Err(absent(name, vpc)),
        None => Ok(()),
    }
}

fn is(group: &Element, name: &str) -> bool {
    group.text("groupName") == name || group.text("groupId") == name
}

/// Whether a group that was named is made when it is not there.
fn may_be_made(options: &Options, name: &str) -> bool {
    !options.allow().is_empty() && !options.security_group_readonly && !name.starts_with("sg-")
}

fn absent(name: &str, vpc: &str) -> DriverError {
    DriverError::Refused {
        doing: format!("looking up the security group `{name}`"),
        why: format!("VPC `{vpc}` has none of this name"),
        help: "name one that it has, or let it be made by saying who may reach it: `allow: [203.0.113.7/32]`"
            .to_owned(),
    }
}

/// Groups of these names or ids in a VPC.
async fn find(api: &Api, vpc: &str, names: &[String]) -> Result<Vec<Element>, DriverError> {
    let (ids, names): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| name.starts_with("sg-"));
    let mut found = Vec::new();
    for (filter, values) in [("group-id", ids), ("group-name", names)] {
        if !values.is_empty() {
            let ask = Params::new("DescribeSecurityGroups").filter(1, filter, values).filter(2, "vpc-id", [vpc]);
            let answer = api.call("looking up security groups", ask).await?;
            found.extend(answer.items("securityGroupInfo").cloned());
        }
    }
    Ok(found)
}

/// Makes a group. That it is there already is an answer that was lost, or another machine that was quicker.
async fn make(
    api: &Api,
    cx: &DriverContext<'_>,
    vpc: &str,
    name: &str,
    tags: Vec<(String, String)>,
) -> Result<Element, DriverError> {
    (cx.progress)(&format!("making the security group `{name}`"));
    let ask = Params::new("CreateSecurityGroup")
        .with("GroupName", name)
        .with("GroupDescription", DESCRIPTION)
        .with("VpcId", vpc);
    match api.call("making the security group", tag::specification(ask, 1, "security-group", &tags)).await {
        Ok(_) => {}
        Err(e) if e.is_double() => {}
        Err(e) => return Err(e.into()),
    }
    // What was just made may not be seen at once.
    for pause in [0, 1, 2, 4, 8] {
        tokio::time::sleep(std::time::Duration::from_secs(pause)).await;
        if let Some(group) = find(api, vpc, &[name.to_owned()]).await?.pop() {
            return Ok(group);
        }
    }
    Err(DriverError::Lost { doing: "making the security group".to_owned(), why: "it is not seen yet".to_owned() })
}

/// Gives one of our groups its rules; `exact` also takes away those that are not wanted any more.
async fn reconcile(api: &Api, options: &Options, group: &Element, exact: bool) -> Result<(), DriverError> {
    if options.security_group_readonly {
        return Ok(());
    }
    let (wanted, present, id) = (rule::wanted(options), rule::present(group), group.text("groupId"));
    let missing: Vec<&Rule> = wanted.difference(&present).collect();
    if !missing.is_empty() {
        let ask = Params::new("AuthorizeSecurityGroupIngress").with("GroupId", id);
        match api.call("adding rules to the security group", rule::into_params(ask, missing)).await {
            Err(e) if !e.is_double() => return Err(e.into()),
            _ => {}
        }
    }
    let surplus: Vec<&Rule> = if exact { present.difference(&wanted).collect() } else { Vec::new() };
    if !surplus.is_empty() {
        let ask = Params::new("RevokeSecurityGroupIngress").with("GroupId", id);
        match api.call("taking rules from the security group", rule::into_params(ask, surplus)).await {
            Err(e) if !e.is_gone() => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Says what a user's own group lacks, as far as that can be told: it is never edited.
fn tell_missing(cx: &DriverContext<'_>, options: &Options, group: &Element) {
    let present: BTreeSet<(String, u16)> =
        rule::present(group).into_iter().map(|rule| (rule.protocol, rule.port)).collect();
    let wanted = rule::wanted(options).into_iter().map(|rule| (rule.protocol, rule.port));
    let ranges = group
        .items("ipPermissions")
        .any(|one| one.text("fromPort") != one.text("toPort") || one.text("ipProtocol") == "-1");
    let missing: BTreeSet<(String, u16)> = wanted.filter(|one| !present.contains(one)).collect();
    if !missing.is_empty() && !ranges {
        let missing: Vec<String> = missing.iter().map(|(protocol, port)| format!("{port}/{protocol}")).collect();
        let name = group.text("groupName");
        (cx.progress)(&format!(
            "warning: the security group `{name}` is not ours to edit, and allows no connection to {}",
            missing.join(", ")
        ));
    }
}

/// The machine's own group, wherever it is.
pub(super) async fn own(api: &Api, cx: &DriverContext<'_>) -> Result<Vec<String>, DriverError> {
    let ask = Params::new("DescribeSecurityGroups").filter(1, &format!("tag:{}", tag::OWNER), [Owner::of(cx).value()]);
    let answer = api.call("looking up the machine's security group", ask).await?;
    Ok(answer.items("securityGroupInfo").map(|group| group.text("groupId").to_owned()).collect())
}

/// Removes the machine's own group, and those of `ids` that this store made and no machine uses any more.
pub(super) async fn tidy(api: &Api, cx: &DriverContext<'_>, ids: &[String]) -> Result<(), DriverError> {
    let mut ours = own(api, cx).await?;
    for id in ids.iter().filter(|id| !ours.contains(id)).cloned().collect::<Vec<_>>() {
        let ask = Params::new("DescribeSecurityGroups").filter(1, "group-id", [&id]).filter(
            2,
            &format!("tag:{}", tag::STORE),
            [cx.store_id],
        );
        let answer = api.call("looking up a security group", ask).await?;
        ours.extend(answer.items("securityGroupInfo").map(|group| group.text("groupId").to_owned()));
    }
    for id in ours {
        let ask = Params::new("DeleteSecurityGroup").with("GroupId", &id);
        match api.call("removing the security group", ask).await {
            Ok(_) => {}
            // In use by another machine, or, for a moment longer, by what was left of this one.
            Err(e) if e.is_gone() || matches!(e.code(), "DependencyViolation" | "InvalidGroup.InUse") => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
