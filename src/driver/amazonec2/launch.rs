//! Making an instance, once.
//!
//! What is not known to have failed may have been done. So every attempt has a token, kept in the machine's folder until the
//! instance is recorded: AWS answers a second call with the same token with the instance of the first. Tags are given with
//! the call, so that the instance is found by them however we end.

use super::{
    Region, group,
    image::{self, Image},
    instance::{HOST_KEY, LOGIN_KEY, Seen},
    key::{self, Login},
    network::{self, Network},
    options::{Options, given},
    query::Params,
    tag::{self, Owner},
};
use crate::{
    digest::{hex, sha256_hex},
    driver::{
        DriverError,
        cloud::{self, Taker},
        files, keys,
    },
    fault,
    record::Instance,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::{fs, io};

/// File in the machine's folder that holds the token of an attempt under way.
const ATTEMPT: &str = "amazonec2-attempt";
/// File in the machine's folder with the number of the account it was made in.
pub(super) const ACCOUNT: &str = "amazonec2-account";
/// Before base64.
const TAKER: Taker = Taker { name: "AWS", most: 16 << 10 };

/// All that a call to make an instance is made of.
struct Launch<'a> {
    options: &'a Options,
    owner: Owner,
    token: String,
    image: Image,
    network: Network,
    groups: Vec<String>,
    key_pair: String,
    user_data: String,
    host_key: String,
    login_key: String,
}

impl Launch<'_> {
    /// The call. It is never sent again by itself.
    fn params(&self) -> Params {
        let Self { options, image, .. } = self;
        let size = options.root_size.max(image.least).to_string();
        let device = given(options.device_name.as_deref()).unwrap_or(&image.root_device);
        let public = if options.private_address_only { "false" } else { "true" };
        let flag = |on: bool| if on { "true" } else { "false" };
        let mut params = Params::new("RunInstances")
            .once_only()
            .with("ClientToken", &self.token)
            .with("ImageId", &image.id)
            .with("InstanceType", options.instance_type())
            .with("MinCount", "1")
            .with("MaxCount", "1")
            .with("KeyName", &self.key_pair)
            .with("UserData", &self.user_data)
            .with("BlockDeviceMapping.1.DeviceName", device)
            .with("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true")
            .with("BlockDeviceMapping.1.Ebs.VolumeSize", size)
            .with("BlockDeviceMapping.1.Ebs.VolumeType", options.volume_type())
            .with("NetworkInterface.1.DeviceIndex", "0")
            .with("NetworkInterface.1.SubnetId", &self.network.subnet)
            .with("NetworkInterface.1.AssociatePublicIpAddress", public)
            .with("NetworkInterface.1.DeleteOnTermination", "true")
            .maybe("NetworkInterface.1.PrivateIpAddress", options.private_ip_address.as_deref())
            .list("NetworkInterface.1.SecurityGroupId", &self.groups)
            .maybe("IamInstanceProfile.Name", options.iam_instance_profile.as_deref())
            .with("Monitoring.Enabled", flag(options.monitoring))
            .with("EbsOptimized", flag(options.use_ebs_optimized_instance))
            .with("MetadataOptions.HttpEndpoint", &options.http_endpoint)
            .with("MetadataOptions.HttpTokens", &options.http_tokens)
            .with("MetadataOptions.HttpPutResponseHopLimit", options.http_hop_limit.to_string());
        if options.encrypt || given(options.kms_key.as_deref()).is_some() {
            params = params
                .with("BlockDeviceMapping.1.Ebs.Encrypted", "true")
                .maybe("BlockDeviceMapping.1.Ebs.KmsKeyId", options.kms_key.as_deref());
        }
        if options.request_spot_instance {
            params = params
                .with("InstanceMarketOptions.MarketType", "spot")
                .with("InstanceMarketOptions.SpotOptions.SpotInstanceType", "one-time")
                .with("InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", "terminate")
                .maybe("InstanceMarketOptions.SpotOptions.MaxPrice", options.spot_price.as_deref());
        }
        let tags = self.tags();
        let mut instance = tags.clone();
        instance.push((HOST_KEY.to_owned(), self.host_key.clone()));
        instance.push((LOGIN_KEY.to_owned(), self.login_key.clone()));
        let params = tag::specification(params, 1, "instance", &instance);
        let params = tag::specification(params, 2, "volume", &tags);
        tag::specification(params, 3, "network-interface", &tags)
    }

    /// The tags of everything that comes of the call.
    fn tags(&self) -> Vec<(String, String)> {
        let mut tags = self.owner.tags();
        for (key, value) in self.options.tags() {
            tags.retain(|(other, _)| other != key);
            tags.push((key.to_owned(), value.to_owned()));
        }
        tags
    }
}

