//! Changing an instance that exists: what is there is compared with what is wanted, so that a change that was cut off is
//! finished by the next one.

use super::{Region, group, instance::Seen, options::given, query::Params, tag};
use crate::{
    driver::{DriverError, cloud},
    record::{Instance, Power},
};
use std::{collections::BTreeSet, time::Duration};

/// How long an instance may take to stop; its system has to.
const STOP: Duration = Duration::from_mins(10);
/// How long the removal of one may take: its system is stopped first.
const REMOVAL: Duration = Duration::from_mins(10);

impl Region<'_> {
    /// Makes the instance as the options say.
    pub(super) async fn change(&self, old: &Instance) -> Result<Instance, DriverError> {
        let id = old.id.as_str();
        let seen = self.there(id).await?;
        self.change_tags(&seen).await?;
        self.change_groups(&seen).await?;
        self.change_monitoring(&seen).await?;
        self.change_volume(&seen).await?;
        let restarted = self.change_type(&seen).await?;
        let now = self.there(id).await?.moved(self.options, old);
        if restarted {
            // One that cannot be reached from here has changed all the same.
            if let Err(e) = cloud::answers(self.cx, &now, super::REBOOT).await {
                (self.cx.progress)(&format!("warning: {e}"));
            }
        }
        Ok(now)
    }

    /// The instance, which must be there.
    pub(super) async fn there(&self, id: &str) -> Result<Seen, DriverError> {
        match self.describe(id).await? {
            Some(seen) if seen.power() != Power::Gone => Ok(seen),
            _ => {
                self.same_account().await?;
                Err(self.gone(id))
            }
        }
    }

    async fn change_groups(&self, seen: &Seen) -> Result<(), DriverError> {
        // Groups of a machine that docker-machine made are none of ours, unless an option says what may reach it.
        let named = !self.options.groups().is_empty();
        if !named && (self.options.allow().is_empty() || seen.tag(tag::OWNER).is_none()) {
            return Ok(());
        }
        let wanted = group::ensure(&self.api, self.cx, self.options, seen.text("vpcId")).await?;
        let before = seen.groups();
        let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
        if set(&before) == set(&wanted) {
            return Ok(());
        }
        let ask = Params::new("ModifyInstanceAttribute").with("InstanceId", seen.id()).list("GroupId", &wanted);
        self.api.call("changing security groups", ask).await?;
        let left: Vec<String> = before.into_iter().filter(|id| !wanted.contains(id)).collect();
        self.remove_groups(&left, &wanted).await
    }

    /// Removes groups of ours that the machine is in no longer.
    async fn remove_groups(&self, left: &[String], kept: &[String]) -> Result<(), DriverError> {
        let own = group::own(&self.api, self.cx).await?;
        if own.iter().any(|id| kept.contains(id)) {
            return Ok(());
        }
        group::tidy(&self.api, self.cx, left).await
    }

    async fn change_monitoring(&self, seen: &Seen) -> Result<(), DriverError> {
        let on = matches!(seen.text("monitoring/state"), "enabled" | "pending");
        if on == self.options.monitoring {
            return Ok(());
        }
        let action = if self.options.monitoring { "MonitorInstances" } else { "UnmonitorInstances" };
        self.api.call("changing monitoring", Params::new(action).list("InstanceId", [seen.id()])).await?;
        Ok(())
    }

    async fn change_volume(&self, seen: &Seen) -> Result<(), DriverError> {
        let Some(volume) = seen.root_volume() else { return Ok(()) };
        let ask = Params::new("DescribeVolumes").list("VolumeId", [volume]);
        let answer = self.api.call("looking up the root volume", ask).await?;
        let Some(found) = answer.items("volumeSet").next() else { return Ok(()) };
        let (size, kind) = (found.text("size").parse::<u64>().unwrap_or(0), found.text("volumeType"));
        let wanted = self.options.root_size;
        if wanted < size {
            (self.cx.progress)(&format!(
                "warning: the root volume has {size} GB and stays so: a volume cannot shrink to {wanted}"
            ));
        }
        if wanted <= size && kind == self.options.volume_type() {
            return Ok(());
        }
        let ask = Params::new("ModifyVolume")
            .with("VolumeId", volume)
            .with("Size", wanted.max(size).to_string())
            .with("VolumeType", self.options.volume_type());
        self.api.call("changing the root volume", ask).await?;
        if wanted > size {
            (self.cx.progress)("the volume has grown; its file system grows when the machine starts the next time");
        }
        Ok(())
    }

    /// AWS gives another type only to an instance that is off. Whether it was started anew.
    async fn change_type(&self, seen: &Seen) -> Result<bool, DriverError> {
        let (id, wanted) = (seen.id(), self.options.instance_type());
        if seen.text("instanceType") == wanted {
            return Ok(false);
        }
        let ran = matches!(seen.power(), Power::Running | Power::Starting);
        (self.cx.progress)(&format!("stopping the machine, to make it a {wanted}"));
        self.stop(id, false).await?;
        let ask = Params::new("ModifyInstanceAttribute").with("InstanceId", id).with("InstanceType.Value", wanted);
        let changed = self.api.call(&format!("making the machine a {wanted}"), ask).await;
        // It runs again, whether it could be changed or not.
        if ran {
            self.start(id).await?;
            self.wait_running(id).await?;
        }
        changed?;
        Ok(ran)
    }

    /// Switches an instance on; nothing to do when it runs.
    pub(super) async fn start(&self, id: &str) -> Result<(), DriverError> {
        let seen = self.there(id).await?;
        if matches!(seen.power(), Power::Running | Power::Starting) {
            return Ok(());
        }
        if seen.power() == Power::Stopping {
            self.wait(id, "the end of the instance", STOP, |seen| seen.power() == Power::Stopped).await?;
        }
        self.api.call("starting the instance", Params::new("StartInstances").list("InstanceId", [id])).await?;
        Ok(())
    }

    /// Switches an instance off and waits; nothing to do when it is off.
    pub(super) async fn stop(&self, id: &str, force: bool) -> Result<(), DriverError> {
        let seen = self.there(id).await?;
        if seen.power() == Power::Stopped {
            return Ok(());
        }
        if !seen.text("spotInstanceRequestId").is_empty() {
            return Err(DriverError::Refused {
                doing: format!("stopping the instance `{id}`"),
                why: "it is a spot instance, which can only be removed".to_owned(),
                help: "remove the machine, or let a new one have `request-spot-instance: false`".to_owned(),
            });
        }
        let ask = Params::new("StopInstances").list("InstanceId", [id]);
        let ask = if force { ask.with("Force", "true") } else { ask };
        self.api.call("stopping the instance", ask).await?;
        self.wait(id, "the end of the instance", STOP, |seen| seen.power() == Power::Stopped).await?;
        Ok(())
    }

    /// Removes the instance and all that was made for it.
    pub(super) async fn remove(&self, id: &str) -> Result<(), DriverError> {
        let Some(seen) = self.describe(id).await? else {
            self.same_account().await?;
            return self.tidy_unless_used(id, &[]).await;
        };
        let groups = seen.groups();
        if seen.state() != "terminated" {
            (self.cx.progress)("removing the instance");
            match self
                .api
                .call("removing the instance", Params::new("TerminateInstances").list("InstanceId", [id]))
                .await
            {
                Err(e) if !e.is_gone() => return Err(e.into()),
                _ => {}
            }
            // Its group can go only when it has gone: `shutting-down`, which counts as gone elsewhere, does not here.
            self.until(id, "the removal of the instance", REMOVAL, |seen| seen.state() == "terminated").await?;
        }
        if given(Some(seen.text("spotInstanceRequestId"))).is_some() {
            let request = seen.text("spotInstanceRequestId");
            let ask = Params::new("CancelSpotInstanceRequests").list("SpotInstanceRequestId", [request]);
            match self.api.call("cancelling the spot request", ask).await {
                Err(e) if !e.is_gone() => return Err(e.into()),
                _ => {}
            }
        }
        // docker-machine called its key pairs as its machines.
        let (pair, old) = (seen.text("keyName"), seen.tag(tag::OWNER).is_none());
        if old && pair == self.cx.machine.as_str() && given(self.options.keypair_name.as_deref()).is_none() {
            super::key::delete(&self.api, pair).await?;
        }
        self.tidy_unless_used(id, &groups).await
    }

    /// Another instance of the same name may be there by now, and need the key and group of that name.
    async fn tidy_unless_used(&self, id: &str, groups: &[String]) -> Result<(), DriverError> {
        match self.find().await? {
            Some(other) if other.id() != id => Ok(()),
            _ => self.tidy(groups).await,
        }
    }

    /// Removes what was made for the machine besides its instance.
    pub(super) async fn tidy(&self, groups: &[String]) -> Result<(), DriverError> {
        if given(self.options.keypair_name.as_deref()).is_none() {
            super::key::delete(&self.api, &tag::Owner::of(self.cx).name()).await?;
        }
        group::tidy(&self.api, self.cx, groups).await
    }
}
