//! An instance as the API sees it, and looking for it.

use super::{
    Region,
    error::ApiError,
    options::Options,
    query::Params,
    tag::{self, Owner},
    xml::Element,
};
use crate::{
    driver::DriverError,
    http::{Awaited, Pace, PollError, poll},
    record::{Instance, Power, SshEndpoint},
};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Key of the tag that holds the public host key, so that a machine is known even when all records are lost.
pub(super) const HOST_KEY: &str = "machine:host-key";
/// Key of the tag that holds a digest of the public key that may log in.
pub(super) const LOGIN_KEY: &str = "machine:login-key";

/// What there is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    item: Element,
    /// Number of the account.
    pub(super) account: String,
}

impl Seen {
    /// All instances in an answer of `DescribeInstances`.
    pub(super) fn all(answer: &Element) -> Vec<Self> {
        let of = |reservation: &Element| {
            let account = reservation.text("ownerId").to_owned();
            let instances = reservation.items("instancesSet").cloned();
            instances.map(|item| Self { item, account: account.clone() }).collect::<Vec<_>>()
        };
        answer.items("reservationSet").flat_map(of).collect()
    }

    /// The one in an answer of `RunInstances`, which is a reservation itself.
    pub(super) fn made(answer: &Element) -> Option<Self> {
        let item = answer.items("instancesSet").next()?.clone();
        Some(Self { item, account: answer.text("ownerId").to_owned() })
    }

    pub(super) fn id(&self) -> &str {
        self.item.text("instanceId")
    }

    /// As `running`.
    pub(super) fn state(&self) -> &str {
        self.item.text("instanceState/name")
    }

    /// A text of it, as `instanceType`.
    pub(super) fn text(&self, path: &str) -> &str {
        self.item.text(path)
    }

    pub(super) fn tag(&self, key: &str) -> Option<&str> {
        self.item.tag(key)
    }

    /// What there is for people in it: one that was terminated is seen for an hour.
    pub(super) fn power(&self) -> Power {
        match self.state() {
            "pending" => Power::Starting,
            "running" => Power::Running,
            "stopping" => Power::Stopping,
            "stopped" => Power::Stopped,
            // It cannot be brought back.
            "shutting-down" | "terminated" => Power::Gone,
            _ => Power::Unknown,
        }
    }

    /// Ids of its security groups.
    pub(super) fn groups(&self) -> Vec<String> {
        // Those of its interface; not every server of this API copies them.
        let interface = self.item.items("networkInterfaceSet").next();
        let all = self.item.items("groupSet").chain(interface.into_iter().flat_map(|one| one.items("groupSet")));
        let ids: BTreeSet<&str> = all.map(|group| group.text("groupId")).collect();
        ids.into_iter().map(str::to_owned).collect()
    }

    /// The volume it starts from.
    pub(super) fn root_volume(&self) -> Option<&str> {
        let root = self.text("rootDeviceName");
        let devices = self.item.items("blockDeviceMapping");
        devices.filter(|device| device.text("deviceName") == root).map(|device| device.text("ebs/volumeId")).next()
    }

    /// The interface it was made with.
    pub(super) fn interface(&self) -> Option<&str> {
        let interface = self.item.items("networkInterfaceSet").next()?;
        Some(interface.text("networkInterfaceId")).filter(|id| !id.is_empty())
    }

    /// The address by which it is reached; empty while it has none.
    pub(super) fn address(&self, options: &Options) -> &str {
        let private = options.private_address_only || options.use_private_address;
        self.text(if private { "privateIpAddress" } else { "ipAddress" })
    }

    /// As a new record has it. `key` is the one to log in with.
    pub(super) fn recorded(&self, options: &Options, key: String) -> Instance {
        let address = self.address(options).to_owned();
        Instance {
            id: self.id().to_owned(),
            address: address.clone(),
            ssh: Some(SshEndpoint {
                host: address,
                port: options.ssh_port,
                user: options.ssh_user.clone(),
                key: Some(key),
                passphrase: None,
                jump: None,
            }),
            url: None,
            host_keys: self.tag(HOST_KEY).filter(|key| !key.is_empty()).map(str::to_owned).into_iter().collect(),
            jump_keys: Vec::new(),
        }
    }

    /// As a record has it that knows more: only what may have changed is taken.
    pub(super) fn moved(&self, options: &Options, old: &Instance) -> Instance {
        let address = self.address(options).to_owned();
        let mut now = old.clone();
        if let Some(ssh) = &mut now.ssh {
            ssh.host.clone_from(&address);
            ssh.port = options.ssh_port;
        }
        now.address = address;
        now
    }
}

