//! Every option of this driver: docker-machine's, some of Rancher's fork, and our own.
//!
//! Where docker-machine's default is dead or open to the world, ours is the default and its is the fallback, which only
//! a program called `docker-machine` fills in.

use super::rule;
use crate::{
    driver::{Kind, OptionProblem, OptionSpec},
    secret::Secret,
};
use serde::Deserialize;

/// The options, typed.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own, as docker-machine has it")]
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    pub(super) access_key: Option<Secret>,
    pub(super) secret_key: Option<Secret>,
    pub(super) session_token: Option<Secret>,
    pub(super) profile: Option<String>,
    pub(super) region: String,
    pub(super) zone: Option<String>,
    pub(super) image: Option<String>,
    pub(super) ami: Option<String>,
    pub(super) instance_type: Option<String>,
    pub(super) root_size: u64,
    pub(super) volume_type: Option<String>,
    pub(super) device_name: Option<String>,
    pub(super) encrypt: bool,
    pub(super) kms_key: Option<String>,
    pub(super) vpc_id: Option<String>,
    pub(super) subnet_id: Option<String>,
    pub(super) private_ip_address: Option<String>,
    pub(super) private_address_only: bool,
    pub(super) use_private_address: bool,
    pub(super) allow: Option<Vec<String>>,
    pub(super) open_port: Option<Vec<String>>,
    pub(super) engine_open: bool,
    pub(super) security_group: Option<Vec<String>>,
    pub(super) security_group_readonly: bool,
    pub(super) ssh_user: String,
    pub(super) ssh_port: u16,
    pub(super) ssh_keypath: Option<String>,
    pub(super) keypair_name: Option<String>,
    pub(super) iam_instance_profile: Option<String>,
    pub(super) userdata: Option<String>,
    pub(super) tags: Option<String>,
    pub(super) request_spot_instance: bool,
    pub(super) spot_price: Option<String>,
    pub(super) block_duration_minutes: Option<u64>,
    pub(super) monitoring: bool,
    pub(super) use_ebs_optimized_instance: bool,
    pub(super) http_endpoint: String,
    pub(super) http_tokens: String,
    pub(super) http_hop_limit: u64,
    pub(super) endpoint: Option<String>,
    pub(super) insecure_transport: bool,
    pub(super) retries: i64,
}

/// The image when neither an AMI nor an image is named.
pub(super) const IMAGE: &str = "ubuntu-24.04";
/// The type that every region has.
const TYPE: &str = "t3.micro";

