//! Driver `amazonec2` against moto: its whole life, under every fault at every call, with signatures and policies checked.

#![expect(clippy::disallowed_methods, reason = "the tests write files and run the program itself")]

mod container;
mod credentials;
mod faults;
mod host;
mod life;
mod precheck;
mod program;
mod refusals;
mod roles;
mod services;
