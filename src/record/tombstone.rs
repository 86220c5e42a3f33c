//! What a removal that could not be confirmed may have left at the provider: kept until a look says
//! that it is gone (pains 5 and 13). It is no machine: no command but `rm` and the next `apply` works on it.

use super::{Instance, MachineRecord, OptionValues};
use crate::{
    clock::Timestamp,
    digest::sha256_hex_of,
    name::{FleetName, MachineName},
};
use serde::{Deserialize, Serialize};

/// A machine that was removed here and may still be there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tombstone {
    /// Its name, which a new machine may have meanwhile.
    pub machine: MachineName,
    /// The fleet that owned it: no other one looks for what is left.
    pub fleet: Option<FleetName>,
    /// The driver that made it; empty when its record could not be read.
    pub driver: String,
    /// The driver's options, without secrets.
    pub options: OptionValues,
    /// As it was recorded, with the provider's id; `None` when a creation was cut off before it was known.
    pub instance: Option<Instance>,
    /// When the removal was tried.
    pub since: Timestamp,
    /// Why it could not be confirmed, for a person; one line.
    pub why: String,
}

/// How much of a reason is kept, in characters.
const WHY: usize = 300;
/// Characters of the digest in an id.
const DIGEST: usize = 10;

/// Version of the files; grows when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// A tombstone as it stands in its file.
#[derive(Deserialize, Serialize)]
struct File {
    version: u32,
    #[serde(flatten)]
    tombstone: Tombstone,
}

impl Tombstone {
    /// Of a machine whose record goes although its instance may not have.
    #[must_use]
    pub fn of(record: &MachineRecord, since: Timestamp, why: &str) -> Self {
        Self {
            machine: record.name.clone(),
            fleet: record.fleet.clone(),
            driver: record.driver.clone(),
            options: record.options.clone(),
            instance: record.instance.clone(),
            since,
            why: line(why),
        }
    }

    /// Of a machine of which nothing is known but its name.
    #[must_use]
    pub fn unknown(machine: MachineName, since: Timestamp, why: &str) -> Self {
        let (driver, options) = (String::new(), OptionValues::new());
        Self { machine, fleet: None, driver, options, instance: None, since, why: line(why) }
    }

    /// Tells it from all others, also of one name. The same for one instance, however often its removal is tried.
    #[must_use]
    pub fn id(&self) -> String {
        let fleet = self.fleet.as_ref().map_or("", FleetName::as_str);
        let instance = self.instance.as_ref().map_or("", |instance| instance.id.as_str());
        // A NUL is in no name and no id, so different parts never make the same text.
        let parts = [self.machine.as_str(), fleet, &self.driver, instance].map(|part| [part.as_bytes(), &[0]]);
        let parts: Vec<&[u8]> = parts.as_flattened().to_vec();
        format!("{}-{}", self.machine, &sha256_hex_of(&parts)[..DIGEST])
    }

    /// Whether one that cannot be read may be of this machine: its [`id`](Self::id) begins with the name, and one
    /// that is called otherwise may be of any.
    #[must_use]
    pub fn may_be_of(id: &str, machine: &MachineName) -> bool {
        let digest = |text: &str| text.len() == DIGEST && text.bytes().all(|b| b.is_ascii_hexdigit());
        match id.rsplit_once('-') {
            Some((name, rest)) if digest(rest) && MachineName::new(name).is_ok() => name == machine.as_str(),
            _ => true,
        }
    }

    /// What may be there, for a person: the provider's id, or how it would be found.
    #[must_use]
    pub fn what(&self) -> String {
        match (&self.instance, self.driver.as_str()) {
            (_, "") => "what its record said is not known".to_owned(),
            (Some(instance), driver) => format!("{driver} instance {}", instance.id),
            (None, driver) => format!("a {driver} instance whose id was never recorded"),
        }
    }

