//! DigitalOcean on this computer: an emulator with a memory, behind the provider's own document, behind a way that loses
//! things.

#![expect(clippy::disallowed_methods, reason = "it starts servers")]

pub(crate) mod emulator;
pub(crate) mod front;
pub(crate) mod prism;
mod shape;
pub(crate) mod wire;

use crate::skip::skipped;
use emulator::{Emulator, Hosts};
use front::Front;
use prism::Prism;
use std::{net::SocketAddr, sync::Arc};

/// All of it.
pub(crate) struct Ocean {
    pub(crate) emulator: Arc<Emulator>,
    prism: Prism,
}

/// The token that the emulator takes.
pub(crate) const TOKEN: &str = "dop_v1_canary0123456789";

/// The token of another account, which has nothing.
pub(crate) const OTHER: &str = "dop_v1_canary9876543210";

impl Ocean {
    /// One whose droplets are `hosts`; `None`, and why, when this computer has not what it needs.
    pub(crate) fn new(hosts: Box<dyn Hosts>) -> Option<Self> {
        let emulator = Arc::new(Emulator::new(hosts));
        let address: SocketAddr = wire::listen(Arc::clone(&emulator));
        match Prism::before(address) {
            Ok(prism) => Some(Self { emulator, prism }),
            Err(why) => {
                skipped(why);
                None
            }
        }
    }

    /// A way to it of one's own.
    pub(crate) fn front(&self) -> Front {
        Front::before(self.prism.address)
    }

    /// That neither side ever left the document.
    #[track_caller]
    pub(crate) fn keeps_to_the_document(&self) {
        let said = self.prism.said();
        let wrong: Vec<&str> =
            said.lines().filter(|l| l.contains("Violation") || l.contains("terminated with error")).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{said}");
    }
}
