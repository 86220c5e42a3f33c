//! Everything that can touch the world, in one value. Tests build one from fakes.

use crate::{clock::Clock, docker::DockerApi, driver::Drivers, store::Store, transport::Connect};
use std::sync::Arc;

/// The outside. Cheap to clone.
#[derive(Clone)]
pub struct World {
    /// Makes and controls instances.
    pub drivers: Arc<Drivers>,
    /// Opens SSH connections; the real one keeps one for each host and run.
    pub connect: Arc<dyn Connect>,
    /// Asks engines.
    pub docker: Arc<dyn DockerApi>,
    /// Keeps records.
    pub store: Arc<dyn Store>,
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
}
