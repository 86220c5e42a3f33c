//! What a plan may not do unless it was said so, what happens when only some of a fleet can be worked on, what is
//! remembered of removals that were not confirmed, and what the history says of all of it.
//!
//! Mutations that were tried by hand, and were caught: a new machine that does not wait for remains of its tag, a step on
//! a machine in other hands, an optional host that holds others up, a line after half a line, all machines going within
//! `max_delete`, a window that is one wider, remains of another fleet.

mod fakes;
mod limits;
mod partial;
mod program;
mod roll;
mod tombstones;
