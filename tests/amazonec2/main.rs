//! Driver `amazonec2` against moto: its whole life, under every fault at every call, with signatures and policies checked.

#![expect(clippy::disallowed_methods, reason = "the tests write files and run the program itself")]

mod credentials;
mod faults;
mod host;
mod life;
#[expect(dead_code, reason = "only the lab follows what is called")]
#[path = "../moto/mod.rs"]
mod moto;
mod precheck;
mod program;
mod refusals;
mod roles;
mod services;
#[expect(dead_code, reason = "nobody here reads bodies")]
#[path = "../ocean/wire.rs"]
mod wire;