/// The table.
#[expect(clippy::too_many_lines, reason = "it is a table: a line or two for each option")]
pub(super) fn table() -> Vec<OptionSpec> {
    vec![
        OptionSpec::new(
            "access-key",
            "amazonec2-access-key",
            Kind::Text,
            "AWS access key; without it, as the AWS CLI looks",
        )
        .env("AWS_ACCESS_KEY_ID")
        .field("AccessKey")
        .secret()
        .recorded(),
        OptionSpec::new("secret-key", "amazonec2-secret-key", Kind::Text, "AWS secret key")
            .env("AWS_SECRET_ACCESS_KEY")
            .field("SecretKey")
            .secret()
            .recorded(),
        OptionSpec::new("session-token", "amazonec2-session-token", Kind::Text, "AWS session token")
            .env("AWS_SESSION_TOKEN")
            .field("SessionToken")
            .secret()
            .recorded(),
        OptionSpec::new("profile", "amazonec2-profile", Kind::Text, "Profile of ~/.aws/config, also of AWS SSO")
            .recorded(),
        OptionSpec::new("region", "amazonec2-region", Kind::Text, "AWS region")
            .env("AWS_DEFAULT_REGION")
            .default("us-east-1")
            .field("Region"),
        OptionSpec::new(
            "zone",
            "amazonec2-zone",
            Kind::Text,
            "Availability zone, as `a`; without it, any with a subnet",
        )
        .env("AWS_ZONE")
        .default("")
        .fallback("a")
        .field("Zone"),
        OptionSpec::new("image", "amazonec2-image", Kind::Text, "Distribution whose newest AMI is looked up")
            .default(IMAGE)
            .one_of(super::image::PRESETS),
        OptionSpec::new("ami", "amazonec2-ami", Kind::Text, "AMI, instead of `image`").env("AWS_AMI").field("AMI"),
        OptionSpec::new("instance-type", "amazonec2-instance-type", Kind::Text, "Type of the instance")
            .env("AWS_INSTANCE_TYPE")
            .default(TYPE)
            .fallback("t2.micro")
            .field("InstanceType")
            .in_place(),
        OptionSpec::new(
            "root-size",
            "amazonec2-root-size",
            Kind::Number,
            "Size of the root volume in GB; it can only grow",
        )
        .env("AWS_ROOT_SIZE")
        .default("16")
        .field("RootSize")
        .in_place(),
        OptionSpec::new("volume-type", "amazonec2-volume-type", Kind::Text, "Type of the root volume")
            .env("AWS_VOLUME_TYPE")
            .default("gp3")
            .fallback("gp2")
            .field("VolumeType")
            .in_place(),
        OptionSpec::new(
            "device-name",
            "amazonec2-device-name",
            Kind::Text,
            "Name of the root device; default: the AMI's",
        )
        .env("AWS_DEVICE_NAME")
        .field("DeviceName"),
        OptionSpec::new("encrypt", "amazonec2-encrypt-ebs-volume", Kind::Flag, "Encrypt the root volume")
            .env("AWS_ENCRYPT_EBS_VOLUME")
            .default("false")
            .field("EncryptEbsVolume"),
        OptionSpec::new("kms-key", "amazonec2-kms-key", Kind::Text, "Key for that, other than the account's default")
            .env("AWS_KMS_KEY")
            .field("KmsKeyId"),
        OptionSpec::new("vpc-id", "amazonec2-vpc-id", Kind::Text, "VPC; without it, the account's default VPC")
            .env("AWS_VPC_ID")
            .field("VpcId"),
        OptionSpec::new("subnet-id", "amazonec2-subnet-id", Kind::Text, "Subnet; without it, one of VPC and zone")
            .env("AWS_SUBNET_ID")
            .field("SubnetId"),
        OptionSpec::new(
            "private-ip-address",
            "amazonec2-private-ip-address",
            Kind::Text,
            "Private address to have; without it, any of the subnet",
        ),
        OptionSpec::new(
            "private-address-only",
            "amazonec2-private-address-only",
            Kind::Flag,
            "Have no public address at all",
        )
        .default("false")
        .field("PrivateIPOnly"),
        OptionSpec::new(
            "use-private-address",
            "amazonec2-use-private-address",
            Kind::Flag,
            "Reach the machine by its private address",
        )
        .default("false")
        .field("UsePrivateIP")
        .in_place(),
        OptionSpec::new(
            "allow",
            "amazonec2-allow-cidr",
            Kind::List,
            "Who may reach SSH, engine and open ports, as `203.0.113.7/32`; `0.0.0.0/0`: all",
        )
        .env("AWS_ALLOW_CIDR")
        .default("")
        .fallback("0.0.0.0/0")
        .in_place(),
        OptionSpec::new("open-port", "amazonec2-open-port", Kind::List, "Further port for them, as `8080` or `53/udp`")
            .field("OpenPorts")
            .in_place(),
        OptionSpec::new(
            "engine-open",
            "amazonec2-engine-open",
            Kind::Flag,
            "Whether the engine's port is opened to them",
        )
        .default("true")
        .in_place(),
        OptionSpec::new(
            "security-group",
            "amazonec2-security-group",
            Kind::List,
            "Security groups of yours; without any, one of the machine's own",
        )
        .env("AWS_SECURITY_GROUP")
        .default("")
        .fallback("docker-machine")
        .field("SecurityGroupNames")
        .in_place(),
        OptionSpec::new(
            "security-group-readonly",
            "amazonec2-security-group-readonly",
            Kind::Flag,
            "Add no rules to any group",
        )
        .env("AWS_SECURITY_GROUP_READONLY")
        .default("false")
        .field("SecurityGroupReadOnly")
        .recorded(),
        OptionSpec::new(
            "ssh-user",
            "amazonec2-ssh-user",
            Kind::Text,
            "User to log in as; made if the image has none such",
        )
        .env("AWS_SSH_USER")
        .default("ubuntu")
        .field("SSHUser"),
        OptionSpec::new("ssh-port", "amazonec2-ssh-port", Kind::Port, "Port of the image's SSH server")
            .env("AWS_SSH_PORT")
            .default("22")
            .field("SSHPort")
            .in_place(),
        OptionSpec::new(
            "ssh-keypath",
            "amazonec2-ssh-keypath",
            Kind::Path,
            "Private key to log in with, its public half beside it in a .pub file; without it, one is made",
        )
        .env("AWS_SSH_KEYPATH")
        .field("SSHPrivateKeyPath"),
        OptionSpec::new(
            "keypair-name",
            "amazonec2-keypair-name",
            Kind::Text,
            "Key pair that AWS has, of `ssh-keypath`",
        )
        .env("AWS_KEYPAIR_NAME"),
        OptionSpec::new(
            "iam-instance-profile",
            "amazonec2-iam-instance-profile",
            Kind::Text,
            "Instance profile: name of the role the machine has",
        )
        .env("AWS_INSTANCE_PROFILE")
        .field("IamInstanceProfile"),
        OptionSpec::new("userdata", "amazonec2-userdata", Kind::Path, "File with user data of your own for cloud-init")
            .env("AWS_USERDATA")
            .field("UserDataFile"),
        OptionSpec::new(
            "tags",
            "amazonec2-tags",
            Kind::Text,
            "Tags of instance, volume and interface, as `k1,v1,k2,v2`",
        )
        .env("AWS_TAGS")
        .field("Tags")
        .in_place(),
        OptionSpec::new(
            "request-spot-instance",
            "amazonec2-request-spot-instance",
            Kind::Flag,
            "A spot instance, which AWS may take away",
        )
        .default("false")
        .field("RequestSpotInstance"),
        OptionSpec::new("spot-price", "amazonec2-spot-price", Kind::Text, "Most to pay for it, in dollars an hour")
            .default("0.50")
            .field("SpotPrice")
            .recorded(),
        OptionSpec::new(
            "block-duration-minutes",
            "amazonec2-block-duration-minutes",
            Kind::Number,
            "Recorded only: AWS has ended spot instances of a fixed duration",
        )
        .default("0")
        .field("BlockDurationMinutes")
        .recorded(),
        OptionSpec::new("monitoring", "amazonec2-monitoring", Kind::Flag, "Detailed monitoring, which costs")
            .default("false")
            .field("Monitoring")
            .in_place(),
        OptionSpec::new(
            "use-ebs-optimized-instance",
            "amazonec2-use-ebs-optimized-instance",
            Kind::Flag,
            "EBS-optimized, for old types that are not by themselves",
        )
        .default("false")
        .field("UseEbsOptimizedInstance"),
        OptionSpec::new("http-endpoint", "amazonec2-http-endpoint", Kind::Text, "Metadata service of the instance")
            .env("AWS_HTTP_ENDPOINT")
            .default("enabled")
            .one_of(&["enabled", "disabled"])
            .field("HttpEndpoint"),
        OptionSpec::new("http-tokens", "amazonec2-http-tokens", Kind::Text, "Whether that asks for tokens (IMDSv2)")
            .env("AWS_HTTP_TOKENS")
            .default("required")
            .one_of(&["required", "optional"])
            .field("HttpTokens"),
        OptionSpec::new(
            "http-hop-limit",
            "amazonec2-http-hop-limit",
            Kind::Number,
            "Hops to it: 1 keeps containers from it, 2 lets them have the machine's role",
        )
        .default("1"),
        OptionSpec::new("endpoint", "amazonec2-endpoint", Kind::Text, "Where the API is, if not at AWS: host or URL")
            .env("AWS_ENDPOINT")
            .field("Endpoint")
            .recorded(),
        OptionSpec::new("insecure-transport", "amazonec2-insecure-transport", Kind::Flag, "Speak to it without TLS")
            .env("AWS_INSECURE_TRANSPORT")
            .default("false")
            .field("DisableSSL")
            .recorded(),
        OptionSpec::new("retries", "amazonec2-retries", Kind::Number, "How often a call is repeated that may be")
            .default("5")
            .field("RetryCount")
            .recorded(),
    ]
}