impl Region<'_> {
    /// Whether there is all that the options name.
    pub(super) async fn precheck(&self) -> Result<(), DriverError> {
        let groups = async {
            let (_, network) = self.place().await?;
            group::check(&self.api, self.options, &network.vpc).await
        };
        tokio::try_join!(groups, key::check(&self.api, self.options)).map(drop)
    }

    /// What the machine is made from, and where.
    async fn place(&self) -> Result<(Image, Network), DriverError> {
        let image = async {
            let architecture = image::architecture(&self.api, self.options.instance_type()).await?;
            image::look_up(&self.api, self.options, architecture).await
        };
        tokio::try_join!(image, network::look_up(&self.api, self.options))
    }

    /// The instance: the one that is there, or a new one.
    pub(super) async fn launch(&self) -> Result<Instance, DriverError> {
        let cx = self.cx;
        let login = key::login(cx, self.options)?;
        self.note_tags()?;
        if let Some(seen) = self.find().await? {
            return self.take_over(seen, login).await;
        }
        let own = cloud::own_user_data(self.options.userdata.as_deref())?;
        let user_data = cloud::user_data(cx, &self.options.ssh_user, &login.public, own.as_deref(), &TAKER)?;
        (cx.progress)("looking up image and network");
        let (image, network) = self.place().await?;
        let groups = group::ensure(&self.api, cx, self.options, &network.vpc).await?;
        let key_pair = key::ensure(&self.api, cx, self.options, &login).await?;
        let owner = Owner::of(cx);
        let launch = Launch {
            options: self.options,
            token: owner.token(&self.attempt()?),
            owner,
            image,
            network,
            groups,
            key_pair,
            user_data: BASE64_STANDARD.encode(user_data),
            host_key: cloud::known_host_key(cx)?.unwrap_or_default(),
            login_key: digest(&login.public),
        };
        if self.options.block_duration_minutes.is_some_and(|minutes| minutes > 0) {
            (cx.progress)(
                "warning: AWS has ended spot instances of a fixed duration: `block-duration-minutes` does nothing",
            );
        }
        (cx.progress)("making the instance");
        let seen = match self.run(&launch).await {
            Ok(seen) => seen,
            Err(e) => {
                // No later step would look for what was made for an instance that is not to be.
                if matches!(e, DriverError::Refused { .. } | DriverError::Stranger { .. }) {
                    self.forget_attempt()?;
                    let _ = self.tidy(&launch.groups).await;
                }
                return Err(e);
            }
        };
        cx.checkpoint.instance(&seen.recorded(self.options, login.path.clone())).await?;
        self.remember_account(&seen)?;
        self.forget_attempt()?;
        let seen = self.wait_running(seen.id()).await?;
        Ok(seen.recorded(self.options, login.path))
    }

    async fn run(&self, launch: &Launch<'_>) -> Result<Seen, DriverError> {
        const DOING: &str = "making the instance";
        let lost = |why: &str| DriverError::Lost { doing: DOING.to_owned(), why: why.to_owned() };
        match self.api.call(DOING, launch.params()).await {
            Ok(answer) => {
                let seen = Seen::made(&answer).ok_or_else(|| lost("the answer names no instance"))?;
                if matches!(seen.state(), "shutting-down" | "terminated") {
                    // The one of an attempt that ended long ago.
                    self.forget_attempt()?;
                    return Err(lost("the instance of an earlier attempt has gone"));
                }
                Ok(seen)
            }
            Err(e) => {
                // Removed by another machine's end in just this moment, or not seen yet by all of AWS.
                let own_key = given(self.options.keypair_name.as_deref()).is_none();
                match e.code() {
                    "InvalidGroup.NotFound" => Err(lost("a security group is not seen yet")),
                    "InvalidKeyPair.NotFound" if own_key => Err(lost("the key pair is not seen yet")),
                    "IdempotentParameterMismatch" | "IdempotentInstanceTerminated" => {
                        self.forget_attempt()?;
                        Err(lost("an earlier attempt was for another machine of this name"))
                    }
                    _ => Err(e.into()),
                }
            }
        }
    }

    /// Goes on with an instance that an earlier run made.
    async fn take_over(&self, seen: Seen, login: Login) -> Result<Instance, DriverError> {
        let id = seen.id().to_owned();
        if seen.tag(LOGIN_KEY).is_some_and(|known| known != digest(&login.public)) {
            return Err(DriverError::Refused {
                doing: format!("taking over the instance `{id}`"),
                why: format!("it is of the machine `{}` and lets in another key than {}", self.cx.machine, login.path),
                help: format!(
                    "bring that key back; if it is lost, and nothing on the instance is needed any more, remove it:\n  \
                     aws ec2 terminate-instances --region {} --instance-ids {id}",
                    self.api.region
                ),
            });
        }
        self.cx.checkpoint.instance(&seen.recorded(self.options, login.path.clone())).await?;
        self.remember_account(&seen)?;
        self.forget_attempt()?;
        self.start(&id).await?;
        let seen = self.wait_running(&id).await?;
        Ok(seen.recorded(self.options, login.path))
    }

    /// What tells this attempt from those before it, kept until it is known to have ended.
    fn attempt(&self) -> Result<String, DriverError> {
        let path = self.cx.dir.join(ATTEMPT);
        if let Some(kept) = files::read(&path)? {
            return Ok(kept.trim().to_owned());
        }
        let mut random = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|e| DriverError::Unprepared {
            what: format!("this computer gives no random numbers: {e}"),
            help: "restart it".to_owned(),
        })?;
        let attempt = hex(&random);
        files::write(&path, 0o600, attempt.as_bytes())?;
        Ok(attempt)
    }

    fn forget_attempt(&self) -> Result<(), DriverError> {
        let path = self.cx.dir.join(ATTEMPT);
        match fault::point("amazonec2.forget", &path).and_then(|()| fs::remove_file(&path)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(files::because("removing", &path)(e)),
            _ => Ok(()),
        }
    }

    fn remember_account(&self, seen: &Seen) -> Result<(), DriverError> {
        if seen.account.is_empty() {
            return Ok(());
        }
        files::write(&self.cx.dir.join(ACCOUNT), 0o600, seen.account.as_bytes())
    }
}

/// A public key as a tag tells it from others.
fn digest(public: &str) -> String {
    sha256_hex(keys::bare(public).as_bytes())
}