impl Region<'_> {
    /// The instance of this id, if there is (or a moment ago was) one.
    pub(super) async fn describe(&self, id: &str) -> Result<Option<Seen>, ApiError> {
        let ask = Params::new("DescribeInstances").list("InstanceId", [id]);
        match self.api.call(&format!("looking up the instance `{id}`"), ask).await {
            Ok(answer) => Ok(Seen::all(&answer).pop()),
            Err(e) if e.is_gone() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The instance of this machine, by its tag: the oldest, should there ever be two.
    pub(super) async fn find(&self) -> Result<Option<Seen>, ApiError> {
        let ask = Params::new("DescribeInstances")
            .filter(1, &format!("tag:{}", tag::OWNER), [Owner::of(self.cx).value()])
            .filter(2, "instance-state-name", ["pending", "running", "stopping", "stopped"]);
        let answer = self.api.call("looking for the machine's instance", ask).await?;
        let order = |seen: &Seen| (seen.text("launchTime").to_owned(), seen.id().to_owned());
        Ok(Seen::all(&answer).into_iter().min_by_key(order))
    }

    /// Waits until an instance is in a state, for which `there` looks, or can get into none any more.
    pub(super) async fn wait(
        &self,
        id: &str,
        what: &str,
        limit: Duration,
        there: impl Fn(&Seen) -> bool + Send + Sync,
    ) -> Result<Option<Seen>, DriverError> {
        self.until(id, what, limit, |seen| there(seen) || seen.power() == Power::Gone).await
    }

    /// Waits until an instance is in a state, for which `there` looks.
    pub(super) async fn until(
        &self,
        id: &str,
        what: &str,
        limit: Duration,
        there: impl Fn(&Seen) -> bool + Send + Sync,
    ) -> Result<Option<Seen>, DriverError> {
        let pace = Pace { first: Duration::from_millis(500), most: Duration::from_secs(5) };
        let (missing, there) = (&AtomicU32::new(0), &there);
        let look = || async move {
            Ok(match self.describe(id).await? {
                Some(seen) if there(&seen) => Awaited::Here(Some(seen)),
                Some(seen) => Awaited::Not(format!("it is {}", seen.state())),
                // What was just made may not be seen at once.
                None if missing.fetch_add(1, Ordering::Relaxed) < 8 => Awaited::Not("it is not seen yet".to_owned()),
                None => Awaited::Here(None),
            })
        };
        let waited: Result<_, PollError<DriverError>> = poll(what, limit, pace, self.cx.progress, look).await;
        let help = "see what the AWS console says of it, then run the same command again";
        waited.map_err(|e| DriverError::not_in_time(what, e, help))
    }

    /// Waits until an instance runs and has its address.
    pub(super) async fn wait_running(&self, id: &str) -> Result<Seen, DriverError> {
        let up = |seen: &Seen| seen.state() == "running" && !seen.address(self.options).is_empty();
        let doing = format!("waiting for the instance `{id}` to run");
        let seen = self
            .wait(id, "the start of the instance", Duration::from_mins(5), up)
            .await
            .map_err(|e| no_address(id, e))?;
        match seen {
            Some(seen) if up(&seen) => Ok(seen),
            Some(seen) => {
                let why = [seen.text("stateReason/message"), seen.text("reason"), "AWS does not say why"];
                let why = why.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
                Err(DriverError::Refused {
                    doing,
                    why: format!("it is {}: {why}", seen.state()),
                    help: "correct what AWS complains of (quota, key of an encrypted volume, spot price), then run the same \
                           command again: the machine is made anew"
                        .to_owned(),
                })
            }
            None => Err(self.gone(id)),
        }
    }

    /// What is said of an instance that is recorded and is not there.
    pub(super) fn gone(&self, id: &str) -> DriverError {
        DriverError::Refused {
            doing: format!("looking for the instance `{id}`"),
            why: format!("there is none in region `{}` any more", self.api.region),
            help: "apply again: it is made anew; or remove the machine".to_owned(),
        }
    }
}

/// One that runs and never gets a public address is in a subnet that gives none.
fn no_address(id: &str, e: DriverError) -> DriverError {
    match e {
        DriverError::Refused { doing, why, .. } if why.contains("it is running") => DriverError::Refused {
            doing,
            why: format!("the instance `{id}` runs and has no public address"),
            help: "choose a subnet that gives one, or reach it inside the VPC: `use-private-address: true`".to_owned(),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: &str) -> Seen {
        let text = format!(
            "<r><reservationSet><item><ownerId>123456789012</ownerId><instancesSet><item><instanceId>i-1</instanceId>\
             <instanceState><name>{state}</name></instanceState><ipAddress>198.51.100.7</ipAddress>\
             <privateIpAddress>10.0.0.7</privateIpAddress><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping>\
             <item><deviceName>/dev/xvdb</deviceName><ebs><volumeId>vol-2</volumeId></ebs></item><item>\
             <deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-1</volumeId></ebs></item></blockDeviceMapping>\
             <groupSet><item><groupId>sg-1</groupId></item></groupSet><tagSet><item><key>machine:host-key</key>\
             <value>ssh-ed25519 AAAA</value></item></tagSet></item></instancesSet></item></reservationSet></r>"
        );
        Seen::all(&Element::parse(&text).unwrap()).pop().unwrap()
    }

    #[test]
    fn what_cannot_come_back_is_gone() {
        let power = |state| seen(state).power();
        assert_eq!(power("running"), Power::Running);
        assert_eq!((power("shutting-down"), power("terminated")), (Power::Gone, Power::Gone));
        assert_eq!((power("stopping"), power("pending")), (Power::Stopping, Power::Starting));
        assert_eq!(power("on fire"), Power::Unknown);
    }

    #[test]
    fn the_root_volume_and_groups_are_found() {
        let seen = seen("running");
        assert_eq!(seen.root_volume(), Some("vol-1"));
        assert_eq!((seen.groups(), seen.account.as_str()), (vec!["sg-1".to_owned()], "123456789012"));
    }
}
