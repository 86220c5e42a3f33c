//! The drivers there are, by name. One value, made where the program begins, given to all code that needs drivers.

use super::{AnyDriver, Driver, OptionSpec, Typed};
use std::{fmt, sync::Arc};

/// The drivers there are. Cheap to clone.
#[derive(Clone, Default)]
pub struct Drivers {
    all: Vec<Arc<dyn AnyDriver>>,
}

impl fmt::Debug for Drivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Drivers {
    /// With one more. One of the same name goes.
    #[must_use]
    pub fn with<D: Driver>(self, driver: D) -> Self {
        self.with_any(Arc::new(Typed::new(driver)))
    }

    /// Adds one behind its trait. One of the same name is replaced.
    #[must_use]
    pub fn with_any(mut self, driver: Arc<dyn AnyDriver>) -> Self {
        self.all.retain(|other| other.name() != driver.name());
        self.all.push(driver);
        self
    }

    /// The driver of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&dyn AnyDriver> {
        self.iter().find(|driver| driver.name() == name)
    }

    /// The options of the driver of this name; none when it is not known.
    #[must_use]
    pub fn options(&self, name: &str) -> &[OptionSpec] {
        self.get(name).map_or(&[], AnyDriver::options)
    }

    /// All of them, in the order help lists them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn AnyDriver> {
        self.all.iter().map(|driver| &**driver)
    }

    /// Their names, in that order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(AnyDriver::name)
    }

    /// Whether any of them has an option of this key.
    #[must_use]
    pub fn have_option(&self, key: &str) -> bool {
        self.iter().any(|driver| driver.options().iter().any(|spec| spec.key == key))
    }
}
