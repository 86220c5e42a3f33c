//! The one table of a driver's options, and what follows from it: reading values, defaults, comparison.
//!
//! From this table come fleet-file checks, the schema, `create` flags and help, environment handling
//! and config.json. There is no second list.

use crate::{record::OptionValues, secret::Secret};
use serde_json::Value;

/// What an option's value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A path on this computer; `~/` is the home directory.
    Path,
    /// A whole number.
    Number,
    /// A TCP port, 1 to 65535.
    Port,
    /// True or false.
    Flag,
    /// An amount of bytes, written `512MiB`, `2GiB` or as a number of MiB; kept in bytes.
    Size,
    /// A list of texts.
    List,
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Secrecy {
    /// It may.
    Plain,
    /// It may not: given and recorded by reference only.
    Secret,
}

/// When a changed value takes effect on an instance that exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// The driver changes it in place.
    InPlace,
    /// Only a new instance has it.
    Replace,
    /// It says how we reach the machine, and is simply recorded.
    Recorded,
}

/// One option of a driver.
#[derive(Clone, Debug)]
pub struct OptionSpec {
    /// Key in a fleet file.
    pub key: String,
    /// Flag of `machine create`, without dashes, as docker-machine has it.
    pub flag: String,
    /// Environment variable that fills the flag; empty: none.
    pub env: String,
    /// What its value is.
    pub kind: Kind,
    /// Default as it would be written; `None`: absent unless given.
    pub default: Option<String>,
    /// What is taken where it is neither given nor known from elsewhere. Unlike a default it is not filled in: a record
    /// without it means this.
    pub fallback: Option<String>,
    /// Whether it must be given.
    pub required: bool,
    /// One line for help and docs, without a final period.
    pub help: String,
    /// Name of the field in config.json's `Driver`; empty: not kept there.
    pub field: String,
    /// Whether it may be shown.
    pub secrecy: Secrecy,
    /// When a change takes effect.
    pub when: When,
    /// The only legal texts; empty: any.
    pub choices: Vec<String>,
}

/// A table is written as `OptionSpec::new(…).env(…).default(…)`: each option says only what is particular about it.
impl OptionSpec {
    /// An option that may be shown, need not be given and is not in config.json; only a new instance has another value.
    #[must_use]
    pub fn new(key: &str, flag: &str, kind: Kind, help: &str) -> Self {
        Self {
            key: key.to_owned(),
            flag: flag.to_owned(),
            env: String::new(),
            kind,
            default: None,
            fallback: None,
            required: false,
            help: help.to_owned(),
            field: String::new(),
            secrecy: Secrecy::Plain,
            when: When::Replace,
            choices: Vec::new(),
        }
    }

    /// With the environment variable that fills its flag.
    #[must_use]
    pub fn env(self, env: &str) -> Self {
        Self { env: env.to_owned(), ..self }
    }

    /// With what it is when it is not given, as it would be written.
    #[must_use]
    pub fn default(self, default: &str) -> Self {
        Self { default: Some(default.to_owned()), ..self }
    }

    /// With what its absence means in the end; see [`Self::fallback`](field@Self::fallback).
    #[must_use]
    pub fn fallback(self, fallback: &str) -> Self {
        Self { fallback: Some(fallback.to_owned()), ..self }
    }

    /// It must be given.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// With the field of config.json's `Driver` it is kept in.
    #[must_use]
    pub fn field(self, field: &str) -> Self {
        Self { field: field.to_owned(), ..self }
    }

    /// Given and recorded by reference only.
    #[must_use]
    pub fn secret(self) -> Self {
        Self { secrecy: Secrecy::Secret, ..self }
    }

    /// The driver changes it on an instance that exists.
    #[must_use]
    pub fn in_place(self) -> Self {
        Self { when: When::InPlace, ..self }
    }

