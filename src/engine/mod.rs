//! What dockerd on a host should be. Pure: it says nothing of how to get there.

pub mod daemon_json;
pub mod env;
pub mod flag;
pub mod spec;
mod variable;

pub use flag::Flag;
pub use spec::{Api, EngineSpec, Source, VersionPin};
pub use variable::{SecretVariable, Variable};
