//! What every driver must do. Runs on each entry of the table.

use super::{
    AnyDriver, Change, Checkpoint, Driver, DriverContext, DriverError, Drivers, Kind, OptionSpec, Secrecy, Typed, When,
    options,
};
use crate::{
    name::{FleetName, MachineName},
    record::{Instance, OptionValues},
    secret::{NoSecrets, Reveal},
    transport::{Connect, Target, Transport, TransportError},
};
use async_trait::async_trait;
use serde::{
    Deserialize,
    de::{self, Deserializer, Visitor},
};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

/// Reaching out is not what this test is about: a driver that does must be tested where it can be.
struct NoNetwork;

#[async_trait]
impl Connect for NoNetwork {
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        panic!("no connection may be made here, and `{}` was to be reached", target.machine)
    }
}

struct NoStore;

#[async_trait::async_trait]
impl Checkpoint for NoStore {
    async fn instance(&self, _: &Instance) -> Result<(), DriverError> {
        Ok(())
    }
}

/// Runs `work` with a context in which nothing can be reached.
pub(super) async fn with_context(work: impl AsyncFnOnce(&DriverContext<'_>)) {
    let dir = tempfile::tempdir().unwrap();
    let machine = MachineName::new("web-1").unwrap();
    let fleet = FleetName::new("shop").unwrap();
    let secrets: Arc<dyn Reveal> = Arc::new(NoSecrets);
    let cx = DriverContext {
        machine: &machine,
        fleet: Some(&fleet),
        store_id: "test",
        dir: dir.path(),
        connect: &NoNetwork,
        checkpoint: &NoStore,
        secrets: &secrets,
        progress: &|_| (),
    };
    work(&cx).await;
}

/// A legal value of an option, as a person would write it.
fn sample(spec: &OptionSpec) -> Value {
    if spec.secrecy == Secrecy::Secret {
        return serde_json::json!({ "env": spec.env });
    }
    let text = match (spec.default.as_deref(), spec.kind) {
        (Some(default), _) => default,
        (None, Kind::Text) if !spec.choices.is_empty() => &spec.choices[0],
        (None, Kind::Text) if spec.key == "url" => "tcp://192.0.2.10:2376",
        (None, Kind::Text) => "192.0.2.10",
        (None, Kind::Path) => "/dev/null",
        (None, Kind::Number) => "3",
        (None, Kind::Port) => "4242",
        (None, Kind::Flag) => "true",
        (None, Kind::Size) => "512MiB",
        (None, Kind::List) => "a,b",
    };
    options::read(spec, &Value::from(text)).unwrap()
}

fn every_option(driver: &dyn AnyDriver) -> OptionValues {
    driver.options().iter().map(|spec| (spec.key.clone(), sample(spec))).collect()
}

fn required_options(driver: &dyn AnyDriver) -> OptionValues {
    let given = driver.options().iter().filter(|spec| spec.required);
    let values = given.map(|spec| (spec.key.clone(), sample(spec))).collect();
    options::with_defaults(driver.options(), &values)
}

thread_local! {
    static FIELDS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// Notes which fields a struct asks for, and gives none.
struct FieldSpy;

impl<'de> Deserializer<'de> for FieldSpy {
    type Error = de::value::Error;
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        FIELDS.set(fields.to_vec());
        Err(de::Error::custom("only a look"))
    }
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("options are a struct"))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<D: Driver>() -> BTreeSet<&'static str> {
    FIELDS.take();
    let _ = D::Options::deserialize(FieldSpy);
    FIELDS.take().into_iter().collect()
}

#[track_caller]
pub(super) fn options_are_typed<D: Driver>(driver: D) -> &'static str {
    let table = D::options();
    let keys: BTreeSet<_> = table.iter().map(|spec| spec.key.as_str()).collect();
    assert_eq!(fields::<D>(), keys, "fields of the options of `{}`, and its table", D::NAME);
    let driver = Typed::new(driver);
    driver.read(&every_option(&driver)).map(|_| ()).unwrap();
    driver.read(&required_options(&driver)).map(|_| ()).unwrap();
    let mut strange = every_option(&driver);
    strange.insert("no-such-option".to_owned(), Value::from("x"));
    assert!(driver.read(&strange).is_err(), "driver `{}` takes options it does not know", D::NAME);
    D::NAME
}

#[test]
fn the_typed_options_are_those_of_the_table() {
    let tested: Vec<&str> = super::TYPED.iter().map(|typed| typed()).collect();
    assert_eq!(tested, Drivers::built_in().names().collect::<Vec<_>>());
}