    /// It says how we reach the machine, and is simply recorded.
    #[must_use]
    pub fn recorded(self) -> Self {
        Self { when: When::Recorded, ..self }
    }

    /// With the only texts it may be.
    #[must_use]
    pub fn one_of(self, choices: &[&str]) -> Self {
        Self { choices: choices.iter().map(|choice| (*choice).to_owned()).collect(), ..self }
    }
}

/// Something wrong with one option, or with several together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OptionProblem {
    /// The option; `None`: the whole.
    pub key: Option<String>,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What a change of options means for an instance that exists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// Nothing changes.
    Nothing,
    /// Only the record changes.
    Recorded,
    /// The driver changes these keys in place.
    InPlace(Vec<String>),
    /// These keys need a new instance.
    Replace(Vec<String>),
}

/// Fills in the defaults of options that are absent.
#[must_use]
pub fn with_defaults(table: &[OptionSpec], values: &OptionValues) -> OptionValues {
    let mut complete = values.clone();
    complete.extend(absent_defaults(table, values).into_iter().map(|(key, value)| (key.to_owned(), value)));
    complete
}

/// Keys and defaults of options that are absent.
pub(super) fn absent_defaults<'t>(table: &'t [OptionSpec], values: &OptionValues) -> Vec<(&'t str, Value)> {
    let absent = table.iter().filter(|spec| !values.contains_key(&spec.key));
    absent.filter_map(|spec| Some((spec.key.as_str(), default(spec)?))).collect()
}

fn default(spec: &OptionSpec) -> Option<Value> {
    Some(normal(spec, spec.default.as_deref()?))
}

/// What its absence means in the end.
#[must_use]
pub fn fallback(spec: &OptionSpec) -> Option<Value> {
    Some(normal(spec, spec.fallback.as_deref()?))
}

fn normal(spec: &OptionSpec, text: &str) -> Value {
    read(spec, &Value::String(text.to_owned())).expect("a default is legal, which a test holds")
}

/// Reads one value as a person wrote it (in a file, a flag or a variable) into its normal form.
///
/// # Errors
/// Says what would be legal, as a lowercase fragment.
pub fn read(spec: &OptionSpec, value: &Value) -> Result<Value, String> {
    let wrong = |want: &str| Err(format!("`{}` must be {want}", spec.key));
    if spec.secrecy == Secrecy::Secret {
        return match Secret::from_json(value) {
            Ok(secret) => Ok(secret.to_json()),
            Err(why) => wrong(&format!("a reference to a secret: {why}")),
        };
    }
    match (spec.kind, value) {
        (Kind::Text, Value::String(text)) if !spec.choices.is_empty() && !spec.choices.contains(text) => {
            wrong(&format!("one of {}", spec.choices.join(", ")))
        }
        (Kind::Text | Kind::Path, Value::String(_)) | (Kind::Flag, Value::Bool(_)) => Ok(value.clone()),
        // A path that is there unless one says otherwise.
        (Kind::Path, Value::Bool(false)) if spec.default.is_some() => Ok(Value::from("none")),
        (Kind::Text, Value::Number(n)) => Ok(Value::String(n.to_string())),
        (Kind::Text | Kind::Path, _) => wrong("a text"),
        (Kind::Number | Kind::Port, Value::Number(_) | Value::String(_)) => {
            let number = match value {
                Value::Number(n) => n.as_i64(),
                other => other.as_str().and_then(|s| s.parse().ok()),
            };
            match (spec.kind, number) {
                (Kind::Port, Some(n)) if !(1..=65_535).contains(&n) => wrong("a port from 1 to 65535"),
                (_, Some(n)) => Ok(Value::from(n)),
                (Kind::Port, None) => wrong("a port from 1 to 65535"),
                (_, None) => wrong("a whole number"),
            }
        }
        (Kind::Number, _) => wrong("a whole number"),
        (Kind::Port, _) => wrong("a port from 1 to 65535"),
        (Kind::Flag, Value::String(s)) if s == "true" || s == "false" => Ok(Value::Bool(s == "true")),
        (Kind::Flag, _) => wrong("true or false"),
        (Kind::Size, Value::Number(n)) => n
            .as_u64()
            .and_then(|mib| mib.checked_mul(1 << 20))
            .map_or_else(|| wrong("an amount like `512MiB` or `2GiB`"), |b| Ok(Value::from(b))),
        (Kind::Size, Value::String(s)) => {
            size(s).map_or_else(|| wrong("an amount like `512MiB` or `2GiB`"), |b| Ok(Value::from(b)))
        }
        (Kind::Size, _) => wrong("an amount like `512MiB` or `2GiB`"),
        (Kind::List, Value::Array(items)) if items.iter().all(Value::is_string) => Ok(value.clone()),
        (Kind::List, Value::String(s)) => Ok(Value::from(s.split(',').filter(|s| !s.is_empty()).collect::<Vec<_>>())),
        (Kind::List, _) => wrong("a list of texts"),
    }
}

