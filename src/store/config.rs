//! Between the options of our drivers and the fields of their objects in config.json, by the drivers' own tables.

use crate::{
    driver::{self, Kind, OptionSpec, Secrecy, options},
    record::{
        MachineRecord, OptionValues,
        docker_machine::{ConfigFile, Place},
    },
    secret::Secret,
};
use serde_json::Value;

fn table(driver: &str) -> &'static [OptionSpec] {
    driver::find(driver).map_or(&[], driver::AnyDriver::options)
}

/// The options of a machine that docker-machine made.
pub(super) fn options_of(config: &ConfigFile) -> OptionValues {
    let Some(driver) = driver::find(config.driver_name()) else {
        return config.foreign_options();
    };
    let mut options = read_fields(driver.options(), |field| config.driver().get(field));
    options.extend(secrets(driver.options(), |field| config.driver().get(field)));
    options.extend(driver.of_fields(config.driver()));
    options
}

fn read_fields<'v>(table: &[OptionSpec], field: impl Fn(&str) -> Option<&'v Value>) -> OptionValues {
    let kept = table.iter().filter(|s| !s.field.is_empty() && s.secrecy == Secrecy::Plain);
    kept.filter_map(|spec| {
        let value = field(spec.field).filter(|v| !v.is_null() && v.as_str() != Some(""))?;
        // docker-machine's zero is "not given"; what our table refuses stays in the document only.
        let off = spec.kind == Kind::Flag && spec.default.is_none() && value.as_bool() == Some(false);
        let given = value.as_i64() != Some(0) && !off;
        options::read(spec, value).ok().filter(|_| given).map(|value| (spec.key.to_owned(), value))
    })
    .collect()
}

/// Where the secrets are that docker-machine left in the document: there, and there they stay.
fn secrets<'v>(table: &[OptionSpec], field: impl Fn(&str) -> Option<&'v Value>) -> OptionValues {
    let kept = table.iter().filter(|s| !s.field.is_empty() && s.secrecy == Secrecy::Secret);
    let given = kept.filter(|spec| field(spec.field).and_then(Value::as_str).is_some_and(|text| !text.is_empty()));
    given.map(|spec| (spec.key.to_owned(), Secret::Config(spec.field.to_owned()).to_json())).collect()
}

/// The options of a record as fields of its driver's object.
pub(super) fn fields_of(record: &MachineRecord) -> Vec<(&'static str, Value)> {
    let Some(driver) = driver::find(&record.driver) else { return Vec::new() };
    let mut fields = write_fields(driver.options(), &record.options);
    fields.extend(driver.fields(&record.options, record.instance.as_ref()));
    fields
}

fn write_fields(table: &[OptionSpec], values: &OptionValues) -> Vec<(&'static str, Value)> {
    let kept = table.iter().filter(|s| !s.field.is_empty() && s.secrecy == Secrecy::Plain);
    kept.filter_map(|spec| {
        let value = values.get(spec.key)?;
        Some((
            spec.field,
            match (spec.kind, value.as_u64()) {
                // docker-machine counts in MiB.
                (Kind::Size, Some(bytes)) => Value::from(bytes >> 20),
                _ => value.clone(),
            },
        ))
    })
    .collect()
}

/// The config.json of a record, as it would be written where there is none.
#[must_use]
pub fn document(root: &str, record: &MachineRecord) -> String {
    let place = Place { root, name: &record.name };
    let mut config = ConfigFile::new(place);
    config.update(place, record, fields_of(record));
    config.text()
}

/// Fields of a driver's object in config.json that hold secrets.
pub fn secret_fields(driver: &str) -> impl Iterator<Item = &'static str> {
    table(driver).iter().filter(|s| s.secrecy == Secrecy::Secret && !s.field.is_empty()).map(|s| s.field)
}

/// The record without options that may not be recorded (pain 24).
#[must_use]
pub fn without_secrets(record: &MachineRecord) -> MachineRecord {
    MachineRecord { options: plain_options(&record.driver, &record.options), ..record.clone() }
}

/// Options of a driver without its secrets.
pub(super) fn plain_options(driver: &str, options: &OptionValues) -> OptionValues {
    let mut options = options.clone();
    for spec in table(driver).iter().filter(|s| s.secrecy == Secrecy::Secret) {
        // Where a secret is may be known; whatever else is there may be the secret.
        if options.get(spec.key).is_some_and(|value| Secret::from_json(value).is_err()) {
            options.remove(spec.key);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const fn spec(key: &'static str, field: &'static str, kind: Kind, secrecy: Secrecy) -> OptionSpec {
        OptionSpec { field, secrecy, ..OptionSpec::new(key, key, kind, "") }
    }

    const TABLE: &[OptionSpec] = &[
        spec("memory", "Memory", Kind::Size, Secrecy::Plain),
        spec("port", "EnginePort", Kind::Port, Secrecy::Plain),
        spec("image", "Image", Kind::Text, Secrecy::Plain),
        spec("tags", "Tags", Kind::List, Secrecy::Plain),
        spec("token", "AccessToken", Kind::Text, Secrecy::Secret),
        spec("note", "", Kind::Text, Secrecy::Plain),
    ];

    #[test]
    fn fields_are_options_in_docker_machines_units_and_never_secrets() {
        let driver =
            json!({"Memory": 2048, "EnginePort": 2376, "Image": "x", "Tags": ["a"], "AccessToken": "s3", "note": "n"});
        let options = read_fields(TABLE, |field| driver.get(field));
        let want = json!({"memory": 2_147_483_648_u64, "port": 2376, "image": "x", "tags": ["a"]});
        assert_eq!(serde_json::to_value(&options).unwrap(), want);
        let token = secrets(TABLE, |field| driver.get(field));
        assert_eq!(serde_json::to_value(&token).unwrap(), json!({"token": {"config": "AccessToken"}}));
        assert_eq!(secrets(TABLE, |_| None), OptionValues::new());
        let fields = write_fields(TABLE, &options);
        assert_eq!(
            fields,
            [("Memory", json!(2048)), ("EnginePort", json!(2376)), ("Image", json!("x")), ("Tags", json!(["a"]))]
        );
    }

    #[test]
    fn what_docker_machine_left_empty_is_not_given() {
        let driver = json!({"Memory": 0, "EnginePort": 0, "Image": "", "Tags": null});
        assert_eq!(read_fields(TABLE, |field| driver.get(field)), OptionValues::new());
    }
}
