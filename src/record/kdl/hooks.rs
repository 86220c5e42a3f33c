//! Hooks in a `record.kdl`: one node for each, in the order they run, and one for each that is due.

use super::{
    need,
    reader::{Node, Reader},
    set, unword,
};
use crate::{
    hook::{Command, Hook, HookRecord, Hooks, Point},
    record::codec::CodecError,
};

/// Reads the inside of `hooks`.
pub(super) fn decode(r: &Reader<'_>, node: &Node) -> Result<HookRecord, CodecError> {
    let mut found = HookRecord::default();
    for child in node.inside() {
        match child.name() {
            "hook" => {
                let (point, hook) = one(r, child)?;
                let Hooks(spec) = &mut found.spec;
                spec.entry(point).or_default().push(hook);
            }
            "due" => match r.texts(child)?.as_slice() {
                [point, name] => found.pending.push((unword(r, child, point.clone())?, name.clone())),
                _ => return Err(r.err(child, "`due` needs a point and a name")),
            },
            _ => {}
        }
    }
    Ok(found)
}

fn one(r: &Reader<'_>, node: &Node) -> Result<(Point, Hook), CodecError> {
    let (mut point, mut name, mut run, mut on, mut timeout) = (None, None, None, None, None);
    for child in node.inside() {
        match child.name() {
            "point" => set(r, child, &mut point, unword(r, child, r.text(child)?)?)?,
            "name" => set(r, child, &mut name, r.text(child)?)?,
            "run" => set(r, child, &mut run, Command::Shell(r.text(child)?))?,
            "program" => set(r, child, &mut run, Command::Program(r.texts(child)?))?,
            "on" => set(r, child, &mut on, unword(r, child, r.text(child)?)?)?,
            "timeout" => set(r, child, &mut timeout, r.number(child)?)?,
            // Half a command must not be run: a record that says more than we know is not for us.
            other => return Err(r.err(child, format!("a hook has no `{other}` that this program knows"))),
        }
    }
    let hook = Hook {
        name: need(r, node, name, "name")?,
        run: need(r, node, run, "run")?,
        on: need(r, node, on, "on")?,
        timeout: need(r, node, timeout, "timeout")?,
    };
    Ok((need(r, node, point, "point")?, hook))
}