#[test]
fn names_are_unique_and_plain() {
    let drivers = Drivers::built_in();
    let names: BTreeSet<_> = drivers.names().collect();
    assert_eq!(names.len(), super::TYPED.len());
    for name in names {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
        assert_eq!(drivers.get(name).unwrap().name(), name);
    }
}

#[test]
fn every_driver_and_option_is_documented() {
    let documented = |text: &str| !text.is_empty() && !text.ends_with('.') && text.len() < 100;
    for driver in Drivers::built_in().iter() {
        assert!(documented(driver.about()), "driver `{}`", driver.name());
        for spec in driver.options() {
            assert!(documented(&spec.help), "option `{}` of driver `{}`", spec.key, driver.name());
        }
    }
}

#[test]
fn keys_are_kebab_case_and_defaults_are_legal() {
    for driver in Drivers::built_in().iter() {
        for spec in driver.options() {
            let plain = spec.key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            assert!(plain && !spec.key.is_empty(), "`{}` of `{}`", spec.key, driver.name());
            if let Some(default) = spec.default.as_deref() {
                assert!(!spec.required, "`{}` of `{}` is required and has a default", spec.key, driver.name());
                let value = options::read(spec, &Value::from(default)).unwrap();
                // An amount in bytes would be read as MiB: people write it with its unit.
                let again =
                    if spec.kind == Kind::Size { Value::from(options::show(spec, &value)) } else { value.clone() };
                assert_eq!(options::read(spec, &again).unwrap(), value, "normal forms read as themselves");
            }
        }
    }
}

/// All drivers' flags meet in one `machine create --help`, and all variables in one environment.
#[test]
fn no_two_options_share_a_key_flag_variable_or_field() {
    let drivers = Drivers::built_in();
    let mut flags = BTreeSet::new();
    let mut variables = BTreeSet::new();
    for driver in drivers.iter() {
        let mut keys = BTreeSet::new();
        let mut fields = BTreeSet::new();
        for spec in driver.options() {
            assert!(keys.insert(&spec.key), "key `{}` of `{}`", spec.key, driver.name());
            assert!(!spec.flag.is_empty() && flags.insert(&spec.flag), "flag `{}` of `{}`", spec.flag, driver.name());
            assert!(spec.env.is_empty() || variables.insert(&spec.env), "`{}` of `{}`", spec.env, driver.name());
            assert!(spec.field.is_empty() || fields.insert(&spec.field), "`{}` of `{}`", spec.field, driver.name());
        }
    }
}

/// Where our default is another than docker-machine's, and why. `docs/differences.md` says it to users.
const OTHER_DEFAULTS: [(&str, &str); 6] = [
    ("amazonec2-device-name", "what the image itself calls its root device"),
    ("amazonec2-instance-type", "t2.micro is not to be had in newer regions and accounts"),
    ("amazonec2-volume-type", "gp3 is faster and costs less"),
    ("amazonec2-zone", "not every account has a subnet in zone `a`"),
    ("digitalocean-image", "Ubuntu 16.04 is not offered any more"),
    ("virtualbox-hostonly-cidr", "VirtualBox 6.1.28 and later allow 192.168.56.0/21 only"),
];

