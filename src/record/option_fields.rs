//! What a store has to know of drivers to keep docker-machine's document beside a record. It knows none of them.

use super::{
    MachineRecord, OptionValues,
    docker_machine::{ConfigFile, Place},
};
use serde_json::Value;
use std::fmt;

/// Between the options of drivers and the fields of their objects in config.json.
pub trait OptionFields: fmt::Debug + Send + Sync {
    /// The options of a machine that docker-machine made.
    fn options_of(&self, config: &ConfigFile) -> OptionValues;

    /// The options of a record as fields of its driver's object.
    fn fields_of(&self, record: &MachineRecord) -> Vec<(String, Value)>;

    /// Options of a driver without those that may not be recorded (pain 24).
    fn plain(&self, driver: &str, options: &OptionValues) -> OptionValues;

    /// Fields of a driver's object in config.json that hold secrets.
    fn secret_fields(&self, driver: &str) -> Vec<String>;

    /// The record without options that may not be recorded.
    fn without_secrets(&self, record: &MachineRecord) -> MachineRecord {
        MachineRecord { options: self.plain(&record.driver, &record.options), ..record.clone() }
    }

    /// The config.json of a record, as it would be written where there is none.
    fn document(&self, root: &str, record: &MachineRecord) -> String {
        let place = Place { root, name: &record.name };
        let mut config = ConfigFile::new(place);
        config.update(place, record, self.fields_of(record));
        config.text()
    }
}
