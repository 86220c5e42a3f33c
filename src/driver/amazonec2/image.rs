//! Which image a machine starts from: the newest of a distribution, from its publisher, or the AMI that was given.

use super::{
    error::ApiError,
    options::{IMAGE, Options, given},
    query::{Api, Params},
    xml::Element,
};
use crate::driver::DriverError;

/// Distributions whose newest image can be looked up.
pub(super) const PRESETS: &[&str] = &["ubuntu-22.04", "ubuntu-24.04", "ubuntu-26.04", "debian-12", "debian-13"];

/// An image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Image {
    /// As `ami-0123`.
    pub(super) id: String,
    /// As `/dev/sda1`.
    pub(super) root_device: String,
    /// Size of its root volume in GB; none can be smaller.
    pub(super) least: u64,
}

/// Processors, as AWS calls them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Architecture {
    /// `x86_64`.
    X86,
    /// `arm64`.
    Arm,
}

impl Architecture {
    fn aws(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }

    fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm => "arm64",
        }
    }

    /// That of a type by its name, for those who may not ask: a `g` after the generation is for Graviton.
    fn by_name(instance_type: &str) -> Self {
        let family = instance_type.split('.').next().unwrap_or_default();
        let after = family.find(|c: char| c.is_ascii_digit()).map_or("", |at| &family[at..]);
        let arm = family == "a1" || after.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('g');
        if arm { Self::Arm } else { Self::X86 }
    }
}

/// The processors of a type. That there is no such type is told with those that there are.
pub(super) async fn architecture(api: &Api, instance_type: &str) -> Result<Architecture, DriverError> {
    let ask = Params::new("DescribeInstanceTypes").list("InstanceType", [instance_type]);
    let answer = match api.call(&format!("looking up the instance type `{instance_type}`"), ask).await {
        Ok(answer) => answer,
        Err(e) if matches!(e.code(), "UnauthorizedOperation" | "AccessDenied" | "InvalidAction" | "UnknownAction") => {
            return Ok(Architecture::by_name(instance_type));
        }
        Err(e) if e.code() == "InvalidInstanceType" => return Err(unknown_type(api, instance_type, e).await),
        Err(e) => return Err(e.into()),
    };
    let Some(found) = answer.items("instanceTypeSet").next() else { return Ok(Architecture::by_name(instance_type)) };
    let x86 = found.items("processorInfo/supportedArchitectures").any(|one| one.own() == Architecture::X86.aws());
    Ok(if x86 { Architecture::X86 } else { Architecture::Arm })
}

async fn unknown_type(api: &Api, instance_type: &str, e: ApiError) -> DriverError {
    let family = instance_type.split('.').next().unwrap_or_default();
    let ask = Params::new("DescribeInstanceTypes").filter(1, "instance-type", [format!("{family}.*")]);
    let mut others: Vec<String> = match api.call("looking up instance types", ask).await {
        Ok(answer) => answer.items("instanceTypeSet").map(|one| one.text("instanceType").to_owned()).collect(),
        Err(_) => Vec::new(),
    };
    others.sort();
    let help = if others.is_empty() {
        "choose an `instance-type` that the region has, as `t3.micro`, `m7g.large` or `c7i.xlarge`".to_owned()
    } else {
        format!("there are: {}", others.join(", "))
    };
    let region = &api.region;
    DriverError::Refused { why: format!("region `{region}` has no type `{instance_type}`"), help, doing: e.doing }
}

/// Owner of a distribution's images, and what they are called.
fn published(preset: &str, architecture: Architecture, region: &str) -> (&'static str, String) {
    let arch = architecture.debian();
    // Canonical has accounts of its own in the parts of AWS that stand apart.
    let canonical = match region.split('-').next() {
        Some("cn") => "837727238323",
        Some("us") if region.starts_with("us-gov-") => "513442679011",
        _ => "099720109477",
    };
    match preset {
        "ubuntu-22.04" => (canonical, format!("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{arch}-server-*")),
        "ubuntu-26.04" => (canonical, format!("ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-{arch}-server-*")),
        // Debian's account; other images of it are called otherwise (`debian-12-backports-…`, `debian-13-…-daily`).
        "debian-12" | "debian-13" => ("136693071363", format!("{preset}-{arch}-2*")),
        _ => (canonical, format!("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*")),
    }
}

/// The image that the options ask for.
pub(super) async fn look_up(api: &Api, options: &Options, architecture: Architecture) -> Result<Image, DriverError> {
    if let Some(ami) = given(options.ami.as_deref()) {
        let ask = Params::new("DescribeImages").list("ImageId", [ami]);
        let answer = api.call(&format!("looking up the image `{ami}`"), ask).await?;
        return answer.items("imagesSet").next().map(image).ok_or_else(|| DriverError::Refused {
            doing: format!("looking up the image `{ami}`"),
            why: format!("there is none in region `{}` that these credentials may use", api.region),
            help: "AMIs are of one region: give one of this region as `ami`, or leave it out and name an `image`"
                .to_owned(),
        });
    }
    let preset = options.image.as_deref().unwrap_or(IMAGE);
    let (owner, name) = published(preset, architecture, &api.region);
    let doing = format!("looking up the newest image of {preset}");
    let ask = Params::new("DescribeImages")
        .list("Owner", [owner])
        .filter(1, "name", [&name])
        .filter(2, "architecture", [architecture.aws()])
        .filter(3, "state", ["available"]);
    let answer = api.call(&doing, ask).await?;
    let newest = answer.items("imagesSet").max_by_key(|one| (one.text("creationDate"), one.text("imageId")));
    newest.map(image).ok_or_else(|| DriverError::Refused {
        doing,
        why: format!("account {owner} publishes none called `{name}` in region `{}`", api.region),
        help: "choose another `image`, or give one that you know as `ami`".to_owned(),
    })
}

fn image(item: &Element) -> Image {
    let root_device = item.text("rootDeviceName");
    let of_root = item.items("blockDeviceMapping").find(|device| device.text("deviceName") == root_device);
    Image {
        id: item.text("imageId").to_owned(),
        root_device: root_device.to_owned(),
        least: of_root.and_then(|device| device.text("ebs/volumeSize").parse().ok()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graviton_types_are_told_by_their_names() {
        for (name, arm) in [
            ("t3.micro", false),
            ("t4g.micro", true),
            ("m7gd.large", true),
            ("g5.xlarge", false),
            ("g5g.xlarge", true),
            ("a1.medium", true),
            ("c7gn.large", true),
            ("mac2.metal", false),
            ("u-6tb1.metal", false),
        ] {
            assert_eq!(Architecture::by_name(name) == Architecture::Arm, arm, "{name}");
        }
    }

    #[test]
    fn every_preset_has_a_publisher_and_a_name_of_its_own() {
        let names = PRESETS.iter().map(|preset| published(preset, Architecture::Arm, "eu-central-1").1);
        let names: std::collections::BTreeSet<String> = names.collect();
        assert_eq!(names.len(), PRESETS.len(), "{names:?}");
        assert!(PRESETS.contains(&IMAGE) && names.iter().all(|name| name.contains("arm64")));
        assert_eq!(published(IMAGE, Architecture::X86, "cn-north-1").0, "837727238323");
    }
}
