//! Tags that a person wants on an instance, and on what goes with it. Which of them are there because the options said so is
//! noted in the machine's folder: those go when the options say so no longer. Others are not ours to take away.

use super::{Region, instance::Seen, query::Params};
use crate::driver::{DriverError, files};
use std::{collections::BTreeSet, path::PathBuf};

/// File in the machine's folder with the keys of tags that options asked for, one in a line.
const NOTE: &str = "amazonec2-tags";
/// The tag that is shown as the name, and is ours unless an option sets it.
const NAME: &str = "Name";

impl Region<'_> {
    fn note(&self) -> PathBuf {
        self.cx.dir.join(NOTE)
    }

    fn wanted_keys(&self) -> BTreeSet<String> {
        self.options.tags().into_iter().map(|(key, _)| key.to_owned()).collect()
    }

    fn noted_keys(&self) -> Result<BTreeSet<String>, DriverError> {
        Ok(files::read(&self.note())?.unwrap_or_default().lines().map(str::to_owned).collect())
    }

    fn write_keys(&self, keys: &BTreeSet<String>) -> Result<(), DriverError> {
        if *keys == self.noted_keys()? {
            return Ok(());
        }
        let text: String = keys.iter().flat_map(|key| [key.as_str(), "\n"]).collect();
        files::write(&self.note(), 0o600, text.as_bytes())
    }

    /// Notes that the tags of the options are ours, before they are given: whatever becomes of us.
    pub(super) fn note_tags(&self) -> Result<(), DriverError> {
        let mut keys = self.noted_keys()?;
        keys.extend(self.wanted_keys());
        self.write_keys(&keys)
    }

    /// Gives the instance the tags of the options, and takes away those that they say no longer.
    pub(super) async fn change_tags(&self, seen: &Seen) -> Result<(), DriverError> {
        self.note_tags()?;
        let wanted = self.wanted_keys();
        let dropped: Vec<String> = self.noted_keys()?.into_iter().filter(|key| !wanted.contains(key)).collect();
        let mut tags = self.options.tags();
        if dropped.iter().any(|key| key == NAME) {
            tags.push((NAME, self.cx.machine.as_str()));
        }
        tags.retain(|(key, value)| seen.tag(key) != Some(*value));
        let resources: Vec<&str> =
            [Some(seen.id()), seen.root_volume(), seen.interface()].into_iter().flatten().collect();
        if !tags.is_empty() {
            let ask = Params::new("CreateTags").list("ResourceId", &resources);
            let ask = tags.iter().enumerate().fold(ask, |ask, (n, (key, value))| {
                ask.with(format!("Tag.{}.Key", n + 1), key).with(format!("Tag.{}.Value", n + 1), value)
            });
            self.api.call("setting tags", ask).await?;
        }
        let gone: Vec<&String> = dropped.iter().filter(|key| *key != NAME && seen.tag(key).is_some()).collect();
        if !gone.is_empty() {
            let ask = Params::new("DeleteTags").list("ResourceId", &resources);
            let ask =
                gone.iter().enumerate().fold(ask, |ask, (n, key)| ask.with(format!("Tag.{}.Key", n + 1), key.as_str()));
            self.api.call("removing tags", ask).await?;
        }
        self.write_keys(&wanted)
    }
}
