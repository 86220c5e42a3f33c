//! What dockerd on a host should be. Pure: it says nothing of how to get there.

pub mod daemon_json;
pub mod spec;

pub use spec::{Api, EngineSpec, Source, VersionPin};