/// Flags that docker-machine had, and what we have for them: scripts written for it must go on working.
#[test]
fn every_flag_of_docker_machine_is_there_with_its_variable_and_default() {
    let drivers = Drivers::built_in();
    let flags = include_str!("../../tests/golden/docker-machine-flags.tsv");
    let mut other: BTreeSet<&str> = OTHER_DEFAULTS.iter().map(|(flag, _)| *flag).collect();
    let (mut seen, mut unexplained) = (0, Vec::new());
    for line in flags.lines().filter(|line| !line.starts_with('#')) {
        let [driver, flag, kind, default, env] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let Some(driver) = drivers.get(driver) else { continue };
        let spec = driver.options().iter().find(|spec| spec.flag == flag);
        let spec = spec.unwrap_or_else(|| panic!("`{}` has no --{flag}", driver.name()));
        seen += 1;
        let fits = match kind {
            "bool" => spec.kind == Kind::Flag,
            "list" => spec.kind == Kind::List,
            "int" => matches!(spec.kind, Kind::Number | Kind::Port | Kind::Size),
            // A list takes a text with commas, and what a number is, is a text too.
            _ => spec.kind != Kind::Flag,
        };
        assert!(fits, "--{flag}: {kind} for docker-machine, {:?} for us", spec.kind);
        // We read variables where docker-machine had none; where it had one, ours is the same.
        assert!(env.is_empty() || spec.env == env, "--{flag}: ${env} for docker-machine, ${} for us", spec.env);
        let written = |text: &str| options::read(spec, &Value::from(text)).ok().filter(|v| !is_nothing(v));
        let ours = spec.default.as_deref().or(spec.fallback.as_deref()).and_then(written);
        let same = ours == Some(default).filter(|text| !text.is_empty()).and_then(written);
        if !same && !other.remove(flag) {
            unexplained.push(format!("--{flag}: default {default:?} for docker-machine, {ours:?} for us"));
        }
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    assert!(other.is_empty() && seen >= 8, "no longer different: {other:?}");
}

/// What means the same as nothing at all.
fn is_nothing(value: &Value) -> bool {
    *value == Value::Bool(false)
        || value == ""
        || value.as_i64() == Some(0)
        || value.as_array().is_some_and(Vec::is_empty)
}

#[test]
fn what_is_the_same_needs_no_change() {
    for driver in Drivers::built_in().iter() {
        for values in [every_option(driver), required_options(driver)] {
            assert_eq!(options::compare(driver.options(), &values, &values), Change::Nothing, "{}", driver.name());
        }
    }
}

/// Pain 24: a secret is given by reference, never recorded, never shown.
#[test]
fn no_secret_is_kept_or_shown() {
    for driver in Drivers::built_in().iter() {
        for spec in driver.options().iter().filter(|spec| spec.secrecy == Secrecy::Secret) {
            let shown = options::show(spec, &Value::from("canary"));
            assert!(!shown.contains("canary") && spec.default.is_none(), "{}", spec.key);
            assert!(!spec.env.is_empty(), "`{}`: what was given by its flag must have a place later", spec.key);
            assert_ne!(spec.when, When::Replace, "`{}`: where a secret is, is no property of an instance", spec.key);
        }
    }
}

/// For drivers that need neither network nor root; the others have tests in the lab.
#[tokio::test]
async fn what_is_created_is_found_and_removing_twice_succeeds() {
    let drivers = Drivers::built_in();
    for name in ["generic", "none"] {
        let driver = drivers.get(name).unwrap();
        let values = required_options(driver);
        with_context(async |cx| {
            let made = driver.create(cx, &values).await.unwrap();
            assert_eq!(driver.find(cx, &values).await.unwrap().as_ref(), Some(&made), "{name}: found");
            assert_eq!(driver.create(cx, &values).await.unwrap(), made, "{name}: creating twice is creating once");
            assert_eq!(driver.change(cx, &made, &values).await.unwrap(), made, "{name}: changing nothing");
            driver.rm(cx, &made, &values).await.unwrap();
            driver.rm(cx, &made, &values).await.unwrap();
        })
        .await;
    }
}

/// For drivers that can be asked here; those of providers have tests where they find out whose credentials they have.
#[tokio::test]
async fn who_makes_instances_on_this_computer_says_in_which_folder_and_who_makes_none_has_no_place() {
    for driver in Drivers::built_in().iter().filter(|driver| driver.is_local() || !driver.creates()) {
        let (name, values) = (driver.name(), required_options(driver));
        with_context(async |cx| {
            let place = driver.place(cx, &values).await.unwrap();
            assert_eq!(place, driver.place(cx, &values).await.unwrap(), "{name}: always the same words");
            assert_eq!(place.is_some(), driver.creates(), "{name}");
            if let Some(place) = place {
                assert!(place.to_string().starts_with(&format!("{name} folder /")), "{place}");
                assert_eq!((place.driver(), place.to_string().parse()), (name, Ok(place.clone())));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_only_knows_hosts_cannot_switch_them() {
    let drivers = Drivers::built_in();
    for name in ["generic", "none"] {
        let driver = drivers.get(name).unwrap();
        assert!(!driver.creates());
        let values = required_options(driver);
        with_context(async |cx| {
            let made = driver.create(cx, &values).await.unwrap();
            for action in [super::PowerAction::Start, super::PowerAction::Stop, super::PowerAction::Kill] {
                let error = driver.set_power(cx, &made, &values, action).await.unwrap_err();
                assert_eq!(error.to_string(), format!("driver `{name}` cannot {}", action.what()));
                assert!(!error.is_transient());
            }
        })
        .await;
    }
}
