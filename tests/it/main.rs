//! Everything that needs neither hosts of its own nor root: one program, so that the library is linked once. Its tests
//! run as threads of one process (`cargo test`) or in a process each (cargo-nextest): none sets a variable or the current
//! folder, and what they make has a name or a port of its own.
//!
//! Some start real programs of this computer: `sshd` on loopback, shells, `docker`, `age`. A test whose program is not
//! there says `SKIPPED` and why; with `MACHINE_LAB=required` that is a failure.

mod hosts;
mod http_engine;
mod screen;
mod sshd;

#[expect(dead_code, reason = "`lab` uses the rest")]
#[path = "../kit/canary.rs"]
mod canary;
#[path = "../kit/full.rs"]
mod full;
#[path = "../kit/home.rs"]
mod home;
#[expect(dead_code, reason = "the other test programs use the rest")]
#[path = "../kit/plain.rs"]
mod plain;
#[path = "../kit/properties.rs"]
mod properties;
#[expect(dead_code, reason = "`lab` uses the rest")]
#[path = "../kit/sample.rs"]
mod sample;
#[path = "../kit/skip.rs"]
mod skip;
#[expect(dead_code, reason = "`crash` uses the rest")]
#[path = "../kit/support/mod.rs"]
mod support;
#[path = "../kit/tls_engine.rs"]
mod tls_engine;

mod age;
mod archives;
mod bad_days;
mod broken_files;
mod certs;
mod cli;
mod cli_certs;
mod cli_hosts;
mod cli_ls;
mod cli_scp;
mod cli_ssh;
mod command_lines;
mod completion;
mod convergence;
mod docker;
mod docker_plugin;
mod drop_in;
mod earlier;
mod endings;
mod excerpts;
mod executor;
mod failures;
mod fleet_cli;
mod fleets;
mod forms;
mod fuzz;
mod gitops;
mod guards;
mod hooks;
mod hostile;
mod identity;
mod inherited;
mod intents;
mod language;
mod layers;
mod layout;
mod panics;
mod plan_cli;
mod plans;
mod problems;
mod readme;
mod replay;
mod saved_plans;
mod share;
mod shells;
mod ssh;
mod ssh_config;
mod store_days;
mod stores;
mod suite;
mod templates;
mod unreadable_locks;
mod unseen;
