//! `machine` turns a fleet file into running, reachable, kept-up-to-date Docker hosts.
//!
//! The modules below are listed in the order data flows through them. A module may use those
//! above it, never those below; `tests/it/layers.rs` holds this. Four states of knowledge are never
//! mixed: what is *desired* ([`fleet`]), *recorded* ([`record`]), *observed* ([`record::Observed`])
//! and *planned* ([`plan`]).

// Small nouns everything stands on.
pub mod age;
pub mod clock;
pub mod digest;
pub mod duration;
pub mod ending;
pub mod excerpt;
pub mod fault;
pub mod graph;
pub mod harmless;
pub mod kdl;
pub mod name;
pub mod panicked;
pub mod quote;
pub mod secret;
pub mod spoken;
pub mod template;

// The one who finds out what secrets are.
pub mod revealer;

// Certificates: made, and judged. Pure.
pub mod tls;

// What a host should be and what was found there. Pure.
pub mod engine;
pub mod hook;
pub mod provisioner;
pub mod record;

// Ways to the outside, as traits that drivers may use.
pub mod cloud_init;
pub mod transport;

pub mod docker;

pub mod http;

// Where machines come from, who vouches for them, what is wanted, what to do. Pure but for drivers.
pub mod driver;

pub mod fleet;
pub mod part;
pub mod plan;

// Effects.
pub mod local;
pub mod store;
pub mod world;

pub mod archive;
pub mod context;

pub mod apply;
pub mod observe;

pub mod report;

pub mod history;

pub mod cli;

// What tests of the library and of the program share calls it by its name.
#[cfg(test)]
extern crate self as machine;
#[cfg(test)]
#[path = "../tests/kit/properties.rs"]
mod properties;
#[cfg(test)]
#[path = "../tests/kit/skip.rs"]
mod skip;