/// `512MiB`, `2GiB`, `2g`, `2048` (MiB), in bytes. Powers of 1024 throughout, as docker has them.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "m" | "mb" | "mib" => 1 << 20,
        "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1_u64 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// A value as a person would write it.
#[must_use]
pub fn show(spec: &OptionSpec, value: &Value) -> String {
    match (spec.secrecy, spec.kind, value) {
        (Secrecy::Secret, ..) => Secret::from_json(value).map_or_else(|_| "(secret)".to_owned(), |at| at.to_string()),
        (_, Kind::Size, Value::Number(n)) => show_size(n.as_u64().unwrap_or_default()),
        (_, _, Value::String(s)) => s.clone(),
        (_, _, Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        (_, _, other) => other.to_string(),
    }
}

/// Bytes in the largest unit that gives a whole number.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| format!("{bytes}B"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// What turns `recorded` into `desired`; both may lack defaults.
#[must_use]
pub fn compare(table: &[OptionSpec], recorded: &OptionValues, desired: &OptionValues) -> Change {
    let differs = |spec: &&OptionSpec| match (recorded.get(&spec.key), desired.get(&spec.key)) {
        (Some(old), Some(new)) => old != new,
        (None, None) => false,
        (None, Some(given)) => default(spec).as_ref() != Some(given),
        // What was written down because there was nothing else to write is no wish.
        (Some(given), None) => default(spec).or_else(|| fallback(spec)).as_ref() != Some(given),
    };
    let changed: Vec<&OptionSpec> = table.iter().filter(differs).collect();
    let keys =
        |when: When| -> Vec<String> { changed.iter().filter(|s| s.when == when).map(|s| s.key.clone()).collect() };
    let (replace, in_place) = (keys(When::Replace), keys(When::InPlace));
    if !replace.is_empty() {
        Change::Replace(replace)
    } else if !in_place.is_empty() {
        Change::InPlace(in_place)
    } else if !changed.is_empty() {
        Change::Recorded
    } else {
        Change::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;
    use serde_json::json;

    fn spec(key: &str, kind: Kind, default: Option<&str>, when: When) -> OptionSpec {
        OptionSpec { default: default.map(str::to_owned), when, ..OptionSpec::new(key, key, kind, "") }
    }

    #[test]
    fn only_a_choice_is_taken_where_there_are_choices() {
        let spec = OptionSpec::new("nic", "nic", Kind::Text, "").one_of(&["virtio", "82540EM"]);
        assert_eq!(read(&spec, &json!("virtio")).unwrap(), json!("virtio"));
        assert_eq!(read(&spec, &json!("e1000")).unwrap_err(), "`nic` must be one of virtio, 82540EM");
    }

    #[test]
    fn values_are_read_into_one_form() {
        for (kind, value, want) in [
            (Kind::Text, json!(12), Some(json!("12"))),
            (Kind::Text, json!(true), None),
            (Kind::Path, json!("~/key"), Some(json!("~/key"))),
            (Kind::Path, json!(1), None),
            (Kind::Number, json!("-3"), Some(json!(-3))),
            (Kind::Number, json!(2.5), None),
            (Kind::Port, json!("22"), Some(json!(22))),
            (Kind::Port, json!(0), None),
            (Kind::Port, json!(65_536), None),
            (Kind::Flag, json!("true"), Some(json!(true))),
            (Kind::Flag, json!("yes"), None),
            (Kind::Size, json!(512), Some(json!(512_u64 << 20))),
            (Kind::Size, json!(-1), None),
            (Kind::Size, json!(u64::MAX), None),
            (Kind::List, json!("a,,b"), Some(json!(["a", "b"]))),
            (Kind::List, json!([1]), None),
            (Kind::List, json!(null), None),
        ] {
            let result = read(&spec("it", kind, None, When::Replace), &value);
            assert_eq!(result.as_ref().ok(), want.as_ref(), "{kind:?} {value}");
            assert!(result.is_ok() || result.unwrap_err().starts_with("`it` must be "));
        }
    }

    #[test]
    fn amounts_are_powers_of_1024_and_mib_without_a_unit() {
        for (text, want) in [
            ("2048", Some(2048 << 20)),
            ("2GiB", Some(2 << 30)),
            ("2 gb", Some(2 << 30)),
            ("1t", Some(1 << 40)),
            ("512b", Some(512)),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("1.5GiB", None),
            ("1 GiG", None),
            ("99999999999999999999", None),
            ("18446744073709551615t", None),
        ] {
            assert_eq!(size(text), want, "{text}");
        }
    }

    #[test]
    fn the_gravest_change_decides() {
        let table = [
            spec("image", Kind::Text, Some("debian-12"), When::Replace),
            spec("memory", Kind::Size, None, When::InPlace),
            spec("ssh-user", Kind::Text, None, When::Recorded),
        ];
        let values = |pairs: &[(&str, Value)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let case = |recorded: &[(&str, Value)], desired: &[(&str, Value)]| {
            compare(&table, &values(recorded), &values(desired))
        };
        assert_eq!(case(&[], &[("image", json!("debian-12"))]), Change::Nothing, "a default is what it stands for");
        assert_eq!(case(&[], &[("ssh-user", json!("a"))]), Change::Recorded);
        assert_eq!(case(&[("memory", json!(1))], &[("ssh-user", json!("a"))]), Change::InPlace(vec!["memory".into()]));
        let all = [("image", json!("x")), ("memory", json!(1))];
        assert_eq!(case(&[], &all), Change::Replace(vec!["image".into()]));
    }

    proptest! {

        #![proptest_config(properties(256))]

        #[test]
        fn an_amount_reads_back_as_shown(bytes in prop_oneof![any::<u64>(), (0..64_u32).prop_map(|n| 1 << n)]) {
            prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
    }

    #[test]
    fn a_fallback_is_not_filled_in_and_its_absence_is_no_change() {
        let user = spec("user", Kind::Text, None, When::InPlace).fallback("root");
        let table = [user, spec("config", Kind::Path, Some("~/c"), When::InPlace)];
        let none = OptionValues::new();
        assert_eq!(with_defaults(&table, &none), OptionValues::from([("config".to_owned(), json!("~/c"))]));
        let root = OptionValues::from([("user".to_owned(), json!("root"))]);
        assert_eq!(compare(&table, &root, &none), Change::Nothing, "docker-machine wrote it down of itself");
        assert_eq!(compare(&table, &none, &root), Change::InPlace(vec!["user".into()]), "now it is a wish");
        assert_eq!(read(&table[1], &json!(false)).unwrap(), json!("none"));
        assert!(read(&table[0], &json!(false)).is_err());
    }
}
