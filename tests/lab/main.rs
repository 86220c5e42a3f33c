//! The truth: real hosts, real engines, virtual machines, and providers as others emulate them. One program, so that the
//! library is linked once; its tests mostly wait, so more of them run at once than there are processors.
//!
//! A test starts what it needs itself, in folders, networks and names of its own. What it cannot have it says, as
//! `SKIPPED: why`; with `MACHINE_LAB=required` that is a failure.

mod cloud_host;
mod given;
mod mirror;
mod moto;
mod ocean;
mod proxy;

#[path = "../kit/canary.rs"]
mod canary;
#[path = "../kit/full.rs"]
mod full;
#[path = "../kit/lab/mod.rs"]
mod lab;
#[expect(dead_code, reason = "the other test programs use the rest")]
#[path = "../kit/plain.rs"]
mod plain;
#[expect(dead_code, reason = "`it` and `crash` use the rest")]
#[path = "../kit/sample.rs"]
mod sample;
#[path = "../kit/skip.rs"]
mod skip;

mod amazonec2;
mod at_once;
mod bad_days;
mod certs;
mod digitalocean;
mod drop_in;
mod engine;
mod hooks;
mod hosts;
mod network;
mod newcomer;
mod nspawn;
mod plans;
mod qemu;
mod secrets;
mod share;
mod virtualbox;
