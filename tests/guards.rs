//! What a plan may not do unless it was said so, what happens when only some of a fleet can be worked on, what is
//! remembered of removals nobody confirmed, and what the history says of all of it.

#[path = "guards/fakes.rs"]
mod fakes;
#[expect(dead_code, reason = "it serves other tests as well")]
#[path = "cli/home.rs"]
mod home;
#[path = "guards/limits.rs"]
mod limits;
#[path = "guards/partial.rs"]
mod partial;
#[path = "guards/program.rs"]
mod program;
#[path = "guards/roll.rs"]
mod roll;
mod support;
#[path = "guards/tombstones.rs"]
mod tombstones;
