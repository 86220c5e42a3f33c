//! Looking at real machines: one connection, one round trip each, in parallel.
