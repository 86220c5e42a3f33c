//! A store that was copied stands for the same instances as the one that it was copied from. Both may be meant, so it is
//! only told: before something is changed, and as long as both are there.

use super::{CliError, Cx, stored::settled};
use crate::{
    store::{Area, Mode, StoreError},
    world::World,
};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// In the store's root: where the store was when something was last changed in it.
const FILE: &str = "place";
/// In the store's root: what distinguishes it from all others.
const ID: &str = "machine-id";

/// Tells of the other store, if there is one.
pub(super) fn tell(cx: &Cx, world: &World) {
    // What cannot be read or written is told by what the command does next.
    if let Ok(Ok(Some(other))) = settled(other(world)) {
        let root = world.store.files.root();
        CliError::warn(
            &format!("{} and {} are one store and its copy: both stand for the same instances", other, root.display()),
            &format!(
                "work in one of them, and remove the other as a folder; to see what is here:\n  {} ls",
                cx.program
            ),
        );
    }
}

/// Where the store is from which this one was copied, if it is still there. Where this one is, is noted if it is alone.
async fn other(world: &World) -> Result<Option<String>, StoreError> {
    let root = world.store.files.root();
    let here = root.to_string_lossy();
    let noted = world.store.files.read(Area::Outside(root), FILE).await?;
    let noted = noted.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
    if noted.as_deref() == Some(&*here) {
        return Ok(None);
    }
    // One without an id has made nothing yet that could be meant.
    let id = world.store.files.read(Area::Outside(root), ID).await?;
    let there = noted.zip(id).filter(|(there, id)| is_another(Path::new(there), root, id));
    if let Some((there, _)) = there {
        return Ok(Some(there));
    }
    let text = format!("{here}\n");
    world.store.files.write(Area::Outside(root), &[(FILE, text.as_bytes(), Mode::Private)]).await?;
    Ok(None)
}

/// Whether another folder is a store of the same id.
fn is_another(there: &Path, root: &Path, id: &[u8]) -> bool {
    let which = |path: &Path| fs::metadata(path).map(|about| (about.dev(), about.ino())).ok();
    which(there).is_some() && which(there) != which(root) && fs::read(there.join(ID)).is_ok_and(|other| other == id)
}
