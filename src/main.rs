//! The `machine` binary. Everything is in the library.

fn main() {}
