//! The JSON Schema of fleet files, for editors: from the raw types and the options tables, so that it
//! cannot say something else than the loader.
//!
//! It refuses nothing that the loader accepts, except a text that looks like something else where that is
//! more likely a mistake (`fleet: 5`).

use super::raw::RawFleet;
use crate::driver::{AnyDriver, Drivers, Kind, OptionSpec, Secrecy};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// A value that a variable or the environment gives.
const REFERENCE: &str = r"\$\{";
/// What [`Kind::Size`] takes, or a reference.
const SIZE: &str = r"^ *[0-9]+ *([kKmMgGtT]([iI]?[bB])?|[bB])? *$|\$\{";
/// A whole number as text, or a reference.
const DIGITS: &str = r"^[-+]?[0-9]+$|\$\{";

/// The schema, in draft 2020-12. The same for every run of one version with these drivers.
#[must_use]
pub fn schema(drivers: &Drivers) -> Value {
    let mut schema = without_drivers();
    tidy(&mut schema);
    // The file itself must have something in it.
    schema["type"] = json!("object");
    for (section, driver) in [
        ("configuration", names(drivers)),
        ("host", any_name(drivers)),
        ("group", any_name(drivers)),
        ("defaults", any_name(drivers)),
    ] {
        let definition = &mut schema["$defs"][section];
        let about = definition["properties"]["driver"]["description"].take();
        definition["properties"]["driver"] = driver;
        definition["properties"]["driver"]["description"] = about;
    }
    for section in ["configuration", "host", "group"] {
        add_options(drivers, &mut schema["$defs"][section]);
    }
    schema
}

/// What the raw types say.
pub(super) fn without_drivers() -> Value {
    Value::from(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawFleet>())
}

/// Says what the reader does, and serde's types cannot: a section may be empty, nothing else may be null,
/// and a reference can stand for any value.
fn tidy(value: &mut Value) {
    let map = match value {
        Value::Object(map) => map,
        Value::Array(items) => return items.iter_mut().for_each(tidy),
        _ => return,
    };
    // What is absent is said in words: in the raw types everything is optional.
    map.remove("default");
    map.remove("format");
    let types: Vec<String> = match map.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut types: Vec<String> = types.into_iter().filter(|t| t != "null").collect();
    match types.first().map(String::as_str) {
        Some("object") => types.push("null".to_owned()),
        Some("integer" | "boolean") => {
            types.push("string".to_owned());
            map.insert("pattern".to_owned(), json!(REFERENCE));
        }
        _ => {}
    }
    if let Some(only) = types.first() {
        map.insert("type".to_owned(), if types.len() == 1 { json!(only) } else { json!(types) });
    }
    if let Some(Value::Array(variants)) = map.get_mut("oneOf") {
        variants.push(json!({ "type": "string", "pattern": REFERENCE }));
    }
    map.values_mut().for_each(tidy);
}

fn names(drivers: &Drivers) -> Value {
    let drivers: Vec<Value> = drivers
        .iter()
        .map(|d| json!({ "const": d.name(), "description": d.about() }))
        .chain([json!({ "type": "string", "pattern": REFERENCE })])
        .collect();
    json!({ "oneOf": drivers })
}

/// A driver, or the name of a configuration.
fn any_name(drivers: &Drivers) -> Value {
    json!({ "type": "string", "examples": drivers.names().collect::<Vec<_>>() })
}

/// Adds the options of all drivers; where the driver is named, only its own are left.
fn add_options(drivers: &Drivers, definition: &mut Value) {
    let own: Vec<String> =
        definition["properties"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let mut all: Map<String, Value> = Map::new();
    for spec in drivers.iter().flat_map(AnyDriver::options) {
        let this = option(spec);
        match all.get_mut(&spec.key) {
            None => {
                all.insert(spec.key.clone(), this);
            }
            Some(same) if *same == this => {}
            Some(Value::Object(other)) if other.contains_key("anyOf") => {
                if let Some(Value::Array(any)) = other.get_mut("anyOf") {
                    any.push(this);
                }
            }
            Some(other) => *other = json!({ "anyOf": [other.take(), this] }),
        }
    }
    let only = |driver: &dyn AnyDriver| {
        let mut properties = Map::new();
        for key in all.keys().filter(|key| !own.contains(key)) {
            let this = driver.options().iter().find(|spec| spec.key == *key).map_or(json!(false), option);
            if all[key] != this {
                properties.insert(key.clone(), this);
            }
        }
        let named = json!({ "properties": { "driver": { "const": driver.name() } }, "required": ["driver"] });
        json!({ "if": named, "then": { "properties": properties } })
    };
    definition["allOf"] = drivers.iter().map(only).collect();
    definition["additionalProperties"] = json!(false);
    if let Value::Object(properties) = &mut definition["properties"] {
        all.into_iter().for_each(|(key, schema)| {
            properties.entry(key).or_insert(schema);
        });
    }
}

fn option(spec: &OptionSpec) -> Value {
    let mut schema = match spec.kind {
        _ if spec.secrecy == Secrecy::Secret => {
            let one = |key: &str| {
                json!({
                    "properties": { key: { "type": "string" } },
                    "required": [key],
                    "additionalProperties": false,
                })
            };
            json!({ "type": "object", "oneOf": [one("env"), one("file"), one("command")] })
        }
        Kind::Text if !spec.choices.is_empty() => {
            json!({ "anyOf": [{ "enum": spec.choices }, { "type": "string", "pattern": REFERENCE }] })
        }
        Kind::Text => json!({ "type": ["string", "number"] }),
        Kind::Path if spec.default.is_some() => json!({ "anyOf": [{ "type": "string" }, { "const": false }] }),
        Kind::Path => json!({ "type": "string" }),
        Kind::Number => json!({ "type": ["integer", "string"], "pattern": DIGITS }),
        Kind::Port => json!({ "type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": DIGITS }),
        Kind::Flag => json!({ "type": ["boolean", "string"], "pattern": format!("^(true|false)$|{REFERENCE}") }),
        Kind::Size => json!({ "type": ["integer", "string"], "minimum": 0, "pattern": SIZE }),
        Kind::List => json!({ "type": ["array", "string"], "items": { "type": "string" } }),
    };
    schema["description"] = json!(format!("{}.", spec.help));
    if let Some(default) = spec.default.as_deref().or(spec.fallback.as_deref()) {
        schema["default"] = match spec.kind {
            Kind::Number | Kind::Port => default.parse::<i64>().map_or_else(|_| json!(default), Value::from),
            Kind::Flag => json!(default == "true"),
            Kind::Text | Kind::Path | Kind::Size | Kind::List => json!(default),
        };
    }
    schema
}
