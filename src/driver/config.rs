//! Between the options of drivers and the fields of their objects in config.json, by the drivers' own tables.

use super::{Drivers, Kind, OptionSpec, Secrecy, options};
use crate::{
    record::{MachineRecord, OptionFields, OptionValues, docker_machine::ConfigFile},
    secret::Secret,
};
use serde_json::Value;

impl OptionFields for Drivers {
    fn options_of(&self, config: &ConfigFile) -> OptionValues {
        let Some(driver) = self.get(config.driver_name()) else {
            return config.foreign_options();
        };
        let mut options = read_fields(driver.options(), |field| config.driver().get(field));
        options.extend(secrets(driver.options(), |field| config.driver().get(field)));
        options.extend(driver.of_fields(config.driver()));
        options
    }

    fn fields_of(&self, record: &MachineRecord) -> Vec<(String, Value)> {
        let Some(driver) = self.get(&record.driver) else { return Vec::new() };
        let mut fields = write_fields(driver.options(), &record.options);
        fields.extend(driver.fields(&record.options, record.instance.as_ref()));
        fields
    }

    fn plain(&self, driver: &str, options: &OptionValues) -> OptionValues {
        let mut options = options.clone();
        for spec in self.options(driver).iter().filter(|spec| spec.secrecy == Secrecy::Secret) {
            // Where a secret is may be known; whatever else is there may be the secret.
            if options.get(&spec.key).is_some_and(|value| Secret::from_json(value).is_err()) {
                options.remove(&spec.key);
            }
        }
        options
    }

    fn secret_fields(&self, driver: &str) -> Vec<String> {
        let secret = |spec: &&OptionSpec| spec.secrecy == Secrecy::Secret && !spec.field.is_empty();
        self.options(driver).iter().filter(secret).map(|spec| spec.field.clone()).collect()
    }
}

fn read_fields<'v>(table: &[OptionSpec], field: impl Fn(&str) -> Option<&'v Value>) -> OptionValues {
    let kept = table.iter().filter(|s| !s.field.is_empty() && s.secrecy == Secrecy::Plain);
    kept.filter_map(|spec| {
        let value = field(&spec.field).filter(|v| !v.is_null() && v.as_str() != Some(""))?;
        // docker-machine's zero is "not given"; what our table refuses stays in the document only.
        let off = spec.kind == Kind::Flag && spec.default.is_none() && value.as_bool() == Some(false);
        let given = value.as_i64() != Some(0) && !off;
        options::read(spec, value).ok().filter(|_| given).map(|value| (spec.key.clone(), value))
    })
    .collect()
}

/// Where the secrets are that docker-machine left in the document: there, and there they stay.
fn secrets<'v>(table: &[OptionSpec], field: impl Fn(&str) -> Option<&'v Value>) -> OptionValues {
    let kept = table.iter().filter(|s| !s.field.is_empty() && s.secrecy == Secrecy::Secret);
    let given = kept.filter(|spec| field(&spec.field).and_then(Value::as_str).is_some_and(|text| !text.is_empty()));
    given.map(|spec| (spec.key.clone(), Secret::Config(spec.field.clone()).to_json())).collect()
}

fn write_fields(table: &[OptionSpec], values: &OptionValues) -> Vec<(String, Value)> {
    let kept = table.iter().filter(|s| !s.field.is_empty() && s.secrecy == Secrecy::Plain);
    kept.filter_map(|spec| {
        let value = values.get(&spec.key)?;
        Some((
            spec.field.clone(),
            match (spec.kind, value.as_u64()) {
                // docker-machine counts in MiB.
                (Kind::Size, Some(bytes)) => Value::from(bytes >> 20),
                _ => value.clone(),
            },
        ))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(key: &str, field: &str, kind: Kind, secrecy: Secrecy) -> OptionSpec {
        OptionSpec { field: field.to_owned(), secrecy, ..OptionSpec::new(key, key, kind, "") }
    }

    fn table() -> [OptionSpec; 6] {
        [
            spec("memory", "Memory", Kind::Size, Secrecy::Plain),
            spec("port", "EnginePort", Kind::Port, Secrecy::Plain),
            spec("image", "Image", Kind::Text, Secrecy::Plain),
            spec("tags", "Tags", Kind::List, Secrecy::Plain),
            spec("token", "AccessToken", Kind::Text, Secrecy::Secret),
            spec("note", "", Kind::Text, Secrecy::Plain),
        ]
    }

    #[test]
    fn fields_are_options_in_docker_machines_units_and_never_secrets() {
        let driver =
            json!({"Memory": 2048, "EnginePort": 2376, "Image": "x", "Tags": ["a"], "AccessToken": "s3", "note": "n"});
        let options = read_fields(&table(), |field| driver.get(field));
        let want = json!({"memory": 2_147_483_648_u64, "port": 2376, "image": "x", "tags": ["a"]});
        assert_eq!(serde_json::to_value(&options).unwrap(), want);
        let token = secrets(&table(), |field| driver.get(field));
        assert_eq!(serde_json::to_value(&token).unwrap(), json!({"token": {"config": "AccessToken"}}));
        assert_eq!(secrets(&table(), |_| None), OptionValues::new());
        let fields = write_fields(&table(), &options);
        assert_eq!(
            fields,
            [("Memory", json!(2048)), ("EnginePort", json!(2376)), ("Image", json!("x")), ("Tags", json!(["a"]))]
                .map(|(field, value)| (field.to_owned(), value))
        );
    }

    #[test]
    fn what_docker_machine_left_empty_is_not_given() {
        let driver = json!({"Memory": 0, "EnginePort": 0, "Image": "", "Tags": null});
        assert_eq!(read_fields(&table(), |field| driver.get(field)), OptionValues::new());
    }
}