impl Options {
    /// Type of the instance.
    pub(super) fn instance_type(&self) -> &str {
        given(self.instance_type.as_deref()).unwrap_or(TYPE)
    }

    /// Type of the root volume.
    pub(super) fn volume_type(&self) -> &str {
        given(self.volume_type.as_deref()).unwrap_or("gp3")
    }

    /// Who may reach the machine.
    pub(super) fn allow(&self) -> &[String] {
        self.allow.as_deref().unwrap_or_default()
    }

    /// The groups that were named.
    pub(super) fn groups(&self) -> &[String] {
        self.security_group.as_deref().unwrap_or_default()
    }

    /// The user's own tags.
    pub(super) fn tags(&self) -> Vec<(&str, &str)> {
        let words: Vec<&str> =
            given(self.tags.as_deref()).map_or_else(Vec::new, |t| t.split(',').map(str::trim).collect());
        // One without a value was dropped by docker-machine, with a warning that few saw.
        words.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or_default())).collect()
    }

    /// All that is wrong with them together.
    pub(super) fn check(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String, help: &str| {
            problems.push(OptionProblem { key: Some(key.to_owned()), message, help: Some(help.to_owned()) });
        };
        if self.groups().is_empty() && self.allow().is_empty() && !self.security_group_readonly {
            problem(
                "allow",
                "the machine could not be reached".to_owned(),
                "say who may: your own public address as `allow: [203.0.113.7/32]`, a network of yours, or, if it must \
                 be, everybody: `allow: [0.0.0.0/0]` (`--amazonec2-allow-cidr` for `machine create`); or name a \
                 `security-group` of yours",
            );
        }
        for cidr in self.allow() {
            if let Err(why) = rule::cidr(cidr) {
                problem(
                    "allow",
                    format!("`{cidr}` {why}"),
                    "write an address and how many bits of it count: `203.0.113.7/32`",
                );
            }
        }
        for port in self.open_port.iter().flatten() {
            if let Err(why) = rule::port(port) {
                problem("open-port", format!("`{port}` {why}"), "write a port, or a port and `tcp` or `udp`: `53/udp`");
            }
        }
        if given(self.keypair_name.as_deref()).is_some() && given(self.ssh_keypath.as_deref()).is_none() {
            let help = "give the private half of that key pair as `ssh-keypath`";
            problem("keypair-name", "AWS has only the public half of a key pair".to_owned(), help);
        }
        if self.insecure_transport && given(self.endpoint.as_deref()).is_none() {
            let help = "AWS itself takes requests over TLS only; give `endpoint` or leave it out";
            problem("insecure-transport", "it needs an `endpoint`".to_owned(), help);
        }
        if self.access_key.is_some() != self.secret_key.is_some() {
            let key = if self.access_key.is_some() { "access-key" } else { "secret-key" };
            problem(
                key,
                "an access key has two halves".to_owned(),
                "give both `access-key` and `secret-key`, or neither",
            );
        }
        if self.region.is_empty() || !plain(&self.region) {
            problem(
                "region",
                format!("`{}` cannot be a region", self.region),
                "regions are called like `eu-central-1`",
            );
        }
        if let Some(address) = given(self.private_ip_address.as_deref())
            && address.parse::<std::net::Ipv4Addr>().is_err()
        {
            let help = "give an address of the subnet, as `172.31.0.10`";
            problem("private-ip-address", format!("`{address}` is no IPv4 address"), help);
        }
        if self.root_size == 0 {
            problem("root-size", "a machine needs a disk".to_owned(), "give its size in GB: 8 or more");
        }
        if self.request_spot_instance
            && !self.spot_price.as_deref().is_none_or(|p| p.parse::<f64>().is_ok_and(|p| p > 0.0))
        {
            problem("spot-price", "it is no amount of dollars".to_owned(), "write it as `0.05`");
        }
        problems.extend(self.check_tags());
        problems
    }

    fn check_tags(&self) -> Option<OptionProblem> {
        let wrong = |(key, _): &(&str, &str)| {
            key.is_empty()
                || key.len() > 128
                || ["aws:", super::tag::PREFIX].iter().any(|prefix| key.starts_with(prefix))
        };
        let (key, _) = self.tags().into_iter().find(wrong)?;
        Some(OptionProblem {
            key: Some("tags".to_owned()),
            message: format!("`{key}` cannot be the key of a tag"),
            help: Some("keys have 1 to 128 characters and begin neither with `aws:` nor with `machine:`".to_owned()),
        })
    }
}

/// What was said; docker-machine takes an empty text for nothing.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// Whether it can be a part of a host's name.
fn plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