    /// Whether `record` stands for the same instance: what is recorded again is no remains.
    #[must_use]
    pub fn is_claimed(&self, record: &MachineRecord) -> bool {
        if record.driver != self.driver {
            return false;
        }
        match (&record.instance, &self.instance) {
            (Some(now), Some(then)) => now.id == then.id,
            // What is found by its tag belongs to the machine that has the tag now.
            (_, None) => record.fleet == self.fleet && (record.instance.is_some() || !record.pending.is_empty()),
            (None, Some(_)) => false,
        }
    }

    /// As its file has it.
    #[must_use]
    pub fn encode(&self) -> String {
        let file = File { version: VERSION, tombstone: self.clone() };
        serde_json::to_string_pretty(&file).expect("a tombstone is plain data") + "\n"
    }

    /// Reads a file back.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn decode(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match file.version {
            VERSION => Ok(file.tombstone),
            newer => Err(format!("it is of version {newer}, which this program does not know")),
        }
    }
}

/// A reason on one line, and not without end.
fn line(why: &str) -> String {
    let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WHY) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Part, Pending};

    fn record(id: Option<&str>) -> MachineRecord {
        let name = MachineName::new("web").unwrap();
        let mut record = MachineRecord::new(name, FleetName::new("shop").ok(), "nspawn", OptionValues::new());
        record.instance = id.map(|id| Instance {
            id: id.to_owned(),
            address: "192.0.2.1".to_owned(),
            ssh: None,
            url: None,
            host_keys: Vec::new(),
            jump_keys: Vec::new(),
        });
        record
    }

    fn of(record: &MachineRecord) -> Tombstone {
        Tombstone::of(record, Timestamp(1_800_000_000), "no\nanswer")
    }

    #[test]
    fn one_that_cannot_be_read_may_be_of_the_machine_it_is_called_after() {
        let web = MachineName::new("web").unwrap();
        assert!(Tombstone::may_be_of(&of(&record(Some("i-1"))).id(), &web));
        for (id, want) in [
            ("web-0123456789", true),
            ("web-1-0123456789", false),
            ("db-0123456789", false),
            ("copy of db", true),
            ("db-0123", true),
            ("", true),
        ] {
            assert_eq!(Tombstone::may_be_of(id, &web), want, "{id}");
        }
    }

    #[test]
    fn a_tombstone_reads_back() {
        for record in [record(Some("i-1")), record(None)] {
            let stone = of(&record);
            assert_eq!(Tombstone::decode(&stone.encode()), Ok(stone.clone()));
            assert_eq!(stone.why, "no answer");
        }
        assert!(Tombstone::decode("{}").is_err());
        let newer = of(&record(None)).encode().replace("\"version\": 1", "\"version\": 2");
        assert!(Tombstone::decode(&newer).unwrap_err().contains("version 2"));
    }

    #[test]
    fn an_instance_has_one_tombstone_and_another_has_another() {
        let first = of(&record(Some("i-1")));
        let again = Tombstone { since: Timestamp(1), why: "later".to_owned(), ..first.clone() };
        assert_eq!(first.id(), again.id());
        let others = [
            of(&record(Some("i-2"))),
            of(&record(None)),
            Tombstone { fleet: None, ..first.clone() },
            Tombstone { driver: "other".to_owned(), ..first.clone() },
        ];
        for other in others {
            assert_ne!(first.id(), other.id(), "{other:?}");
        }
    }

    #[test]
    fn what_is_recorded_again_is_no_remains() {
        let stone = of(&record(Some("i-1")));
        assert!(stone.is_claimed(&record(Some("i-1"))));
        assert!(!stone.is_claimed(&record(Some("i-2"))), "a new machine of the name");
        assert!(!stone.is_claimed(&record(None)), "one that is about to be made");
        let unknown = of(&record(None));
        assert!(!unknown.is_claimed(&record(None)), "one that was only reserved");
        let mut begun = record(None);
        begun.pending.insert(Part::Instance, Pending::Create);
        assert!(unknown.is_claimed(&begun), "what its tag finds is what it had begun");
        assert!(!unknown.is_claimed(&MachineRecord { fleet: None, ..begun.clone() }), "another tag");
        assert!(!unknown.is_claimed(&MachineRecord { driver: "other".to_owned(), ..begun }));
    }
}
