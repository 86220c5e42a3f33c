//! Options of a driver as a test gives them.

use machine::{
    driver::{Drivers, options},
    record::OptionValues,
};
use serde_json::Value;

/// The values of these options, and the defaults of all others.
#[track_caller]
pub(crate) fn values<'a>(driver: &str, given: impl IntoIterator<Item = (&'a str, Value)>) -> OptionValues {
    let drivers = Drivers::built_in();
    let table = drivers.options(driver);
    let read = |(key, value): (&str, Value)| {
        let spec = table.iter().find(|spec| spec.key == key).unwrap_or_else(|| panic!("no option `{key}`"));
        (key.to_owned(), options::read(spec, &value).unwrap())
    };
    options::with_defaults(table, &given.into_iter().map(read).collect())
}
